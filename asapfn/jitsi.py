"""Jitsi's dialect of ASAP, as Jitsi Meet's servers read it.

Keys are published under the hash of their key id, so that any service may use any key: there is no
ownership, no `jti`, and no limit on a token's life. What a token adds is the `room` it is for.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import Final

from asapfn._core import verification
from asapfn.errors import TokenRejected, shown
from asapfn.guards import any_key_id_of, has_key_id, issuer_is_one_of
from asapfn.resolvers import pem_repository
from asapfn.types import (
    Caching,
    Clock,
    Fetch,
    Guard,
    Names,
    Observe,
    Policy,
    Resolver,
    Token,
    Verify,
    as_names,
)

__all__ = ["policy", "repository", "verifier"]

# Jitsi's own servers write it where any name is accepted.
_STAR: Final = "*"


def repository(
    urls: str | Sequence[str],
    fetch: Fetch,
    *,
    caching: Caching = Caching(),
    observe: Observe | None = None,
) -> Resolver:
    """Find public keys where Jitsi publishes them: `{base}{hex SHA-256 of the key id}.pem`.

    Args:
        urls: The server's https URL, or several mirrors, also as `url1 | url2`.
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        caching: How long and how much to remember, and how often to ask.
        observe: Receives every event but a plain hit.

    Returns:
        A resolver that accepts any media type, and any key id of up to 1,024 characters, as
        `resolvers.pem_repository` makes it. Make one for the process and share it.

    Raises:
        ValueError: If there is no URL, or one is not plain https.
    """
    return pem_repository(
        urls,
        fetch,
        locate=_hashed,
        admit=any_key_id_of,
        media_types=None,
        caching=caching,
        observe=observe,
    )


def policy(
    resolver: Resolver,
    *,
    issuers: Names | None,
    audience: Names | None,
    require_room: bool = True,
    leeway: float = 10.0,
    now: Clock = time.time,
) -> Policy:
    """What is demanded of Jitsi's tokens.

    Args:
        resolver: Finds keys: `repository(...)`.
        issuers: The issuers that are accepted; None accepts any.
        audience: The audiences that are accepted; None accepts any, and a token must have one.
        require_room: Whether a token must have a `room`.
        leeway: Seconds by which clocks may differ.
        now: The clock, seconds since the epoch.

    Returns:
        The policy. It requires `kid`, `iss`, `aud` and `exp`.

    Raises:
        TypeError: If a name is not a str.
        ValueError: If there is no issuer or no audience, one is `*`, which is no name here, or the
            leeway is negative or not finite.
    """
    for names, what in ((issuers, "issuers"), (audience, "audience")):
        if names is not None and _STAR in as_names(names, what):
            raise ValueError(f"{what}=None accepts any: {_STAR!r} is no name here")
    guards: list[Guard] = [] if issuers is None else [issuer_is_one_of(issuers)]
    made = verification.policy(
        resolver,
        room_is_text,
        audience=audience,
        required=("iss", "aud", "exp", "room") if require_room else ("iss", "aud", "exp"),
        leeway=leeway,
        guards=[has_key_id, *guards],
        now=now,
    )
    # In a Policy, None accepts any audience that names something.
    return made if audience is not None else made._replace(audience=None)


def verifier(
    resolver: Resolver,
    *,
    issuers: Names | None,
    audience: Names | None,
    require_room: bool = True,
    leeway: float = 10.0,
    now: Clock = time.time,
    remember: int = 1024,
) -> Verify:
    """Make a function that verifies Jitsi's tokens.

    Args:
        resolver: As for `policy`, like all that follow.
        issuers: See `policy`.
        audience: See `policy`.
        require_room: See `policy`.
        leeway: See `policy`.
        now: See `policy`.
        remember: The most tokens that are remembered, as for `asapfn.verifier`.

    Returns:
        An async function from a token to a verified `Token`. It raises TokenRejected and
        Unavailable. Which room and which tenant the request is about is for the caller to compare:
        `room` may be `*`, and so may `sub`, the domain or tenant, whose case does not matter.

    Raises:
        TypeError: As for `policy`.
        ValueError: As for `policy`, or if `remember` is negative or no int.
    """
    return verification.verifier(
        policy(
            resolver,
            issuers=issuers,
            audience=audience,
            require_room=require_room,
            leeway=leeway,
            now=now,
        ),
        remember=remember,
    )


def room_is_text(token: Token, /) -> None:
    """The room is a string."""
    room = token.claims.get("room", "")
    if not isinstance(room, str):
        raise TokenRejected("invalid_claim", f"room is not a string: {shown(room)}", claim="room")


def _hashed(kid: str) -> str:
    return f"{hashlib.sha256(kid.encode()).hexdigest()}.pem"
