"""One memo under every key source: fetch once, remember within bounds, survive outages.

What is remembered and for how long is in `answers`; that callers share a question, in `flights`;
how much asking is allowed, in `budget`. Here is who asks, and when. Answers are shared between
event loops, under a thread lock that is never held across an await.
"""

import itertools
import time
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Final

from asapfn.errors import Unavailable
from asapfn.resolvers.answers import Answer, Entry, T, dated, tables
from asapfn.resolvers.budget import misses
from asapfn.resolvers.flights import Flights, flights
from asapfn.types import Caching, Event, Key, Kind, Observe, Resolver, Unverified

NOTHING: Final = object()

LookUp = Callable[[Hashable, Unverified, object], Awaitable[T | None]]


def memo(
    load: Callable[[Unverified], Awaitable[Answer[T]]],
    source: str,
    caching: Caching,
    clock: Callable[[], float],
    observe: Observe | None,
    *,
    admit: Callable[[Unverified], object] = bool,
) -> LookUp[T]:
    """Make a memo of what `load` answers.

    Args:
        load: Asks the source. It raises `Unavailable` when that is down, and `TokenRejected` when
            this token must not ask, which is neither remembered nor shared.
        source: The source's name, for events and errors.
        caching: The bounds.
        clock: A clock in seconds, that never goes back.
        observe: Told of every event but a plain hit.
        admit: Raises `TokenRejected` for a token that must not ask, before it costs a miss.

    Returns:
        An async function of a key that covers all that `load` reads, the token, and an answer
        that will not do, so that the source is asked for another (`NOTHING`: any will do). It
        gives the value or None. A look-up for no token, as `warming` makes it, finds an answer
        fresh for half of its time only, so that tokens find it fresh for all of it.
    """
    recall, record, pause = tables(caching.max_keys)
    shared: Flights[Entry[T]] = flights(source)
    serials = itertools.count()
    spend = misses(caching, clock)

    async def look_up(key: Hashable, unverified: Unverified, other_than: object) -> T | None:
        entry, now = recall(key), clock()
        if entry is not None and entry.value is not other_than:
            due = entry.fresh_until
            if not unverified.signing_input:
                due = (entry.completed + due) / 2
            if now < due:
                return entry.value
        admit(unverified)
        paused = entry is not None and now < entry.retry_at
        if (
            entry is not None
            and entry.value is not other_than
            and now < entry.revalidate_until
            and (paused or shared.under_way(key))
        ):
            return served(entry, unverified, now)
        if paused:
            raise Unavailable(source, "it did not answer, and is left alone for a moment")
        known = entry is not None and entry.value is not None
        landed = await shared.join(key, partial(ask, key, unverified, known))
        if isinstance(landed, Unavailable):
            return excused(key, unverified, other_than, landed)
        return landed.value

    async def ask(key: Hashable, unverified: Unverified, known: bool) -> Entry[T] | Unavailable:
        """The answer, or the outage, for all; a refusal, which it raises, is for this caller."""
        began, serial = clock(), next(serials)
        if not known and not spend(unverified.claims.get("iss", "")):
            tell("budget_spent", unverified, 0.0)
            raise Unavailable(source, "the budget of misses is spent")
        try:
            answer = await load(unverified)
        except Unavailable as outage:
            pause(key, clock() + caching.min_age)
            tell("unavailable", unverified, clock() - began)
            return outage
        entry = record(key, dated(answer, serial, began, clock(), caching))
        found: Kind = "refreshed" if known else "fetched"
        tell(found if entry.value is not None else "unknown", unverified, clock() - began)
        return entry

    def excused(
        key: Hashable, unverified: Unverified, other_than: object, outage: Unavailable
    ) -> T | None:
        """The newest answer, if the outage excuses its age; else the outage."""
        entry, now = recall(key), clock()
        if entry is None or entry.value is other_than or now >= entry.error_until:
            raise Unavailable(*outage.args) from outage
        return served(entry, unverified, now)

    def served(entry: Entry[T], unverified: Unverified, now: float) -> T | None:
        if now >= entry.fresh_until:
            tell("stale", unverified, now - entry.fresh_until)
        return entry.value

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
        return look_up(key(unverified), unverified, NOTHING)

    return resolve
