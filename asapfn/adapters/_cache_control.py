"""How long an HTTP answer may be kept, read from its headers.

One pure function from two header values to three numbers and a flag. A directive is taken at its
word or not at all: what is malformed counts as absent, and of a directive that is given twice the
smallest counts, so that no oddity keeps a key longer than its owner meant.
"""

import re
from typing import Final, NamedTuple

# An element of a list ends at a comma that is not within a quoted string (RFC 9110, section 5.6).
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
# A recipient takes both forms of an argument (RFC 9111, section 5.2).
_ARGUMENT: Final = re.compile(r'([0-9]+)|"([0-9]+)"')
# What a number too large counts as (RFC 9111, section 1.2.2).
_LARGEST: Final = 2**31


class Freshness(NamedTuple):
    """How long an answer may be kept, in seconds; None where it does not say.

    Attributes:
        max_age: It is fresh for so long from now.
        stale_while_revalidate: It may be used while it is being refreshed (RFC 5861, section 3).
        stale_if_error: It may be used when it cannot be refreshed (RFC 5861, section 4).
        must_revalidate: It must not be used once it is no longer fresh (RFC 9111, sections 5.2.2.2
            and 5.2.2.5).
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
        The times. `max_age` has the age taken off and is never negative; it is 0 for `no-store`
        and `no-cache`. `must_revalidate` is set by `no-store` and `must-revalidate`.
    """
    given: dict[str, int] = {}
    must_revalidate = False
    for element in _ELEMENT.findall(cache_control):
        name, _, argument = element.strip(" \t").partition("=")
        name = name.lower()
        seconds = _seconds(argument)
        must_revalidate = must_revalidate or name in ("no-store", "must-revalidate")
        if name in ("no-store", "no-cache"):
            name, seconds = "max-age", 0
        if seconds is not None:
            given[name] = min(seconds, given.get(name, seconds))
    max_age = given.get("max-age")
    if max_age is not None:
        # Of several ages the first counts; one that is malformed is ignored (section 5.1).
        max_age = max(0, max_age - (_seconds(age.partition(",")[0].strip(" \t")) or 0))
    stale_while_revalidate, stale_if_error = map(
        given.get, ("stale-while-revalidate", "stale-if-error")
    )
    return Freshness(max_age, stale_while_revalidate, stale_if_error, must_revalidate)


def _seconds(argument: str) -> int | None:
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        return None
    digits = (match[1] or match[2]).lstrip("0") or "0"
    return min(int(digits[:11]), _LARGEST)
