"""Callers that want the same thing at the same time share one call, which has a task of its own.

The task belongs to its event loop, not to a caller: callers wait for its outcome and may be
cancelled at any time, and the call goes on. If the caller that began it is cancelled, the call has
`FINISH_WITHIN` seconds more, or as many as that caller gave; they count from the call's begin if
the caller was itself part of a call. Every call ends with its event loop.
The task raises nothing: whatever the call raises is its outcome. A call serves the callers of one
event loop, since an event cannot wake a task of another.
"""

import asyncio
import contextvars
import math
import os
import sys
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, TypeVar

import anyio
from anyio.lowlevel import current_token

from asapfn.errors import TokenRejected, Unavailable

T = TypeVar("T")

# More than a fetch takes at most by default, so that the fetch's own deadline comes first.
FINISH_WITHIN: Final = 10.0


@dataclass(slots=True, eq=False)
class Flight(Generic[T]):
    """A call in progress, how many callers wait for it, and its outcome once it is done.

    `key` is its place in the table: that of its question, or its own once it was given up.
    `process` is where it began: a fork takes the table along, but nothing that runs.
    `asks` are the calls that it waits for itself, as where one cached resolver asks another. Until
    it is done `error` is what it would be for a task that asyncio cancels before its first step.
    `begun` is when it began, on the event loop's clock; `asked` is when its question was asked, on
    the clock of who made the call, and set by that one.
    """

    key: Hashable
    process: int = field(default_factory=os.getpid)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    waiting: int = 0
    task: object = None
    asks: "set[Flight[Any]]" = field(default_factory=set)
    begun: float = field(default_factory=anyio.current_time)
    asked: float = math.inf
    result: T = field(init=False, repr=False)
    error: BaseException | None = field(default_factory=asyncio.CancelledError)


# The call that the running code is part of.
_part_of: contextvars.ContextVar[Flight[Any] | None] = contextvars.ContextVar(
    "asapfn_part_of", default=None
)

# By event loop, then by key.
Flights = dict[object, dict[Hashable, Flight[T]]]


def in_progress(flights: Flights[T], key: Hashable) -> Flight[T] | None:
    """The call for this key in this event loop, unless it is about to be cancelled."""
    flight = flights.get(current_token().native_token, {}).get(key)
    return None if flight is None or flight.scope.cancel_called else flight


def give_up(of_loop: dict[Hashable, Flight[T]], key: Hashable) -> None:
    """Let the next caller for this key begin another call; who waits already gets the outcome.

    It may be called in any thread: the call may end at any time meanwhile.
    """
    flight = of_loop.get(key)
    if flight is None:
        return
    flight.key = object()
    of_loop[flight.key] = flight
    of_loop.pop(key, None)
    if flight.done.is_set():
        of_loop.pop(flight.key, None)


def note_asked(now: float) -> None:
    """Note when the question is asked, in the call that the running code is part of."""
    flight: Any = _part_of.get()
    flight.asked = now


def begin(flights: Flights[T], key: Hashable, make: Callable[[], Awaitable[T]]) -> Flight[T]:
    """Begin a call that no caller waits for. There must be none in progress for this key."""
    loop = current_token().native_token
    if loop not in flights:
        _drop_closed_loops(flights)
    flight: Flight[T] = Flight(key)
    flight.scope.deadline = flight.begun + FINISH_WITHIN
    flights.setdefault(loop, {})[key] = flight
    place = flights, loop, flight
    if isinstance(loop, asyncio.AbstractEventLoop):
        # The reference keeps the task: asyncio itself holds only a weak one.
        flight.task = task = loop.create_task(_run(*place, make))
        task.add_done_callback(partial(_end, *place))
    else:
        start: Any = sys.modules["trio"].lowlevel.spawn_system_task
        flight.task = start(_run, *place, make, context=contextvars.copy_context())
    return flight


async def join(
    flights: Flights[T],
    key: Hashable,
    make: Callable[[], Awaitable[T]],
    source: str,
    finish_within: float | None = None,
) -> T:
    """The outcome of the call for this key: the one in progress, or else one that begins now.

    What `make` returns is for all callers. What it raises is for the caller that began the call,
    or `Unavailable` where that one has gone; after `TokenRejected`, and after a call that was given
    up, each of the others tries again, after anything else they get `Unavailable`. A call that
    would wait for itself, also by way of others, gets `RuntimeError`. `finish_within` is for a call
    that this caller begins, in place of `FINISH_WITHIN`.
    """
    while True:
        flight = in_progress(flights, key)
        leads = flight is None
        if flight is None:
            flight = begin(flights, key, make)
            flight.scope.deadline = math.inf
        await _wait(flight, leads, FINISH_WITHIN if finish_within is None else finish_within)
        error = flight.error
        if error is None and not flight.scope.cancelled_caught:
            return flight.result
        if error is None or (isinstance(error, TokenRejected) and not leads):
            continue
        if _is_cancellation(error):
            raise Unavailable(source, "the event loop ended the call") from error
        if leads:
            raise error
        raise Unavailable(source, f"asking failed: {type(error).__name__}") from error


def count(flights: Flights[T]) -> tuple[int, int]:
    """How many callers wait, and how many calls are in progress, in all event loops."""
    here = os.getpid()
    calls = [
        flight
        for loop, of_loop in list(flights.items())
        for flight in list(of_loop.values())
        if flight.process == here and not _is_closed(loop)
    ]
    return sum(flight.waiting for flight in calls), len(calls)


async def _wait(flight: Flight[T], leads: bool, finish_within: float) -> None:
    """Wait until the call is done. When its first caller goes before that, its time is limited."""
    asker = _part_of.get()
    if asker is not None:
        if _waits_for(flight, asker):
            raise RuntimeError("a cached resolver asks its own cache for the key it is asked for")
        asker.asks.add(flight)
    flight.waiting += 1
    try:
        await flight.done.wait()
    finally:
        flight.waiting -= 1
        if asker is not None:
            asker.asks.discard(flight)
        if leads and not flight.done.is_set():
            # A caller that is part of a call has used some of the time already. With as much again,
            # those who wait for that call would wait twice as long for a source that hangs.
            since = anyio.current_time() if asker is None else flight.begun
            flight.scope.deadline = since + finish_within


async def _run(
    flights: Flights[T],
    loop: object,
    flight: Flight[T],
    make: Callable[[], Awaitable[T]],
) -> None:
    _part_of.set(flight)  # in the task's own context
    try:
        with flight.scope:
            flight.result = await make()
        flight.error = None
    except BaseException as error:  # a task that nobody awaits must not end its event loop
        flight.error = error
    _end(flights, loop, flight)


def _end(flights: Flights[T], loop: object, flight: Flight[T], task: object = None) -> None:
    """Take a call that is done from the table and wake its callers. Calling it twice is safe."""
    flight.done.set()  # before it is taken out: see `give_up`
    of_loop = flights.get(loop, {})
    if of_loop.get(flight.key) is flight:  # `clear` may give it up meanwhile, in any thread
        of_loop.pop(flight.key, None)
    if not of_loop:
        flights.pop(loop, None)


def _waits_for(flight: Flight[Any], other: Flight[Any]) -> bool:
    return flight is other or any(_waits_for(each, other) for each in flight.asks)


def _is_cancellation(error: BaseException) -> bool:
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(cancelled) is not None
    return isinstance(error, cancelled)


def _is_closed(loop: object) -> bool:
    return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()


def _drop_closed_loops(flights: Flights[T]) -> None:
    """Let go of the calls of event loops that were closed without cancelling their tasks."""
    for loop in list(flights):
        if _is_closed(loop):
            flights.pop(loop, None)
