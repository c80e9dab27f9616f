"""The entries of a cache: until when each serves, and which table holds it."""

import threading
from dataclasses import dataclass

import pytest

from asapfn.errors import Unavailable
from asapfn.resolvers.cache import (
    Answer,
    Cache,
    Entry,
    Failure,
    _failed,
    _failure,
    _get,
    _put,
    dated,
    look_up,
)
from asapfn.types import Caching, Unverified
from tests.support.keysources import Clock

BOUNDS = Caching(
    default_age=600.0, min_age=5.0, max_age=1000.0, stale_if_error=100.0, unknown_for=20.0
)


@dataclass(eq=False)
class Value:
    """A value that verifies a token, or has not yet."""

    verified: bool = False


def lives(answer: Answer[str], began: float = 0.0, completed: float = 0.0) -> tuple[float, ...]:
    entry = dated(answer, 7, began, completed, BOUNDS)
    assert (entry.value, entry.serial) == (answer.value, 7)
    half = entry.fresh_until if answer.value is None else (completed + entry.fresh_until) / 2
    assert entry.warm_until == half
    return entry.fresh_until, entry.revalidate_until, entry.error_until


async def no_load(unverified: Unverified) -> Answer[Value]:
    raise AssertionError("loaded")


def cache_of(max_keys: int) -> Cache[Value]:
    return Cache(
        no_load, "", Caching(max_keys=max_keys), Clock(), None, is_proven=lambda v: v.verified
    )


def entry(value: Value | None, serial: int = 0, issuer: int = 0) -> Entry[Value]:
    marked = value is not None and value.verified
    return Entry(value, serial, issuer, 5.0, 10.0, 20.0, 100.0, marked)


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
        (Answer("key", 300.0, 60.0, 30.0, must_revalidate=True), (300, 300, 300)),
        (Answer("key", 0.0, must_revalidate=True), (5, 5, 5)),
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


@pytest.mark.parametrize(("chance", "fresh"), [(0.0, 300.0), (0.5, 285.0), (1.0, 270.0)])
def test_a_part_of_the_spread_is_taken_off_the_freshness(chance: float, fresh: float) -> None:
    bounds = BOUNDS._replace(spread=0.1)
    assert dated(Answer("key", 300.0), 0, 0.0, 0.0, bounds, chance).fresh_until == fresh
    assert dated(Answer("key", 0.0), 0, 0.0, 0.0, bounds, chance).fresh_until == 5.0


def test_what_was_put_is_got() -> None:
    cache = cache_of(2)
    assert _get(cache, "a") is None
    known, unknown = entry(Value()), entry(None)
    assert _put(cache, "a", known) is known
    assert _put(cache, "b", unknown) is unknown
    assert _get(cache, "a") is known
    assert _get(cache, "b") is unknown


def test_a_key_that_verifies_is_kept_apart_from_those_that_have_not() -> None:
    cache = cache_of(2)
    for key in "ab":
        value = Value()
        _put(cache, key, entry(value))
        value.verified = True
        _get(cache, key)
    assert list(cache.proven) == ["a", "b"]
    for number in range(1100):
        _put(cache, number, entry(Value()))
    assert list(cache.proven) == ["a", "b"]
    assert list(cache.unproven) == [1098, 1099]


def test_a_key_about_to_go_that_has_verified_meanwhile_stays() -> None:
    cache, value = cache_of(1), Value()
    kept = _put(cache, "a", entry(value))
    value.verified = True
    _put(cache, "b", entry(Value()))
    assert _get(cache, "a") is kept
    assert (list(cache.proven), list(cache.unproven)) == (["a"], ["b"])


def test_a_value_that_verified_before_it_came_here_proves_nothing_of_the_entry() -> None:
    cache, shared = cache_of(2), Value(verified=True)
    for number in range(5):
        _put(cache, number, entry(shared))
        _get(cache, number)
    assert not cache.proven
    assert len(cache.unproven) == 2


async def test_the_proven_key_used_least_recently_goes_first() -> None:
    cache, token = cache_of(2), Unverified({}, {}, b"header.claims", b"")
    cache.clock = lambda: 0.0
    for key in "abc":
        value = Value()
        _put(cache, key, entry(value))
        value.verified = True
        for used in (key, "a"):
            assert await look_up(cache, used, token) is not None
    assert list(cache.proven) == ["c", "a"]


def test_a_refreshed_key_stays_where_it_is() -> None:
    cache, value = cache_of(2), Value()
    _put(cache, "a", entry(value))
    value.verified = True
    _get(cache, "a")
    _put(cache, "a", entry(Value(), 1))
    assert list(cache.proven) == ["a"]
    assert not cache.unproven


def test_of_keys_not_proven_the_issuer_that_has_the_most_loses_its_oldest() -> None:
    cache = cache_of(4)
    for key, issuer in (("a1", 1), ("b1", 2), ("b2", 2), ("b3", 2), ("b4", 2), ("c1", 3)):
        _put(cache, key, entry(Value(), issuer=issuer))
    assert list(cache.unproven) == ["a1", "b3", "b4", "c1"]


def test_a_flood_in_one_issuers_name_pushes_out_no_other_issuers_keys() -> None:
    cache = cache_of(160)
    others = [(issuer, number) for issuer in range(1, 10) for number in range(10)]
    for key in others:
        _put(cache, key, entry(Value(), issuer=key[0]))
    for number in range(1000):
        _put(cache, number, entry(Value(), issuer=0))
        assert number < 70 or len(cache.unproven) == 160
    assert list(cache.unproven)[:90] == others
    assert list(cache.unproven)[-1] == 999


def test_of_two_issuers_with_many_keys_neither_is_left_with_fewer() -> None:
    cache = cache_of(160)
    for number in range(400):
        _put(cache, number, entry(Value(), issuer=1 if number < 150 else 2))
    for issuer in (1, 2):
        assert sum(each.issuer == issuer for each in cache.unproven.values()) == 80


def test_no_issuer_below_its_share_loses_a_key() -> None:
    cache = cache_of(1000)
    others = [(issuer, number) for number in range(10) for issuer in range(99)]
    for key in others:
        _put(cache, key, entry(Value(), issuer=key[0]))
    for number in range(100):
        _put(cache, number, entry(Value(), issuer=-1))
    assert [key for key in cache.unproven if isinstance(key, tuple)] == others


@pytest.mark.parametrize("max_keys", [1, 2, 15, 16, 17, 64, 1024])
@pytest.mark.parametrize("left", [1, 2, 25])
def test_no_issuers_only_key_goes_for_an_issuer_that_has_more(max_keys: int, left: int) -> None:
    cache = cache_of(max_keys)
    others = [(issuer, 0) for issuer in range(max_keys - left)]
    for key in others:
        _put(cache, key, entry(Value(), issuer=key[0]))
    for number in range(100):
        _put(cache, number, entry(Value(), issuer=-3))
    assert [key for key in cache.unproven if isinstance(key, tuple)] == others
    assert list(cache.unproven)[-1] == 99


def test_keys_of_as_many_issuers_as_there_are_go_oldest_first() -> None:
    cache = cache_of(64)
    for number in range(200):
        _put(cache, number, entry(Value(), issuer=number))
    assert list(cache.unproven) == list(range(200 - len(cache.unproven), 200))


def test_unknown_keys_push_out_one_another_and_never_a_known_one() -> None:
    cache = cache_of(2)
    _put(cache, "known", entry(Value()))
    for number in range(10):
        _put(cache, number, entry(None))
    assert list(cache.unproven) == ["known"]
    assert list(cache.unknown) == [8, 9]
    for number in range(10, 20):
        _put(cache, number, entry(Value()))
    assert list(cache.unknown) == [8, 9]


def test_a_key_is_in_one_table_at_a_time() -> None:
    cache = cache_of(5)
    for serial, value in enumerate((None, Value(), None, Value())):
        _put(cache, "a", entry(value, serial))
        assert len(cache.unknown) + len(cache.unproven) + len(cache.proven) == 1
        assert _get(cache, "a") == entry(value, serial)


@pytest.mark.parametrize("newer", [Value(), None])
@pytest.mark.parametrize("older", [Value(), None])
def test_an_answer_to_an_earlier_question_never_replaces_one_to_a_later(
    older: Value | None, newer: Value | None
) -> None:
    cache = cache_of(5)
    latest = entry(newer, 2)
    _put(cache, "a", latest)
    assert _put(cache, "a", entry(older, 1)) is latest
    assert _get(cache, "a") is latest
    assert _put(cache, "a", entry(older, 2)) == entry(older, 2)


def test_an_earlier_question_never_replaces_a_key_that_has_verified_and_a_later_one_does() -> None:
    cache, value = cache_of(5), Value()
    latest = _put(cache, "a", entry(value, 2))
    value.verified = True
    assert _get(cache, "a") is latest
    assert list(cache.proven) == ["a"]
    for older in (Value(), None):
        assert _put(cache, "a", entry(older, 1)) is latest
        assert _get(cache, "a") is latest
    gone = _put(cache, "a", entry(None, 3))
    assert _get(cache, "a") is gone
    assert (list(cache.proven), list(cache.unknown)) == ([], ["a"])


def test_failures_are_kept_within_bounds_too() -> None:
    cache, token = cache_of(3), Unverified({}, {}, b"", b"")
    for number in range(10):
        _failed(cache, number, token, Unavailable("source", "down"), 0.0)
    assert list(cache.failures) == [7, 8, 9]
    assert cache.outage is None


def test_a_key_that_has_verified_is_got_from_its_table_again() -> None:
    cache, value = cache_of(2), Value()
    known = _put(cache, "a", entry(value))
    value.verified = True
    for _ in range(2):
        assert _get(cache, "a") is known
    assert list(cache.proven) == ["a"]


@pytest.mark.parametrize("verified", [False, True])
def test_a_source_is_left_alone_for_longer_while_an_older_value_serves(verified: bool) -> None:
    cache, token = cache_of(3), Unverified({}, {}, b"", b"")
    cache.chance = lambda: 0.0
    value, outage = Value(), Unavailable("source", "down")
    now = cache.clock()
    _put(cache, "old", entry(value)._replace(error_until=now + 100.0))
    value.verified = verified
    _get(cache, "old")
    for key in ("old", "new"):
        _failed(cache, key, token, outage, now)
    old, new = cache.failures["old"], cache.failures["new"]
    assert old.retry_at == now + cache.caching.min_age
    assert new.retry_at == new.needed_at == old.needed_at
    assert now < new.retry_at < old.retry_at


@pytest.mark.parametrize(("chance", "part"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_up_to_half_of_that_time_is_taken_off_by_chance(chance: float, part: float) -> None:
    cache, token = cache_of(3), Unverified({}, {}, b"", b"")
    cache.chance = lambda: chance
    now = cache.clock()
    _put(cache, "old", entry(Value())._replace(error_until=now + 100.0))
    _failed(cache, "old", token, Unavailable("source", "down"), now)
    assert cache.failures["old"].retry_at == now + cache.caching.min_age * part


def test_the_failure_that_counts_is_the_one_with_the_longest_pause() -> None:
    for one, other in (("a", "b"), ("b", "a")):
        cache = cache_of(3)
        now = cache.clock()
        cache.failures["key"] = Failure(one, "of this key", 1, now + 50.0, now + 10.0)
        cache.outage = Failure(other, "of all", 1, now + 20.0, now + 30.0)
        assert _failure(cache, "key", now) == Failure(one, "of this key", 1, now + 50.0, now + 30.0)
        assert _failure(cache, "another", now) == cache.outage


def test_the_tables_stand_many_threads() -> None:
    cache, failures = cache_of(3), list[BaseException]()
    token = Unverified({}, {}, b"", b"")

    def hammer(seed: int) -> None:
        try:
            for turn in range(3000):
                key, value = (seed + turn) % 7, Value()
                _put(cache, key, entry(value if turn % 3 else None, turn, turn % 2))
                value.verified = bool(turn % 2)
                _failed(cache, key, token, Unavailable("source", "down"), 0.0)
                _get(cache, key)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    sizes = [len(cache.proven), len(cache.unproven), len(cache.unknown), len(cache.failures)]
    assert max(sizes) <= 3


@pytest.mark.parametrize("name", Caching._fields)
@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), -float("inf")])
def test_a_bound_is_finite_and_not_negative(name: str, wrong: float) -> None:
    values = ((wrong, 1), (1.0, wrong)) if name.endswith("misses") else (wrong,)
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must be finite and not negative"):
            Cache(no_load, "", Caching(**{name: value}), Clock(), None)


def test_a_bound_may_be_as_low_and_the_spread_as_high_as_is_said() -> None:
    caching = Caching(max_keys=1, spread=1.0, min_age=0.0, default_age=0.0, max_age=0.0)
    assert Cache(no_load, "", caching, Clock(), None).caching is caching


@pytest.mark.parametrize("wrong", [{"max_keys": 0}, {"spread": 1.1}])
def test_a_table_holds_a_key_and_a_key_has_some_freshness(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^max_keys is at least 1, and spread at most 1$"):
        Cache(no_load, "", Caching(**wrong), Clock(), None)  # type: ignore[arg-type]


def test_failures_of_one_source_are_counted_and_the_last_is_said() -> None:
    cache, token = cache_of(9), Unverified({}, {}, b"", b"")
    cache.one_source = True
    now = cache.clock()
    for count in (1, 2, 3):
        _failed(cache, count, token, Unavailable("source", f"down {count}"), now)
        assert cache.outage is not None
        assert cache.outage[:3] == ("source", f"down {count}", count)
