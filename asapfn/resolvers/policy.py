"""Resolvers around resolvers: policy, alternatives, deadlines.

Policy costs nothing and asks nobody, so it stands outside of caches: what it refuses was never
looked up, and what it lets pass is not kept from it by an older answer.
"""

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial

import anyio

from asapfn.errors import TokenRejected, Unavailable, shown
from asapfn.guards import issuer_is_one_of, issuer_of, key_belongs_to_issuer
from asapfn.types import Guard, Key, Names, Resolver, Unverified


def first_of(*resolvers: Resolver) -> Resolver:
    """Ask several resolvers in turn until one has the key.

    Args:
        *resolvers: The resolvers, the preferred one first.

    Returns:
        A resolver. It goes on after None, TokenRejected `unknown_key` and `Unavailable`; when none
        has the key and one could not be asked it raises that `Unavailable`, since the key may be
        there, and else the first `unknown_key`, which says why a key cannot be used. Any other
        `TokenRejected` stops it.

    Raises:
        ValueError: If there is no resolver.
    """
    if not resolvers:
        raise ValueError("first_of takes at least one resolver")

    return partial(_first_of, resolvers)


async def _first_of(resolvers: Sequence[Resolver], unverified: Unverified) -> Key | None:
    outage: Unavailable | None = None
    unusable: TokenRejected | None = None
    for resolver in resolvers:
        try:
            key = await resolver(unverified)
        except Unavailable as error:
            outage = outage or error
        except TokenRejected as error:
            if error.reason != "unknown_key":
                raise
            unusable = unusable or error
        else:
            if key is not None:
                return key
    if failure := outage or unusable:
        raise failure
    return None


def by_issuer(table: Mapping[str, Resolver]) -> Resolver:
    """Choose the resolver by the token's issuer.

    Args:
        table: A resolver for each issuer; read at every call, so that it may change.

    Returns:
        A resolver that raises TokenRejected `missing_claim` without an `iss`, and
        `issuer_not_allowed` for an issuer that is not in the table.
    """
    return partial(_by_issuer, table)


def _by_issuer(table: Mapping[str, Resolver], unverified: Unverified) -> Awaitable[Key | None]:
    issuer = issuer_of(unverified)
    resolver = table.get(issuer)
    if resolver is None:
        raise TokenRejected(
            "issuer_not_allowed", f"no resolver is for {shown(issuer)}", claim="iss"
        )
    return resolver(unverified)


def only_issuers(resolver: Resolver, issuers: Names) -> Resolver:
    """Accept tokens of certain issuers alone.

    Args:
        resolver: Asked for their keys.
        issuers: The issuers; a str is one.

    Returns:
        A resolver that raises TokenRejected `missing_claim` without an `iss`, and
        `issuer_not_allowed` for any other issuer.

    Raises:
        TypeError: If an issuer is not a str.
        ValueError: If there is no issuer.
    """
    return partial(_guarded, resolver, issuer_is_one_of(issuers))


def owned_by_issuer(resolver: Resolver, *, direct: bool = False) -> Resolver:
    """Accept only keys that belong to the token's issuer: the key id is under its name.

    The owner of `a/b/k` may by this rule speak as `a/b` and as `a`, unless `direct`.

    Args:
        resolver: Asked for the key.
        direct: Whether what follows the issuer's name must be a single part.

    Returns:
        A resolver that raises TokenRejected `missing_claim` without `iss` or `kid`,
        `invalid_claim` for an ill-formed key id, and `key_not_owned` for a key id that does not
        begin with the issuer and a slash (ASAP specification, "Key identifier").
    """
    return partial(_guarded, resolver, partial(key_belongs_to_issuer, direct=direct))


def _guarded(resolver: Resolver, guard: Guard, unverified: Unverified) -> Awaitable[Key | None]:
    guard(unverified)
    return resolver(unverified)


def with_deadline(resolver: Resolver, seconds: float) -> Resolver:
    """Give up on a resolver after a time.

    Args:
        resolver: The resolver.
        seconds: How long one look-up may take, in seconds.

    Returns:
        A resolver that raises `Unavailable` when the time is over. It belongs inside of `cached`:
        outside, a cache never learns that its source is down, and so never serves an old key.

    Raises:
        ValueError: If there is no time.
    """
    if not seconds > 0:
        raise ValueError("seconds must be positive")

    return partial(_with_deadline, resolver, seconds)


async def _with_deadline(resolver: Resolver, seconds: float, unverified: Unverified) -> Key | None:
    with anyio.move_on_after(seconds):
        return await resolver(unverified)
    raise Unavailable("resolver", f"no answer within {seconds:g} s")
