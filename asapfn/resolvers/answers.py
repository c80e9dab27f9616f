"""What a source said, for how long it serves, and the tables that hold it.

The life of an answer, from the moment it is there:

    fresh                   served at once
    stale-while-revalidate  one caller asks again and waits; the others are served the old answer
    stale-if-error          callers wait for a new answer, and get the old one if the source is
                            down. From then on nobody waits but one caller every `min_age` seconds,
                            who asks again
    gone                    callers wait for a new answer, or are told `Unavailable`

"No such key" is an answer too. It replaces a good one at once and is remembered for `unknown_for`
seconds, in a table of its own, so that answers to strangers never push out good keys. A serial
number keeps an answer that was asked for earlier from replacing one that was asked for later.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from asapfn.types import Caching

T = TypeVar("T")


class Answer(NamedTuple, Generic[T]):
    """What a source said: a value, or None for "no such key"; and for how long, in seconds."""

    value: T | None
    max_age: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None


class Entry(NamedTuple, Generic[T]):
    """An answer with its dates, in seconds on the memo's clock."""

    value: T | None
    serial: int
    completed: float
    fresh_until: float
    revalidate_until: float
    error_until: float
    retry_at: float = -math.inf


class Tables(NamedTuple, Generic[T]):
    """The functions that read and write the tables. Each is atomic under threads.

    Attributes:
        recall: From a key to its entry, good, unknown or none; it counts as used.
        record: Puts an entry in its place, and gives the newest there is, its own or a newer one.
        pause: Puts off the next question about a good key until a time, since the source is down;
            while it stays so, the old answer is served to all but who asks.
    """

    recall: Callable[[Hashable], Entry[T] | None]
    record: Callable[[Hashable, Entry[T]], Entry[T]]
    pause: Callable[[Hashable, float], None]


def dated(
    answer: Answer[T], serial: int, began: float, completed: float, caching: Caching
) -> Entry[T]:
    """Give an answer its dates.

    Args:
        answer: What the source said.
        serial: The number of the question.
        began: When it was asked.
        completed: When it was answered.
        caching: The bounds.

    Returns:
        The entry. Age counts from the question (RFC 9111, section 4.2.3), so that a slow source
        makes nothing younger; the least age counts from the answer.
    """
    if answer.value is None:
        gone = completed + caching.unknown_for
        return Entry(None, serial, completed, gone, gone, gone)
    age = caching.default_age if answer.max_age is None else answer.max_age
    fresh = max(began + min(age, caching.max_age), completed + caching.min_age)
    revalidate = fresh + min(answer.stale_while_revalidate or 0.0, caching.max_age)
    excused = caching.stale_if_error
    if answer.stale_if_error is not None:
        excused = min(excused, answer.stale_if_error)
    return Entry(
        answer.value, serial, completed, fresh, revalidate, max(revalidate, fresh + excused)
    )


def tables(max_keys: int) -> Tables[T]:
    """Make the two tables, of good keys and of unknown ones.

    Args:
        max_keys: How many entries each holds; the least recently used goes first.

    Returns:
        The functions that work on them.
    """
    good: OrderedDict[Hashable, Entry[T]] = OrderedDict()
    unknown: OrderedDict[Hashable, Entry[T]] = OrderedDict()
    lock = threading.Lock()

    def recall(key: Hashable) -> Entry[T] | None:
        with lock:
            entry = good.get(key)
            if entry is None:
                return unknown.get(key)
            good.move_to_end(key)
            return entry

    def record(key: Hashable, entry: Entry[T]) -> Entry[T]:
        table, other = (unknown, good) if entry.value is None else (good, unknown)
        with lock:
            newest = good.get(key) or unknown.get(key)
            if newest is not None and newest.serial > entry.serial:
                return newest
            other.pop(key, None)
            table[key] = entry
            table.move_to_end(key)
            if len(table) > max_keys:
                table.popitem(last=False)
            return entry

    def pause(key: Hashable, until: float) -> None:
        with lock:
            if key in good:
                entry = good[key]
                good[key] = entry._replace(retry_at=until, revalidate_until=entry.error_until)

    return Tables(recall, record, pause)
