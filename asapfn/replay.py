"""A token id is used once: a store in the memory of this process.

For several processes or machines there is `asapfn.adapters.redis`. An id that is still live is
never pushed out: where there is no place for a new id, it is refused as `Unavailable`. No issuer
can use up all places: it is refused while it has a quarter as many live ids as there are free
places. So one issuer alone can have a fifth of the store, eight that fill it leave a sixth of it
free, and the next issuer has its share of that. The part of an id before its first colon names the
issuer (`asapfn.checks.not_replayed`); an id without a colon has an issuer of its own.
"""

import heapq
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from asapfn.errors import Unavailable
from asapfn.types import ReplayStore

# Ids that are forgotten in one call, at most: 100,000 would hold the event loop for half a second.
_FORGOTTEN_AT_ONCE: Final = 1000
# An issuer may have one more id while so many places are free for each id that it has.
_FREE_PER_LIVE_ID: Final = 4


def in_memory(
    *, max_entries: int = 500_000, clock: Callable[[], float] = time.monotonic
) -> ReplayStore:
    """Make a store that remembers ids for as long as they live.

    It is safe to share between threads and event loops.

    Args:
        max_entries: How many live ids it holds, at most; each uses about 270 bytes. One issuer
            alone has a fifth of them.
        clock: A clock in seconds that never goes back.

    Returns:
        An async function of an id and its life in seconds, which answers True the first time and
        False while the id lives. It raises `Unavailable` when the store is full, or when the
        issuer of the id has its share, a quarter as many live ids as there are free places.

    Raises:
        ValueError: If `max_entries` is not positive and finite.
    """
    if not 1 <= max_entries < math.inf:
        raise ValueError("max_entries must be finite and at least 1")
    return partial(_use, _Ids(max_entries, clock))


@dataclass(slots=True, eq=False, repr=False)
class _Ids:
    """The ids that live, how many of them each issuer has, and when they die, the next first."""

    most: int
    clock: Callable[[], float]
    live: set[str] = field(default_factory=set)
    each_has: Counter[str] = field(default_factory=Counter)
    deaths: list[tuple[float, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


async def _use(ids: _Ids, token_id: str, ttl_seconds: float) -> bool:
    """Remember an id; False if it lives already."""
    with ids.lock:
        now = ids.clock()  # within the lock, so that no thread is behind what another one forgot
        _forget(ids, now)
        if token_id in ids.live:
            return False
        issuer, free = _issuer(token_id), ids.most - len(ids.live)
        if not free:
            raise Unavailable("replay store", f"full of {ids.most} live ids")
        if ids.each_has[issuer] * _FREE_PER_LIVE_ID >= free:
            share = f"the issuer has {ids.each_has[issuer]} live ids, its share"
            places = f"{free} of {ids.most} places are free"
            raise Unavailable("replay store", f"{share} while {places}")
        ids.live.add(token_id)
        ids.each_has[issuer] += 1
        heapq.heappush(ids.deaths, (now + ttl_seconds, token_id))
        return True


def _forget(ids: _Ids, now: float) -> None:
    """Forget ids that have died, a bounded number of them."""
    for _ in range(_FORGOTTEN_AT_ONCE):
        if not ids.deaths or ids.deaths[0][0] > now:
            return
        _, token_id = heapq.heappop(ids.deaths)
        ids.live.discard(token_id)
        issuer = _issuer(token_id)
        ids.each_has[issuer] -= 1
        if not ids.each_has[issuer]:
            del ids.each_has[issuer]


def _issuer(token_id: str) -> str:
    return token_id.partition(":")[0]
