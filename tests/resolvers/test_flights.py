"""Callers that ask at once share one question, whoever of them is cancelled."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest
from keysources import Source, closed_over, settle

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers.flights import Flights, flights


async def gather(
    *calls: Callable[[], Awaitable[object]], gate: anyio.Event | None = None
) -> list[object]:
    """What all calls give or raise; with a gate, that is opened when all have come in order."""
    results: list[object] = [None] * len(calls)

    async def keep(place: int) -> None:
        try:
            results[place] = await calls[place]()
        except Exception as error:
            results[place] = error

    async with anyio.create_task_group() as group:
        for place in range(len(calls)):
            group.start_soon(keep, place)
            if gate is not None:
                await settle()
        if gate is not None:
            gate.set()
    return results


async def test_those_who_ask_at_once_share_one_question_and_later_ones_do_not() -> None:
    shared: Flights[str] = flights("source")
    source = Source()
    call = functools.partial(shared.join, "key", source)
    assert await gather(*[call] * 100) == ["answer 1"] * 100
    assert await call() == "answer 2"
    assert source.asked == 2
    assert closed_over(shared.join, "table") == {}


async def test_different_keys_fly_apart() -> None:
    shared: Flights[str] = flights("source")
    source = Source()
    await gather(*(functools.partial(shared.join, key, source) for key in "abab"))
    assert source.asked == source.most == 2


async def test_a_flight_is_under_way_until_it_has_landed() -> None:
    shared: Flights[str] = flights("source")
    seen: list[bool] = []

    async def ask() -> str:
        seen.extend((shared.under_way("key"), shared.under_way("other")))
        return "answer"

    assert not shared.under_way("key")
    await shared.join("key", ask)
    assert seen == [True, False]
    assert not shared.under_way("key")


async def test_all_wake_at_once_however_busy_the_loop_is() -> None:
    shared: Flights[str] = flights("source")
    gate, ticks = anyio.Event(), 0

    async def ask() -> str:
        await gate.wait()
        return "answer"

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.lowlevel.checkpoint()
            ticks += 1

    async with anyio.create_task_group() as ticking:
        async with anyio.create_task_group() as callers:
            for _ in range(1000):
                callers.start_soon(shared.join, "key", ask)
            await settle()
            ticking.start_soon(tick)
            gate.set()
        ticking.cancel_scope.cancel()
    assert ticks < 50


async def test_an_outage_is_for_all() -> None:
    shared: Flights[str] = flights("source")
    outage = Unavailable("source", "no connection")

    async def ask() -> Unavailable:
        await settle()
        return outage

    assert await gather(*[functools.partial(shared.join, "key", ask)] * 3) == [outage] * 3


@pytest.mark.parametrize(
    "refusal",
    [lambda: TokenRejected("key_not_owned"), lambda: Unavailable("budget")],
    ids=["rejected", "over budget"],
)
async def test_a_refusal_is_for_one_caller_and_the_next_asks(
    refusal: Callable[[], Exception],
) -> None:
    shared: Flights[str] = flights("source")
    source, gate, refused = Source(), anyio.Event(), refusal()

    async def refuse() -> str:
        await gate.wait()
        raise refused

    first, *others = [functools.partial(shared.join, "key", ask) for ask in (refuse, source)]
    results = await gather(first, *others * 3, gate=gate)
    assert results == [refused, *["answer 1"] * 3]
    assert source.asked == 1
    assert closed_over(shared.join, "table") == {}


async def test_a_failure_is_the_callers_own_and_unavailable_to_those_who_waited() -> None:
    shared: Flights[str] = flights("source")
    failure, gate, asked = RuntimeError("secret"), anyio.Event(), 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        await gate.wait()
        raise failure

    call = functools.partial(shared.join, "key", ask)
    first, *others = await gather(call, call, call, gate=gate)
    assert first is failure
    for other in others:
        assert isinstance(other, Unavailable)
        assert str(other) == "source: asking failed: RuntimeError"
        assert other.__cause__ is failure
    assert asked == 1
    assert closed_over(shared.join, "table") == {}


async def test_a_cancelled_leader_hands_over_to_the_one_that_came_next() -> None:
    shared: Flights[str] = flights("source")
    source = Source(1000)
    leaders: list[int] = []

    async def ask(number: int) -> str:
        leaders.append(number)
        return await source()

    scopes = [anyio.CancelScope() for _ in range(4)]

    async def call(number: int) -> None:
        with scopes[number]:
            await shared.join("key", functools.partial(ask, number))

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(call, number)
            await settle()
        for number in (0, 2, 1):
            scopes[number].cancel()
            await settle()
        source.turns = 0
        assert leaders == [0, 1, 3]
        assert source.most == 1
        assert shared.under_way("key")
    assert not shared.under_way("key")


async def test_a_cancelled_follower_disturbs_nobody() -> None:
    shared: Flights[str] = flights("source")
    source = Source(20)
    answers: list[object] = []

    async def call() -> None:
        answers.append(await shared.join("key", source))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await settle()
        with anyio.move_on_after(0):
            await shared.join("key", source)
        group.start_soon(call)
    assert answers == ["answer 1"] * 2
    assert source.asked == 1


async def test_when_all_are_cancelled_nothing_is_left_and_the_next_caller_asks() -> None:
    shared: Flights[str] = flights("source")
    source = Source(1000)
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(shared.join, "key", source)
        await settle()
        group.cancel_scope.cancel()
    assert (source.asked, source.asking) == (1, 0)
    assert closed_over(shared.join, "table") == {}
    source.turns = 1
    assert await shared.join("key", source) == "answer 1"


def test_a_loop_that_ends_takes_its_flights_with_it() -> None:
    shared: Flights[str] = flights("source")

    async def leave_behind() -> None:
        forever = Source(10**9)
        tasks = [asyncio.ensure_future(shared.join("key", forever)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert len(tasks) == 3

    asyncio.run(leave_behind())
    assert closed_over(shared.join, "table") == {}
