"""ASAP, the receiving side: where keys are, and what is demanded of a token."""

import time
from collections.abc import Callable, Sequence

from asapfn import checks
from asapfn._core import verification
from asapfn._core.algorithms import ASAP
from asapfn._core.signing import require_lifetime
from asapfn.guards import issuer_is_one_of, key_belongs_to_issuer
from asapfn.resolvers import pem_repository
from asapfn.types import (
    Caching,
    Check,
    Clock,
    Fetch,
    Guard,
    Names,
    Observe,
    Policy,
    ReplayStore,
    Resolver,
    Verify,
    as_names,
    require_bool,
)


def repository(
    urls: str | Sequence[str],
    fetch: Fetch,
    *,
    caching: Caching = Caching(),
    clock: Callable[[], float] = time.monotonic,
    observe: Observe | None = None,
) -> Resolver:
    """Find the issuers' public keys in ASAP's key repository.

    Args:
        urls: The repository's https URL, or several mirrors, also as `url1 | url2`.
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        caching: How long and how much to remember, and how often to ask.
        clock: For the cache, a clock in seconds, that never goes back.
        observe: Receives every event but a plain hit.

    Returns:
        A resolver that remembers keys. Make one for the process and share it. Whether a key is the
        issuer's is a rule of `policy` and `verifier`; for `asapfn.verify` put `owned_by_issuer`
        around it. See `resolvers.pem_repository`.

    Raises:
        TypeError: If `fetch` is no function of a URL and an Accept header.
        ValueError: If there is no URL, or one is not plain https.
    """
    return pem_repository(urls, fetch, caching=caching, clock=clock, observe=observe)


def policy(
    resolver: Resolver,
    audience: Names,
    *,
    issuers: Names | None,
    subject_is_issuer: bool = True,
    leeway: float = 10.0,
    max_lifetime: float = 3600.0,
    replay: ReplayStore | None = None,
    now: Clock = time.time,
) -> Policy:
    """What ASAP demands of a token (ASAP specification, "Verification").

    Args:
        resolver: Finds keys: `repository(...)`, or any other. A key is accepted only if it belongs
            to the token's issuer, whatever the resolver.
        audience: This service's name, or its names.
        issuers: The issuers that are allowed; None allows each that has a key, and leaves it to
            the caller who may do what.
        subject_is_issuer: Whether a `sub` must be the issuer.
        leeway: Seconds by which clocks may differ.
        max_lifetime: The longest life of a token, in seconds; the specification says an hour.
        replay: Where used tokens are remembered, so that each is accepted once; None accepts a
            token as often as it comes. The specification asks that a service documents it if it
            does.
        now: The clock, seconds since the epoch.

    Returns:
        The policy. It requires `kid`, `iss`, `aud`, `iat`, `exp` and `jti`.

    Raises:
        TypeError: If a name is not a str, or `subject_is_issuer` no bool.
        ValueError: If there is no audience or no issuer, `max_lifetime` is over an hour, or
            `leeway` is negative or not finite.
    """
    require_lifetime(max_lifetime, "max_lifetime", longest=3600)
    require_bool(subject_is_issuer, "subject_is_issuer")
    guards: list[Guard] = [] if issuers is None else [issuer_is_one_of(issuers)]
    each: list[Check] = [checks.subject_is_issuer()] if subject_is_issuer else []
    if replay is not None:
        each.append(checks.not_replayed(replay))
    return verification.policy(
        resolver,
        *each,
        audience=as_names(audience, "audience"),
        algorithms=ASAP,
        required=("iss", "jti"),
        leeway=leeway,
        max_lifetime=max_lifetime,
        guards=[*guards, key_belongs_to_issuer],
        now=now,
    )


def verifier(
    resolver: Resolver,
    audience: Names,
    *,
    issuers: Names | None,
    subject_is_issuer: bool = True,
    leeway: float = 10.0,
    max_lifetime: float = 3600.0,
    replay: ReplayStore | None = None,
    now: Clock = time.time,
    remember: int = 1024,
) -> Verify:
    """Make a function that verifies ASAP tokens.

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
        audience,
        issuers=issuers,
        subject_is_issuer=subject_is_issuer,
        leeway=leeway,
        max_lifetime=max_lifetime,
        replay=replay,
        now=now,
    )
    return verification.verifier(asked, remember=remember)
