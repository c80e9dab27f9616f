"""Jitsi's dialect of ASAP, as Jitsi Meet's servers read it.

Keys are published under the hash of their key id, so that any service may use any key: there is no
ownership, no `jti`, and no limit on a token's life. What a token adds is the `room` it is for.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from asapfn._core import verification
from asapfn._core.algorithms import ASYMMETRIC
from asapfn._core.signing import aud_of, require_names, times
from asapfn.errors import TokenRejected, shown
from asapfn.guards import any_key_id_of, has_key_id, issuer_is_one_of
from asapfn.keys import import_secret
from asapfn.resolvers import pem_repository
from asapfn.types import (
    Caching,
    Clock,
    Fetch,
    Guard,
    Key,
    Names,
    Observe,
    Policy,
    Resolver,
    Token,
    Unverified,
    Verify,
    as_names,
    require_bool,
)

__all__ = ["app_secret", "claims", "policy", "repository", "verifier"]

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


def app_secret(secret: str | bytes) -> Resolver:
    """Find the secret that a deployment signs by, its `app_secret`, whatever a token's key id.

    Args:
        secret: The secret, of at least 32 bytes.

    Returns:
        A resolver for a policy with `app_secret=True`; any other policy refuses such tokens.

    Raises:
        TypeError: If the secret is neither str nor bytes.
        ValueError: As for `keys.import_secret`: it is too short, or is really a key.
    """
    return partial(_given, import_secret(secret))


async def _given(key: Key, unverified: Unverified) -> Key:
    return key


def claims(
    issuer: str,
    audience: Names,
    room: str,
    *,
    subject: str | None = None,
    context: Mapping[str, Any] | None = None,
    lifetime: float = 3600,
    now: Clock = time.time,
) -> dict[str, Any]:
    """The claims of a token for a conference.

    Args:
        issuer: The app that signs, the deployment's `app_id`.
        audience: The deployment's audience, or several; often `jitsi`.
        room: The conference; `*` is any.
        subject: The deployment's domain or tenant; None leaves `sub` out.
        context: What the conference shows of its guest: `{"user": {"name": ...}, "group": ...}`.
        lifetime: Seconds until it expires.
        now: The clock, seconds since the epoch.

    Returns:
        The claims, ready for `sign`.

    Raises:
        TypeError: If a name is not a str.
        ValueError: If there is no audience, or the lifetime is not positive, too short to make a
            later `exp`, or so long that no verifier reads that.
    """
    made: dict[str, Any] = {"iss": issuer, "aud": aud_of(audience), "room": room}
    made |= times(now(), lifetime)
    if subject is not None:
        made["sub"] = subject
    require_names(made)
    if context is not None:
        made["context"] = dict(context)
    return made


def policy(
    resolver: Resolver,
    *,
    issuers: Names | None,
    audience: Names | None,
    app_secret: bool = False,
    require_room: bool = True,
    require_exp: bool = True,
    leeway: float = 10.0,
    now: Clock = time.time,
) -> Policy:
    """What is demanded of Jitsi's tokens.

    Args:
        resolver: Finds keys: `repository(...)`.
        issuers: The issuers that are accepted; None accepts any.
        audience: The audiences that are accepted; None accepts any, and a token must have one.
        app_secret: Whether tokens are signed HS256 by the deployment's secret, and by nothing else;
            then `resolver` is `app_secret(...)`. Whoever has the secret, to verify or to sign, can
            sign for anybody.
        require_room: Whether a token must have a `room`.
        require_exp: Whether a token must have an `exp`. One without it is accepted until its key is
            replaced, whoever has come by it.
        leeway: Seconds by which clocks may differ.
        now: The clock, seconds since the epoch.

    Returns:
        The policy. It requires `iss` and `aud`, and `kid` unless tokens are signed by a secret.

    Raises:
        TypeError: If a name is not a str, or `app_secret`, `require_room` or `require_exp` no bool.
        ValueError: If there is no issuer or no audience, one is `*`, which is no name here, or the
            leeway is negative or not finite.
    """
    for names, what in ((issuers, "issuers"), (audience, "audience")):
        if names is not None and _STAR in as_names(names, what):
            raise ValueError(f"{what}=None accepts any: {_STAR!r} is no name here")
    require_bool(app_secret, "app_secret")
    optional = {"exp": require_exp, "room": require_room}
    for name, required in optional.items():
        require_bool(required, f"require_{name}")
    guards: list[Guard] = [] if app_secret else [has_key_id]
    if issuers is not None:
        guards.append(issuer_is_one_of(issuers))
    made = verification.policy(
        resolver,
        room_is_text,
        audience=audience,
        algorithms=["HS256"] if app_secret else ASYMMETRIC,
        required=("iss", "aud", *(name for name, required in optional.items() if required)),
        leeway=leeway,
        guards=guards,
        now=now,
    )
    # In a Policy, None accepts any audience that names something.
    return made if audience is not None else made._replace(audience=None)


def verifier(
    resolver: Resolver,
    *,
    issuers: Names | None,
    audience: Names | None,
    app_secret: bool = False,
    require_room: bool = True,
    require_exp: bool = True,
    leeway: float = 10.0,
    now: Clock = time.time,
    remember: int = 1024,
) -> Verify:
    """Make a function that verifies Jitsi's tokens.

    Its arguments are those of `policy`, and `remember`: the most tokens that are remembered, as for
    `asapfn.verifier`.

    Returns:
        An async function from a token to a verified `Token`. It raises TokenRejected and
        Unavailable. Which room and which tenant the request is about is for the caller to compare:
        `room` may be `*`, and so may `sub`, the domain or tenant, whose case does not matter.

    Raises:
        TypeError: As for `policy`.
        ValueError: As for `policy`, or if `remember` is negative or no int.
    """
    asked = policy(
        resolver,
        issuers=issuers,
        audience=audience,
        app_secret=app_secret,
        require_room=require_room,
        require_exp=require_exp,
        leeway=leeway,
        now=now,
    )
    return verification.verifier(asked, remember=remember)


def room_is_text(token: Token, /) -> None:
    """The room is a string."""
    room = token.claims.get("room", "")
    if not isinstance(room, str):
        raise TokenRejected("invalid_claim", f"room is not a string: {shown(room)}", claim="room")


def _hashed(kid: str) -> str:
    return f"{hashlib.sha256(kid.encode()).hexdigest()}.pem"
