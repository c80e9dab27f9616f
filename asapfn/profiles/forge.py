"""Forge: the tokens by which Atlassian calls an app's remote (Forge, "Forge remote essentials").

Which app a token is for and in which environment it was made is the caller's to say. The token says
it too, of course; but who asks a token whom to trust takes any app's token.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from asapfn.checks import claim_equals
from asapfn.errors import TokenRejected
from asapfn.resolvers import jwks
from asapfn.types import Caching, Fetch, Observe, Resolver, Token
from asapfn.verification import judge, reader

__all__ = ["keys", "verifier"]

_KEY_SETS: Final[Mapping[str, str]] = {
    "production": "https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json",
    "staging": "https://forge.cdn.stg.atlassian-dev.net/.well-known/jwks.json",
}
_ISSUER: Final = "forge/invocation-token"
_ARI: Final = "ari:cloud:ecosystem::app/"
_REQUIRED: Final = ("iss", "iat", "nbf", "exp", "jti")


def keys(
    fetch: Fetch,
    *,
    environment: str = "production",
    caching: Caching = Caching(),
    observe: Observe | None = None,
) -> Resolver:
    """Find the keys that Forge signs its tokens with.

    Args:
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        environment: Whose keys: `production` or `staging`.
        caching: How long to remember the set, and how often to ask for it.
        observe: Told of every event but a plain hit.

    Returns:
        A resolver, as `resolvers.jwks` makes it. Make one for the process and share it.

    Raises:
        ValueError: If the environment is another.
    """
    if environment not in _KEY_SETS:
        raise ValueError(f"environment is one of {', '.join(_KEY_SETS)}")
    return jwks(_KEY_SETS[environment], fetch, caching=caching, observe=observe)


def verifier(
    resolver: Resolver,
    app_id: str,
    *,
    leeway: float = 10.0,
    now: Callable[[], float] = time.time,
) -> Callable[[str], Awaitable[Token]]:
    """Make a function that verifies Forge's invocation tokens, for `bearer`.

    Args:
        resolver: Finds keys: `keys(...)`.
        app_id: The app's ARI as its manifest has it, `ari:cloud:ecosystem::app/<uuid>`.
        leeway: Seconds by which clocks may differ.
        now: The clock, seconds since the epoch.

    Returns:
        An async function from a token to a verified `Token`, whose claims have `app`, `context`
        and `principal`. It raises TokenRejected and Unavailable. A token of Isolated Cloud, one
        with `icLabel`, is `invalid_claim`: where its keys are is not documented.

    Raises:
        ValueError: If `app_id` is not an app's ARI, or the leeway negative or not finite.
    """
    if not app_id.startswith(_ARI) or app_id == _ARI:
        raise ValueError(f"app_id is the app's ARI, {_ARI}<uuid>, as the manifest has it")
    read = reader(["RS256"])
    settle = judge(
        resolver,
        [claim_equals("iss", _ISSUER)],
        audience=frozenset([app_id]),
        required=_REQUIRED,
        leeway=leeway,
        now=now,
    )

    async def verify_token(token: str) -> Token:
        unverified = read(token)
        if "kid" not in unverified.header:
            raise TokenRejected("missing_claim", "the header has no kid", claim="kid")
        parts = (unverified.claims, *unverified.claims.values())
        if any(isinstance(part, dict) and "icLabel" in part for part in parts):
            raise TokenRejected("invalid_claim", "a token of Isolated Cloud", claim="icLabel")
        return await settle(unverified)

    return verify_token
