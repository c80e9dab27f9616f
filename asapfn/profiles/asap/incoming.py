"""ASAP, the receiving side: whose key it is, and what a token must be."""

import time
from collections.abc import Awaitable, Callable, Sequence

from asapfn import checks
from asapfn.algorithms import ASAP
from asapfn.resolvers import only_issuers, owned_by_issuer, pem_repository
from asapfn.types import Caching, Check, Fetch, FirstUse, Names, Observe, Resolver, Token, as_names
from asapfn.verification import judge, reader


def repository(
    base_urls: str | Sequence[str],
    fetch: Fetch,
    *,
    caching: Caching = Caching(),
    observe: Observe | None = None,
) -> Resolver:
    """Find the issuers' public keys in ASAP's key repository.

    Args:
        base_urls: The repository's https URL, or several mirrors, also as `url1 | url2`.
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        caching: How long and how much to remember, and how often to ask.
        observe: Told of every event but a plain hit.

    Returns:
        A resolver that remembers keys, and takes only those that belong to the token's issuer. Make
        one for the process and share it. See `resolvers.pem_repository` and `owned_by_issuer`.

    Raises:
        ValueError: If there is no URL, or one is not plain https.
    """
    return owned_by_issuer(pem_repository(base_urls, fetch, caching=caching, observe=observe))


def verifier(
    resolver: Resolver,
    audience: Names,
    *,
    issuers: Names | None,
    subject_is_issuer: bool = True,
    leeway: float = 10.0,
    max_lifetime: float = 3600.0,
    replay: FirstUse | None = None,
    now: Callable[[], float] = time.time,
) -> Callable[[str], Awaitable[Token]]:
    """Make a function that verifies ASAP tokens.

    Args:
        resolver: Finds keys: `repository(...)`, or any other. A key is taken only if it belongs to
            the token's issuer, whatever the resolver.
        audience: This service's name, or its names.
        issuers: The issuers that are allowed; None allows each that has a key, and leaves it to
            the caller who may do what.
        subject_is_issuer: Whether a `sub` must be the issuer.
        leeway: Seconds by which clocks may differ.
        max_lifetime: The longest life of a token, in seconds; the specification says an hour.
        replay: Where used tokens are remembered, so that each is taken once; None takes a token as
            often as it comes. The specification asks that a service documents it if it does.
        now: The clock, seconds since the epoch.

    Returns:
        An async function from a token to a verified `Token`. It raises TokenRejected and
        Unavailable, and requires `kid`, `iss`, `aud`, `iat`, `exp` and `jti` (ASAP specification,
        "Verification").

    Raises:
        TypeError: If a name is not a str.
        ValueError: If there is no audience or no issuer, `max_lifetime` is over an hour, or
            `leeway` is negative or not finite.
    """
    if not 0 < max_lifetime <= 3600:
        raise ValueError("max_lifetime is at most the 3600 seconds of the specification")
    audiences = as_names(audience, "audience")
    resolve = owned_by_issuer(resolver)
    if issuers is not None:
        resolve = only_issuers(resolve, issuers)
    each: list[Check] = [checks.subject_is_issuer()] if subject_is_issuer else []
    if replay is not None:
        each.append(checks.first_use(replay))

    read = reader(ASAP)
    settle = judge(
        resolve,
        each,
        audience=audiences,
        required=("iss", "jti"),
        leeway=leeway,
        max_lifetime=max_lifetime,
        now=now,
    )

    async def verify_token(token: str) -> Token:
        return await settle(read(token))

    return verify_token
