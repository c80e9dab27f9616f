"""How often a stranger may make us ask: a budget of misses for each issuer, and one for all.

Each is a bucket of tokens: it holds a burst, fills at a rate, and every miss takes one out.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from asapfn.types import Caching


def misses(caching: Caching, clock: Callable[[], float]) -> Callable[[str, float], bool]:
    """Make the budget that `caching` describes.

    Args:
        caching: Rates, bursts, and how many issuers are told apart. An issuer that was not heard
            of for the longest is forgotten first and starts anew; the total still binds it.
        clock: A clock in seconds, that never goes back.

    Returns:
        A function of an issuer and a number of misses, negative to give back. It takes that many
        from both budgets and answers True, or takes none and answers False. Safe under threads.
    """
    (rate, burst), (total_rate, total_burst) = caching.issuer_misses, caching.total_misses
    start = clock()
    total = (float(total_burst), start)
    issuers: OrderedDict[str, tuple[float, float]] = OrderedDict()
    lock = threading.Lock()

    def spend(issuer: str, count: float) -> bool:
        nonlocal total
        with lock:
            now = clock()
            left, since = issuers.get(issuer, (float(burst), now))
            left = min(burst, left + (now - since) * rate) - count
            all_left = min(total_burst, total[0] + (now - total[1]) * total_rate) - count
            if left < 0 or all_left < 0:
                return False
            total = (all_left, now)
            issuers[issuer] = (left, now)
            issuers.move_to_end(issuer)
            if len(issuers) > caching.max_keys:
                issuers.popitem(last=False)
            return True

    return spend
