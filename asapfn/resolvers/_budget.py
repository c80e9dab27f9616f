"""How often tokens that are not verified yet may make us ask: budgets of misses.

There is one for each issuer and one for all. Each is a bucket that holds a burst and fills at a
rate; a miss takes one out, and a look-up that finds a key puts it back, since only asking in vain
is limited. If nothing is left, a look-up waits for its turn, in the order in which they came, for
`Caching.longest_wait` seconds at most. The last tenth of the total budget is kept for issuers that
have spent little of their own, so that they are served while others spend all they have.
"""

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import anyio

from asapfn.types import Caching

_RESERVED: Final = 0.1
_LOOK_AGAIN: Final = 0.05
# How long after its longest wait a look-up that still waits is taken for abandoned.
_ABANDONED: Final = 1.0
_MOST_WAITING: Final = 300
_MOST_WAITING_OF_ISSUER: Final = 100


@dataclass(slots=True, eq=False)
class Bucket:
    """How many misses are left, as of when, and who waits for one, in order."""

    left: float
    since: float
    waiting: dict[object, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Budget:
    """The buckets; the functions below work on them, and are safe under threads.

    Attributes:
        caching: Rates, bursts, and how many issuers are kept apart. The least recently seen goes
            first and starts with a full bucket; the total still binds it.
        clock: A monotonic clock in seconds.
        total: The bucket of all issuers together.
        issuers: The issuers' buckets, by the hash of the name: names may be long, and whoever makes
            two of one hash gains no more than by using the other's name.
        waiting: Who waits in all, in order: until when at most, on `time.monotonic`, and for which
            bucket. Those of an event loop that was closed, or that a fork left behind, never leave
            by themselves.
    """

    caching: Caching
    clock: Callable[[], float]
    total: Bucket = field(init=False)
    issuers: OrderedDict[int, Bucket] = field(default_factory=OrderedDict)
    waiting: dict[object, tuple[float, Bucket]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.total = Bucket(float(self.caching.total_misses[1]), self.clock())


async def take_turn(budget: Budget, issuer: str) -> bool:
    """Take a miss from both budgets, at once or when it is this look-up's turn; False if not."""
    bucket = bucket_of(budget, issuer)
    if spend(budget, bucket):
        return True
    turn = object()
    with budget.lock:
        if (
            len(budget.waiting) >= _MOST_WAITING
            or len(bucket.waiting) >= _MOST_WAITING_OF_ISSUER
            or not budget.caching.longest_wait
        ):
            return False
        until = time.monotonic() + budget.caching.longest_wait
        budget.waiting[turn] = until + _ABANDONED, bucket
        bucket.waiting[turn] = None
    try:
        until = anyio.current_time() + budget.caching.longest_wait
        while anyio.current_time() < until:
            await anyio.sleep(_LOOK_AGAIN)
            if spend(budget, bucket, turn):
                return True
        return False
    finally:
        with budget.lock:
            _leave(budget, bucket, turn)


def spend(budget: Budget, bucket: Bucket, turn: object = None) -> bool:
    """Take a miss from an issuer's bucket and the total, if that leaves those who came before."""
    caching = budget.caching
    with budget.lock:
        _drop_abandoned(budget)
        now = budget.clock()
        _fill(bucket, *caching.issuer_misses, now)
        _fill(budget.total, *caching.total_misses, now)
        if turn is None:
            mine = bucket.left >= len(bucket.waiting) + 1
        else:
            mine = turn in itertools.islice(bucket.waiting, int(bucket.left))
        if not mine:
            return False
        used = 1 - bucket.left / caching.issuer_misses[1]
        if budget.total.left < 1 + int(_RESERVED * caching.total_misses[1] * used):
            return False
        bucket.left -= 1
        budget.total.left -= 1
        return True


def _drop_abandoned(budget: Budget) -> None:
    while budget.waiting:
        turn, (until, bucket) = next(iter(budget.waiting.items()))
        if time.monotonic() < until:
            return
        _leave(budget, bucket, turn)


def _leave(budget: Budget, bucket: Bucket, turn: object) -> None:
    budget.waiting.pop(turn, None)
    bucket.waiting.pop(turn, None)


def refund(budget: Budget, issuer: str) -> None:
    """Put a miss back: the look-up found a key."""
    bucket = bucket_of(budget, issuer)
    with budget.lock:
        bucket.left = min(bucket.left + 1, budget.caching.issuer_misses[1])
        budget.total.left = min(budget.total.left + 1, budget.caching.total_misses[1])


def bucket_of(budget: Budget, issuer: str) -> Bucket:
    """The issuer's bucket; it counts as seen."""
    name = hash(issuer)
    with budget.lock:
        bucket = budget.issuers.get(name)
        if bucket is None:
            bucket = Bucket(float(budget.caching.issuer_misses[1]), budget.clock())
            budget.issuers[name] = bucket
            if len(budget.issuers) > budget.caching.max_keys:
                budget.issuers.popitem(last=False)
        budget.issuers.move_to_end(name)
        return bucket


def _fill(bucket: Bucket, rate: float, burst: int, now: float) -> None:
    bucket.left = min(burst, bucket.left + max(0.0, now - bucket.since) * rate)
    bucket.since = now
