"""What is printed: nothing in it may act on the terminal, and it fits the terminal's width.

A token's values come from anybody. Whatever is not printable, by which a terminal could be made to
do something or a reader be misled (escapes, text that runs backwards, characters of no width), is
shown as the escape it is written with in Python and JSON. There is colour unless `NO_COLOR` is set
(no-color.org) or the terminal calls itself dumb.
"""

import json
import os
import re
import shutil
import sys
import textwrap
from argparse import Namespace
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}

_NARROW: Final = 24  # columns that text needs beside its head
_INDENT: Final = 8  # where it stands below that

Line = tuple[str, str] | tuple[str, str, str]
_TOKEN: Final = re.compile(
    r"(?<![A-Za-z0-9_-])([A-Za-z0-9_-]{5})[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{3,}+\.[A-Za-z0-9_-]*"
    r"|(data:)\S+|(-----BEGIN)[\s\S]*?(?:-----END[^-]*-----|\Z)"
    r"""|(["'](?:[dkpqrt]|d[pq]|qi)[\\"']+\s*:\s*[\\"']+)[^\\"']+"""  # of a JWK
    r"|([{,]\s*(?:[dkpqrt]|d[pq]|qi)\s*:\s*)[^\s,}]+"  # of one that lost its quotes in a shell
)
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
# The years 1 to 9999, which are all that datetime has.
_FIRST, _LAST = -62_135_596_800, 253_402_300_800
_BEYOND: Final = 2**63  # no time of any token that is accepted


def safe(text: str) -> str:
    """A text with all that is not printable escaped: a line that a terminal does not obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def without_tokens(text: str) -> str:
    """A text in which what looks like a token or a key is cut to how it begins."""
    return _TOKEN.sub(r"\1\2\3\4\5...", text)


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
    width = min(max((len(safe(name)) for name in members), default=0), 24)
    return [(title, "", "bold")] + [
        (f"  {safe(name):<{width}}  ", claim_line(name, value, now), "")
        for name, value in members.items()
    ]


def painted(style: str, text: str, stream: TextIO, environ: Mapping[str, str] | None = None) -> str:
    """A text in a style (bold, dim, red, green, yellow), or as it is where that is not wanted.

    Args:
        style: The style; empty for none.
        text: The text.
        stream: Where it will go.
        environ: Where `NO_COLOR` may be set; None stands for the process's own environment.

    Returns:
        The text for the stream.
    """
    environ = os.environ if environ is None else environ
    plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain or not style else f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def show(head: str, text: str = "", style: str = "") -> None:
    """Print a head and the text behind it, as `fitted` has them, with nothing that acts."""
    sys.stdout.write(fitted(sys.stdout, style, head, safe(text)))


def answer(options: Namespace, members: Mapping[str, Any], lines: Iterable[Line] = ()) -> None:
    """Print members in JSON, for a machine that asks for it, or lines as `show` has them."""
    if options.json:
        sys.stdout.write(json.dumps(members) + "\n")
        return
    for line in lines:
        show(*line)


def continued(command: str, columns: int, indent: int) -> str:
    """A command in lines of a width, all but the first indented, which a shell reads as one."""
    return f" \\\n{' ' * indent}".join(_wrapped(command, max(columns - indent - 2, 20)))


def fitted(stream: TextIO, style: str, head: str, text: str) -> str:
    """A head and the text behind it, on a terminal in lines of its width.

    Args:
        stream: Where they will go.
        style: The style of the head; empty for none, `command` where the text is a command.
        head: What comes first; it is not broken.
        text: What stands beside it; where there is little place, below it.

    Returns:
        The lines, each with a line feed. A word that is longer than a line is left whole.
    """
    width = shutil.get_terminal_size().columns if stream.isatty() else sys.maxsize
    word = head.rstrip()
    start = painted("bold" if style == "command" else style, word, stream)
    if not text:
        return f"{start}\n"
    beside = width - len(head) >= _NARROW
    indent = len(head) if beside else _INDENT
    below = "\n" + " " * indent
    gap = head[len(word) :] if beside else below
    if style == "command":  # it can be copied, wherever it is broken
        text = continued(text, width, len(head) + 4)
    elif len(head) + len(text) > width:  # else its spaces stay as they are
        text = below.join(_wrapped(text, max(width - indent, 1)))
    return f"{start}{gap}{text}\n"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
