"""The chart of ratios, drawn by matplotlib."""

import datetime
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Final

import matplotlib
from matplotlib.figure import Figure
from measure import Row

QUESTIONS: Final = (
    "verify RS256",
    "verify ES256",
    "verify RS256, keys from an https repository",
    "sign RS256",
    "sign ES256",
    "qsh of 5 parameters",
)
COMMAND: Final = "nox -s bench -- --plot"


def draw(rows: Sequence[Row], versions: str, path: pathlib.Path) -> None:
    """Draw how many times the floor's time each contender takes.

    Args:
        rows: The answers.
        versions: What was measured.
        path: Where the SVG goes.
    """
    by_question = {row.question: row for row in rows}
    # Text stays text, and the same figures give the same file.
    style = {"svg.fonttype": "none", "svg.hashsalt": "ratios", "font.size": 9}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(9, 9.5), layout="constrained")
        for axes, question in zip(figure.subplots(3, 2).flat, QUESTIONS, strict=True):
            row = by_question[question]
            names = sorted(row.best, key=row.best.__getitem__, reverse=True)
            ratios = [row.ratio(name) for name in names]
            colours = ["#1f6feb" if n.startswith("asapfn") else "#9aa4af" for n in names]
            bars = axes.barh([n.replace("atlassian-", "a.-") for n in names], ratios, color=colours)
            axes.bar_label(bars, [f"{r:.2f}" if r < 10 else f"{r:.0f}" for r in ratios], padding=3)
            axes.set_title(f"{question} (1 = {row.one})", fontsize=9, loc="left")
            axes.set_xlim(0, max(ratios) * 1.15)
            axes.spines[["top", "right"]].set_visible(False)
        today = datetime.datetime.now(datetime.UTC).date()
        caption = textwrap.fill(
            f"Times as long, shorter is better. {today}, {COMMAND}. {versions}.", 130
        )
        figure.suptitle(caption, fontsize=7, x=0.01, ha="left")
        figure.savefig(path, metadata={"Date": None})
