"""What the groups of pytest-benchmark share: how something is timed there.

pytest-benchmark times one contender after the other: its groups answer what a thing costs and how
that grows. Who is faster is for the table of ratios, whose contenders take turns (`ratios.py`).
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from contest import Lap, Measure, lap_of
from pytest_benchmark.fixture import BenchmarkFixture

TIMES = 100


@pytest.fixture
def run() -> Iterator[Callable[[Any], Any]]:
    """Runs something in a loop that stays the same throughout a test."""
    with asyncio.Runner() as runner:
        yield runner.get_loop().run_until_complete


@pytest.fixture
def a_hundred_times(benchmark: BenchmarkFixture, run: Callable[[Any], Any]) -> Measure:
    """Measures a hundred calls, awaited within one running loop where they are to be.

    Starting and leaving the loop costs what a verification does: so it is shared by a hundred, and
    those who are not awaited bear it too.
    """

    def measure(group: str, function: Callable[[], Any]) -> None:
        benchmark.group = f"{group}, a hundred times"
        lap: Lap = run(lap_of(function))
        times = 1 if benchmark.disabled else TIMES
        benchmark(lambda: run(lap(times)))

    return measure
