"""OIDC workload tokens: ID tokens by which a pipeline or a pod says what it is.

The issuer is an OpenID provider, whose keys `resolvers.discovered` finds. Its tokens are for
whatever audience the workload asked for, so the audience is what says that a token is for this
service: it is never optional.
"""

import re
import time
from collections.abc import Callable, Collection
from typing import Final

from asapfn._core import verification
from asapfn._core.algorithms import ASYMMETRIC
from asapfn.checks import claim_is_one_of
from asapfn.errors import TokenRejected, one_of, shown
from asapfn.guards import issuer_is_one_of
from asapfn.types import Check, Clock, Guard, Names, Policy, Resolver, Unverified, Verify, as_names

__all__ = ["bitbucket_pipelines", "policy", "verifier"]

_WORKSPACE: Final = re.compile(r"[A-Za-z0-9_-]+")
_PIPELINES: Final = "https://api.bitbucket.org/2.0/workspaces/{}/pipelines-config/identity/oidc"


def policy(
    resolver: Resolver,
    *checks: Check,
    issuer: str,
    audience: Names,
    trusted_audiences: Collection[str] = (),
    authorized_parties: Names | None = None,
    algorithms: Collection[str] = ASYMMETRIC,
    max_lifetime: float | None = None,
    leeway: float = 10.0,
    now: Clock = time.time,
) -> Policy:
    """What is demanded of a workload's ID token.

    A token names every audience it is for, and any of them can present it here. So one with an
    audience that is not trusted is rejected, as OpenID Connect demands of a client. `azp` names
    the client that got the token. It helps only a service that knows those clients: the standard
    says to ignore it unless an extension defines it.

    Args:
        resolver: Finds keys: `resolvers.discovered(issuer, fetch)`.
        *checks: What the verified token must also satisfy, in this order, such as
            `claim_equals("sub", ...)`: anybody may run a workload at a public provider.
        issuer: The one issuer that is accepted, exactly. For several there is `any_of`, of a policy
            for each.
        audience: This service's name, or several; one of them must be in `aud`.
        trusted_audiences: Other services that `aud` may name too. Each of them can present here the
            tokens that it gets.
        authorized_parties: The clients that a token may have been issued to: `azp` must be one of
            these. None does not look at it.
        algorithms: The algorithms that are accepted, whatever the provider's metadata says.
        max_lifetime: The longest `exp - iat` that is accepted, in seconds; None for any.
        leeway: Seconds by which clocks may differ.
        now: The clock, seconds since the epoch.

    Returns:
        The policy. It requires `iss`, `sub`, `aud`, `exp` and `iat`. Another issuer, an audience
        that is not trusted and another `azp` are refused before a key is looked up, with
        `issuer_not_allowed`, `wrong_audience` and `invalid_claim`.

    Raises:
        TypeError: If the issuer or a name is not a str, or `trusted_audiences` or `algorithms` is a
            bare str.
        ValueError: If there is no audience or no authorized party, an algorithm is not known, or
            the leeway is negative or not finite.

    Source: OpenID Connect Core 1.0 (errata set 2), sections 2 and 3.1.3.7.
    """
    if not isinstance(issuer, str):
        raise TypeError("issuer is one str: for several issuers make a policy for each")
    if isinstance(trusted_audiences, str):
        raise TypeError("trusted_audiences is a collection of names, not one str")
    own = as_names(audience, "audience")
    trusted = as_names(own.union(trusted_audiences), "trusted_audiences")
    guards: list[Guard] = [issuer_is_one_of(issuer), _audiences_are(trusted)]
    if authorized_parties is not None:
        parties = as_names(authorized_parties, "authorized_parties")
        guards.append(claim_is_one_of("azp", sorted(parties)))
    return verification.policy(
        resolver,
        *checks,
        audience=audience,
        algorithms=algorithms,
        required=("iss", "sub", "aud", "exp", "iat"),
        leeway=leeway,
        max_lifetime=max_lifetime,
        guards=guards,
        now=now,
    )


def verifier(
    resolver: Resolver,
    *checks: Check,
    issuer: str,
    audience: Names,
    trusted_audiences: Collection[str] = (),
    authorized_parties: Names | None = None,
    algorithms: Collection[str] = ASYMMETRIC,
    max_lifetime: float | None = None,
    leeway: float = 10.0,
    now: Clock = time.time,
    remember: int = 1024,
) -> Verify:
    """Make a function that verifies workloads' ID tokens, for `bearer`.

    Its arguments are those of `policy`, and `remember`: the most tokens that are remembered, as for
    `asapfn.verifier`.

    Returns:
        An async function from a token to a verified `Token`. It raises TokenRejected and
        Unavailable.

    Raises:
        TypeError: As for `policy`.
        ValueError: As for `policy`, or if `remember` is negative or no int.
    """
    asked = policy(
        resolver,
        *checks,
        issuer=issuer,
        audience=audience,
        trusted_audiences=trusted_audiences,
        authorized_parties=authorized_parties,
        algorithms=algorithms,
        max_lifetime=max_lifetime,
        leeway=leeway,
        now=now,
    )
    return verification.verifier(asked, remember=remember)


def bitbucket_pipelines(workspace: str) -> str:
    """The issuer of the tokens of a Bitbucket workspace's pipelines.

    Args:
        workspace: The workspace's ID, as it is in the URLs of its repositories.

    Returns:
        The issuer, for `resolvers.discovered` and `policy`.

    Raises:
        TypeError: If the workspace is not a str.
        ValueError: If it is empty, or holds other than ASCII letters, digits, `-` and `_`.

    Source: Bitbucket Cloud, "Integrate Pipelines with resource servers using OIDC".
    """
    if not _WORKSPACE.fullmatch(workspace):
        raise ValueError(f"expected a workspace's ID of A-Z a-z 0-9 _ -, got {shown(workspace)}")
    return _PIPELINES.format(workspace)


def _audiences_are(trusted: frozenset[str]) -> Callable[[Unverified], None]:
    expected = one_of(trusted)

    def audiences_are_trusted(unverified: Unverified, /) -> None:
        given = unverified.claims.get("aud")
        others = [each for each in given if each not in trusted] if isinstance(given, list) else []
        if others:
            detail = f"expected no audience but {expected}, got {shown(given)}"
            raise TokenRejected("wrong_audience", detail, claim="aud")

    audiences_are_trusted.__doc__ = f"Each aud is {expected}"
    return audiences_are_trusted
