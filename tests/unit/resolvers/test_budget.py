import asyncio
import gc
import math
import threading
import time
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace

import anyio
import pytest

from asapfn.resolvers import _budget
from asapfn.resolvers._budget import Budget, bucket_of, refund, spend, take_turn
from asapfn.types import Caching
from tests.support.keysources import Clock, settle


def misses(caching: Caching, clock: Clock) -> Callable[[str], bool]:
    """What takes a miss of an issuer's from a new budget."""
    budget = Budget(caching, clock)
    return lambda issuer: spend(budget, bucket_of(budget, issuer))


def test_an_issuer_has_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    spend = misses(Caching(issuer_misses=(2.0, 5), total_misses=(100.0, 100)), clock)
    assert [spend("a") for _ in range(7)] == [True] * 5 + [False] * 2
    clock.turn(0.49)
    assert not spend("a")
    clock.turn(0.01)
    assert spend("a")
    assert not spend("a")
    clock.turn(1.0)
    assert [spend("a") for _ in range(3)] == [True, True, False]


def test_a_budget_never_holds_more_than_its_burst() -> None:
    clock = Clock()
    spend = misses(Caching(issuer_misses=(2.0, 3), total_misses=(100.0, 4)), clock)
    assert spend("a")
    clock.turn(1000.0)
    assert [spend("a") for _ in range(4)] == [True] * 3 + [False]
    assert [spend(str(issuer)) for issuer in range(2)] == [True, False]


def test_one_issuers_misses_are_not_anothers() -> None:
    spend = misses(Caching(issuer_misses=(1.0, 2), total_misses=(100.0, 100)), Clock())
    assert [spend("a") for _ in range(3)] == [True, True, False]
    assert [spend("b") for _ in range(3)] == [True, True, False]


def test_the_total_binds_all_issuers_together_and_fills_at_its_rate() -> None:
    clock = Clock()
    spend = misses(Caching(issuer_misses=(100.0, 100), total_misses=(4.0, 10)), clock)
    assert [spend(str(issuer)) for issuer in range(11)] == [True] * 10 + [False]
    clock.turn(0.5)
    assert [spend(str(issuer)) for issuer in range(3)] == [True, True, False]


def test_the_last_of_the_total_is_for_issuers_that_have_used_little_of_their_own() -> None:
    clock = Clock()
    spend = misses(Caching(issuer_misses=(10.0, 10), total_misses=(2.0, 100)), clock)
    others = [f"other{number}" for number in range(20)]
    assert sum(spend(other) for other in others * 10) < 100
    # Those that spend all they have do not keep an issuer that does not from its keys.
    for _ in range(50):
        clock.turn(0.5)
        assert spend("little")
        for other in others:
            spend(other)


def test_a_miss_that_is_refused_is_taken_from_neither_budget() -> None:
    clock = Clock()
    spend = misses(Caching(issuer_misses=(0.0, 2), total_misses=(1.0, 3)), clock)
    assert [spend("a") for _ in range(9)] == [True] * 2 + [False] * 7
    assert [spend("b") for _ in range(9)] == [True] + [False] * 8
    clock.turn(1.0)
    assert spend("b")
    clock.turn(1.0)
    assert not spend("b")


def test_the_issuer_not_heard_of_for_the_longest_is_forgotten_first() -> None:
    spend = misses(Caching(max_keys=2, issuer_misses=(0.0, 2), total_misses=(0.0, 100)), Clock())
    assert [spend("a"), spend("b"), spend("a"), spend("c")] == [True] * 4
    assert not spend("a")  # kept: it was heard of after b
    assert [spend("b") for _ in range(3)] == [True, True, False]  # forgotten, so it starts anew


def test_long_names_cost_no_memory() -> None:
    spend = misses(Caching(total_misses=(0.0, 2000), max_keys=1024), Clock())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        assert all(spend(f"{issuer}" + "x" * 10_000) for issuer in range(1024))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1024 * 400


def test_many_threads_together_spend_no_more_than_there_is() -> None:
    budget = Budget(Caching(issuer_misses=(0.0, 1000), total_misses=(0.0, 5000)), Clock())
    spent: list[str] = []

    def hammer(issuer: str) -> None:
        bucket = bucket_of(budget, issuer)
        spent.extend(issuer for _ in range(900) if spend(budget, bucket))

    threads = [threading.Thread(target=hammer, args=(issuer,)) for issuer in "aabb"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(spent) == ["a"] * 1000 + ["b"] * 1000
    assert budget.total.left == 3000


async def test_a_look_up_that_found_a_key_is_put_back_within_the_burst() -> None:
    budget = Budget(Caching(issuer_misses=(0.0, 2), total_misses=(0.0, 3)), Clock())
    for _ in range(20):
        assert await take_turn(budget, "a")
        refund(budget, "a")
    refund(budget, "a")
    refund(budget, "b")
    assert budget.total.left == 3
    assert {bucket.left for bucket in budget.issuers.values()} == {2}


async def test_one_look_up_puts_one_miss_back() -> None:
    budget = Budget(Caching(issuer_misses=(0.0, 5), total_misses=(0.0, 9)), Clock())
    for _ in range(3):
        assert await take_turn(budget, "a")
    refund(budget, "a")
    assert (bucket_of(budget, "a").left, budget.total.left) == (3, 7)


async def test_a_place_is_kept_for_the_longest_wait_and_a_second() -> None:
    budget = Budget(Caching(issuer_misses=(0.0, 0), longest_wait=1000.0), Clock())
    async with anyio.create_task_group() as group:
        before = time.monotonic()
        group.start_soon(take_turn, budget, "a")
        await settle()
        ((until, bucket),) = budget.waiting.values()
        assert before + 1001.0 <= until <= time.monotonic() + 1001.0
        assert bucket is bucket_of(budget, "a")
        group.cancel_scope.cancel()


async def test_a_look_up_that_was_taken_for_abandoned_ends_as_any_other() -> None:
    budget = Budget(Caching(issuer_misses=(0.0, 0), longest_wait=1000.0), Clock())
    async with anyio.create_task_group() as group:
        group.start_soon(take_turn, budget, "a")
        await settle()
        bucket = bucket_of(budget, "a")
        ((turn, _),) = budget.waiting.items()
        budget.waiting[turn] = (-math.inf, bucket)
        assert not spend(budget, bucket)
        assert not budget.waiting
        assert not bucket.waiting
        group.cancel_scope.cancel()
    assert not budget.waiting


async def test_over_budget_a_look_up_waits_for_its_turn() -> None:
    clock = Clock()
    budget = Budget(Caching(issuer_misses=(1.0, 1), longest_wait=10.0), clock)
    turns: list[int] = []

    async def call(number: int) -> None:
        assert await take_turn(budget, "a")
        turns.append(number)

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(call, number)
            await settle()
        assert turns == [0]
        assert len(budget.waiting) == 3
        # Who comes last is not first, though there is one left.
        clock.turn(1.0)
        assert not spend(budget, bucket_of(budget, "a"))
        for served in (2, 3, 4):
            while len(turns) < served:
                await anyio.sleep(0.01)
            clock.turn(1.0)
    assert turns == [0, 1, 2, 3]
    assert budget.waiting == {}


async def test_a_turn_comes_early_when_another_look_up_finds_its_key() -> None:
    budget = Budget(Caching(issuer_misses=(0.0, 1), longest_wait=10.0), Clock())
    assert await take_turn(budget, "a")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(take_turn, budget, "a")
            await settle()
            refund(budget, "a")


async def test_a_turn_that_does_not_come_is_given_up_after_the_longest_wait() -> None:
    budget = Budget(Caching(issuer_misses=(0.0, 0), longest_wait=0.1), Clock())
    started = anyio.current_time()
    assert not await take_turn(budget, "a")
    assert 0.1 <= anyio.current_time() - started < 2
    assert budget.waiting == {}


async def test_a_caller_that_is_cancelled_leaves_its_place() -> None:
    budget = Budget(Caching(issuer_misses=(0.0, 0), longest_wait=10.0), Clock())
    with anyio.move_on_after(0.01):
        await take_turn(budget, "a")
    assert budget.waiting == {}
    assert not bucket_of(budget, "a").waiting


@pytest.mark.parametrize(("issuer", "places"), [("a", 100), ("a{}", 300)], ids=["one", "many"])
async def test_so_many_wait_and_no_more(issuer: str, places: int) -> None:
    budget = Budget(Caching(issuer_misses=(0.0, 0), longest_wait=10.0), Clock())
    refused: list[bool] = []

    async def call(number: int) -> None:
        refused.append(await take_turn(budget, issuer.format(number)))

    async with anyio.create_task_group() as group:
        for number in range(350):
            group.start_soon(call, number)
        await settle()
        assert len(budget.waiting) == places
        assert refused == [False] * (350 - places)
        group.cancel_scope.cancel()


@pytest.mark.parametrize("issuer", ["a", "a{}"], ids=["one", "many"])
def test_those_whose_event_loop_was_closed_keep_nobody_from_a_turn(
    issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    budget = Budget(Caching(issuer_misses=(1.0, 50), longest_wait=0.2), clock)
    budget.total.left = 0.0
    loop = asyncio.new_event_loop()

    async def abandon() -> list[asyncio.Task[bool]]:
        calls = [take_turn(budget, issuer.format(number)) for number in range(300)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
        return tasks

    tasks = loop.run_until_complete(abandon())
    # asyncio complains about tasks that are dropped while pending; that is its user's fault.
    loop.set_exception_handler(lambda loop, context: None)
    loop.close()
    later_by = SimpleNamespace(monotonic=lambda: time.monotonic() + 0.2 + 1.0)
    monkeypatch.setattr(_budget, "time", later_by)

    async def later() -> None:
        await settle()
        refund(budget, "another")

    async def waiting() -> bool:
        outcome, _ = await asyncio.gather(take_turn(budget, "a"), later())
        return outcome

    assert asyncio.run(waiting())
    clock.turn(1000.0)
    assert asyncio.run(take_turn(budget, "a"))
    assert not budget.waiting
    del tasks, loop
    gc.collect()


def test_a_clock_that_goes_back_spends_no_budget() -> None:
    clock = Clock()
    spend_one = misses(Caching(issuer_misses=(1.0, 5), total_misses=(1.0, 5)), clock)
    clock.turn(-1_000_000.0)
    assert [spend_one("a") for _ in range(6)] == [True] * 5 + [False]
    clock.turn(1.0)
    assert spend_one("a")
