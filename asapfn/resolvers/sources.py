"""Where keys come from: memory, the tenants' secrets, a directory, a key repository.

A source answers None when there is no such key and raises `Unavailable` when it could not find out.
Only `pem_repository` remembers; put `cached` around the others where asking is slow.
"""

import errno
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from joserfc.jwk import OctKey

from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import import_published_pem, import_secret
from asapfn.resolvers.answers import Answer
from asapfn.resolvers.caching import NOTHING, memo
from asapfn.resolvers.compose import issuer_of, key_id_of
from asapfn.types import Caching, Document, Fetch, Key, Observe, Resolver, Unverified

PEM_MEDIA_TYPE = "application/x-pem-file"


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
    pairs = list(keys.items()) if isinstance(keys, Mapping) else [(key.kid, key) for key in keys]
    table = dict(pairs)
    if None in table:
        raise ValueError("a key has no key id: import it with kid=...")
    if len(table) != len(pairs):
        raise ValueError("two keys have the same key id")
    if len({isinstance(key, OctKey) for key in table.values()}) > 1:
        raise ValueError("secrets and public keys do not go into one set")

    async def resolve(unverified: Unverified) -> Key | None:
        return table.get(unverified.header.get("kid"))

    return resolve


def shared_secrets(lookup: Callable[[str], Awaitable[str | bytes | None]]) -> Resolver:
    """Find the secret that is shared with the token's issuer, as Connect's tenants have one.

    Args:
        lookup: An async function from the issuer to its secret, or None for a stranger.

    Returns:
        A resolver that raises TokenRejected `missing_claim` without an `iss`, and
        `unsuitable_key` for a secret that is too short or is really a key.
    """

    async def resolve(unverified: Unverified) -> Key | None:
        secret = await lookup(issuer_of(unverified))
        if secret is None:
            return None
        try:
            return import_secret(secret)
        except ValueError as error:
            raise TokenRejected("unsuitable_key", str(error)) from None

    return resolve


def pem_directory(path: str | Path) -> Resolver:
    """Find public keys in a directory that is laid out as a key repository: `{path}/{kid}`.

    Args:
        path: The directory. Links in it are followed.

    Returns:
        A resolver. It reads the file at every look-up; put `cached` around it where that is too
        often. It raises TokenRejected `missing_claim` or `invalid_claim` for a `kid` that is
        missing or ill-formed, and `Unavailable` for a file that cannot be read or is no public
        key.
    """
    root = anyio.Path(path)

    async def resolve(unverified: Unverified) -> Key | None:
        kid = key_id_of(unverified)
        try:
            data = await (root / kid).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None
            raise Unavailable(str(root), type(error).__name__) from error
        return _public_key(data, kid, str(root))

    return resolve


def pem_repository(
    base_urls: str | Sequence[str],
    fetch: Fetch,
    *,
    locate: Callable[[str], str] = str,
    media_types: Sequence[str] | None = (PEM_MEDIA_TYPE,),
    caching: Caching = Caching(),
    clock: Callable[[], float] = time.monotonic,
    observe: Observe | None = None,
) -> Resolver:
    """Find public keys in a key repository, `GET {base}{kid}`, and remember them.

    Whose key it is is not asked here: see `owned_by_issuer`, or `profiles.asap.repository`.

    Args:
        base_urls: The repository's https URL, or several mirrors, also as `url1 | url2`. The next
            mirror is asked only when one is unavailable: it may hold what the first has revoked.
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        locate: From a key id to its path under the base.
        media_types: The media types that are taken; None takes any.
        caching: How long and how much to remember, and how often to ask.
        clock: A clock in seconds, that never goes back.
        observe: Told of every event but a plain hit.

    Returns:
        A resolver, safe to share between threads and event loops. 200 is a key; 204, 403 and 404
        are "no such key"; all else is `Unavailable` (ASAP specification, "Key repository"). It
        raises TokenRejected `missing_claim` or `invalid_claim` for a `kid` that is missing or
        ill-formed.

    Raises:
        ValueError: If there is no URL, or one is not plain https.
    """
    bases = mirrors(base_urls)
    accept = "*/*" if media_types is None else ", ".join(media_types)

    async def load(unverified: Unverified) -> Answer[Key]:
        kid = unverified.header["kid"]
        outages = []
        for base in bases:
            try:
                document = await fetch(base + locate(kid), accept)
                return _answer(document, kid, base, media_types)
            except Unavailable as error:
                outages.append(error)
        if len(outages) == 1:
            raise outages[0]
        raise Unavailable(" | ".join(bases), "every mirror is unavailable") from outages[-1]

    look_up = memo(load, " | ".join(bases), caching, clock, observe, admit=key_id_of)

    def resolve(unverified: Unverified) -> Awaitable[Key | None]:
        # What is at hand was well formed when it was asked for: looking again would only cost.
        return look_up(unverified.header.get("kid"), unverified, NOTHING)

    return resolve


def mirrors(base_urls: str | Sequence[str]) -> list[str]:
    """The base URLs of a key repository.

    Args:
        base_urls: One, several, or several in one string, `url1 | url2`.

    Returns:
        The URLs, each ending in a slash.

    Raises:
        ValueError: If there is none, or one is not https or has userinfo, a query or a fragment.
    """
    given = [base_urls] if isinstance(base_urls, str) else base_urls
    bases = [url.strip() for each in given for url in each.split("|")]
    if not bases:
        raise ValueError("a key repository has at least one URL")
    for url in bases:
        require_https(url)
        if "?" in url:
            raise ValueError("a key repository's URL has no query: key ids are put behind it")
    return [url if url.endswith("/") else url + "/" for url in bases]


def require_https(url: str) -> None:
    """Refuse a URL that keys cannot safely be fetched from.

    Args:
        url: The URL.

    Raises:
        ValueError: If it is not https, or has userinfo or a fragment. It is not quoted, since it
            may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or "#" in url:
        raise ValueError("keys come from an https URL that has neither userinfo nor fragment")


def _answer(
    document: Document, kid: str, base: str, media_types: Sequence[str] | None
) -> Answer[Key]:
    key = None
    if document.status == 200:
        if media_types is not None and document.media_type not in media_types:
            raise Unavailable(base, "the answer is of another media type")
        key = _public_key(document.body, kid, base)
    elif document.status not in (204, 403, 404):
        raise Unavailable(base, f"status {document.status}")
    return Answer(key, *document[3:6])


def _public_key(data: bytes, kid: str, source: str) -> Key:
    try:
        return import_published_pem(data, kid=kid)
    except ValueError as error:
        raise Unavailable(source, f"not a public key: {error}") from error
