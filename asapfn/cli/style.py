"""Colour, where it helps: on a terminal, and not when `NO_COLOR` is set (no-color.org)."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Final, TextIO

_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}

Paint = Callable[[str, str], str]


def painter(stream: TextIO = sys.stdout, environ: Mapping[str, str] | None = None) -> Paint:
    """Make what colours text for a stream.

    Args:
        stream: Where the text will go.
        environ: Where `NO_COLOR` may be set; None stands for the process's own environment.

    Returns:
        A function of a style (bold, dim, red, green, yellow) and a text; it gives the text as it
        is where colour is not wanted.
    """
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR") or not stream.isatty():
        return lambda style, text: text
    return lambda style, text: f"\x1b[{_CODES[style]}m{text}\x1b[0m"
