"""One cache under every key source: fetch once, keep within bounds, outlive outages.

An entry's life, from the time it is fetched:

    fresh                   served at once
    stale-while-revalidate  served at once; a refresh runs beside
    stale-if-error          callers wait for a refresh, and get the old value if the source is down;
                            while it is known to be down the old value is served at once
    expired                 callers wait for a refresh, or get `Unavailable`

"No such key" is kept too, for `unknown_for` seconds, and so is a failure, for the time until the
source may be asked again. Each kind has a table of its own, of `max_keys` entries: keys that have
verified a token, keys that have not yet, unknown keys, failures. So neither unknown keys nor keys
that an unverified token named push out a key in use.

Values are shared between event loops, under a lock that is never held across an await. All of the
state is in `Cache`.
"""

import itertools
import math
import random
import threading
import time
from collections import ChainMap, Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from anyio.lowlevel import current_token

from asapfn._core.verification import has_verified
from asapfn.errors import TokenRejected, Unavailable, cause
from asapfn.resolvers import _single_flight as single_flight
from asapfn.resolvers._budget import Budget, refund, take_turn
from asapfn.resolvers._single_flight import Flights
from asapfn.types import Caching, Event, Key, Kind, Observe, Resolver, Unverified

T = TypeVar("T")

NOTHING: Final = object()

# The pause after a failure doubles from the first to the longest; each is cut by up to a half at
# random. A source that is down for all keys is asked by `_TRIES` look-ups, and then by one look-up
# in each pause. These pauses are short, so that a recovery is found soon.
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 1.0
_LONGEST_OUTAGE_PAUSE: Final = 0.5
_LONGEST_RETRY_AFTER: Final = 60.0
_TRIES: Final = 5
# A question to the source hangs if one that was asked so many seconds later was answered.
_OVERTAKEN: Final = 0.5


class Answer(NamedTuple, Generic[T]):
    """What a source said: a value, or None for "no such key"; and for how long, in seconds.

    `unusable` is set where there is something under the key's name that cannot be used. It concerns
    this key alone, and is kept as long as "no such key", but does not replace an older value.
    """

    value: T | None
    max_age: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    must_revalidate: bool = False
    unusable: Unavailable | None = None


class Entry(NamedTuple, Generic[T]):
    """A cached answer, and until when it serves, in seconds on the cache's clock.

    `marked` says that the value had verified tokens before it came into this cache, so that its
    mark says nothing about this entry.
    """

    value: T | None
    serial: int
    issuer: int
    warm_until: float
    fresh_until: float
    revalidate_until: float
    error_until: float
    marked: bool


class Failure(NamedTuple):
    """Why the last question failed, how many have in a row, and when the next may be asked.

    `needed_at` is when it may be asked again for a caller that has no older value to use. It is
    soon, so that a recovery is found soon, unless the source asked for a longer pause.
    """

    source: str
    detail: str
    tries: int
    retry_at: float
    needed_at: float


_NO_FAILURE: Final = Failure("", "", 0, -math.inf, -math.inf)


class RateLimited(NamedTuple):
    """The outcome of a call that was not made: its issuer's budget of misses is spent."""

    issuer: str


@dataclass(slots=True, eq=False)
class Cache(Generic[T]):
    """A cache's state; the functions below work on it.

    Attributes:
        load: Asks the source. It raises `Unavailable` when the source is down, and `TokenRejected`
            when this token must not ask, which is neither cached nor shared.
        source: The source's name, for events and errors.
        caching: The bounds.
        clock: A monotonic clock in seconds.
        observe: Called with every event but a plain hit.
        admit: Raises `TokenRejected` for a token that must not ask, before it costs a miss.
        is_proven: Whether a value has verified a token.
        one_source: Whether an outage for one key is an outage for all keys.
        chance: Random numbers from 0 to 1, by which refreshes and retries are spread.
        proven: Entries whose value has verified a token; the least recently used goes first.
        unproven: Entries whose value has not; the oldest of the issuer with the most goes first.
        unknown: Entries of keys that do not exist.
        failures: Failures by key. A look-up that succeeds ends its own.
        outage: The failures of the whole source. Any look-up that succeeds ends them.
        answered: When the newest question began that the source answered. What fails of older
            questions, such as those that still hang, says nothing about the source of today.
        flights: The calls in progress.
        budget: The misses that are left.
        serials: Numbers for questions: an answer never replaces one to a later question.
        cleared: Answers to questions before this one are not kept.
    """

    load: Callable[[Unverified], Awaitable[Answer[T]]]
    source: str
    caching: Caching
    clock: Callable[[], float]
    observe: Observe | None
    admit: Callable[[Unverified], object] = bool
    is_proven: Callable[[Any], bool] = has_verified
    one_source: bool = False
    chance: Callable[[], float] = random.random
    proven: OrderedDict[Hashable, Entry[T]] = field(default_factory=OrderedDict)
    unproven: OrderedDict[Hashable, Entry[T]] = field(default_factory=OrderedDict)
    unknown: OrderedDict[Hashable, Entry[T]] = field(default_factory=OrderedDict)
    failures: OrderedDict[Hashable, Failure] = field(default_factory=OrderedDict)
    outage: Failure | None = None
    answered: float = -math.inf
    flights: Flights[Entry[T] | Unavailable | RateLimited] = field(default_factory=dict)
    budget: Budget = field(init=False)
    serials: "itertools.count[int]" = field(default_factory=itertools.count)
    cleared: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        require_bounds(self.caching)
        self.budget = Budget(self.caching, self.clock)


class Activity(NamedTuple):
    """What goes on in a resolver's caches.

    Attributes:
        waiting: Callers that wait for a fetch.
        fetching: Fetches in progress.
        cached: Keys in the cache; a key set counts as one.
        failing: Keys whose last fetch failed.
    """

    waiting: int
    fetching: int
    cached: int
    failing: int


def issuer_kid_algorithm(unverified: Unverified) -> Hashable:
    """What `cached` caches by: all of a token that a resolver usually reads."""
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
    """Cache what a resolver answers; callers that miss the same key at once share one call.

    Args:
        resolver: Any resolver; one that looks into a database, say.
        key: From a token to what its answer is cached by. It must cover all that `resolver` reads,
            or one issuer's key answers for another's; by default issuer, key id and algorithm.
        caching: The bounds. An answer is fresh for `default_age`.
        clock: A monotonic clock in seconds.
        observe: Called with every event but a plain hit.

    Returns:
        A resolver, safe to share between threads and event loops. It raises what `resolver` does,
        and `Unavailable` when the budget of misses is spent, the call it waited for failed, or one
        failed a short time ago; `RuntimeError` where `resolver` asks it for the same key.

    Raises:
        ValueError: If a bound in `caching` is negative, infinite or not a number.
    """
    cache: Cache[Key] = Cache(partial(_load, resolver), "cached", caching, clock, observe)
    return partial(_resolve, cache, key)


def activity(resolver: Resolver) -> Activity:
    """Count what goes on in a resolver's caches, for a readiness check or a metric.

    Args:
        resolver: A resolver of this library, such as `asap.repository(...)` makes it. Caches under
            a function of your own are not seen: ask about the resolver that function calls.

    Returns:
        The counts, of all threads and event loops together.
    """
    found = dict.fromkeys(_caches(resolver))
    counts = [single_flight.count(cache.flights) for cache in found]
    return Activity(
        sum(waiting for waiting, _ in counts),
        sum(fetching for _, fetching in counts),
        sum(len(cache.proven) + len(cache.unproven) for cache in found),
        sum(len(cache.failures) for cache in found),
    )


def clear(resolver: Resolver, kid: str | None = None) -> None:
    """Drop a key from a resolver's caches, such as one that was revoked at its source.

    Tokens that come afterwards are not verified with it, unless its source has it still: the source
    is asked again, also if it failed a short time ago, and what a fetch that is in progress brings
    is not kept. It takes locks: a handler of `signal.signal` must not call it, but may start a
    thread that does, and the event loop's `add_signal_handler` is safe.

    Args:
        resolver: A resolver of this library, as for `activity`.
        kid: The key's id; a key set that has it is dropped whole. None drops all that is cached.
    """
    # Those within first, or one around them could be filled from them again meanwhile.
    for cache in dict.fromkeys(_caches(resolver)):
        with cache.lock:
            cache.cleared = next(cache.serials)
            tables: ChainMap[Hashable, Any] = ChainMap(
                cache.proven, cache.unproven, cache.unknown, cache.failures
            )
            for key, kept in list(tables.items()):
                if kid is None or _is_about(key, getattr(kept, "value", None), kid):
                    for table in tables.maps:
                        table.pop(key, None)
        for of_loop in list(cache.flights.values()):
            for key in list(of_loop):
                single_flight.give_up(of_loop, key)


def _is_about(key: Hashable, value: object, kid: str) -> bool:
    """Whether what is cached is the key of this id, a set that has it, or that there is none."""
    named = key == kid or (isinstance(key, tuple) and kid in key)
    in_set = any(kid in getattr(value, each, ()) for each in ("by_id", "faults"))
    return named or in_set or kid == getattr(value, "kid", None)


def is_prefetch(unverified: Unverified) -> bool:
    """Whether a look-up is for no token, but made by `prefetch`: it has no signing input."""
    return not unverified.signing_input


def require_bounds(caching: Caching) -> None:
    """Raise ValueError for a bound that is negative, infinite, or not a number."""
    for name, value in caching._asdict().items():
        require_bound(name, value)
    if caching.max_keys < 1 or caching.spread > 1:
        raise ValueError("max_keys is at least 1, and spread at most 1")


def require_bound(name: str, value: float | tuple[float, int]) -> None:
    """Raise ValueError, with the name, for a number that is negative, infinite or no number."""
    for number in value if isinstance(value, tuple) else (value,):
        if not 0 <= number < math.inf:
            raise ValueError(f"{name} must be finite and not negative, not {value!r}")


async def look_up(
    cache: Cache[T], key: Hashable, unverified: Unverified, other_than: object = NOTHING
) -> T | None:
    """The value for a key, from the cache or from its source.

    Args:
        cache: The cache.
        key: Covers everything that `cache.load` reads.
        unverified: The token. For `prefetch` an entry is fresh for half of its time only, so that
            tokens find it fresh for all of it.
        other_than: A value that the caller cannot use: the source is asked for another one.
    """
    now, proven = cache.clock(), cache.proven
    with cache.lock:
        entry = proven.get(key)
        if entry is not None:
            proven.move_to_end(key)
    if entry is None:
        entry = _get(cache, key)
    if (
        entry is not None
        and entry.value is not other_than
        and (now < entry.warm_until or (now < entry.fresh_until and not is_prefetch(unverified)))
    ):
        return entry.value
    cache.admit(unverified)
    return await _ask(cache, key, unverified, other_than, entry, now)


async def _ask(
    cache: Cache[T],
    key: Hashable,
    unverified: Unverified,
    other_than: object,
    entry: Entry[T] | None,
    now: float,
) -> T | None:
    """The old value while a refresh runs beside, or else the outcome of a call to the source."""
    flight = single_flight.in_progress(cache.flights, key)
    if flight is not None and cache.one_source and flight.asked < cache.answered - _OVERTAKEN:
        single_flight.give_up(cache.flights[current_token().native_token], key)
        flight = None
    running = flight is not None
    failure = _failure(cache, key, now)
    detail = "" if failure is None else failure.detail
    left_alone = running or (failure is not None and now < failure.retry_at)
    if entry is not None and entry.value is not other_than:
        serves_until = entry.revalidate_until if failure is None else entry.error_until
        if now < serves_until and (left_alone or not is_prefetch(unverified)):
            if not left_alone:
                refresh = partial(_refresh, cache, key, unverified, True)
                single_flight.begin(cache.flights, key, refresh)
            return _serve(cache, entry, unverified, now, detail)
    if failure is not None and not running and now < failure.needed_at:
        raise _not_asked(failure, now)
    outcome = await _outcome(cache, key, unverified)
    if isinstance(outcome, Entry):
        return outcome.value
    newest, now = _get(cache, key), cache.clock()
    if newest is None or newest.value is other_than or now >= newest.error_until:
        raise Unavailable(*outcome.args, retry_after=outcome.retry_after) from outcome
    return _serve(cache, newest, unverified, now, cause(outcome))


async def _outcome(
    cache: Cache[T], key: Hashable, unverified: Unverified
) -> Entry[T] | Unavailable:
    """The outcome of the call in progress, or of a new one; the budget is each issuer's own."""
    refresh = partial(_refresh, cache, key, unverified, False)
    while True:
        try:
            outcome = await single_flight.join(cache.flights, key, refresh, cache.source)
        except Unavailable as error:
            return error
        if not isinstance(outcome, RateLimited):
            return outcome
        # A look-up that is for no token asks again, with no budget.
        if outcome.issuer == unverified.claims.get("iss", "") and not is_prefetch(unverified):
            raise Unavailable(cache.source, "the budget of misses is spent")


async def _refresh(
    cache: Cache[T], key: Hashable, unverified: Unverified, alone: bool
) -> Entry[T] | Unavailable | RateLimited:
    """Ask the source. An outage is returned, for all who wait. `alone`: nobody has to wait."""
    issuer = unverified.claims.get("iss", "")
    entry = _get(cache, key)
    known = entry is not None and entry.value is not None
    charged = not known and not is_prefetch(unverified)
    if charged and not await take_turn(cache.budget, issuer):
        report(cache, "rate_limited", unverified, 0.0)
        return RateLimited(issuer)
    began, serial = cache.clock(), next(cache.serials)
    single_flight.note_asked(began)
    failure = _probe(cache, began)
    if failure is not None:
        if charged:
            refund(cache.budget, issuer)
        return _not_asked(failure, began)
    try:
        answer = await cache.load(unverified)
    except Unavailable as outage:
        _failed(cache, key, unverified, outage, began)
        if charged and _is_down(cache, began):
            refund(cache.budget, issuer)
        return outage
    except TokenRejected:
        _answered(cache, key, began)
        raise
    except Exception as error:
        fault = Unavailable(cache.source, f"asking failed: {type(error).__name__}")
        if alone:
            return _failed(cache, key, unverified, fault, began)
        report(cache, "unavailable", unverified, cache.clock() - began, cause(fault))
        raise
    if answer.unusable is not None:
        return _failed(cache, key, unverified, answer.unusable, began, unusable=True)
    _answered(cache, key, began)
    if charged and answer.value is not None:
        refund(cache.budget, issuer)
    now, marked = cache.clock(), answer.value is not None and cache.is_proven(answer.value)
    entry = dated(answer, serial, began, now, cache.caching, cache.chance())
    entry = _put(cache, key, entry._replace(issuer=hash(issuer), marked=marked))
    found: Kind = "refreshed" if known else "fetched"
    report(cache, "unknown" if entry.value is None else found, unverified, now - began)
    return entry


def dated(
    answer: Answer[T],
    serial: int,
    began: float,
    completed: float,
    caching: Caching,
    chance: float = 0.0,
) -> Entry[T]:
    """The answer to a question of this number, with its dates.

    Age counts from the question (RFC 9111, section 4.2.3), so that a slow source makes nothing
    younger; the least age counts from the answer. `chance` of the spread is taken off.
    """
    if answer.value is None:
        gone = completed + caching.unknown_for
        return Entry(None, serial, 0, gone, gone, gone, gone, False)
    age = caching.default_age if answer.max_age is None else answer.max_age
    age = min(age, caching.max_age) * (1 - caching.spread * chance)
    fresh = max(completed + caching.min_age, began + age)  # in this order the age may be NaN
    # In this order it may be NaN, which would never end, or negative.
    revalidate = fresh + max(0.0, min(answer.stale_while_revalidate or 0.0, caching.max_age))
    stale = caching.stale_if_error
    if answer.stale_if_error is not None:
        stale = min(stale, answer.stale_if_error)
    error = max(revalidate, fresh + stale)
    if answer.must_revalidate:
        revalidate = error = fresh
    warm = (completed + fresh) / 2
    return Entry(answer.value, serial, 0, warm, fresh, revalidate, error, False)


def _get(cache: Cache[T], key: Hashable) -> Entry[T] | None:
    """The entry for a key, in any table. One that has verified by now becomes proven."""
    with cache.lock:
        entry = cache.unproven.get(key)
        if entry is None:
            return cache.proven.get(key) or cache.unknown.get(key)
        if _has_proved(cache, entry):
            del cache.unproven[key]
            _insert(cache, cache.proven, key, entry)
        return entry


def _put(cache: Cache[T], key: Hashable, entry: Entry[T]) -> Entry[T]:
    """Put an entry in its table. Returns the newest entry there is: this one, or a newer one."""
    with cache.lock:
        if entry.serial < cache.cleared:
            return entry
        tables = ChainMap(cache.proven, cache.unproven, cache.unknown)
        newest = tables.get(key)
        if newest is not None and newest.serial > entry.serial:
            return newest
        if entry.value is None:
            table = cache.unknown
        else:
            table = cache.proven if key in cache.proven else cache.unproven
        for other in tables.maps:
            other.pop(key, None)
        _insert(cache, table, key, entry)
        return entry


def _insert(
    cache: Cache[T], table: OrderedDict[Hashable, Entry[T]], key: Hashable, entry: Entry[T]
) -> None:
    """Insert an entry; over `max_keys` another one goes."""
    table[key] = entry
    if len(table) <= cache.caching.max_keys:
        return
    if table is not cache.unproven:
        table.popitem(last=False)
        return
    # Of the issuer that has the most, so that each issuer keeps its share.
    issuer, _ = Counter(each.issuer for each in table.values()).most_common(1)[0]
    oldest = next(each for each, candidate in table.items() if candidate.issuer == issuer)
    candidate = table.pop(oldest)
    if _has_proved(cache, candidate):
        _insert(cache, cache.proven, oldest, candidate)


def _has_proved(cache: Cache[T], entry: Entry[T]) -> bool:
    return not entry.marked and entry.value is not None and cache.is_proven(entry.value)


def _failure(cache: Cache[T], key: Hashable, now: float) -> Failure | None:
    """The failure that counts now: the key's own or the source's, until a while after its pause."""
    failures = cache.failures.get(key, _NO_FAILURE), cache.outage or _NO_FAILURE
    failure = max(failures, key=lambda each: each.retry_at)
    if _is_past(cache, failure, now):
        return None
    return failure._replace(needed_at=max(each.needed_at for each in failures))


def _is_past(cache: Cache[T], failure: Failure, now: float) -> bool:
    """Whether a failure is too long ago to say anything about now."""
    return now >= failure.retry_at + cache.caching.min_age


def _outage(cache: Cache[T], now: float) -> Failure:
    """The failures of the whole source, unless they are past. The lock is held."""
    if cache.outage is not None and _is_past(cache, cache.outage, now):
        cache.outage = None
    return cache.outage or _NO_FAILURE


def _failed(
    cache: Cache[T],
    key: Hashable,
    unverified: Unverified,
    outage: Unavailable,
    began: float,
    *,
    unusable: bool = False,
) -> Unavailable:
    """Report a failure and note when the source may be asked again, for this key and for all."""
    now, detail = cache.clock(), cause(outage)
    # A date may be past, and a `fetch` of the caller's may subtract it as it is.
    asked_off = max(0.0, min(outage.retry_after or 0.0, _LONGEST_RETRY_AFTER))
    with cache.lock:
        tries = cache.failures.pop(key, _NO_FAILURE).tries + 1
        entry = cache.proven.get(key) or cache.unproven.get(key)
        pause = cache.caching.unknown_for if unusable else _pause(cache, tries)
        answers = unusable or outage.answered
        if answers or not cache.one_source:
            pause = max(pause, asked_off)
        elif tries == 1 and began < cache.answered:
            pause = asked_off  # the source is well again, or was while this key failed
        needed_at = retry_at = now + pause
        if not unusable and entry is not None and now < entry.error_until:
            retry_at = max(retry_at, now + cache.caching.min_age * (1 - cache.chance() / 2))
        cache.failures[key] = Failure(outage.source, detail, tries, retry_at, needed_at)
        if len(cache.failures) > cache.caching.max_keys:
            cache.failures.popitem(last=False)
        if answers:
            cache.outage, cache.answered = None, max(cache.answered, began)
        elif cache.one_source and began >= cache.answered:
            down = _outage(cache, now)
            tries = down.tries + 1
            pause = asked_off
            # From then on each look-up that is let through puts off the next one: questions that
            # fail later began before the source was known to be down, and say nothing about now.
            if tries == _TRIES:
                pause = max(pause, _pause(cache, 0, _LONGEST_OUTAGE_PAUSE))
            # Another question may already have been answered with a later time to ask again.
            retry_at = max(now + pause, down.retry_at)
            cache.outage = Failure(outage.source, detail, tries, retry_at, retry_at)
    report(cache, "unavailable", unverified, now - began, detail)
    return outage


def _is_down(cache: Cache[T], began: float) -> bool:
    """Whether the whole source failed: then pauses limit the questions, and a miss is refunded."""
    hung = cache.one_source and began < cache.answered and cache.clock() - began >= _OVERTAKEN
    return hung or (cache.outage or _NO_FAILURE).tries >= _TRIES


def _answered(cache: Cache[T], key: Hashable, began: float) -> None:
    """Forget the failures of a source that answers."""
    with cache.lock:
        cache.failures.pop(key, None)
        cache.outage, cache.answered = None, max(cache.answered, began)


def _probe(cache: Cache[T], now: float) -> Failure | None:
    """Let one look-up a pause ask a source that is down: for each other one, return the outage."""
    with cache.lock:
        outage = _outage(cache, now)
        if outage.tries >= _TRIES:
            if now < outage.retry_at:
                return outage
            pause = _pause(cache, outage.tries - _TRIES, _LONGEST_OUTAGE_PAUSE)
            cache.outage = outage._replace(retry_at=now + pause, needed_at=now + pause)
        return None


def _not_asked(failure: Failure, now: float) -> Unavailable:
    wait = f"not asked again for {failure.needed_at - now:.1f} s, since it failed"
    return Unavailable(failure.source, f"{wait}: {failure.detail}")


def _pause(cache: Cache[T], tries: int, longest: float = _LONGEST_PAUSE) -> float:
    longest = min(longest, cache.caching.min_age)
    return min(_FIRST_PAUSE * 2.0 ** min(tries - 1, 10), longest) * (1 - cache.chance() / 2)


def _serve(
    cache: Cache[T], entry: Entry[T], unverified: Unverified, now: float, detail: str = ""
) -> T | None:
    if now >= entry.fresh_until:
        report(cache, "stale", unverified, now - entry.fresh_until, detail)
    return entry.value


def report(
    cache: Cache[T], kind: Kind, unverified: Unverified, seconds: float, detail: str = ""
) -> None:
    """Call the cache's `observe`, if it has one."""
    if cache.observe is not None:
        kid = unverified.header.get("kid", "")
        cache.observe(Event(kind, cache.source, kid, seconds, detail))


async def _load(resolver: Resolver, unverified: Unverified) -> Answer[Key]:
    return Answer(await resolver(unverified))


def _resolve(
    cache: Cache[Key], key: Callable[[Unverified], Hashable], unverified: Unverified
) -> Awaitable[Key | None]:
    return look_up(cache, key(unverified), unverified)


def _caches(part: object) -> Iterator[Cache[Any]]:
    """The caches within a resolver, each before those around it.

    Ours are partial functions of what they consist of.
    """
    if isinstance(part, Cache):
        yield from _caches(part.load)
        yield part
    elif isinstance(part, partial):
        yield from _caches((*part.args, *part.keywords.values()))
    elif isinstance(part, Mapping):
        yield from _caches(tuple(part.values()))
    elif isinstance(part, tuple):
        for each in part:
            yield from _caches(each)
