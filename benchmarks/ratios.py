"""Measure everything and print the table of ratios: `nox -s bench`.

`--plot` also draws `ratios.svg`.
"""

import argparse
import asyncio
import datetime
import importlib.metadata
import pathlib
import platform
import tempfile
import warnings
from collections.abc import Iterable
from typing import Final

import chart
from cryptography.hazmat.backends.openssl import backend
from measure import Effort, Row, rows
from targets import Target, targets

COLUMNS: Final = ("asapfn", "joserfc", "PyJWT", "authlib", "atlassian-jwt-auth", "atlassian-jwt")
PACKAGES: Final = (
    "asapfn", "cryptography", "joserfc", "PyJWT", "Authlib", "atlassian-jwt-auth", "atlassian-jwt",
    "anyio", "httpx", "requests", "aiohttp", "uvicorn",
)  # fmt: skip
METHOD: Final = """\
Contenders of a row take turns in laps of about 2 ms, each round in another order, and the best lap
of each is compared: so a ratio holds on a machine that is busy. What is awaited is awaited many
times within one running loop, since starting a loop costs as much as a verification. Everyone has
what can be prepared beforehand: keys parsed, options made, caches warm; everyone verifies
signature, expiry and audience. `asapfn` in a row of `verify` is the whole of ASAP through the cache
of a repository with a mirror, its memory of tokens turned off; `(seen before)` has it and gets the
same token again, `(new tokens)` has it and gets another each time; `(verify)` and `(sign)` are
those functions alone. cryptography
verifies or signs bytes that lie ready, and does nothing else. In a row `part by part` each does
what the one before it does, and one thing more: the last is the whole. Servers run in a process of
their own. Times and memory are this machine's; ratios are what to compare. An import is measured by
the processor's time in a new interpreter, memory by tracemalloc.
"""


def versions() -> str:
    """What was measured, in one line."""
    each = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return ", ".join([python, *each, f"{backend.openssl_version_text()}"])


def table(each: Iterable[Row], asked: Iterable[Target]) -> str:
    """The answers and what is asked of them, in Markdown."""
    met = {True: "yes", False: "**no**", None: ""}
    return "\n".join(
        [
            f"{METHOD}",
            f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {platform.machine()}. {versions()}.",
            "",
            "| what it must show | wanted | measured | met |",
            "|---|---|---|---|",
            *(f"| {t.what} | {t.wanted} | {t.measured} | {met[t.met]} |" for t in asked),
            "",
            f"| question | 1 is | {' | '.join(COLUMNS)} |",
            "|---|---|" + "---|" * len(COLUMNS),
            *(_line(row) for row in each),
        ]
    )


def _line(row: Row) -> str:
    cells: dict[str, list[str]] = {library: [] for library in COLUMNS}
    for name in row.best:
        library, _, variant = name.partition(" (")
        if library in cells:
            said = f" ({variant}" if variant else ""
            cells[library].append(f"{_figure(row.ratio(name))}{said}")
    one = f"{row.one}, {_amount(row.best[row.one], row.unit)}"
    return f"| {row.question} | {one} | {' | '.join(', '.join(c) for c in cells.values())} |"


def _figure(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _amount(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value:.0f} B"
    return f"{value * 1e6:.3g} µs" if value < 1e-3 else f"{value * 1e3:.3g} ms"


async def measured(effort: Effort) -> list[Row]:
    """All rows."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # joserfc says so of EdDSA, and would print it.
        warnings.filterwarnings("ignore", "EdDSA is deprecated")
        return [row async for row in rows(effort, pathlib.Path(folder))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", action="store_true", help="draw ratios.svg as well")
    options = parser.parse_args()
    each = asyncio.run(measured(Effort()))
    print(table(each, targets({row.question: row for row in each})))
    if options.plot:
        chart.draw(each, versions(), pathlib.Path(__file__).with_name("ratios.svg"))


if __name__ == "__main__":
    main()
