"""How long an HTTP answer may be kept, read from its headers.

Pure functions of header values. A directive is applied as written or not at all: what is malformed
counts as absent, and of a directive that is given twice the smallest counts, so that no oddity
keeps a key longer than its owner meant.
"""

import re
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

# An element of a list ends at a comma that is not within a quoted string (RFC 9110, section 5.6).
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
# A recipient accepts both forms of an argument (RFC 9111, section 5.2).
_ARGUMENT: Final = re.compile(r'([0-9]+)|"([0-9]+)"')
# What a number too large counts as (RFC 9111, section 1.2.2).
_LARGEST: Final = 2**31
# The longest pause that is believed: a day.
_LONGEST_PAUSE: Final = 86_400.0
# Both are directives by which an answer is not to be used when it is stale, or not to be kept.
_NEVER_STALE: Final = frozenset(("must-revalidate", "no-cache", "no-store"))


class Freshness(NamedTuple):
    """How long an answer may be kept, in seconds; None where it does not say.

    Attributes:
        max_age: It is fresh for so long from now.
        stale_while_revalidate: It may be used while it is being refreshed (RFC 5861, section 3).
        stale_if_error: It may be used when it cannot be refreshed (RFC 5861, section 4).
        must_revalidate: It must not be used once it is no longer fresh (RFC 9111, section 4.2.4).
    """

    max_age: float | None
    stale_while_revalidate: float | None
    stale_if_error: float | None
    must_revalidate: bool = False


def freshness(cache_control: str, age: str = "") -> Freshness:
    """Read how long an answer may be kept (RFC 9111, sections 4.2 and 5.2.2; RFC 5861).

    Args:
        cache_control: The value of `Cache-Control`; several header lines joined by commas.
        age: The value of `Age`: how old the answer is already, in seconds.

    Returns:
        The times. `max_age` has the age subtracted and is never negative; it is 0 for `no-store`
        and `no-cache`. `must_revalidate` is set by `must-revalidate`,
        `no-cache` and `no-store` (RFC 9111, section 4.2.4).
    """
    given: dict[str, int] = {}
    must_revalidate = False
    for element in _ELEMENT.findall(cache_control):
        name, _, argument = element.strip(" \t").partition("=")
        name = name.lower()
        seconds = _seconds(argument)
        must_revalidate |= name in _NEVER_STALE
        if name in ("no-store", "no-cache"):
            name, seconds = "max-age", 0
        if seconds is not None:
            given[name] = min(seconds, given.get(name, seconds))
    max_age = given.get("max-age")
    if max_age is not None:
        # Of several ages the first counts; one that is malformed is ignored (section 5.1).
        max_age = max(0, max_age - (_seconds(age.partition(",")[0].strip(" \t")) or 0))
    revalidate, error = given.get("stale-while-revalidate"), given.get("stale-if-error")
    return Freshness(max_age, revalidate, error, must_revalidate)


def retry_after(value: str, date: str, now: float) -> float | None:
    """How long a server asks to be left alone (RFC 9110, section 10.2.3).

    Args:
        value: The value of `Retry-After`: seconds, or a date.
        date: The value of `Date`, which a date is compared with where it is one.
        now: What it is compared with otherwise, in seconds since the epoch.

    Returns:
        Seconds, never negative and at most a day; None where the value is neither.
    """
    if value.strip(" \t").isdecimal():
        seconds = _seconds(value.strip(" \t"))
        return None if seconds is None else min(float(seconds), _LONGEST_PAUSE)
    until, since = _timestamp(value), _timestamp(date)
    if until is None:
        return None
    return min(max(0.0, until - (now if since is None else since)), _LONGEST_PAUSE)


def _timestamp(date: str) -> float | None:
    if len(date) > 64:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _seconds(argument: str) -> int | None:
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        return None
    digits = (match[1] or match[2]).lstrip("0") or "0"
    return min(int(digits[:11]), _LARGEST)
