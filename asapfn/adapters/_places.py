"""How many fetches run at once: so many to each origin, and so many in all, in each event loop.

Where there are more, they wait, and the newest goes first. In a burst that is larger than what can
be fetched within the deadline, the deadline of the oldest is the nearest: to serve them first would
make all of them late, and a key that is asked for now would wait behind the whole burst.

Where an origin's places are all held by fetches that hang, one more is let in every quarter of a
second: it finds out that the origin is well again before their deadlines.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.lowlevel import current_token

# Seconds without a fetch that began, after which an origin gets one place more.
_QUIET: Final = 0.25


@dataclass(slots=True)
class _Loop:
    """What runs and what waits in one event loop, by origin; the newest waiter is the last."""

    running: Counter[str] = field(default_factory=Counter)
    began: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, dict[anyio.Event, None]] = field(default_factory=dict)


@dataclass(slots=True)
class Places:
    """The bounds, and the event loops where something runs now.

    Attributes:
        each: How many fetches of one origin run at once in an event loop, while they do not hang.
        total: How many fetches of all origins do.
        loops: One entry for each event loop in which a fetch runs or waits.
    """

    each: int
    total: int
    loops: dict[object, _Loop] = field(default_factory=dict)


async def acquire(places: Places, origin: str) -> None:
    """Get a place, after waiting for it where there is none.

    Args:
        places: The bounds.
        origin: What is fetched from.
    """
    loop = places.loops.setdefault(current_token(), _Loop())
    quiet = anyio.current_time() - loop.began.get(origin, math.inf) >= _QUIET
    if _is_free(places, loop, origin, quiet):
        _begin(loop, origin)
        return
    turn = anyio.Event()
    loop.waiting.setdefault(origin, {})[turn] = None
    try:
        await turn.wait()
    except BaseException:
        if turn.is_set():
            release(places, origin)
        else:
            _forget(loop, origin, turn)
        raise


def release(places: Places, origin: str) -> None:
    """Give a place back, and the free places to the newest waiters.

    Args:
        places: The bounds.
        origin: What was fetched from.
    """
    token = current_token()
    loop = places.loops[token]
    loop.running[origin] -= 1
    if not loop.running[origin]:
        del loop.running[origin], loop.began[origin]
    # An origin that got a place goes to the end of the line, so that none is passed over for ever.
    for each in list(loop.waiting):
        if _is_free(places, loop, each):
            turn = next(reversed(loop.waiting[each]))
            _forget(loop, each, turn)
            _begin(loop, each)
            if each in loop.waiting:
                loop.waiting[each] = loop.waiting.pop(each)
            turn.set()
    if not loop.running:
        del places.loops[token]


def _is_free(places: Places, loop: _Loop, origin: str, quiet: bool = False) -> bool:
    return loop.running.total() < places.total and (loop.running[origin] < places.each or quiet)


def _begin(loop: _Loop, origin: str) -> None:
    loop.running[origin] += 1
    loop.began[origin] = anyio.current_time()


def _forget(loop: _Loop, origin: str, turn: anyio.Event) -> None:
    del loop.waiting[origin][turn]
    if not loop.waiting[origin]:
        del loop.waiting[origin]
