"""Where keys come from: memory, the tenants' secrets, a directory, a key repository.

A source answers None when there is no such key and raises `Unavailable` when it could not find out.
`pem_repository` caches, and `shared_secrets` where it is asked to; put `cached` around the others
where asking is slow.
"""

import errno
import os
import re
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Final, TypeVar, get_args
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from joserfc.jwk import OctKey

from asapfn._core.algorithms import require_key
from asapfn.errors import EVERY_MIRROR, TokenRejected, Unavailable, cause
from asapfn.guards import issuer_of, key_id_of
from asapfn.keys import import_published_pem, import_secret
from asapfn.resolvers.cache import Answer, Cache, cached, look_up
from asapfn.types import (
    Caching,
    Document,
    Fetch,
    Key,
    Observe,
    Resolver,
    Unverified,
    require_function,
)

T = TypeVar("T")

PEM_MEDIA_TYPE = "application/x-pem-file"

# "No such key" (ASAP specification, "Key repository").
_ABSENT: Final = (204, 403, 404)

# Of the statuses below 500, those that say nothing of the key that was asked for: credentials that
# are missing, and too much or too slow asking.
_OF_ALL_KEYS: Final = (401, 407, 408, 425, 429)

_FETCH: Final = "fetch is a function of a URL and an Accept header, such as fetcher(client)"

# Such as a host, with a port or without, or a path.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./-]+(:[0-9]{1,5}(/[A-Za-z0-9_./-]*)?)?")
_MOST_SECRETS: Final = 1024
_MOST_READS: Final = 16
_LOOK_AGAIN: Final = 0.01


def keys_by_id(keys: Iterable[Key] | Mapping[str, Key]) -> Resolver:
    """Find keys among a few that are known beforehand.

    Args:
        keys: Keys that carry their key id, or a mapping from key ids to keys.

    Returns:
        A resolver. A token without `kid`, or with one that is not there, has no key.

    Raises:
        ValueError: If a key id is missing or occurs twice, or secrets and public keys are mixed:
            a set that holds both invites algorithm confusion.
    """
    if isinstance(keys, get_args(Key)):
        raise TypeError("keys are a list or a mapping of keys: keys_by_id([key])")
    pairs = list(keys.items()) if isinstance(keys, Mapping) else [(_kid(key), key) for key in keys]
    table = dict(pairs)
    for key in table.values():
        require_key(key)
    if None in table:
        raise ValueError("a key has no key id: import it with kid=...")
    if len(table) != len(pairs):
        raise ValueError("two keys have the same key id")
    if len({isinstance(key, OctKey) for key in table.values()}) > 1:
        raise ValueError("secrets and public keys do not go into one set")

    return partial(_by_id, table)


def _kid(key: Key) -> str | None:
    require_key(key)
    return key.kid


async def _by_id(table: Mapping[Any, Key], unverified: Unverified) -> Key | None:
    return table.get(unverified.header.get("kid"))


def shared_secrets(
    lookup: Callable[[str], Awaitable[str | bytes | None]],
    *,
    caching: Caching | None = None,
    clock: Callable[[], float] = time.monotonic,
    observe: Observe | None = None,
) -> Resolver:
    """Find the secret that is shared with the token's issuer, as Connect's tenants have one.

    Args:
        lookup: An async function from the issuer to its secret, or None for an unknown issuer.
        caching: How long and how much to cache, by issuer alone; None looks up for each token, and
            imports a secret again only if it has changed, for up to 1,024 issuers.
        clock: For the cache, a monotonic clock in seconds.
        observe: Called with the cache's events.

    Returns:
        A resolver that raises TokenRejected `missing_claim` without an `iss`, and
        `unsuitable_key` for a secret that is too short or is really a key.

    Raises:
        ValueError: If a bound in `caching` is negative, infinite or not a number.
    """
    if caching is None:
        return partial(_secret, lookup, {})
    return cached(
        partial(_secret, lookup, None), key=issuer_of, caching=caching, clock=clock, observe=observe
    )


async def _secret(
    lookup: Callable[[str], Awaitable[str | bytes | None]],
    imported: dict[str, OctKey] | None,
    unverified: Unverified,
) -> Key | None:
    """The key of the issuer's secret; one that was `imported` before is used again."""
    issuer = issuer_of(unverified)
    asked: object = lookup(issuer)
    if not isinstance(asked, Awaitable):
        raise TypeError(f"the lookup is not async: it returned {type(asked).__name__}")
    secret = await asked
    known = None if imported is None else imported.get(issuer)
    if known is not None and secret is not None and known.raw_value == _bytes_of(secret):
        return known
    if imported is not None:
        imported.pop(issuer, None)
    if secret is None:
        return None
    try:
        key = import_secret(secret)
    except ValueError as error:
        raise TokenRejected("unsuitable_key", str(error)) from None
    if imported is not None:
        if len(imported) >= _MOST_SECRETS:
            imported.clear()
        imported[issuer] = key  # without the secret's text, which the table would print
    return key


def _bytes_of(secret: str | bytes) -> bytes:
    # A lone surrogate makes bytes that are no secret's: importing it says so.
    return secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret


def pem_directory(path: str | Path) -> Resolver:
    """Find public keys in a directory that is laid out as a key repository: `{path}/{kid}`.

    Args:
        path: The directory. Links in it are followed.

    Returns:
        A resolver. It reads the file at every look-up; put `cached` around it where that is too
        often, and `with_deadline` where the file system may hang: a read that hangs keeps its
        thread, of which a directory has 16. It raises TokenRejected `missing_claim` or
        `invalid_claim` for a `kid` that is missing or ill-formed, and `Unavailable` for a file
        that cannot be read or is no public key, and where there is no such directory. A key id must
        match the names in the directory in each letter, also where the file system finds files by
        other spellings.

    Raises:
        ValueError: If the path is a key.
    """
    # Errors and events name the directory.
    if "-----BEGIN" in str(path):
        raise ValueError("path is that of a directory of keys, and this is a key")
    return partial(_from_directory, _Directory(Path(path)))


@dataclass(slots=True, eq=False)
class _Directory:
    """A directory of keys, and the reads that run in threads, also those of cancelled callers."""

    root: Path
    reads: set[object] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


async def _from_directory(directory: _Directory, unverified: Unverified) -> Key | None:
    kid, source = key_id_of(unverified), str(directory.root)
    try:
        return _public_key(await _in_thread(directory, partial(_read, directory.root, kid)), kid)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise Unavailable(source, type(error).__name__) from error
    except ValueError as error:
        raise Unavailable(source, str(error)) from error.__cause__


async def _in_thread(directory: _Directory, read: Callable[[], bytes]) -> bytes:
    """Read in a thread; a cancelled caller does not wait for it, since nothing can end a read."""
    place, begun = object(), False
    while True:
        with directory.lock:
            if len(directory.reads) < _MOST_READS:
                directory.reads.add(place)
                break
        await anyio.sleep(_LOOK_AGAIN)

    def run() -> bytes:
        nonlocal begun
        with directory.lock:
            begun = place in directory.reads
        try:
            return read() if begun else b""
        finally:
            directory.reads.discard(place)

    try:
        # The limiter is this read's own: anyio's counts for all the threads of a process.
        limiter = anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=limiter)
    finally:
        with directory.lock:
            if not begun:  # cancelled before the thread came to it
                directory.reads.discard(place)


def _read(root: Path, kid: str) -> bytes:
    folder = root
    if not root.is_dir():  # such as a volume that is not mounted
        raise Unavailable(str(root), "there is no such directory")
    for name in kid.split("/"):
        with os.scandir(folder) as entries:
            if not any(entry.name == name for entry in entries):
                raise FileNotFoundError(errno.ENOENT, "no file of exactly this name")
        folder /= name
    return folder.read_bytes()


def pem_repository(
    urls: str | Sequence[str],
    fetch: Fetch,
    *,
    locate: Callable[[str], str] = str,
    admit: Callable[[Unverified], str] = key_id_of,
    media_types: Sequence[str] | None = (PEM_MEDIA_TYPE,),
    caching: Caching = Caching(),
    clock: Callable[[], float] = time.monotonic,
    observe: Observe | None = None,
) -> Resolver:
    """Find public keys in a key repository, `GET {base}{kid}`, and remember them.

    It does not check which issuer owns a key: see `owned_by_issuer`, or `asap.repository`.

    Args:
        urls: The repository's https URL, or several mirrors, also as `url1 | url2`. The next
            mirror is asked only when one is unavailable: it may hold what the first has revoked. If
            that one says "no such key", this is an outage still: the first may have the key.
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        locate: From a key id to its path under the base.
        admit: Gives the token's key id, or raises `TokenRejected` for one that must not be asked
            for. By default it must be well formed by ASAP's grammar; let others pass only if
            nothing of them reaches the path, as where `locate` makes a hash of it.
        media_types: The media types that are accepted; None accepts any.
        caching: How long and how much to remember, and how often to ask.
        clock: A clock in seconds, that never goes back.
        observe: Called with every event but a plain hit.

    Returns:
        A resolver, safe to share between threads and event loops. 200 is a key; 204, 403 and 404
        are "no such key"; all else is `Unavailable` (ASAP specification, "Key repository"). It
        raises TokenRejected `missing_claim` or `invalid_claim` for a `kid` that is missing or
        ill-formed.

    Raises:
        ValueError: If there is no URL, one is not plain https, or a bound in `caching` is negative,
            infinite or not a number.
    """
    require_fetch(fetch)
    bases = mirrors(urls)
    load = partial(_from_mirrors, tuple(bases), fetch, locate, media_types)
    cache: Cache[Key] = Cache(
        load, " | ".join(bases), caching, clock, observe, admit=admit, one_source=True
    )
    return partial(_from_repository, cache)


def require_fetch(fetch: Fetch) -> None:
    """Raise TypeError for what is not called as a `Fetch` is, such as `fetcher` itself."""
    require_function(fetch, _FETCH)
    try:
        signature(fetch).bind("", "")
    except ValueError:  # written in C: it has none
        pass
    except TypeError:
        raise TypeError(f"{_FETCH}, or fetcher(), with its parentheses") from None


def _from_repository(cache: Cache[Key], unverified: Unverified) -> Awaitable[Key | None]:
    # What is cached was well formed when it was asked for: to look again would only cost.
    return look_up(cache, unverified.header.get("kid"), unverified)


async def _from_mirrors(
    bases: Sequence[str],
    fetch: Fetch,
    locate: Callable[[str], str],
    media_types: Sequence[str] | None,
    unverified: Unverified,
) -> Answer[Key]:
    """The answer of the first mirror that has one; "no such key" only if none before was down."""
    kid = unverified.header["kid"]
    accept = "*/*" if media_types is None else ", ".join(media_types)
    read = partial(_read_pem, kid, media_types)
    failures: list[Unavailable] = []
    down = answered = False
    for base in bases:
        try:
            answer = await load_document(base + locate(kid), fetch, accept, base, read, _ABSENT)
        except Unavailable as outage:
            answer, down = Answer(None, unusable=outage), True
        if answer.unusable is not None:
            failures.append(answer.unusable)
        elif answer.value is not None or not failures:
            return answer
        else:
            answered = True
            break
    failure = failures[0]
    if len(failures) > 1:
        wait = min(each.retry_after or 0.0 for each in failures)
        causes = dict.fromkeys(each.detail or cause(each) for each in failures)
        detail = EVERY_MIRROR + "; ".join(causes)
        failure = Unavailable(" | ".join(bases), detail, retry_after=wait or None)
        failure.__cause__ = failures[-1]
    if not down:
        return Answer(None, unusable=failure)
    # A mirror that answers may have the other keys: then this is no outage for them.
    failure.answered = answered or any(each.answered for each in failures)
    raise failure


async def load_document(
    url: str,
    fetch: Fetch,
    accept: str,
    source: str,
    read: Callable[[Document], T],
    absent: Collection[int],
) -> Answer[T]:
    """Fetch a document and read it; the statuses `absent` mean that there is none.

    `read` raises ValueError for what cannot be used. `source` is what errors name.
    """
    document = await fetch(url, accept)
    if document.status in absent:
        return Answer(None)
    if document.status != 200:
        alone = document.status < 500 and document.status not in _OF_ALL_KEYS
        detail, wait = f"status {document.status}", document.retry_after
        raise Unavailable(source, detail, retry_after=wait, answered=alone)
    try:
        return Answer(read(document), *document[3:7])
    except ValueError as error:
        unusable = Unavailable(source, str(error), answered=True)
        unusable.__cause__ = error.__cause__
        return Answer(None, unusable=unusable)


def other_media_type(expected: Iterable[str], document: Document) -> str:
    """What was expected, and what was got."""
    return f"expected media type {' or '.join(expected)}, got {document.media_type[:100] or 'none'}"


def mirrors(urls: str | Sequence[str]) -> list[str]:
    """The base URLs of a key repository, each ending in a slash; several may be in one string.

    A ValueError if there is none, or one is not https or has userinfo, a query or a fragment.
    """
    given = [urls] if isinstance(urls, str) else urls
    bases = [url.strip() for each in given for url in each.split("|")]
    if not bases:
        raise ValueError("a key repository has at least one URL")
    for url in bases:
        require_https(url)
        if "?" in url:
            raise ValueError("a key repository's URL has no query: key ids are put behind it")
    return [url if url.endswith("/") else url + "/" for url in bases]


def require_https(url: str) -> None:
    """Raise ValueError for a URL that is not https, or has userinfo or a fragment.

    Neither these nor the query are quoted, since they may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or "#" in url:
        host = parts.netloc.rpartition("@")[2]
        seen = f", not {parts.scheme}://{host}{parts.path}" if parts.scheme == "http" else ""
        if _PLAIN.fullmatch(url):
            seen = f", such as https://keys.example/, not {url[:100]}"
        raise ValueError(
            "keys come from an https URL that has neither userinfo nor fragment"
            f"{seen}; for development use pem_directory"
        )


def _read_pem(kid: str, media_types: Sequence[str] | None, document: Document) -> Key:
    if media_types is not None and document.media_type not in media_types:
        raise ValueError(other_media_type(media_types, document))
    return _public_key(document.body, kid)


def _public_key(data: bytes, kid: str) -> Key:
    try:
        return import_published_pem(data, kid=kid)
    except ValueError as error:
        raise ValueError(f"not a public key: {error}") from error
