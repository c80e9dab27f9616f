import math
import threading

import pytest

from asapfn.resolvers.answers import Answer, Entry, Tables, dated, tables
from asapfn.types import Caching

BOUNDS = Caching(
    default_age=600.0, min_age=5.0, max_age=1000.0, stale_if_error=100.0, unknown_for=20.0
)


def lives(answer: Answer[str], began: float = 0.0, completed: float = 0.0) -> tuple[float, ...]:
    entry = dated(answer, 7, began, completed, BOUNDS)
    assert (entry.value, entry.serial, entry.completed) == (answer.value, 7, completed)
    assert entry.retry_at == -math.inf
    return entry.fresh_until, entry.revalidate_until, entry.error_until


def entry(value: str | None, serial: int = 0, error_until: float = 100.0) -> Entry[str]:
    return Entry(value, serial, 0.0, 10.0, 20.0, error_until)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer("key"), (600, 600, 700)),
        (Answer("key", 300.0), (300, 300, 400)),
        (Answer("key", 0.0), (5, 5, 105)),
        (Answer("key", 4.9), (5, 5, 105)),
        (Answer("key", 1000.0), (1000, 1000, 1100)),
        (Answer("key", 1001.0), (1000, 1000, 1100)),
        (Answer("key", 300.0, 60.0), (300, 360, 400)),
        (Answer("key", 300.0, 150.0), (300, 450, 450)),
        (Answer("key", 300.0, 1001.0), (300, 1300, 1300)),
        (Answer("key", 300.0, None, 30.0), (300, 300, 330)),
        (Answer("key", 300.0, None, 0.0), (300, 300, 300)),
        (Answer("key", 300.0, None, 101.0), (300, 300, 400)),
        (Answer("key", 300.0, 0.0, 30.0), (300, 300, 330)),
        (Answer("key", 300.0, 60.0, 30.0), (300, 360, 360)),
        (Answer(None), (20, 20, 20)),
        (Answer(None, 300.0, 60.0, 30.0), (20, 20, 20)),
    ],
)
def test_an_answer_serves_for_as_long_as_its_source_says_within_bounds(
    answer: Answer[str], expected: tuple[float, ...]
) -> None:
    assert lives(answer) == expected


def test_age_counts_from_the_question_and_the_least_age_from_the_answer() -> None:
    assert lives(Answer("key", 300.0), began=100.0, completed=108.0) == (400, 400, 500)
    assert lives(Answer("key", 0.0), began=100.0, completed=108.0) == (113, 113, 213)
    assert lives(Answer("key", 12.0), began=100.0, completed=108.0) == (113, 113, 213)
    assert lives(Answer(None), began=100.0, completed=108.0) == (128, 128, 128)


def test_what_was_recorded_is_recalled() -> None:
    recall, record, _ = tables(2)
    assert recall("a") is None
    assert record("a", entry("key")) == entry("key")
    assert record("b", entry(None)) == entry(None)
    assert recall("a") == entry("key")
    assert recall("b") == entry(None)


def test_the_key_used_least_recently_is_forgotten_first() -> None:
    recall, record, _ = tables(2)
    record("a", entry("key"))
    record("b", entry("key"))
    recall("a")
    record("c", entry("key"))
    assert [recall(key) is None for key in "abc"] == [False, True, False]
    record("a", entry("key", 1))
    record("d", entry("key"))
    assert [recall(key) is None for key in "acd"] == [False, True, False]


def test_unknown_keys_push_out_one_another_and_never_a_good_one() -> None:
    recall, record, _ = tables(2)
    record("good", entry("key"))
    for stranger in range(10):
        record(stranger, entry(None))
    assert recall("good") == entry("key")
    assert [key for key in range(10) if recall(key)] == [8, 9]


def test_good_keys_never_push_out_an_unknown_one() -> None:
    recall, record, _ = tables(2)
    record("unknown", entry(None))
    for key in range(10):
        record(key, entry("key"))
    assert recall("unknown") == entry(None)


def test_an_unknown_key_that_appears_is_good_at_once_and_the_reverse() -> None:
    recall, record, _ = tables(1)
    record("a", entry(None, 0))
    record("a", entry("key", 1))
    assert recall("a") == entry("key", 1)
    record("a", entry(None, 2))
    assert recall("a") == entry(None, 2)
    # Neither table holds a remnant, which would come to light now.
    record("b", entry(None, 3))
    assert recall("a") is None


@pytest.mark.parametrize("newer", ["key", None])
@pytest.mark.parametrize("older", ["old key", None])
def test_an_answer_to_an_earlier_question_never_replaces_one_to_a_later(
    older: str | None, newer: str | None
) -> None:
    recall, record, _ = tables(5)
    record("a", entry(newer, 2))
    assert record("a", entry(older, 1)) == entry(newer, 2)
    assert recall("a") == entry(newer, 2)
    assert record("a", entry(older, 2)) == entry(older, 2)


def test_a_pause_puts_off_the_question_and_lets_the_old_answer_serve_as_long_as_it_may() -> None:
    recall, record, pause = tables(5)
    record("a", entry("key"))
    pause("a", 30.0)
    paused = recall("a")
    assert paused == entry("key")._replace(retry_at=30.0, revalidate_until=100.0)
    record("a", entry("key", 1))
    assert recall("a") == entry("key", 1)


def test_only_good_keys_are_paused() -> None:
    recall, record, pause = tables(5)
    record("unknown", entry(None))
    pause("unknown", 30.0)
    pause("never seen", 30.0)
    assert recall("unknown") == entry(None)
    assert recall("never seen") is None


def test_the_tables_stand_many_threads() -> None:
    shared: Tables[str] = tables(3)
    failures: list[BaseException] = []

    def hammer(seed: int) -> None:
        try:
            for turn in range(3000):
                key = (seed + turn) % 7
                shared.record(key, entry("key" if turn % 3 else None, turn))
                shared.pause(key, float(turn))
                shared.recall(key)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(shared.recall(key) is not None for key in range(7)) <= 6
