"""How output looks on a terminal: its width, and colour unless `NO_COLOR` is set (no-color.org)."""

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TextIO

from asapfn.cli.text import safe

_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}

_NARROW: Final = 24  # columns that text needs beside what stands before it

Paint = Callable[[str, str], str]
Line = tuple[str, str] | tuple[str, str, str]


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


def show(head: str, text: str = "", style: str = "") -> None:
    """Print a head and the text behind it, as `fitted` has them, with nothing that acts."""
    sys.stdout.write(fitted(sys.stdout, style, head, safe(text)))


def answer(
    options: argparse.Namespace, members: Mapping[str, Any], lines: Iterable[Line] = ()
) -> None:
    """Print members in JSON, for a machine that asks for it, or lines as `show` has them."""
    if options.json:
        sys.stdout.write(json.dumps(members) + "\n")
        return
    for line in lines:
        show(*line)


def continued(command: str, columns: int, indent: int) -> str:
    """A command in lines of a width, all but the first indented, which a shell reads as one."""
    width = max(columns - indent - 2, 20)
    lines = textwrap.wrap(command, width, break_long_words=False, break_on_hyphens=False)
    return f" \\\n{' ' * indent}".join(lines)


def columns_of(stream: TextIO) -> int:
    """How many columns there are, which is no matter where no terminal is."""
    return shutil.get_terminal_size().columns if stream.isatty() else sys.maxsize


def fitted(stream: TextIO, style: str, head: str, text: str, indent: int = 8) -> str:
    """A head and the text behind it, on a terminal in lines of its width.

    Args:
        stream: Where they will go.
        style: The style of the head; empty for none.
        head: What comes first; it is not broken.
        text: What stands beside it; where there is little place, below it.
        indent: How far text below the head is indented.

    Returns:
        The lines, each with a line feed. A word that is longer than a line is left whole.
    """
    width = columns_of(stream)
    painted = painter(stream)(style, head.rstrip()) if style else head.rstrip()
    if not text:
        return f"{painted}\n"
    beside = width - len(head) >= _NARROW
    indent = len(head) if beside else indent
    lines = textwrap.wrap(
        text, max(width - indent, 1), break_long_words=False, break_on_hyphens=False
    ) or [""]
    if len(head) + len(text) <= width:
        lines = [text]  # with its spaces as they are
    below = "\n" + " " * indent
    gap = head[len(head.rstrip()) :] if beside else below
    return f"{painted}{gap}{below.join(lines)}\n"
