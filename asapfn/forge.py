"""Forge: the tokens by which Atlassian calls an app's remote (Forge, "Forge remote essentials").

Which app a token is for and in which environment it was made is for the caller to say. The token
says it too; but a verifier that believed it would accept any app's token.
"""

import time
from collections.abc import Mapping
from typing import Final

from asapfn._core import verification
from asapfn.checks import claim_equals
from asapfn.errors import TokenRejected
from asapfn.guards import has_key_id
from asapfn.resolvers import jwks
from asapfn.types import (
    Caching,
    Clock,
    Fetch,
    Names,
    Observe,
    Policy,
    Resolver,
    Unverified,
    Verify,
    as_names,
)

__all__ = ["keys", "policy", "verifier"]

# Of production, and of staging.
_KEY_SETS: Final[Mapping[bool, str]] = {
    False: "https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json",
    True: "https://forge.cdn.stg.atlassian-dev.net/.well-known/jwks.json",
}
_ISSUER: Final = "forge/invocation-token"
_ARI: Final = "ari:cloud:ecosystem::app/"
_REQUIRED: Final = ("iss", "iat", "nbf", "exp", "jti")


def keys(
    fetch: Fetch,
    *,
    staging: bool = False,
    caching: Caching = Caching(),
    observe: Observe | None = None,
) -> Resolver:
    """Find the keys that Forge signs its tokens with.

    Args:
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        staging: Whether the keys are those of Atlassian's staging. An app's own environments,
            such as DEVELOPMENT, are called with tokens of production.
        caching: How long to remember the set, and how often to ask for it.
        observe: Receives every event but a plain hit.

    Returns:
        A resolver, as `resolvers.jwks` makes it. Make one for the process and share it.
    """
    return jwks(_KEY_SETS[staging], fetch, caching=caching, observe=observe)


def policy(
    resolver: Resolver, app_ids: Names, *, leeway: float = 10.0, now: Clock = time.time
) -> Policy:
    """What is demanded of Forge's invocation tokens.

    Args:
        resolver: Finds keys: `keys(...)`.
        app_ids: The app's ARI as its manifest has it, `ari:cloud:ecosystem::app/<uuid>`; or those
            of several apps that this remote serves. Which of them a token is for is its `aud`.
        leeway: Seconds by which clocks may differ.
        now: The clock, seconds since the epoch.

    Returns:
        The policy. A token of Isolated Cloud, one with `icLabel`, is `invalid_claim`: where its
        keys are is not documented.

    Raises:
        TypeError: If an app's id is not a str.
        ValueError: If there is no app, one of `app_ids` is not an app's ARI, or the leeway is
            negative or not finite.
    """
    apps = as_names(app_ids, "app_ids")
    if not all(app.startswith(_ARI) and app != _ARI for app in apps):
        raise ValueError(f"each of app_ids is an app's ARI, {_ARI}<uuid>, as the manifest has it")
    return verification.policy(
        resolver,
        claim_equals("iss", _ISSUER),
        audience=apps,
        algorithms=["RS256"],
        required=_REQUIRED,
        leeway=leeway,
        guards=[has_key_id, not_of_isolated_cloud],
        now=now,
    )


def verifier(
    resolver: Resolver, app_ids: Names, *, leeway: float = 10.0, now: Clock = time.time
) -> Verify:
    """Make a function that verifies Forge's invocation tokens, for `bearer`.

    Args:
        resolver: As for `policy`, like all that follow.
        app_ids: See `policy`.
        leeway: See `policy`.
        now: See `policy`.

    Returns:
        An async function from a token to a verified `Token`, whose claims have `app`, `context`
        and `principal`. It raises TokenRejected and Unavailable.

    Raises:
        TypeError: As for `policy`.
        ValueError: As for `policy`.
    """
    return verification.verifier(policy(resolver, app_ids, leeway=leeway, now=now))


def not_of_isolated_cloud(unverified: Unverified, /) -> None:
    """No claim has an icLabel."""
    parts = (unverified.claims, *unverified.claims.values())
    if any(isinstance(part, dict) and part.get("icLabel") is not None for part in parts):
        raise TokenRejected("invalid_claim", "a token of Isolated Cloud", claim="icLabel")
