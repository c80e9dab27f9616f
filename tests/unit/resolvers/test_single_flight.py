"""Callers that ask at once share one question, whoever of them is cancelled."""

import asyncio
import contextvars
import functools
import gc
import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers import _single_flight
from asapfn.resolvers._single_flight import (
    Flight,
    Flights,
    _end,
    begin,
    count,
    give_up,
    in_progress,
    join,
)
from tests.support.keysources import Source, settle


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
    flights: Flights[str] = {}
    source = Source()
    call = functools.partial(join, flights, "key", source, "source")
    assert await gather(*[call] * 100) == ["answer 1"] * 100
    assert await call() == "answer 2"
    assert source.asked == 2
    assert flights == {}


async def test_different_keys_fly_apart() -> None:
    flights: Flights[str] = {}
    source = Source()
    await gather(*(functools.partial(join, flights, key, source, "source") for key in "abab"))
    assert source.asked == source.most == 2


async def test_a_flight_is_under_way_until_it_has_landed() -> None:
    flights: Flights[str] = {}
    seen: list[bool] = []

    async def ask() -> str:
        seen.extend(in_progress(flights, key) is not None for key in ("key", "other"))
        return "answer"

    assert in_progress(flights, "key") is None
    await join(flights, "key", ask, "source")
    assert seen == [True, False]
    assert in_progress(flights, "key") is None


async def test_all_wake_at_once_however_busy_the_loop_is() -> None:
    flights: Flights[str] = {}
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
                callers.start_soon(join, flights, "key", ask, "source")
            await settle()
            ticking.start_soon(tick)
            gate.set()
        ticking.cancel_scope.cancel()
    assert ticks < 50


async def test_an_outage_is_for_all() -> None:
    flights: Flights[str] = {}
    outage = Unavailable("source", "no connection")

    async def ask() -> Unavailable:
        await settle()
        return outage

    assert (
        await gather(*[functools.partial(join, flights, "key", ask, "source")] * 3) == [outage] * 3
    )


async def test_a_rejection_is_for_the_caller_that_asked_and_the_others_ask_again() -> None:
    flights: Flights[str] = {}
    source, gate, rejected = Source(), anyio.Event(), TokenRejected("key_not_owned")

    async def reject() -> str:
        await gate.wait()
        raise rejected

    first, *others = [functools.partial(join, flights, "key", ask, "s") for ask in (reject, source)]
    results = await gather(first, *others * 3, gate=gate)
    assert results == [rejected, *["answer 1"] * 3]
    assert source.asked == 1
    assert flights == {}


@pytest.mark.parametrize("in_group", [False, True])
async def test_a_failure_is_the_first_callers_own_and_unavailable_to_the_others(
    in_group: bool,
) -> None:
    flights: Flights[str] = {}
    gate, asked = anyio.Event(), 0
    failure = ExceptionGroup("of tasks", [KeyError("row")]) if in_group else RuntimeError("secret")

    async def ask() -> str:
        nonlocal asked
        asked += 1
        await gate.wait()
        raise failure

    call = functools.partial(join, flights, "key", ask, "source")
    first, *others = await gather(call, call, call, gate=gate)
    assert first is failure
    assert len(set(map(id, others))) == 2
    for other in others:
        assert isinstance(other, Unavailable)
        assert str(other) == f"source: asking failed: {type(failure).__name__}"
        assert other.__cause__ is failure
    assert asked == 1
    assert flights == {}


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, RuntimeError])
async def test_what_a_call_raises_reaches_its_caller_and_never_the_event_loop(
    kind: type[BaseException],
) -> None:
    flights: Flights[str] = {}
    failure = kind("fault")

    async def ask() -> str:
        await settle()
        raise failure

    with pytest.raises(kind) as raised:
        await join(flights, "key", ask, "source")
    assert raised.value is failure
    begin(flights, "key", ask)
    await settle(20)
    assert flights == {}


async def test_a_caller_is_cancelled_at_any_turn_and_the_call_goes_on_for_the_others() -> None:
    for turn in range(12):
        flights: Flights[str] = {}
        source, answers = Source(6), list[str]()

        async def call(
            flights: Flights[str] = flights, source: Source = source, answers: list[str] = answers
        ) -> None:
            answers.append(await join(flights, "key", source, "source"))

        first = anyio.CancelScope()

        async def lead(
            first: anyio.CancelScope = first, call: Callable[[], Awaitable[None]] = call
        ) -> None:
            with first:
                await call()

        async with anyio.create_task_group() as group:
            group.start_soon(lead)
            await anyio.lowlevel.checkpoint()
            group.start_soon(call)
            await settle(turn)
            first.cancel()
        assert set(answers) == {"answer 1"}
        assert (source.asked, source.answered) == (1, 1)
        assert flights == {}


async def test_a_call_whose_callers_have_all_gone_ends_for_the_next_one() -> None:
    flights: Flights[str] = {}
    source = Source(30)
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(join, flights, "key", source, "source")
        await settle()
        assert count(flights) == (50, 1)
        group.cancel_scope.cancel()
    assert count(flights) == (0, 1)
    assert await join(flights, "key", source, "source") == "answer 1"
    assert source.asked == 1
    assert flights == {}


async def hang() -> str:
    await anyio.sleep_forever()
    raise AssertionError


async def test_a_call_that_hangs_is_given_up_some_time_after_its_first_caller_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_single_flight, "FINISH_WITHIN", 0.1)
    flights: Flights[str] = {}
    answers: list[str] = []

    async def call() -> None:
        answers.append(await join(flights, "key", Source(), "source"))

    with anyio.fail_after(5):
        with anyio.move_on_after(0.02):
            await join(flights, "key", hang, "source")
        async with anyio.create_task_group() as group:
            # They wait for the call that hangs, never let it be alone, and then ask for themselves.
            for _ in range(3):
                group.start_soon(call)
                await settle()
            assert count(flights) == (3, 1)
        begin(flights, "key", hang)
        while flights:
            await anyio.sleep(0.01)
    assert answers == ["answer 1"] * 3


async def test_a_call_within_a_call_that_hangs_is_given_up_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the metadata within the key set: who comes next waits for one of them, not for both."""
    monkeypatch.setattr(_single_flight, "FINISH_WITHIN", 1.0)
    outer: Flights[str] = {}
    inner: Flights[str] = {}
    source = Source()
    well = False

    async def ask() -> str:
        return await join(inner, "key", source if well else hang, "source")

    with anyio.fail_after(20):
        with anyio.move_on_after(0.02):
            await join(outer, "key", ask, "source")
        flight = in_progress(outer, "key")
        assert flight is not None
        assert in_progress(inner, "key") is not None
        well = True
        await flight.done.wait()
        assert in_progress(inner, "key") is None
        assert await join(outer, "key", ask, "source") == "answer 1"


async def test_a_call_within_a_call_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have begun late, and what it brings is cached though nobody waits for it."""
    monkeypatch.setattr(_single_flight, "FINISH_WITHIN", 3.0)
    inner: Flights[str] = {}

    async def ask() -> str:
        with anyio.move_on_after(0.01):
            await join(inner, "key", hang, "source")
        return "given up"

    assert await join({}, "key", ask, "source") == "given up"
    flight = in_progress(inner, "key")
    assert flight is not None
    assert flight.scope.deadline == flight.begun + 3.0
    flight.scope.cancel()
    await flight.done.wait()


async def test_a_patient_caller_waits_for_as_long_as_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_single_flight, "FINISH_WITHIN", 0.01)

    async def slow() -> str:
        await anyio.sleep(0.1)
        return "answer"

    assert await join({}, "key", slow, "source") == "answer"


async def test_a_call_about_to_be_cancelled_is_not_joined() -> None:
    flights: Flights[str] = {}
    flight = begin(flights, "key", hang)
    await settle()
    flight.scope.cancel()
    assert in_progress(flights, "key") is None
    assert await join(flights, "key", Source(10), "source") == "answer 1"
    assert flights == {}


async def test_a_call_that_is_slow_to_end_outlives_its_successor() -> None:
    flights: Flights[str] = {}
    ended: list[str] = []

    async def lingers() -> str:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await settle(30)
            ended.append("first")
        raise AssertionError

    flight = begin(flights, "key", lingers)
    await settle()
    flight.scope.cancel()
    assert await join(flights, "key", Source(), "source") == "answer 1"
    assert (flights, ended) == ({}, [])
    with anyio.fail_after(5):
        await flight.done.wait()
    assert ended == ["first"]


async def test_contextvars_are_the_first_callers() -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")
    who.set("me")

    async def ask() -> str:
        return who.get()

    assert await join({}, "key", ask, "source") == "me"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_ends_takes_its_calls_with_it(backend: str) -> None:
    flights: Flights[str] = {}
    ended: list[str] = []

    async def ask() -> str:
        try:
            return await hang()
        finally:
            ended.append("ask")
            with anyio.move_on_after(1, shield=True):
                await anyio.lowlevel.checkpoint()
            raise KeyError("in clean-up")

    async def leave_behind() -> None:
        begin(flights, "one", ask)
        with anyio.move_on_after(0.01):
            await join(flights, "two", ask, "source")
        begin(flights, "group", in_group)
        await settle()

    async def in_group() -> str:
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
        return ""

    anyio.run(leave_behind, backend=backend)
    assert ended == ["ask"] * 3
    assert flights == {}


def test_callers_in_a_loop_that_cancels_the_call_get_unavailable() -> None:
    flights: Flights[str] = {}
    results: list[object] = []

    async def in_group() -> str:
        async with anyio.create_task_group() as group:
            group.start_soon(hang)
        return ""

    async def main() -> None:
        for call in (hang, in_group):
            calls = [functools.partial(join, flights, "key", call, "source")] * 2

            async def both(
                calls: list[Callable[[], Awaitable[str]]] = calls,  # type: ignore[assignment]
            ) -> None:
                results.extend(await gather(*calls))

            callers = asyncio.ensure_future(both())
            await asyncio.sleep(0.01)
            (flight,) = flights[asyncio.get_running_loop()].values()
            assert isinstance(flight.task, asyncio.Task)
            flight.task.cancel()
            await callers

    asyncio.run(main())
    assert [str(each) for each in results] == ["source: the event loop ended the call"] * 4


def test_a_call_that_asyncio_cancels_before_its_first_step_keeps_no_caller_waiting() -> None:
    flights: Flights[str] = {}

    async def main() -> None:
        flight = begin(flights, "key", hang)
        assert isinstance(flight.task, asyncio.Task)
        flight.task.cancel()
        with pytest.raises(Unavailable, match="the event loop ended the call"):
            async with asyncio.timeout(5):
                await join(flights, "key", hang, "source")
        assert flights == {}
        begin(flights, "key", hang)  # ends with the loop, before its first step

    asyncio.run(main())
    assert flights == {}


def test_a_loop_that_is_closed_without_cancelling_its_tasks_is_let_go_of() -> None:
    flights: Flights[str] = {}
    loop = asyncio.new_event_loop()

    async def abandon() -> asyncio.Task[str]:
        task = asyncio.ensure_future(join(flights, "key", hang, "source"))
        await asyncio.sleep(0.01)
        return task

    task = loop.run_until_complete(abandon())
    # asyncio complains about tasks that are dropped while pending; that is its user's fault.
    loop.set_exception_handler(lambda loop, context: None)
    loop.close()
    assert list(flights) == [loop]
    flights["of another loop"] = {}

    async def next_loop() -> str:
        return await join(flights, "key", Source(), "source")

    assert asyncio.run(next_loop()) == "answer 1"
    assert flights == {"of another loop": {}}
    del task, loop
    gc.collect()


@pytest.mark.parametrize("when", ["found", "before", "meanwhile"])
async def test_a_call_that_another_thread_gives_up_while_it_ends_leaves_nothing(when: str) -> None:
    class OfAnotherThread(dict[Hashable, Flight[str]]):
        def get(self, *args: Any) -> Any:
            found = super().get(*args)
            if when == "found" and not flight.done.is_set():
                _end(flights, "loop", flight)
            return found

        def __setitem__(self, *item: Any) -> None:
            if when == "before":
                _end(flights, "loop", flight)
            super().__setitem__(*item)

        def pop(self, *args: Any) -> Any:
            if not flight.done.is_set():
                _end(flights, "loop", flight)
            return super().pop(*args)

    flight: Flight[str] = Flight("key")
    of_loop = OfAnotherThread(key=flight)
    flights: Flights[str] = {"loop": of_loop}
    give_up(of_loop, "key")
    assert flight.done.is_set()
    assert of_loop == {}


async def test_a_call_ends_while_another_thread_has_begun_to_give_it_up() -> None:
    class OfAnotherThread(dict[Hashable, Flight[str]]):
        def get(self, *args: Any) -> Any:
            found = super().get(*args)
            flight.key = object()  # under which it is not in the table yet
            return found

    flight: Flight[str] = Flight("key")
    _end({"loop": OfAnotherThread(key=flight)}, "loop", flight)
    assert flight.done.is_set()


async def test_only_the_first_caller_that_goes_limits_a_calls_time() -> None:
    flights: Flights[str] = {}
    async with anyio.create_task_group() as first:
        first.start_soon(join, flights, "key", hang, "source")
        await settle()
        (flight,) = next(iter(flights.values())).values()
        with anyio.move_on_after(0.01):
            await join(flights, "key", hang, "source")
        assert flight.scope.deadline == math.inf
        went = anyio.current_time()
        first.cancel_scope.cancel()
    # Its time counts from when that one goes, not from when it began.
    assert flight.scope.deadline >= went + _single_flight.FINISH_WITHIN
    flight.scope.cancel()
    await flight.done.wait()


async def test_a_call_that_gave_up_waiting_for_another_may_be_what_that_one_waits_for() -> None:
    flights: Flights[str] = {}
    gate, others = anyio.Event(), list[Flight[str] | None]()

    async def one() -> str:
        with anyio.move_on_after(0.01):
            await join(flights, "other", other, "source")
        others.append(in_progress(flights, "other"))
        gate.set()
        await settle()
        return "one"

    async def other() -> str:
        await gate.wait()
        return await join(flights, "one", one, "source")

    with anyio.fail_after(10):
        assert await join(flights, "one", one, "source") == "one"
        (flight,) = others
        assert flight is not None
        await flight.done.wait()
        assert flight.error is None
        assert flight.result == "one"


async def test_a_call_that_is_given_up_is_joined_no_more_and_counts_until_it_ends() -> None:
    flights: Flights[str] = {}
    gate = anyio.Event()

    async def ask() -> str:
        await gate.wait()
        return "old"

    async with anyio.create_task_group() as group:
        group.start_soon(join, flights, "key", ask, "source")
        await settle()
        (of_loop,) = flights.values()
        give_up(of_loop, "key")
        give_up(of_loop, "key")
        assert count(flights) == (1, 1)
        assert await join(flights, "key", Source(), "source") == "answer 1"
        assert count(flights) == (1, 1)
        gate.set()
    assert flights == {}


async def test_a_call_may_have_as_long_as_its_caller_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_single_flight, "FINISH_WITHIN", 0.01)
    flights: Flights[str] = {}
    gate = anyio.Event()

    async def ask() -> str:
        await gate.wait()
        return "answer"

    with anyio.move_on_after(0.01):
        await join(flights, "key", ask, "source", math.inf)
    flight = in_progress(flights, "key")
    assert flight is not None
    assert flight.scope.deadline == math.inf
    gate.set()
    with anyio.fail_after(10):
        assert await join(flights, "key", ask, "source") == "answer"
