"""The store of used ids in memory: exactly once, for just as long as it should, under threads."""

import math
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn.errors import Unavailable
from asapfn.replay import in_memory
from asapfn.types import ReplayStore

pytestmark = pytest.mark.no_event_loop


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_an_id_is_new_once() -> None:
    store = in_memory()
    assert [await store("a", 60), await store("a", 60), await store("b", 60)] == [True, False, True]


async def test_two_stores_know_nothing_of_each_other() -> None:
    assert await in_memory()("a", 60)
    assert await in_memory()("a", 60)


async def test_an_id_lives_just_as_long_as_it_was_said_to() -> None:
    clock = Clock()
    store = in_memory(clock=clock)
    assert await store("a", 60)
    clock.now += 59.5
    assert not await store("a", 60)
    clock.now += 0.5
    # What came between did not lengthen its life.
    assert await store("a", 60)
    assert not await store("a", 60)


async def test_ids_die_in_the_order_of_their_deaths_not_of_their_births() -> None:
    clock = Clock()
    store = in_memory(max_entries=2, clock=clock)
    assert await store("long", 60)
    assert await store("short", 10)
    clock.now += 10
    assert not await store("long", 60)
    assert await store("third", 60)
    assert not await store("long", 60)


async def test_a_full_store_refuses_the_new_and_still_knows_the_live() -> None:
    clock = Clock()
    store = in_memory(max_entries=2, clock=clock)
    assert await store("a", 10)
    assert await store("b", 20)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"^replay store: full of 2 live ids$") as raised:
            await store("c", 60)
        assert raised.value.source == "replay store"
        assert not await store("a", 10)
        assert not await store("b", 20)
    clock.now += 10
    assert await store("c", 60)
    with pytest.raises(Unavailable):
        await store("a", 10)


async def test_a_store_may_be_for_one() -> None:
    store = in_memory(max_entries=1)
    assert await store("a", 60)
    with pytest.raises(Unavailable):
        await store("b", 60)


async def test_one_issuer_has_a_hundred_thousand_unless_the_store_is_told_otherwise() -> None:
    store = in_memory()
    for number in range(100_000):
        assert await store(f"a:{number}", 60)
    with pytest.raises(Unavailable, match="the issuer has 100000 live ids, its share while 400000"):
        await store("a:b", 60)
    assert await store("b:b", 60)


@pytest.mark.parametrize("max_entries", [0, -1, math.nan, math.inf, -math.inf])
def test_a_store_for_nothing_or_without_bound_is_a_programming_error(max_entries: Any) -> None:
    with pytest.raises(ValueError, match=r"^max_entries must be finite and at least 1$"):
        in_memory(max_entries=max_entries)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 5), st.integers(0, 3)), max_size=40)
)
async def test_it_agrees_with_a_plain_table_of_deaths(uses: list[tuple[str, int, int]]) -> None:
    clock = Clock()
    store = in_memory(max_entries=3, clock=clock)
    deaths: dict[str, float] = {}
    for token_id, ttl, pause in uses:
        clock.now += pause
        deaths = {name: death for name, death in deaths.items() if death > clock.now}
        if token_id in deaths:
            assert not await store(token_id, ttl)
        elif len(deaths) == 3:
            with pytest.raises(Unavailable):
                await store(token_id, ttl)
        else:
            assert await store(token_id, ttl)
            deaths[token_id] = clock.now + ttl


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_of_eight_threads_each_with_its_loop_is_first(backend: str) -> None:
    store, ids = in_memory(), [str(number) for number in range(300)]
    start = threading.Barrier(8)

    async def use() -> list[str]:
        start.wait()
        return [token_id for token_id in ids if await store(token_id, 60)]

    with ThreadPoolExecutor(8) as pool:
        races = [pool.submit(lambda: anyio.run(use, backend=backend)) for _ in range(8)]
        won = Counter(token_id for race in races for token_id in race.result())
    assert won == Counter(ids)


@pytest.mark.anyio
async def test_one_of_many_tasks_is_first() -> None:
    store: ReplayStore = in_memory()
    won: list[int] = []

    async def use(number: int) -> None:
        if await store("a", 60):
            won.append(number)

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(use, number)
    assert len(won) == 1


def test_a_thread_that_was_held_up_does_not_bring_back_a_time_that_is_over() -> None:
    """Time is read where ids are forgotten: else an id is new again to one who came in time."""
    times = iter([0.0, 5.0, 20.0, 21.0])
    held, over = threading.Event(), threading.Event()

    def clock() -> float:
        now = next(times)
        if now == 5.0:
            held.set()
            over.wait(0.5)
        return now

    store = in_memory(clock=clock)
    assert anyio.run(store, "a", 10.0)
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(anyio.run, store, "a", 5.0)
        assert held.wait(5)
        # Were the lock free meanwhile, this would forget "a" first.
        other = pool.submit(anyio.run, store, "b", 10.0)
        other.add_done_callback(lambda _: over.set())
        assert late.result() is False
        assert other.result() is True


async def test_what_an_issuer_still_has_counts_after_one_of_its_ids_has_died() -> None:
    now = 0.0
    use = in_memory(max_entries=10, clock=lambda: now)
    assert await use("a:1", 1.0)
    assert await use("a:2", 100.0)
    with pytest.raises(Unavailable, match="the issuer has 2 live ids"):
        await use("a:3", 100.0)
    now = 2.0
    assert await use("a:3", 100.0)
    with pytest.raises(Unavailable, match="the issuer has 2 live ids"):
        await use("a:4", 100.0)
