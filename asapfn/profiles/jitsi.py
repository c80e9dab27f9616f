"""Jitsi's dialect of ASAP, as Jitsi Meet's servers read it.

Keys are published under the hash of their key id, so that any service may use any key: there is no
ownership, no `jti`, and no limit on a token's life. What a token adds is the `room` it is for.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from asapfn.algorithms import ASYMMETRIC
from asapfn.errors import TokenRejected
from asapfn.resolvers import only_issuers, pem_repository
from asapfn.types import Caching, Fetch, Names, Observe, Resolver, Token, as_names
from asapfn.verification import Judge, judge, reader

__all__ = ["repository", "verifier"]

_ANY: Final = "*"


def repository(
    base_urls: str | Sequence[str],
    fetch: Fetch,
    *,
    caching: Caching = Caching(),
    observe: Observe | None = None,
) -> Resolver:
    """Find public keys where Jitsi publishes them: `{base}{hex SHA-256 of the key id}.pem`.

    Args:
        base_urls: The server's https URL, or several mirrors, also as `url1 | url2`.
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        caching: How long and how much to remember, and how often to ask.
        observe: Told of every event but a plain hit.

    Returns:
        A resolver that takes any media type, as `resolvers.pem_repository` makes it. Make one for
        the process and share it.

    Raises:
        ValueError: If there is no URL, or one is not plain https.
    """
    return pem_repository(
        base_urls, fetch, locate=_hashed, media_types=None, caching=caching, observe=observe
    )


def verifier(
    resolver: Resolver,
    *,
    issuers: Names,
    audiences: Names,
    require_room: bool = True,
    leeway: float = 10.0,
    now: Callable[[], float] = time.time,
) -> Callable[[str], Awaitable[Token]]:
    """Make a function that verifies Jitsi's tokens.

    Args:
        resolver: Finds keys: `repository(...)`.
        issuers: The issuers that are accepted; `*` accepts any.
        audiences: The audiences that are accepted; `*` accepts any.
        require_room: Whether a token must have a `room`.
        leeway: Seconds by which clocks may differ.
        now: The clock, seconds since the epoch.

    Returns:
        An async function from a token to a verified `Token`. It raises TokenRejected and
        Unavailable, and requires `kid`, `iss`, `aud` and `exp`. Which room and which tenant the
        request is about is the caller's to compare: `room` may be `*`, and so may `sub`, the
        domain or tenant, whose case does not matter.

    Raises:
        TypeError: If a name is not a str.
        ValueError: If there is no issuer or no audience, or the leeway is negative or not finite.
    """
    accepted, wanted = as_names(issuers, "issuers"), as_names(audiences, "audiences")
    resolve = resolver if _ANY in accepted else only_issuers(resolver, accepted)

    read = reader(ASYMMETRIC)

    def for_whom(audience: frozenset[str]) -> Judge:
        return judge(
            resolve,
            [_room_is_text],
            audience=audience,
            required=("iss", "exp", "room") if require_room else ("iss", "exp"),
            leeway=leeway,
            now=now,
        )

    settle = for_whom(wanted)

    async def verify_token(token: str) -> Token:
        unverified = read(token)
        if "kid" not in unverified.header:
            raise TokenRejected("missing_claim", "the header has no kid", claim="kid")
        if _ANY in wanted and "aud" in unverified.claims:
            named = as_names(unverified.claims["aud"] or [_ANY], "aud")
            return await for_whom(named)(unverified)
        return await settle(unverified)

    return verify_token


def _room_is_text(token: Token) -> None:
    if not isinstance(token.claims.get("room", ""), str):
        raise TokenRejected("invalid_claim", "room is not a string", claim="room")


def _hashed(kid: str) -> str:
    return f"{hashlib.sha256(kid.encode()).hexdigest()}.pem"
