"""How often a stranger may make us ask: a budget of misses for each issuer, and one for all.

Each is a bucket of tokens: it holds a burst, fills at a rate, and every miss takes one out. A miss
is spent whatever comes of it, since asking in vain costs the source as much.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from asapfn.types import Caching


def misses(caching: Caching, clock: Callable[[], float]) -> Callable[[str], bool]:
    """Make the budget that `caching` describes.

    Args:
        caching: Rates, bursts, and how many issuers are told apart. An issuer that was not heard
            of for the longest is forgotten first and starts anew; the total still binds it.
        clock: A clock in seconds, that never goes back.

    Returns:
        A function of an issuer. It takes a miss from both budgets and answers True, or takes none
        and answers False. Safe under threads.
    """
    (rate, burst), (total_rate, total_burst) = caching.issuer_misses, caching.total_misses
    total = (float(total_burst), clock())
    # By their hashes, for the names are a stranger's to choose, and may be long. Two that share a
    # hash share a budget, which is no worse than what a stranger does by using the other's name.
    issuers: OrderedDict[int, tuple[float, float]] = OrderedDict()
    lock = threading.Lock()

    def spend(issuer: str) -> bool:
        nonlocal total
        name = hash(issuer)
        with lock:
            now = clock()
            left, since = issuers.get(name, (float(burst), now))
            left = min(burst, left + (now - since) * rate) - 1
            all_left = min(total_burst, total[0] + (now - total[1]) * total_rate) - 1
            if left < 0 or all_left < 0:
                return False
            total = (all_left, now)
            issuers[name] = (left, now)
            issuers.move_to_end(name)
            if len(issuers) > caching.max_keys:
                issuers.popitem(last=False)
            return True

    return spend
