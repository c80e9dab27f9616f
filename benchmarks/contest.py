"""Who is faster, and by what factor, on a machine that is never quiet.

Contenders take turns: each runs a lap of a few milliseconds, then the next one does, for many
rounds, each in another order, since who follows somebody like himself finds the processor's caches
warm. What counts is a contender's best lap. So a busy moment costs one lap and not one contender,
and the ratio of two best laps holds where their times do not. What is awaited is awaited many times
within one running loop, since starting a loop costs as much as verifying a token.
"""

import asyncio
import inspect
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Lap = Callable[[int], Awaitable[float]]
"""Does a thing so many times, and gives the seconds that one of them took."""

Measure = Callable[[str, Callable[[], Any]], None]
"""Measures a function for pytest-benchmark, in a group: the fixture `a_hundred_times`."""


def calls(function: Callable[[], object]) -> Lap:
    """A lap of calls."""

    async def lap(times: int) -> float:
        start = time.perf_counter()
        for _ in itertools.repeat(None, times):
            function()
        return (time.perf_counter() - start) / times

    return lap


def awaits(function: Callable[[], Awaitable[object]]) -> Lap:
    """A lap of calls that are awaited, one after the other, in the loop that is running."""

    async def lap(times: int) -> float:
        start = time.perf_counter()
        for _ in itertools.repeat(None, times):
            await function()
        return (time.perf_counter() - start) / times

    return lap


async def lap_of(function: Callable[[], Any]) -> Lap:
    """A lap of a function, which is called once here to see whether it is awaited."""
    result = function()
    if inspect.isawaitable(result):
        await result
        return awaits(function)
    return calls(function)


async def contest(
    laps: Mapping[str, Lap], *, rounds: int = 150, lap_seconds: float = 0.002
) -> dict[str, float]:
    """Let contenders take turns.

    Args:
        laps: The contenders by their names.
        rounds: How many laps each has.
        lap_seconds: What a lap is to take, about, in seconds: less than the time a scheduler
            gives a process at once, so that some laps of each are left alone; 0 for laps of one
            time, which only show that a thing is done.

    Returns:
        The best lap of each: seconds for one time.
    """
    names = list(laps)
    times = dict.fromkeys(names, 1)
    if lap_seconds > 0:
        # The first laps only tell how often a thing is done in the time; they also warm up.
        for name, lap in laps.items():
            once = min([await lap(1) for _ in range(3)])
            times[name] = max(1, round(lap_seconds / once))
    best = dict.fromkeys(names, float("inf"))
    order = random.Random(1)
    for _ in range(rounds):
        order.shuffle(names)
        for name in names:
            best[name] = min(best[name], await laps[name](times[name]))
        await asyncio.sleep(0)
    return best


def ratios(best: Mapping[str, float], floor: str) -> dict[str, float]:
    """How many times as long as one of them each took."""
    return {name: seconds / best[floor] for name, seconds in best.items()}
