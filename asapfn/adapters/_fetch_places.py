"""How many fetches run at once: so many to each origin, and so many in all, in each event loop.

Where there are more, they wait, and the newest goes first. In a burst that is larger than what can
be fetched within the deadline, the deadline of the oldest is the nearest: to serve them first would
make all of them late, and a key that is asked for now would wait behind the whole burst.

If all places of an origin are held by fetches that hang, one more fetch, the newest, may begin now
and then, by default every quarter of a second. If the origin works again, this one finds out before
the deadlines of the others. Once it is answered, fetches that began long before it do not count
against their origin any more.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.lowlevel import current_token

# The least seconds without a fetch that began, after which an origin gets one place more.
_QUIET: Final = 0.25
# A fetch hangs if one that began so many seconds later was answered.
_OVERTAKEN: Final = 0.5
# An origin has at most so many times its places, with those that hang.
_MOST: Final = 3


@dataclass(slots=True, eq=False)
class Place:
    """The place of one fetch: its event loop, its origin, and when it began; None while it waits.

    `news` wakes a fetch that waits. It is a new event after each time.
    """

    loop: object
    origin: str
    began: float | None = None
    news: anyio.Event = field(default_factory=anyio.Event)


@dataclass(slots=True)
class _Origin:
    """The fetches that run and those that wait, oldest first; `running` counts those that hang too.

    They are in an OrderedDict: in a dict the first is slow to find after thousands were removed.
    """

    running: int = 0
    began: float = 0.0
    busy: OrderedDict[Place, float] = field(default_factory=OrderedDict)
    waiting: OrderedDict[Place, None] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class _Loop:
    """The origins of one event loop; the one that was given a place last comes last."""

    running: int = 0
    origins: dict[str, _Origin] = field(default_factory=dict)


@dataclass(slots=True)
class Places:
    """The bounds, and the event loops where something runs now.

    Attributes:
        each: How many fetches of one origin run at once in an event loop, while they do not hang.
        total: How many fetches of all origins do.
        timeout: How long a fetch may hang, in seconds. The places beyond `each` are given no faster
            than their fetches end, so that there is one for an origin that is well again.
        loops: One entry for each event loop in which a fetch runs or waits.
    """

    each: int
    total: int
    timeout: float = 0.0
    loops: dict[object, _Loop] = field(default_factory=dict)


async def acquire(places: Places, origin: str) -> Place:
    """Get a place, after waiting for it where there is none.

    Args:
        places: The bounds.
        origin: What is fetched from.

    Returns:
        The place, for `release`.
    """
    place = Place(current_token().native_token, origin)
    if place.loop not in places.loops:
        _drop_closed_loops(places)
    loop = places.loops.setdefault(place.loop, _Loop())
    its = loop.origins.setdefault(origin, _Origin())
    if _is_free(places, loop, its) or _gets_one_more(places, loop, its):
        _begin(loop, place)
        return place
    its.waiting[place] = None
    try:
        while place.began is None:
            if next(iter(its.waiting)) is place:
                await _watch(places, loop, its, place)
            else:
                await place.news.wait()
            place.news = anyio.Event()
    except BaseException:
        if place.began is not None or _is_closed(place.loop):
            release(places, place)
        else:
            _forget(its, place)
        raise
    return place


def release(places: Places, place: Place, *, answered: bool = False) -> None:
    """Give a place back, and the free places to the newest waiters.

    What a closed event loop left behind may be finalized while another one runs.

    Args:
        places: The bounds.
        place: What `acquire` returned.
        answered: Whether the origin answered: fetches that began long before this one hang.
    """
    if _is_closed(place.loop):
        places.loops.pop(place.loop, None)
        return
    loop = places.loops[place.loop]
    its = loop.origins[place.origin]
    loop.running -= 1
    its.running -= 1
    began = its.busy.pop(place, None)
    if answered and began is not None:
        while its.busy and next(iter(its.busy.values())) < began - _OVERTAKEN:
            its.busy.popitem(last=False)
    if not its.running and not its.waiting:
        del loop.origins[place.origin]
    _let_in(places, loop)
    if not loop.running:
        del places.loops[place.loop]


def _let_in(places: Places, loop: _Loop) -> None:
    """Give the free places to the newest waiters, to one of each origin in turn."""
    given = True
    while given:
        given = False
        for name, its in list(loop.origins.items()):
            if its.waiting and _is_free(places, loop, its):
                _begin(loop, next(reversed(its.waiting)))
                # To the end of the line, so that no origin is passed over for ever.
                loop.origins[name] = loop.origins.pop(name)
                given = True


def _is_free(places: Places, loop: _Loop, its: _Origin) -> bool:
    return len(its.busy) < places.each and _may_begin(places, loop, its)


def _gets_one_more(places: Places, loop: _Loop, its: _Origin) -> bool:
    """Whether nothing has begun for so long that the origin gets one place more."""
    quiet = anyio.current_time() - its.began >= _quiet(places)
    return quiet and _may_begin(places, loop, its)


def _quiet(places: Places) -> float:
    """Seconds without a fetch that began, after which an origin gets one place more."""
    spare = min(places.total, _MOST * places.each) - places.each
    return max(_QUIET, places.timeout / max(spare, 1))


def _may_begin(places: Places, loop: _Loop, its: _Origin) -> bool:
    return loop.running < places.total and its.running < _MOST * places.each


def _begin(loop: _Loop, place: Place) -> None:
    its = loop.origins[place.origin]
    loop.running += 1
    its.running += 1
    its.began = its.busy[place] = place.began = anyio.current_time()
    if place in its.waiting:
        _forget(its, place)
        place.news.set()


def _forget(its: _Origin, place: Place) -> None:
    """Remove a fetch that waits. If it was the oldest, wake the next, which must watch now."""
    watched = next(iter(its.waiting)) is place
    del its.waiting[place]
    if watched and its.waiting:
        next(iter(its.waiting)).news.set()


async def _watch(places: Places, loop: _Loop, its: _Origin, place: Place) -> None:
    """Wait for news, as the oldest that waits: for all of them, it checks whether the origin hangs.

    Only the oldest has a cancel scope, since thousands of them would be slow to cancel at once.
    """
    left = its.began + _quiet(places) - anyio.current_time()
    with anyio.move_on_after(left if left > 0 else _QUIET):
        await place.news.wait()
    if place.began is None and _gets_one_more(places, loop, its):
        _begin(loop, next(reversed(its.waiting)))


def _is_closed(loop: object) -> bool:
    return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()


def _drop_closed_loops(places: Places) -> None:
    """Let go of the event loops that were closed while fetches ran or waited."""
    for loop in list(places.loops):
        if _is_closed(loop):
            places.loops.pop(loop, None)
