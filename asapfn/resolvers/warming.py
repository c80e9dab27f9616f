"""Keys before they are asked for: plain coroutines, to run where the caller likes."""

from collections.abc import Iterable
from typing import Never

import anyio

from asapfn.errors import TokenRejected, Unavailable
from asapfn.types import Resolver, Unverified


async def prefetch(
    resolver: Resolver, key_ids: Iterable[str], *, algorithm: str = "RS256"
) -> dict[str, bool]:
    """Resolve some key ids, so that a resolver that remembers has their keys at hand.

    Args:
        resolver: The resolver to warm, such as `profiles.asap.repository(...)`.
        key_ids: The key ids. The issuer is taken to be what stands before the last `/`.
        algorithm: The algorithm to ask for, where the resolver minds.

    Returns:
        For each key id, whether its key was found. A source that is down, or a policy that
        refuses, counts as not found: warming fails nobody.
    """
    found: dict[str, bool] = {}
    for kid in key_ids:
        header = {"alg": algorithm, "kid": kid}
        claims = {"iss": kid.rpartition("/")[0]}
        try:
            found[kid] = await resolver(Unverified(header, claims, b"", b"")) is not None
        except (Unavailable, TokenRejected):
            found[kid] = False
    return found


async def keep_warm(
    resolver: Resolver, key_ids: Iterable[str], *, every: float = 60.0, algorithm: str = "RS256"
) -> Never:
    """Prefetch key ids for ever; run it in a task group of your own, which ends it.

    Args:
        resolver: The resolver to keep warm.
        key_ids: The key ids.
        every: The pause between rounds, in seconds. Keys are asked for again once they are no
            longer fresh, so let it be well below their `max-age`.
        algorithm: The algorithm to ask for, where the resolver minds.
    """
    kids = tuple(key_ids)
    while True:
        await prefetch(resolver, kids, algorithm=algorithm)
        await anyio.sleep(every)
