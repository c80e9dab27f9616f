"""How many fetches run at once, and who is next."""

import asyncio

import anyio
import pytest

from asapfn.adapters._places import Places, acquire, release
from tests.support.keysources import settle


class Fetches:
    """Fetches that hold their place until they are ended."""

    def __init__(self, each: int, total: int) -> None:
        self.places = Places(each, total)
        self.running: list[str] = []
        self.ends: dict[str, anyio.Event] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def fetch(self, name: str) -> None:
        self.ends[name] = anyio.Event()
        with anyio.CancelScope() as self.scopes[name]:
            await acquire(self.places, name[0])
            try:
                self.running.append(name)
                await self.ends[name].wait()
            finally:
                self.running.remove(name)
                release(self.places, name[0])

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
    await acquire(places, "a")
    waiters = [asyncio.ensure_future(acquire(places, "a")) for _ in range(2)]
    await settle()
    release(places, "a")
    waiters[1].cancel()
    await asyncio.wait(waiters)
    assert [waiter.cancelled() for waiter in waiters] == [False, True]
    release(places, "a")
    assert places.loops == {}


async def test_an_origin_whose_places_hang_gets_one_more_now_and_then() -> None:
    fetches = Fetches(each=1, total=3)
    async with anyio.create_task_group() as group:
        await fetches.begin(group, "a1", "a2")
        assert fetches.running == ["a1"]
        await anyio.sleep(0.26)
        await fetches.begin(group, "a3", "a4")
        assert fetches.running == ["a1", "a3"]
        await anyio.sleep(0.26)
        await fetches.begin(group, "b1", "a5")
        assert fetches.running == ["a1", "a3", "b1"]
        await fetches.end("a1")
        assert fetches.running == ["a3", "b1"]
        await fetches.end("a3")
        assert fetches.running == ["b1", "a5"]
        await fetches.end("a5", "a4", "a2", "b1")
    assert fetches.places.loops == {}


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
