"""Callers that want the same thing at the same time share one question, a flight.

The first caller leads and asks, the others wait. When there is an answer all wake at once and take
it. When the leader is cancelled, or refused, one of them wakes and leads instead: nobody hangs, one
caller's end is not another's, and no task is started that somebody would have to end.

A flight belongs to its event loop, since an event cannot wake a task of another one.
"""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple

import anyio
from anyio.lowlevel import current_token

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers.answers import T

_Place = tuple[object, Hashable]


@dataclass(slots=True)
class _Flight(Generic[T]):
    """Who waits, in the order they came, and what the leader brought, once it is there."""

    waiting: dict[anyio.Event, None] = field(default_factory=dict)
    landed: T | Unavailable | None = None


class Flights(NamedTuple, Generic[T]):
    """The functions that work on one table of flights.

    Attributes:
        under_way: Whether there is a flight for a key, in this event loop.
        join: From a key and a question to what the flight brought. Waits for it where there is
            one, else asks. What the question returns is for all. What it raises is the caller's
            own; after `TokenRejected` and `Unavailable` another caller asks, after any other
            exception the others get an `Unavailable`.
    """

    under_way: Callable[[Hashable], bool]
    join: Callable[[Hashable, Callable[[], Awaitable[T | Unavailable]]], Awaitable[T | Unavailable]]


def flights(source: str) -> Flights[T]:
    """Make a table of flights.

    Args:
        source: The name of what is asked, for errors.

    Returns:
        The functions that work on it. It holds nothing when nobody asks.
    """
    table: dict[_Place, _Flight[T]] = {}

    def under_way(key: Hashable) -> bool:
        return (current_token(), key) in table

    async def join(key: Hashable, ask: Callable[[], Awaitable[T | Unavailable]]) -> T | Unavailable:
        place = (current_token(), key)
        flight = table.get(place)
        if flight is None:
            flight = table[place] = _Flight()
        else:
            landed = await wait(flight, place)
            if landed is not None:
                return landed
        try:
            flight.landed = await ask()
            return flight.landed
        except (TokenRejected, Unavailable):
            raise
        except Exception as error:
            flight.landed = Unavailable(source, f"asking failed: {type(error).__name__}")
            flight.landed.__cause__ = error
            raise
        finally:
            leave(flight, place)

    async def wait(flight: _Flight[T], place: _Place) -> T | Unavailable | None:
        """What the leader brings; None makes this caller the leader."""
        turn = anyio.Event()
        flight.waiting[turn] = None
        try:
            await turn.wait()
        except BaseException:
            if turn in flight.waiting:
                del flight.waiting[turn]
            else:
                leave(flight, place)
            raise
        return flight.landed

    def leave(flight: _Flight[T], place: _Place) -> None:
        """Wake one to lead, or all if there is something for all."""
        if flight.landed is None and flight.waiting:
            turn = next(iter(flight.waiting))
            del flight.waiting[turn]
            return turn.set()
        del table[place]
        for turn in flight.waiting:
            turn.set()

    return Flights(under_way, join)
