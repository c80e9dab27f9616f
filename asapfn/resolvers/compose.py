"""Resolvers around resolvers: policy, alternatives, deadlines.

Policy costs nothing and asks nobody, so it stands outside of caches: what it refuses was never
looked up, and what it lets pass is not kept from it by an older answer.
"""

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Final

import anyio

from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import describe_key_id, is_key_id
from asapfn.types import Key, Names, Resolver, Unverified, as_names

# What `owned_by_issuer` found in order it remembers, within bounds, since it is asked often.
_MOST_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 256


def first_of(*resolvers: Resolver) -> Resolver:
    """Ask several resolvers in turn until one has the key.

    Args:
        *resolvers: The resolvers, the preferred one first.

    Returns:
        A resolver. It goes on after None and after `Unavailable`; when none has the key and one
        could not be asked it raises that `Unavailable`, since the key may be there. A
        `TokenRejected` stops it.

    Raises:
        ValueError: If there is no resolver.
    """
    if not resolvers:
        raise ValueError("first_of takes at least one resolver")

    return partial(_first_of, resolvers)


async def _first_of(resolvers: Sequence[Resolver], unverified: Unverified) -> Key | None:
    outage: Unavailable | None = None
    for resolver in resolvers:
        try:
            key = await resolver(unverified)
        except Unavailable as error:
            outage = outage or error
        else:
            if key is not None:
                return key
    if outage is not None:
        raise outage
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
    resolver = table.get(issuer_of(unverified))
    if resolver is None:
        raise TokenRejected("issuer_not_allowed", claim="iss")
    return resolver(unverified)


def only_issuers(resolver: Resolver, issuers: Names) -> Resolver:
    """Take tokens of certain issuers alone.

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
    return partial(_only_issuers, resolver, as_names(issuers, "issuers"))


def _only_issuers(
    resolver: Resolver, allowed: frozenset[str], unverified: Unverified
) -> Awaitable[Key | None]:
    if unverified.claims.get("iss") in allowed:
        return resolver(unverified)
    issuer_of(unverified)
    raise TokenRejected("issuer_not_allowed", claim="iss")


def owned_by_issuer(resolver: Resolver, *, direct: bool = False) -> Resolver:
    """Take only keys that belong to the token's issuer: the key id is under its name.

    The owner of `a/b/k` may by this rule speak as `a/b` and as `a`, unless `direct`.

    Args:
        resolver: Asked for the key.
        direct: Whether what follows the issuer's name must be a single part.

    Returns:
        A resolver that raises TokenRejected `missing_claim` without `iss` or `kid`,
        `invalid_claim` for an ill-formed key id, and `key_not_owned` for a key id that does not
        begin with the issuer and a slash (ASAP specification, "Key identifier").
    """
    return partial(_owned, resolver, direct, {})


def _owned(
    resolver: Resolver, direct: bool, owners: dict[str | None, str], unverified: Unverified
) -> Awaitable[Key | None]:
    header, claims, _, _ = unverified
    issuer = claims.get("iss")
    if issuer is None or owners.get(header.get("kid")) != issuer:
        issuer, kid = require_owner(unverified, direct=direct)
        if len(issuer) + len(kid) <= _LONGEST_REMEMBERED:
            if len(owners) >= _MOST_REMEMBERED:
                owners.clear()
            owners[kid] = issuer
    return resolver(unverified)


def require_owner(unverified: Unverified, *, direct: bool = False) -> tuple[str, str]:
    """Refuse a token whose key id is not its issuer's.

    Args:
        unverified: The token.
        direct: See `owned_by_issuer`.

    Returns:
        Its issuer and its key id.

    Raises:
        TokenRejected: `missing_claim`, `invalid_claim` and `key_not_owned`, as for
            `owned_by_issuer`.
    """
    kid, issuer = key_id_of(unverified), issuer_of(unverified)
    prefix = f"{issuer}/"
    if not kid.startswith(prefix) or (direct and "/" in kid[len(prefix) :]):
        raise TokenRejected("key_not_owned", claim="kid")
    return issuer, kid


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


def issuer_of(unverified: Unverified) -> str:
    """The token's issuer.

    Args:
        unverified: The token.

    Returns:
        Its `iss`.

    Raises:
        TokenRejected: `missing_claim`.
    """
    issuer: str | None = unverified.claims.get("iss")
    if issuer is None:
        raise TokenRejected("missing_claim", "iss", claim="iss")
    return issuer


def key_id_of(unverified: Unverified) -> str:
    """The token's key id, provided that it is well formed by ASAP's grammar.

    Args:
        unverified: The token.

    Returns:
        Its `kid`.

    Raises:
        TokenRejected: `missing_claim` without one, `invalid_claim` if it is ill-formed.
    """
    kid: str | None = unverified.header.get("kid")
    if kid is None:
        raise TokenRejected("missing_claim", "the header has no kid", claim="kid")
    if not is_key_id(kid):
        detail = f"the kid is not well formed: {describe_key_id(kid)}"
        raise TokenRejected("invalid_claim", detail, claim="kid")
    return kid
