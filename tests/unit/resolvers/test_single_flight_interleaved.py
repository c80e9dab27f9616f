"""Callers that come and go in any order, by chance: no order breaks a flight."""

import asyncio
import gc
import random

import anyio
import anyio.lowlevel
import pytest

from asapfn.errors import TokenRejected
from asapfn.resolvers._single_flight import Flights, join
from tests.support.effort import tries
from tests.support.keysources import Source, settle


async def interleave(seed: int) -> None:
    """Some callers of two keys come and are cancelled, one by one or all, in any order."""
    chance = random.Random(seed)
    flights: Flights[str] = {}
    sources = {"a": Source(chance.randrange(6)), "b": Source(chance.randrange(6))}
    cancelled: set[int] = set()
    ended: dict[int, object] = {}

    async def call(number: int, scope: anyio.CancelScope) -> None:
        key = chance.choice("ab")
        source = sources[key]

        async def ask() -> str:
            if chance.random() < 0.1:
                await anyio.lowlevel.checkpoint()
                raise TokenRejected("key_not_owned")
            return await source()

        with scope:
            try:
                ended[number] = await join(flights, key, ask, "source")
            except TokenRejected as error:
                ended[number] = error

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            scopes: dict[int, anyio.CancelScope] = {}
            for number in range(chance.randrange(1, 9)):
                scopes[number] = anyio.CancelScope()
                group.start_soon(call, number, scopes[number])
                for _ in range(chance.randrange(3)):
                    await anyio.lowlevel.checkpoint()
                for victim in [n for n in scopes if chance.random() < 0.2]:
                    scopes[victim].cancel()
                    cancelled.add(victim)
            if chance.random() < 0.1:
                group.cancel_scope.cancel()
                cancelled.update(scopes)
    assert set(scopes) - cancelled <= set(ended)
    await settle(20)  # the calls end by themselves
    assert all(source.most <= 1 and source.asking == 0 for source in sources.values())
    assert flights == {}


def held() -> int:
    """How many calls are in memory: another test may leave one, in a loop closed by force."""
    gc.collect()
    return sum(type(each).__name__ == "Flight" for each in gc.get_objects())


@pytest.mark.parametrize("first", range(0, 1000, 500))
async def test_no_interleaving_hangs_asks_twice_at_a_time_or_leaves_anything(first: int) -> None:
    before = held()
    for seed in range(first, first + tries(500)):
        await interleave(seed)
    # The loop lets go of the last tasks in its next turns.
    await settle()
    assert held() == before


async def interleave_tasks(seed: int) -> None:
    chance = random.Random(seed)
    flights: Flights[str] = {}
    source = Source(chance.randrange(6))
    tasks: list[asyncio.Task[object]] = []
    cancelled: set[int] = set()
    for _ in range(chance.randrange(1, 9)):
        tasks.append(asyncio.ensure_future(join(flights, "key", source, "source")))
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        for victim, task in enumerate(tasks):
            if chance.random() < 0.25 and task.cancel():
                cancelled.add(victim)
    async with asyncio.timeout(10):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for number, result in enumerate(results):
        assert isinstance(result, str) or number in cancelled
    while flights:
        await asyncio.sleep(0)
    assert source.most <= 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_interleaving_of_asyncios_own_cancellation_does_either() -> None:
    for seed in range(tries(1000)):
        await interleave_tasks(seed)
