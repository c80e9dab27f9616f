import threading
import tracemalloc

from keysources import Clock

from asapfn.resolvers.budget import misses
from asapfn.types import Caching


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
    spend = misses(Caching(total_misses=(0.0, 2000)), Clock())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        assert all(spend(f"{issuer}" + "x" * 10_000) for issuer in range(1024))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1024 * 400


def test_many_threads_together_spend_no_more_than_there_is() -> None:
    spend = misses(Caching(issuer_misses=(0.0, 1000), total_misses=(0.0, 1500)), Clock())
    spent: list[str] = []

    def hammer(issuer: str) -> None:
        spent.extend(issuer for _ in range(900) if spend(issuer))

    threads = [threading.Thread(target=hammer, args=(issuer,)) for issuer in "aabb"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spent) == 1500
    assert max(spent.count("a"), spent.count("b")) <= 1000
