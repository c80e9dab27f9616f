"""Keys that are fetched before a token needs them: coroutines that the caller runs.

Their look-ups are for no token, and a cache recognizes them by `is_prefetch`. For them it asks its
source again when half of the time is over for which a key is fresh. Tokens use all of that time, so
they find the key fresh. The budget of misses does not limit these look-ups.
"""

import contextlib
from collections.abc import Iterable
from inspect import CORO_CREATED, getcoroutinestate
from typing import Final, Never

import anyio

from asapfn.errors import TokenRejected, Unavailable
from asapfn.types import Resolver, Unverified

_AT_ONCE: Final = 10


async def prefetch(
    resolver: Resolver, key_ids: Iterable[str], *, algorithm: str = "RS256"
) -> dict[str, bool]:
    """Resolve some key ids, ten at once, so that a cached resolver has their keys.

    Args:
        resolver: The resolver to warm, such as `asap.repository(...)`.
        key_ids: The key ids. The issuer is taken to be what stands before the last `/`.
        algorithm: The algorithm to ask for, where the resolver minds.

    Returns:
        For each key id, whether its key was found. If a source is down, or a policy refuses, the
        key counts as not found, and nothing is raised. What else a resolver raises comes in an
        ExceptionGroup.
    """
    found = dict.fromkeys(key_ids, False)
    places = anyio.CapacityLimiter(_AT_ONCE)

    async def warm(kid: str) -> None:
        header, claims = {"alg": algorithm, "kid": kid}, {"iss": kid.rpartition("/")[0]}
        with contextlib.suppress(Unavailable, TokenRejected):
            async with places:
                found[kid] = await resolver(Unverified(header, claims, b"", b"")) is not None

    lookups = [warm(kid) for kid in found]
    try:
        async with anyio.create_task_group() as group:
            for each in lookups:
                group.create_task(each)
    finally:
        for each in lookups:
            if getcoroutinestate(each) == CORO_CREATED:
                # asyncio cancelled the task before its first step, and anyio left this in it.
                each.close()
    return found


async def keep_warm(
    resolver: Resolver, key_ids: Iterable[str], *, every: float = 60.0, algorithm: str = "RS256"
) -> Never:
    """Prefetch key ids for ever; run it in a task group of your own, which ends it.

    Args:
        resolver: The resolver to keep warm.
        key_ids: The key ids.
        every: The pause between rounds, in seconds. Below half of the keys' `max-age` no token
            waits for its key, as long as the source answers.
        algorithm: The algorithm to ask for, where the resolver minds.
    """
    kids = tuple(key_ids)
    while True:
        await prefetch(resolver, kids, algorithm=algorithm)
        await anyio.sleep(every)
