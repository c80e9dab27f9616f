"""OAuth client assertions: a client shows an authorization server who it is by a private key.

`private_key_jwt` of OpenID Connect: a token that the client signs about itself takes the place of a
client secret (RFC 7523, sections 2.2 and 3). `client_assertion` makes them; `assertion_policy` is
what an authorization server demands of one.
"""

import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from joserfc.jwk import OctKey

from asapfn import checks
from asapfn._core import verification
from asapfn._core.algorithms import ASYMMETRIC
from asapfn._core.signing import REGISTERED, more_claims, random_id, require_lifetime, sign, times
from asapfn.errors import TokenRejected, shown
from asapfn.resolvers import by_issuer
from asapfn.types import Clock, Key, Names, Policy, ReplayStore, Resolver, Unverified, as_names

__all__ = ["CLIENT_ASSERTION_TYPE", "assertion_policy", "client_assertion"]

CLIENT_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def client_assertion(
    client_id: str,
    key: Key | Callable[[], Key],
    *,
    lifetime: float = 60.0,
    algorithm: str | None = None,
    typ: str = "JWT",
    additional: Mapping[str, Any] | None = None,
    now: Clock = time.time,
    new_jti: Callable[[], str] = random_id,
) -> Callable[[str], Awaitable[str]]:
    """Make a function that signs assertions, which a client sends in place of a client secret.

    An assertion goes into the token request as `client_assertion`, beside `client_assertion_type`,
    which is `CLIENT_ASSERTION_TYPE`. Each has its own `jti`, since servers accept each one once.

    Args:
        client_id: The client, as the server knows it: `iss` and `sub`.
        key: Its private key, carrying the key id that the server knows it by, if it has one; or a
            function that gives the key in use.
        lifetime: Seconds until an assertion expires, at most 3600. It is used at once.
        algorithm: The algorithm; by default the key's usual one, as for `sign`.
        typ: The header's `typ`; `client-authentication+jwt` where the server asks for that (IETF
            draft, "Updates to OAuth 2.0 JWT Client Authentication and Assertion-Based
            Authorization Grants").
        additional: More claims.
        now: The clock, seconds since the epoch.
        new_jti: Makes an id that is unique, by default 128 random bits.

    Returns:
        An async function from the server to the assertion. The server is one name, `aud`: its
        issuer identifier, or where it expects that the URL of its token endpoint. It raises
        TypeError for a name that is no str, and ValueError for an empty one.

    Raises:
        TypeError: If the client id is not a str.
        ValueError: If the client id is empty, the lifetime is out of bounds, the key is not a
            private key or does not fit the algorithm, or `additional` holds a claim that is set
            here.

    Source: RFC 7523, section 3; OpenID Connect Core 1.0, section 9.
    """
    _require_name(client_id, "client_id")
    require_lifetime(lifetime, longest=3600)
    more = more_claims(additional, REGISTERED)

    def signed(audience: str, time_: float, jti: str) -> str:
        signing_key = key() if callable(key) else key
        if isinstance(signing_key, OctKey):
            raise ValueError("a client assertion is signed by a private key, not by a secret")
        made = {"iss": client_id, "sub": client_id, "aud": audience, "jti": jti}
        made_at = times(time_, math.ceil(lifetime))
        return sign(made | made_at | more, signing_key, algorithm=algorithm, typ=typ)

    async def assertion(audience: str) -> str:
        _require_name(audience, "the audience")
        return signed(audience, now(), new_jti())

    if not callable(key):
        signed("any", 0.0, "any")  # what is wrong is an error at once
    return assertion


def assertion_policy(
    clients: Mapping[str, Resolver],
    audience: Names,
    *,
    replay: ReplayStore,
    max_lifetime: float = 300.0,
    leeway: float = 10.0,
    algorithms: Collection[str] = ASYMMETRIC,
    typ: str | None = None,
    now: Clock = time.time,
) -> Policy:
    """What an authorization server demands of a client assertion, for `asapfn.verifier`.

    What is beside the assertion in the request is for the caller to compare: that
    `client_assertion_type` is `CLIENT_ASSERTION_TYPE`, and that a `client_id`, where there is one,
    is the token's `sub` (RFC 7521, section 4.2).

    Args:
        clients: Where the keys of each client are, such as `jwks(...)` or `keys_by_id([...])`; read
            each time, so that it may change. A client's assertion is verified by that client's keys
            alone. To look clients up elsewhere, replace the policy's resolver by one that gives
            only keys of the token's `iss`.
        audience: This server's issuer identifier, and the URL of its token endpoint where clients
            use that. An assertion must name one audience: if it named two servers, each of them
            could use it at the other.
        replay: Where used assertions are remembered, so that each is accepted once.
        max_lifetime: The longest life of an assertion, in seconds.
        leeway: Seconds by which clocks may differ.
        algorithms: The algorithms that are accepted; those of secrets never are.
        typ: The `typ` that the header must have, or None.
        now: The clock, seconds since the epoch.

    Returns:
        The policy. It requires `iss`, `sub`, `aud`, `iat`, `exp` and `jti`, and that `sub` is
        `iss`.

    Raises:
        TypeError: If a name is not a str, or `algorithms` is a bare str.
        ValueError: If there is no audience, an algorithm is not known or of a secret,
            `max_lifetime` is not positive and finite, or the leeway is negative or not finite.

    Source: RFC 7523, section 3; RFC 7521, section 5.2.
    """
    require_lifetime(max_lifetime, "max_lifetime")
    if not isinstance(algorithms, str) and not frozenset(algorithms) <= frozenset(ASYMMETRIC):
        raise ValueError(f"algorithms are of private keys: {', '.join(sorted(ASYMMETRIC))}")
    return verification.policy(
        by_issuer(clients),
        checks.subject_is_issuer(),
        checks.not_replayed(replay),
        audience=as_names(audience, "audience"),
        algorithms=algorithms,
        required=("iss", "sub", "jti"),
        leeway=leeway,
        max_lifetime=max_lifetime,
        typ=typ,
        guards=[audience_is_one_name],
        now=now,
    )


def audience_is_one_name(unverified: Unverified, /) -> None:
    """The aud is one name."""
    audience = unverified.claims["aud"]
    if not isinstance(audience, str) and len(audience) != 1:
        detail = f"aud: expected one name, got {shown(audience)}"
        raise TokenRejected("invalid_claim", detail, claim="aud")


def _require_name(name: str, what: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{what} is a str, not {type(name).__name__}")
    if not name:
        raise ValueError(f"{what} is empty")
