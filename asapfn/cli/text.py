"""What a token says, as text for a person: nothing in it may act on the terminal.

A token's values come from anybody. Whatever is not printable, by which a terminal could be made to
do something or a reader be misled (escapes, text that runs backwards, characters of no width), is
shown as the escape it is written with in Python and JSON.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

_TOKEN: Final = re.compile(
    r"([A-Za-z0-9_-]{5})[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{3,}\.[A-Za-z0-9_-]*"
)
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
# The years 1 to 9999, which is as far as a calendar goes here.
_FIRST, _LAST = -62_135_596_800, 253_402_300_800
_BEYOND: Final = 2**63  # no time of any token that is accepted


def safe(text: str) -> str:
    """A text with all that is not printable escaped: a line that a terminal does not obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def without_tokens(text: str) -> str:
    """A text in which what looks like a token is cut to five characters."""
    return _TOKEN.sub(r"\1...", text)


def shown(value: Any) -> str:
    """A JSON value in one line, safe to print; quotes show where a string begins and ends."""
    return safe(json.dumps(value, ensure_ascii=False))


def date(seconds: float) -> str:
    """A time, in seconds since the epoch, such as `2026-11-24 14:46:03 UTC`."""
    if not _FIRST <= seconds < _LAST:
        return "beyond the calendar"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """A length of time in its two largest units, such as `42 s`, `5 min` or `1 h 12 min`."""
    left = int(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2])) or "0 s"


def in_words(claim: str, value: float, now: float) -> str:
    """What the time of a claim means now, such as `2026-11-24 14:46:03 UTC, expires in 42 s`."""
    past, future = {
        "exp": ("expired {} ago", "expires in {}"),
        "iat": ("issued {} ago", "issued in {}: in the future"),
        "nbf": ("valid since {}", "valid in {}: not yet"),
    }[claim]
    words = past if value <= now else future
    return f"{date(value)}, {words.format(duration(abs(now - value)))}"


def claim_line(name: str, value: Any, now: float) -> str:
    """A claim's value, and what it means now if it is a time."""
    text = shown(value)
    if name in ("exp", "iat", "nbf") and type(value) in (int, float) and abs(value) < _BEYOND:
        text += f"  {in_words(name, value, now)}"
    return text


def member_lines(title: str, members: Mapping[str, Any], now: float) -> list[tuple[str, str, str]]:
    """A header or claims: its title, and a line for each member, padded to one width."""
    names = {name: safe(name) for name in members}
    width = min(max(map(len, names.values()), default=0), 24)
    return [(title, "", "bold")] + [
        (f"  {names[name]:<{width}}  ", claim_line(name, value, now), "")
        for name, value in members.items()
    ]
