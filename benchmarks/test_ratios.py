"""The table of ratios and its chart can be made. What they say is not looked at here."""

import asyncio
import pathlib

import chart
import ratios
from connect_requests import NPM
from measure import SHORT
from targets import targets


def test_the_table_and_the_chart(tmp_path: pathlib.Path) -> None:
    rows = asyncio.run(ratios.measured(SHORT))
    table = ratios.table(rows, targets({row.question: row for row in rows}))
    for row in rows:
        assert f"| {row.question} | {row.one}, " in table
        assert all(seconds > 0 for seconds in row.best.values()) or row.unit != "s"
    chart.draw(rows, ratios.versions(), tmp_path / "ratios.svg")
    drawn = (tmp_path / "ratios.svg").read_text()
    assert "atlassian-jwt-auth" in drawn.replace("a.-", "atlassian-")
    assert NPM
