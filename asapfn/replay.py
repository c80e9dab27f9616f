"""A token id is used once: a store in the memory of this process.

For several processes or machines there is `asapfn.adapters.redis`. An id that is still live is
never pushed out: when the store is full, a new id is refused as `Unavailable`.
"""

import heapq
import threading
import time
from collections.abc import Callable

from asapfn.errors import Unavailable
from asapfn.types import FirstUse


def in_memory(
    *, max_entries: int = 100_000, clock: Callable[[], float] = time.monotonic
) -> FirstUse:
    """Make a store that remembers ids for as long as they live.

    It is safe to share between threads and event loops.

    Args:
        max_entries: How many live ids it holds, at most.
        clock: A clock in seconds, that never goes back.

    Returns:
        An async function of an id and its life in seconds, which answers True the first time and
        False while the id lives. It raises `Unavailable` when the store is full of live ids.

    Raises:
        ValueError: If `max_entries` is not positive.
    """
    if max_entries < 1:
        raise ValueError("max_entries must be at least 1")
    live: set[str] = set()
    deaths: list[tuple[float, str]] = []
    lock = threading.Lock()

    async def first_use(token_id: str, ttl_seconds: float) -> bool:
        with lock:
            now = clock()  # within the lock, so that no thread is behind what another one forgot
            while deaths and deaths[0][0] <= now:
                live.discard(heapq.heappop(deaths)[1])
            if token_id in live:
                return False
            if len(live) >= max_entries:
                raise Unavailable("replay store", f"full of {max_entries} live ids")
            live.add(token_id)
            heapq.heappush(deaths, (now + ttl_seconds, token_id))
            return True

    return first_use
