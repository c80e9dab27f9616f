"""How many fetches run at once, and who is next."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import anyio
import anyio.to_thread
import pytest

from asapfn.adapters._fetch_places import Places, acquire, release
from tests.support.keysources import settle


class Fetches:
    """Fetches that hold their place until they are ended."""

    def __init__(self, each: int, total: int, timeout: float = 0.0) -> None:
        self.places, self.answers = Places(each, total, timeout), False
        self.running: list[str] = []
        self.ends: dict[str, anyio.Event] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def fetch(self, name: str) -> None:
        self.ends[name] = anyio.Event()
        with anyio.CancelScope() as self.scopes[name]:
            place = await acquire(self.places, name[0])
            try:
                self.running.append(name)
                await self.ends[name].wait()
            finally:
                self.running.remove(name)
                release(self.places, place, answered=self.answers)

    async def begin(self, group: anyio.abc.TaskGroup, *names: str) -> None:
        for name in names:
            group.start_soon(self.fetch, name)
            await settle()

    async def end(self, *names: str) -> None:
        for name in names:
            self.ends[name].set()
        await settle()


async def test_an_origin_has_its_own_places_and_the_newest_goes_first() -> None:
    fetches = Fetches(each=2, total=4)
    async with anyio.create_task_group() as group:
        await fetches.begin(group, "a1", "a2", "a3", "a4", "b1")
        assert fetches.running == ["a1", "a2", "b1"]
        await fetches.end("a1")
        assert fetches.running == ["a2", "b1", "a4"]
        await fetches.end("a2")
        assert fetches.running == ["b1", "a4", "a3"]
        await fetches.end("a4", "a3", "b1")
    assert fetches.places.loops == {}


async def test_all_origins_share_a_total_and_none_is_passed_over() -> None:
    fetches = Fetches(each=2, total=2)
    async with anyio.create_task_group() as group:
        await fetches.begin(group, "a1", "b1", "a2", "a3", "b2", "c1")
        assert fetches.running == ["a1", "b1"]
        await fetches.end("b1")
        assert fetches.running == ["a1", "a3"]
        await fetches.end("a1")
        assert fetches.running == ["a3", "b2"]
        await fetches.end("a3")
        assert fetches.running == ["b2", "c1"]
        await fetches.end("b2")
        assert fetches.running == ["c1", "a2"]
        await fetches.end("a2", "c1")
    assert fetches.places.loops == {}


async def test_a_waiter_that_is_cancelled_is_forgotten() -> None:
    fetches = Fetches(each=1, total=1)
    async with anyio.create_task_group() as group:
        await fetches.begin(group, "a1", "a2", "a3")
        fetches.scopes["a3"].cancel()
        await settle()
        await fetches.end("a1")
        assert fetches.running == ["a2"]
        await fetches.end("a2")
    assert fetches.places.loops == {}


async def test_a_place_given_to_a_task_that_is_cancelled_before_it_wakes_is_passed_on(
    anyio_backend_name: str,
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("trio cancels no task that is about to wake")
    places = Places(1, 1)
    place = await acquire(places, "a")
    waiters = [asyncio.ensure_future(acquire(places, "a")) for _ in range(2)]
    await settle()
    release(places, place)
    waiters[1].cancel()
    await asyncio.wait(waiters)
    assert [waiter.cancelled() for waiter in waiters] == [False, True]
    release(places, waiters[0].result())
    assert places.loops == {}


async def test_an_origin_whose_places_hang_gets_one_more_now_and_then() -> None:
    fetches = Fetches(each=1, total=3)
    async with anyio.create_task_group() as group:
        await fetches.begin(group, "a1")
        await anyio.sleep(0.26)
        await fetches.begin(group, "a3", "a4")
        assert fetches.running == ["a1", "a3"]
        await fetches.begin(group, "b1", "a5")
        assert fetches.running == ["a1", "a3", "b1"]
        await fetches.end("a1")
        assert fetches.running == ["a3", "b1"]
        await fetches.end("a3")
        assert fetches.running == ["b1", "a5"]
        await fetches.end("a5", "a4", "b1")
    assert fetches.places.loops == {}


async def has_come(fetches: Fetches, *names: str) -> None:
    with anyio.fail_after(15):
        while fetches.running != list(names):
            assert len(fetches.running) <= len(names)
            await anyio.sleep(0.01)


async def test_the_newest_that_waits_behind_fetches_that_hang_is_let_in_now_and_then() -> None:
    fetches = Fetches(each=1, total=4)
    async with anyio.create_task_group() as group:
        await fetches.begin(group, "a1", "a2", "a3", "a4", "a5")
        assert fetches.running == ["a1"]
        await has_come(fetches, "a1", "a5")
        fetches.scopes["a2"].cancel()  # the oldest, which looks for all
        await has_come(fetches, "a1", "a5", "a4")
        await fetches.begin(group, "b1")
        await anyio.sleep(0.6)
        # Places are left for other origins, and then there are none.
        assert fetches.running == ["a1", "a5", "a4", "b1"]
        await fetches.end("b1", "a4")
        await has_come(fetches, "a1", "a5", "a3")
        await fetches.end("a1", "a5", "a3")
    assert fetches.places.loops == {}


async def test_places_beside_fetches_that_hang_are_given_no_faster_than_these_end() -> None:
    fetches = Fetches(each=1, total=4, timeout=2.0)
    async with anyio.create_task_group() as group:
        await fetches.begin(group, "a1", "a2", "a3")
        began = anyio.current_time()
        await has_come(fetches, "a1", "a3")
        assert anyio.current_time() - began > 0.9
        await fetches.end("a1", "a3", "a2")
    assert fetches.places.loops == {}


async def test_once_an_origin_answers_those_that_hang_keep_nobody_waiting() -> None:
    fetches = Fetches(each=3, total=12)
    async with anyio.create_task_group() as group:
        await fetches.begin(group, "a1", "a2", "a3")
        await anyio.sleep(0.6)
        await fetches.begin(group, *(f"b{number}" for number in range(9)))
        await fetches.begin(group, "a4", *(f"a{number}" for number in range(10, 15)))
        assert fetches.running == ["a1", "a2", "a3", "b0", "b1", "b2", "a4"]
        fetches.answers = True
        await fetches.end("a4")
        assert sorted(fetches.running[6:]) == ["a12", "a13", "a14"]
        await fetches.end("a14")  # began just now: says nothing about those beside it
        assert sorted(fetches.running[6:]) == ["a11", "a12", "a13"]
        await fetches.end("a1")  # hung, and was answered after all
        assert sorted(fetches.running[5:]) == ["a11", "a12", "a13"]
        await fetches.end("a13", "a12", "a11", "a10", "a2", "a3", *(f"b{n}" for n in range(9)))
    assert fetches.places.loops == {}


async def test_a_fetch_that_fails_says_nothing_about_those_that_began_before_it() -> None:
    fetches = Fetches(each=1, total=4)
    async with anyio.create_task_group() as group:
        await fetches.begin(group, "a1")
        await anyio.sleep(0.6)
        await fetches.begin(group, "a2", "a3")
        await fetches.end("a2")
        assert fetches.running == ["a1"]
        await fetches.end("a1", "a3")
    assert fetches.places.loops == {}


def leave_behind(work: Coroutine[Any, Any, None]) -> None:
    """Run something for a time in an event loop, which is closed before it ends."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    loop.run_until_complete(settle())
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


async def hold(places: Places, *, seconds: float = 20) -> None:
    place = await acquire(places, "a")
    try:
        await anyio.sleep(seconds)
    finally:
        release(places, place)


async def test_each_event_loop_has_places_of_its_own() -> None:
    places = Places(1, 1)
    place = await acquire(places, "a")
    await anyio.to_thread.run_sync(lambda: asyncio.run(hold(places, seconds=0)))
    assert len(places.loops) == 1
    release(places, place)
    assert places.loops == {}


def test_what_a_closed_event_loop_left_behind_takes_no_place_from_another() -> None:
    places = Places(1, 4)
    holding, waiting = hold(places), hold(places)

    async def both() -> None:
        for each in (holding, waiting):
            task = asyncio.ensure_future(each)
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        await settle()

    async def other() -> None:
        place = await acquire(places, "a")
        holding.close()
        with contextlib.suppress(RuntimeError):  # anyio's: a scope is left in another event loop
            waiting.close()
        assert [loop.running for loop in places.loops.values()] == [1]
        release(places, place)

    leave_behind(both())
    for backend in ("asyncio", "trio"):
        anyio.run(other, backend=backend)
    assert places.loops == {}


def test_what_a_closed_event_loop_left_behind_is_dropped_when_it_is_finalized() -> None:
    places = Places(1, 4)
    holding = hold(places)
    leave_behind(holding)
    assert len(places.loops) == 1
    holding.close()
    assert places.loops == {}


@pytest.mark.parametrize("each", [1, 3])
async def test_never_more_run_than_there_are_places(each: int) -> None:
    fetches = Fetches(each, total=4)
    names = [f"{origin}{number}" for number in range(10) for origin in "abc"]
    async with anyio.create_task_group() as group:
        await fetches.begin(group, *names)
        while fetches.running:
            assert len(fetches.running) <= 4
            assert all(sum(n[0] == o for n in fetches.running) <= each for o in "abc")
            await fetches.end(fetches.running[0])
    assert fetches.places.loops == {}
