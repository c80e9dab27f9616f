"""One memo under every key source: fetch once, remember within bounds, survive outages.

What is remembered and for how long is in `answers`; here is who asks. Callers that miss the same
key share a flight: they queue at its lock, the first one asks, the others take what it brought.
When the first is cancelled, or refused, the lock passes to the next one, who asks instead: nobody
hangs, one caller's end is not another's, and no task is started that somebody would have to end.

A flight belongs to its event loop, since a lock cannot wake a task of another one. Answers are
shared between loops, under a thread lock that is never held across an await. Asking for a key that
was never seen good costs a miss of the budget.
"""

import itertools
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic

import anyio
from anyio.lowlevel import current_token

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers.answers import Answer, T, dated, tables
from asapfn.resolvers.budget import misses
from asapfn.types import Caching, Event, Key, Kind, Observe, Resolver, Unverified

ANY_AGE: Final = -math.inf

LookUp = Callable[[Hashable, Unverified, float], Awaitable[T | None]]


@dataclass(slots=True)
class _Flight(Generic[T]):
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    callers: int = 0
    landed: bool = False
    value: T | None = None
    error: Exception | None = None


def memo(
    load: Callable[[Unverified], Awaitable[Answer[T]]],
    source: str,
    caching: Caching,
    clock: Callable[[], float],
    observe: Observe | None,
) -> LookUp[T]:
    """Make a memo of what `load` answers.

    Args:
        load: Asks the source. It raises `Unavailable` when that is down, and `TokenRejected` when
            this token must not ask, which is neither remembered nor shared.
        source: The source's name, for events and errors.
        caching: The bounds.
        clock: A clock in seconds, that never goes back.
        observe: Told of every event but a plain hit.

    Returns:
        An async function of a key that covers all that `load` reads, the token, and a time: only
        an answer completed after it will do (`ANY_AGE`: any answer). It gives the value or None.
    """
    recall, record, pause = tables(caching.max_keys)
    flights: dict[tuple[object, Hashable], _Flight[T]] = {}
    serials = itertools.count()
    spend = misses(caching, clock)

    async def look_up(key: Hashable, unverified: Unverified, after: float) -> T | None:
        entry, now = recall(key), clock()
        if entry is not None and now < entry.fresh_until and after < entry.completed:
            return entry.value
        place = (current_token(), key)
        old = None if entry is None or entry.value is None else entry
        if old is not None:
            if now < old.retry_at:
                return excused(key, unverified, after, None)
            if now < old.revalidate_until and after < old.completed and place in flights:
                return old.value
        flight = flights.setdefault(place, _Flight())
        flight.callers += 1
        try:
            async with flight.lock:
                if not flight.landed:
                    await ask(flight, key, unverified, known=old is not None)
        finally:
            flight.callers -= 1
            if (flight.landed or flight.callers == 0) and flights.get(place) is flight:
                del flights[place]
        if flight.error is not None:
            return excused(key, unverified, after, flight.error)
        return flight.value

    async def ask(
        flight: _Flight[T], key: Hashable, unverified: Unverified, *, known: bool
    ) -> None:
        """Ask for all of the flight's callers. Cancelled or refused, it has not landed."""
        issuer, began, serial = unverified.claims.get("iss", ""), clock(), next(serials)
        if not known and not spend(issuer, 1):
            flight.landed, flight.error = True, Unavailable(source, "the budget of misses is spent")
            return tell("budget_spent", unverified, 0.0)
        try:
            answer = await load(unverified)
        except TokenRejected:
            if not known:
                spend(issuer, -1)
            raise
        except Exception as error:
            flight.landed, flight.error = True, error
            if not isinstance(error, Unavailable):
                raise
            pause(key, clock() + caching.min_age)
            return tell("unavailable", unverified, clock() - began)
        entry = record(key, dated(answer, serial, began, clock(), caching))
        flight.landed, flight.value = True, entry.value
        found: Kind = "refreshed" if known else "fetched"
        tell(found if entry.value is not None else "unknown", unverified, clock() - began)

    def excused(
        key: Hashable, unverified: Unverified, after: float, error: Exception | None
    ) -> T | None:
        """The old value, if the outage excuses its age; else the outage."""
        entry, now = recall(key), clock()
        if error is not None and not isinstance(error, Unavailable):
            raise Unavailable(source, f"asking failed: {type(error).__name__}") from error
        if entry is not None and now < entry.error_until and after < entry.completed:
            tell("stale", unverified, now - entry.fresh_until)
            return entry.value
        if error is None:
            raise Unavailable(source, "it did not answer, and is left alone for a moment")
        raise Unavailable(*error.args) from error

    def tell(kind: Kind, unverified: Unverified, seconds: float) -> None:
        if observe is not None:
            observe(Event(kind, source, unverified.header.get("kid", ""), seconds))

    return look_up


def issuer_kid_algorithm(unverified: Unverified) -> Hashable:
    """What `cached` remembers by: all of a token that a resolver usually reads."""
    header, claims = unverified.header, unverified.claims
    return claims.get("iss"), header.get("kid"), header["alg"]


def cached(
    resolver: Resolver,
    *,
    key: Callable[[Unverified], Hashable] = issuer_kid_algorithm,
    caching: Caching = Caching(),
    clock: Callable[[], float] = time.monotonic,
    observe: Observe | None = None,
) -> Resolver:
    """Remember what a resolver answers, and let callers that miss the same key share one call.

    Args:
        resolver: Any resolver; one that looks into a database, say.
        key: From a token to what its answer is remembered by. It must cover all that `resolver`
            reads, or one issuer's key answers for another's; by default issuer, key id and
            algorithm.
        caching: The bounds. An answer is fresh for `default_age`.
        clock: A clock in seconds, that never goes back.
        observe: Told of every event but a plain hit.

    Returns:
        A resolver, safe to share between threads and event loops. It raises what `resolver` does,
        and `Unavailable` when the budget of misses is spent or the call it waited on failed.
    """

    async def load(unverified: Unverified) -> Answer[Key]:
        return Answer(await resolver(unverified))

    look_up = memo(load, "cached", caching, clock, observe)

    def resolve(unverified: Unverified) -> Awaitable[Key | None]:
        return look_up(key(unverified), unverified, ANY_AGE)

    return resolve
