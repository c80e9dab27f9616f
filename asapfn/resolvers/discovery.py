"""Keys of an OpenID provider: its metadata says where its key set is.

There are two documents and a cache for each. The metadata is asked for when a key set has to be
fetched, and asked for again if it is as old as the cooldown: the set may have moved.
"""

import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, cast

from asapfn._core import compact
from asapfn.errors import TokenRejected, Unavailable, shown
from asapfn.guards import issuer_of
from asapfn.resolvers.cache import Cache, is_prefetch, look_up
from asapfn.resolvers.jwks import always, key_sets, load_json, read_jwks, without_query
from asapfn.resolvers.sources import require_https
from asapfn.types import Caching, Fetch, Key, Names, Observe, Resolver, Unverified

_PATH: Final = "/.well-known/openid-configuration"
_URL: Final = re.compile(r"[!-~]{1,2048}")


class _Metadata(NamedTuple):
    jwks_uri: str
    completed: float


def discovered(
    issuer: str,
    fetch: Fetch,
    *,
    metadata_url: str | None = None,
    uses: Names = ("sig",),
    cooldown: float = 30.0,
    caching: Caching = Caching(),
    clock: Callable[[], float] = time.monotonic,
    observe: Observe | None = None,
) -> Resolver:
    """Find the keys of an OpenID provider, and remember its metadata and its key set.

    The metadata is at `{issuer}/.well-known/openid-configuration`. Its `jwks_uri` may be of another
    host, as Google's is: whoever publishes the metadata chooses which https URL is fetched. So
    where `fetch` sends credentials, bind them to their origin:
    `adapters.httpx.fetcher(headers=..., origins="https://...")`.

    Args:
        issuer: The provider's issuer, exactly as its tokens and its metadata have it.
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        metadata_url: Where the metadata is, if not there.
        uses: See `jwks`.
        cooldown: Seconds after a fetch during which a key that the set lacks is unknown; after
            them it makes the set be fetched again. The metadata is fetched again before any fetch
            of the set that comes so many seconds after it, however long it may be kept.
        caching: How long to remember either document, and how often to ask for it.
        clock: A clock in seconds, that never goes back.
        observe: Called with every event but a plain hit: those of the metadata have its URL as
            source, and those of the key set the issuer.

    Returns:
        A resolver, as `jwks` makes it, for tokens of this issuer alone: it raises TokenRejected
        `issuer_not_allowed` for any other, and `missing_claim` without an `iss`, and fetches
        nothing. It raises `Unavailable` when a document cannot be had or read, the metadata names
        another issuer, or its `jwks_uri` is not plain https. What is cached serves meanwhile, as
        for any key source.

    Raises:
        TypeError: If the issuer or one of `uses` is not a str, or `fetch` is no function.
        ValueError: If the issuer or the metadata's URL is not plain https, the issuer has a query,
            or as for `jwks`.

    Source: OpenID Connect Discovery 1.0, sections 3 and 4; RFC 8414, section 3.3.
    """
    if not isinstance(issuer, str):
        raise TypeError(f"issuer is a str, not {type(issuer).__name__}")
    require_https(issuer)
    if "?" in issuer:
        raise ValueError("an issuer has no query: give metadata_url, if its metadata's URL has one")
    url = f"{issuer.removesuffix('/')}{_PATH}" if metadata_url is None else metadata_url
    require_https(url)
    read = partial(_read_metadata, issuer, clock)
    load = partial(load_json, partial(always, url), fetch, "application/json", read, ())
    source = without_query(url)
    documents = Cache(load, source, caching, clock, observe, is_proven=_holds_no_key)
    keys = key_sets(
        partial(always, issuer),
        issuer,
        fetch,
        read=read_jwks(uses),
        locate=partial(_locate, documents, issuer, cooldown),
        cooldown=cooldown,
        caching=caching,
        clock=clock,
        observe=observe,
    )
    return partial(_of_issuer, issuer, keys)


def _of_issuer(issuer: str, keys: Resolver, unverified: Unverified) -> Awaitable[Key | None]:
    if unverified.claims.get("iss") != issuer and not is_prefetch(unverified):
        detail = f"expected {shown(issuer)}, got {shown(issuer_of(unverified))}"
        raise TokenRejected("issuer_not_allowed", detail, claim="iss")
    return keys(unverified)


async def _locate(
    documents: Cache[_Metadata], issuer: str, cooldown: float, unverified: Unverified
) -> str:
    """The URL of the set, from metadata that is not older than the cooldown if it can be had.

    This does not depend on the token: anybody could send one, unsigned, that names a key of the
    old set, and would so keep the old set in use for all others.
    """
    asked = documents.clock()
    metadata = cast("_Metadata", await look_up(documents, issuer, unverified))
    if asked >= metadata.completed + cooldown:
        with suppress(Unavailable):
            newer = await look_up(documents, issuer, unverified, metadata)
            metadata = cast("_Metadata", newer)
    return metadata.jwks_uri


def _read_metadata(issuer: str, clock: Callable[[], float], body: bytes) -> _Metadata:
    try:
        return _Metadata(_jwks_uri(issuer, body), clock())
    except ValueError as error:
        raise ValueError(f"not the metadata of {issuer}: {error}") from None


def _jwks_uri(issuer: str, body: bytes) -> str:
    """The place of the keys, of metadata that is this issuer's; a ValueError for any other."""
    metadata = compact.decode_object(body)
    if metadata.get("issuer") != issuer:
        raise ValueError(f"expected that issuer, got {shown(metadata.get('issuer'))}")
    jwks_uri: Any = metadata.get("jwks_uri")
    if not isinstance(jwks_uri, str) or not _URL.fullmatch(jwks_uri):
        raise ValueError(f"expected a URL as jwks_uri, got {shown(jwks_uri)}")
    try:
        require_https(jwks_uri)
    except ValueError as error:
        raise ValueError(f"jwks_uri: {error}") from None
    return jwks_uri


def _holds_no_key(metadata: _Metadata) -> bool:
    return False
