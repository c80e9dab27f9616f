import contextlib
import gc
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from os import environ
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from keyring import key_for
from keysources import (
    KID,
    Clock,
    Events,
    Repository,
    asking,
    closed_over,
    down,
    good,
    missing,
    published,
)

from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_public_jwk, import_secret
from asapfn.resolvers import cached, owned_by_issuer, pem_repository, prefetch, shared_secrets
from asapfn.types import Caching, Document, Event, Key, Resolver, Unverified

URL = "https://keys.example/"
STRANGERS = int(environ.get("ASAPFN_STRANGERS", "10000"))


class House:
    """A key repository behind the memo, its clock, and the events."""

    def __init__(self, answer: Callable[[str], Document] = good, **caching: Any) -> None:
        self.clock, self.events, self.repository = Clock(), Events(), Repository(answer)
        self.resolve = pem_repository(
            URL,
            self.repository,
            caching=Caching(**caching),
            clock=self.clock,
            observe=self.events,
        )

    @property
    def requests(self) -> int:
        return len(self.repository.asked)

    async def sees(self, kid: str = KID) -> str:
        """What a caller sees: `key`, `other key`, `unknown` or `unavailable`."""
        try:
            key = await self.resolve(asking(kid))
        except Unavailable:
            return "unavailable"
        if key is None:
            return "unknown"
        mine = export_public_jwk(key)["n"] == export_public_jwk(key_for("RS256"))["n"]
        return "key" if mine else "other key"


def says(*ages: float | None) -> Callable[[str], Document]:
    return lambda url: published(key_for("RS256"), *ages)


async def settle(turns: int = 5) -> None:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()


# The life of an answer


async def test_a_fresh_key_is_served_without_asking() -> None:
    house = House(says(300.0))
    assert await house.sees() == "key"
    house.clock.turn(299.9)
    assert await house.sees() == "key"
    assert house.repository.asked == [f"{URL}{KID}"]
    house.clock.turn(0.1)
    assert await house.sees() == "key"
    assert house.requests == 2
    assert house.events.kinds() == ["fetched", "refreshed"]


async def test_while_one_caller_revalidates_the_others_are_served_the_old_key() -> None:
    house = House(says(300.0, 60.0))
    await house.sees()
    house.clock.turn(359.9)
    open_gate = house.repository.close_gate()
    async with anyio.create_task_group() as group:
        group.start_soon(house.sees)
        await settle()
        with anyio.fail_after(1):
            assert await house.sees() == "key"
        assert house.requests == 2
        open_gate()
    assert [(e.kind, round(e.seconds, 3)) for e in house.events] == [
        ("fetched", 0.0),
        ("stale", 59.9),
        ("refreshed", 0.0),
    ]


async def test_past_revalidation_all_callers_wait_for_the_new_key() -> None:
    house = House(says(300.0, 60.0))
    await house.sees()
    house.clock.turn(360.0)
    open_gate = house.repository.close_gate()
    seen: list[str] = []

    async def call() -> None:
        seen.append(await house.sees())

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
        await settle()
        assert seen == []
        open_gate()
    assert seen == ["key"] * 3
    assert house.requests == 2


async def test_a_source_that_is_down_leaves_the_old_key_and_is_left_alone_for_a_while() -> None:
    house = House(says(300.0), min_age=5.0, stale_if_error=100.0)
    await house.sees()
    house.repository.answer = down
    house.clock.turn(310.0)
    house.events.clear()
    assert [await house.sees() for _ in range(3)] == ["key"] * 3
    assert [(e.kind, e.seconds) for e in house.events] == [("unavailable", 0.0)] + [
        ("stale", 10.0)
    ] * 3
    assert house.requests == 2
    house.clock.turn(4.9)
    assert await house.sees() == "key"
    assert house.requests == 2
    house.clock.turn(0.1)
    assert await house.sees() == "key"
    assert house.requests == 3


async def test_once_a_source_is_known_to_be_down_only_who_asks_it_again_waits() -> None:
    house = House(says(300.0), min_age=5.0, stale_if_error=100.0)
    await house.sees()
    house.repository.answer = down
    house.clock.turn(310.0)
    await house.sees()
    house.clock.turn(5.0)
    open_gate = house.repository.close_gate()
    async with anyio.create_task_group() as group:
        group.start_soon(house.sees)
        await settle()
        with anyio.fail_after(1):
            assert await house.sees() == "key"
        assert house.requests == 3
        open_gate()


async def test_a_key_is_gone_when_the_outage_no_longer_excuses_its_age() -> None:
    house = House(says(300.0), min_age=5.0, stale_if_error=100.0)
    await house.sees()
    house.repository.answer = down
    house.clock.turn(399.9)
    assert await house.sees() == "key"
    house.clock.turn(0.1)
    # Within the pause nobody asks, and it is told as what it is.
    with pytest.raises(
        Unavailable, match=f"^{URL}: it did not answer, and is left alone for a moment$"
    ) as paused:
        await house.resolve(asking())
    assert paused.value.source == URL
    assert house.requests == 2
    house.clock.turn(5.0)
    with pytest.raises(Unavailable, match="no connection") as raised:
        await house.resolve(asking())
    assert raised.value.source == f"{URL}{KID}"
    assert isinstance(raised.value.__cause__, Unavailable)
    house.repository.answer = good
    house.clock.turn(4.9)
    assert await house.sees() == "unavailable"
    house.clock.turn(0.1)
    assert await house.sees() == "key"


async def test_a_key_is_told_to_be_stale_from_the_end_of_its_freshness_on() -> None:
    house = House(says(300.0))
    await house.sees()
    house.repository.answer = down
    house.clock.turn(300.0)
    await house.sees()
    assert house.events[-1] == Event("stale", URL, KID, 0.0)


async def test_a_pause_of_no_time_asks_at_every_look_up_and_ends_each() -> None:
    house = House(says(300.0), min_age=0.0, stale_if_error=100.0)
    await house.sees()
    house.repository.answer = down
    house.clock.turn(300.0)
    assert [await house.sees() for _ in range(3)] == ["key"] * 3
    assert house.requests == 4


async def test_no_such_key_replaces_a_good_one_at_once_also_while_it_could_be_served_stale() -> (
    None
):
    house = House(says(300.0, 60.0), unknown_for=20.0)
    await house.sees()
    house.repository.answer = missing
    house.clock.turn(301.0)
    assert await house.sees() == "unknown"
    house.repository.answer = down
    house.clock.turn(20.0)
    assert await house.sees() == "unavailable"
    assert house.events.kinds() == ["fetched", "unknown", "unavailable"]


async def test_an_unknown_key_is_remembered_for_a_while_and_then_asked_for_again() -> None:
    house = House(missing, unknown_for=20.0)
    assert await house.sees() == "unknown"
    house.repository.answer = good
    house.clock.turn(19.9)
    assert await house.sees() == "unknown"
    assert house.requests == 1
    house.clock.turn(0.1)
    assert await house.sees() == "key"
    assert house.events.kinds() == ["unknown", "fetched"]


async def test_the_new_key_is_served_after_a_rotation_under_the_same_id() -> None:
    house = House(says(300.0))
    await house.sees()
    house.repository.answer = lambda url: published(key_for("RS384"), 300.0)
    assert await house.sees() == "key"
    house.clock.turn(300.0)
    assert await house.sees() == "other key"


async def test_good_keys_outlive_24_hours_of_a_dead_source_and_are_gone_after_them() -> None:
    house = House(says(300.0), stale_if_error=86_400.0)
    kids = [f"issuer/{number}" for number in range(100)]
    for kid in kids:
        house.clock.turn(1.0)
        await house.sees(kid)
    house.repository.answer = down
    house.clock.turn(300.0)
    for _ in range(24 * 60 - 2):
        house.clock.turn(60.0)
        assert await house.sees(kids[0]) == "key"
    assert [await house.sees(kid) for kid in kids] == ["key"] * 100
    house.clock.turn(300.0)
    assert [await house.sees(kid) for kid in kids] == ["unavailable"] * 100
    house.repository.answer = good
    house.clock.turn(5.0)
    assert [await house.sees(kid) for kid in kids] == ["key"] * 100


# Callers together


async def test_a_thousand_callers_on_a_cold_cache_make_one_request() -> None:
    house = House()
    seen: list[str] = []

    async def call() -> None:
        seen.append(await house.sees())

    house.repository.close_gate()
    async with anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(call)
        await settle()
        assert house.repository.closed is not None
        house.repository.closed.set()
    assert seen == ["key"] * 1_000
    assert house.requests == 1
    assert house.events.kinds() == ["fetched"]


async def test_callers_that_wait_on_an_outage_are_each_told() -> None:
    house = House(down)
    seen: list[str] = []

    async def call() -> None:
        seen.append(await house.sees())

    open_gate = house.repository.close_gate()
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(call)
        await settle()
        open_gate()
    assert seen == ["unavailable"] * 50
    assert house.requests == 1


async def test_what_fails_is_the_askers_to_see_and_an_outage_to_those_who_wait() -> None:
    gate, failure = anyio.Event(), KeyError("row")
    raised: list[Exception] = []

    async def broken(unverified: Unverified) -> Key | None:
        await gate.wait()
        raise failure

    resolve = cached(broken)

    async def call() -> None:
        try:
            await resolve(asking())
        except Exception as error:
            raised.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
        await settle()
        gate.set()
    assert sorted(map(str, raised)) == ["'row'", *["cached: asking failed: KeyError"] * 2]


async def test_the_old_key_serves_who_waits_on_a_call_that_fails() -> None:
    clock, gate, calls = Clock(), anyio.Event(), 0

    async def breaks(unverified: Unverified) -> Key | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            return key_for("RS256")
        await gate.wait()
        raise KeyError("row")

    resolve = cached(breaks, clock=clock)
    assert await resolve(asking()) is key_for("RS256")
    clock.turn(600.0)
    async with anyio.create_task_group() as group:

        async def lead() -> None:
            with pytest.raises(KeyError):
                await resolve(asking())

        async def follow() -> None:
            assert await resolve(asking()) is key_for("RS256")

        group.start_soon(lead)
        await settle()
        group.start_soon(follow)
        await settle()
        gate.set()
    with pytest.raises(KeyError):  # it was no outage, so the source is not left alone
        await resolve(asking())


async def test_a_refusal_is_neither_remembered_nor_shared() -> None:
    gate, calls = anyio.Event(), 0
    results: list[object] = []

    async def refuses_first(unverified: Unverified) -> Key | None:
        nonlocal calls
        calls += 1
        await gate.wait()
        if calls == 1:
            raise TokenRejected("issuer_not_allowed")
        return key_for("RS256")

    resolve = cached(refuses_first)

    async def call() -> None:
        try:
            results.append(await resolve(asking()))
        except TokenRejected as error:
            results.append(error.reason)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
        await settle()
        gate.set()
    assert results.count("issuer_not_allowed") == 1
    assert results.count(key_for("RS256")) == 2
    assert calls == 2


# Whose key it is


async def both(resolve: Resolver, gate: anyio.Event, *tokens: Unverified) -> list[Key | str | None]:
    """What each token gets when they come in order, while the first is being asked for."""
    results: list[Key | str | None] = [""] * len(tokens)

    async def call(place: int) -> None:
        try:
            results[place] = await resolve(tokens[place])
        except TokenRejected as error:
            results[place] = error.reason

    async with anyio.create_task_group() as group:
        for place in range(len(tokens)):
            group.start_soon(call, place)
            await settle()
        gate.set()
    return results


async def test_cached_owned_by_issuer_never_answers_one_issuer_with_anothers_key() -> None:
    gate = anyio.Event()

    async def directory(unverified: Unverified) -> Key | None:
        await gate.wait()
        return key_for("RS256")

    resolve = cached(owned_by_issuer(directory))
    owner, thief = asking("owner/key"), asking("owner/key", issuer="thief")
    assert await both(resolve, gate, owner, thief, owner, thief) == [
        key_for("RS256"),
        "key_not_owned",
        key_for("RS256"),
        "key_not_owned",
    ]
    assert await both(resolve, gate, thief, owner) == ["key_not_owned", key_for("RS256")]


async def test_cached_shared_secrets_never_answers_one_tenant_with_anothers_secret() -> None:
    gate, looked_up = anyio.Event(), list[str]()

    async def lookup(issuer: str) -> str | None:
        looked_up.append(issuer)
        await gate.wait()
        return {"a": "a" * 32, "b": "b" * 32}.get(issuer)

    resolve = cached(shared_secrets(lookup))
    tokens = [asking(None, issuer, "HS256") for issuer in "abcab"]
    for _ in range(2):
        a, b, c, a_again, b_again = await both(resolve, gate, *tokens)
        assert isinstance(a, type(import_secret("a" * 32)))
        assert isinstance(b, type(import_secret("a" * 32)))
        assert (a.raw_value, b.raw_value, c) == (b"a" * 32, b"b" * 32, None)
        assert a_again is a
        assert b_again is b
    assert looked_up == ["a", "b", "c"]


@pytest.mark.parametrize(
    "other",
    [
        asking("issuer/a", "issuer", "RS512"),
        asking("issuer/b", "issuer"),
        asking("issuer/a", "other"),
        asking(None, "issuer"),
    ],
    ids=["algorithm", "key id", "issuer", "no key id"],
)
async def test_cached_tells_tokens_apart_by(other: Unverified) -> None:
    asked: list[Unverified] = []

    async def resolver(unverified: Unverified) -> Key | None:
        asked.append(unverified)
        return key_for("RS256")

    resolve = cached(resolver)
    for token in (asking("issuer/a", "issuer"), other) * 2:
        await resolve(token)
    assert asked == [asking("issuer/a", "issuer"), other]


async def test_cached_remembers_by_what_it_is_told_to() -> None:
    asked: list[Unverified] = []

    async def resolver(unverified: Unverified) -> Key | None:
        asked.append(unverified)
        return key_for("RS256")

    resolve = cached(resolver, key=lambda unverified: unverified.claims["iss"])
    for kid in ("a/1", "a/2", "b/1"):
        await resolve(asking(kid))
    assert asked == [asking("a/1"), asking("b/1")]


async def test_cached_has_a_clock_bounds_and_events_of_its_own() -> None:
    clock, events, calls = Clock(), Events(), 0

    async def resolver(unverified: Unverified) -> Key | None:
        nonlocal calls
        calls += 1
        return key_for("RS256")

    resolve = cached(resolver, caching=Caching(default_age=50.0), clock=clock, observe=events)
    for _ in range(3):
        await resolve(asking())
        clock.turn(25.0)
    assert calls == 2
    assert events == [
        Event("fetched", "cached", KID, 0.0),
        Event("refreshed", "cached", KID, 0.0),
    ]


# Strangers


async def test_past_the_budget_the_answer_is_unavailable_and_nobody_is_asked() -> None:
    house = House(missing, issuer_misses=(1.0, 3))
    assert [await house.sees(f"a/{n}") for n in range(5)] == ["unknown"] * 3 + ["unavailable"] * 2
    assert house.requests == 3
    assert [(e.kind, e.seconds) for e in house.events][3:] == [("budget_spent", 0.0)] * 2
    with pytest.raises(Unavailable, match=f"^{URL}: the budget of misses is spent$") as raised:
        await house.resolve(asking("a/5"))
    assert raised.value.source == URL
    house.repository.answer = good
    assert await house.sees("b/1") == "key"
    house.clock.turn(1.0)
    assert await house.sees("a/6") == "key"


async def test_hits_and_refreshes_of_good_keys_are_never_charged() -> None:
    house = House(says(300.0), issuer_misses=(0.0, 1), total_misses=(0.0, 1))
    for _ in range(20):
        assert await house.sees() == "key"
        house.clock.turn(299.0)
        assert await house.sees() == "key"
        house.clock.turn(1.0)
    assert house.requests == 20
    house.repository.answer = down
    house.clock.turn(10_000.0)
    assert await house.sees() == "unavailable"
    house.repository.answer = good
    house.clock.turn(5.0)
    assert await house.sees() == "key"


async def test_a_token_that_must_not_ask_is_not_charged() -> None:
    house = House(issuer_misses=(0.0, 1))
    for _ in range(5):
        with pytest.raises(TokenRejected):
            await house.resolve(asking("../../etc/passwd", "issuer"))
    assert await house.sees() == "key"


async def test_a_refusal_after_asking_is_charged() -> None:
    asked = 0

    async def refuses(unverified: Unverified) -> Key | None:
        nonlocal asked
        asked += 1
        raise TokenRejected("unsuitable_key")

    resolve = cached(refuses, caching=Caching(issuer_misses=(0.0, 2)), clock=Clock())
    for _ in range(2):
        with pytest.raises(TokenRejected):
            await resolve(asking())
    with pytest.raises(Unavailable):
        await resolve(asking())
    assert asked == 2


async def test_each_leader_that_takes_over_is_charged_and_one_without_budget_passes_on() -> None:
    house = House(issuer_misses=(0.0, 1))
    open_gate = house.repository.close_gate()
    results: list[tuple[str, str]] = []

    async def call(issuer: str, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await house.resolve(asking("a/b/key", issuer))
                results.append((issuer, "key"))
            except Unavailable:
                results.append((issuer, "unavailable"))

    scopes = [anyio.CancelScope() for _ in range(3)]
    async with anyio.create_task_group() as group:
        for issuer, scope in zip(["a", "a", "a/b"], scopes, strict=True):
            group.start_soon(call, issuer, scope)
            await settle()
        scopes[0].cancel()
        await settle()
        open_gate()
    assert results == [("a", "unavailable"), ("a/b", "key")]
    assert house.requests == 2


async def test_a_token_without_issuer_is_budgeted_too() -> None:
    async def nobody(unverified: Unverified) -> Key | None:
        return None

    events = Events()
    resolve = cached(nobody, caching=Caching(issuer_misses=(0.0, 1)), clock=Clock(), observe=events)
    assert await resolve(asking(None)) is None
    assert events == [Event("unknown", "cached", "", 0.0)]
    with pytest.raises(Unavailable):
        await resolve(asking("kid2")._replace(claims={}))


@pytest.mark.parametrize("stranger", ["stranger/{}", "stranger{}/key"], ids=["one", "many"])
async def test_a_flood_of_unknown_key_ids_leaves_memory_flat_and_good_keys_alone(
    stranger: str, memory: Callable[[], int]
) -> None:
    house = House(lambda url: missing(url) if "stranger" in url else good(url))
    kids = [f"honest/{number}" for number in range(40)]
    sizes: list[int] = []
    asked: Counter[str] = Counter()
    for kid in kids:
        assert await house.sees(kid) == "key"
    for tenth in range(10):
        for number in range(STRANGERS // 10):
            assert await house.sees(stranger.format(f"{tenth}-{number}")) != "key"
            house.clock.turn(1000.0 / STRANGERS)
            house.events.clear()
            asked.update(url[len(URL) :][:6] for url in house.repository.asked)
            house.repository.asked.clear()
        house.clock.turn(0.1)
        assert [await house.sees(kid) for kid in kids] == ["key"] * 40
        assert await house.sees(f"another{tenth}/key") == "key"
        sizes.append(memory())
    rate, burst = (5, 50) if stranger == "stranger/{}" else (200, 5000)
    assert 1000 < asked["strang"] <= burst + rate * 1001
    assert asked["honest"] == 4 * 40
    assert max(sizes) - min(sizes[2:]) < 50_000


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """Tells how many bytes are in use that were not when the test began."""

    def used() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    yield used
    tracemalloc.stop()


# Keys before they are asked for


async def test_a_look_up_for_no_token_refreshes_after_half_of_the_freshness() -> None:
    house = House(says(300.0))
    for seconds, requests in ((0.0, 1), (149.9, 1), (0.1, 2), (149.9, 2), (0.1, 3)):
        house.clock.turn(seconds)
        assert await prefetch(house.resolve, [KID]) == {KID: True}
        assert house.requests == requests


async def test_tokens_are_served_the_fresh_key_while_it_is_refreshed_for_none() -> None:
    house = House(says(300.0))
    await house.sees()
    house.clock.turn(150.0)
    open_gate = house.repository.close_gate()
    async with anyio.create_task_group() as group:
        group.start_soon(prefetch, house.resolve, [KID])
        await settle()
        with anyio.fail_after(1):
            assert await house.sees() == "key"
            assert await prefetch(house.resolve, [KID]) == {KID: True}
        assert house.requests == 2
        open_gate()
    assert house.events.kinds() == ["fetched", "refreshed"]


async def test_a_refresh_for_no_token_that_fails_takes_nothing_from_the_fresh_key() -> None:
    house = House(says(300.0))
    await house.sees()
    house.repository.answer = down
    house.clock.turn(150.0)
    assert await prefetch(house.resolve, [KID]) == {KID: True}
    assert await prefetch(house.resolve, [KID]) == {KID: True}
    assert house.events.kinds() == ["fetched", "unavailable"]
    house.clock.turn(149.9)
    assert await house.sees() == "key"
    assert house.requests == 2


# Loops and threads


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_two_loops_in_two_threads_share_keys_and_never_wait_for_one_another(
    other: str,
) -> None:
    house = House()
    mine, theirs = threading.Event(), threading.Event()
    seen: list[str] = []

    async def fetch(url: str, accept: str) -> Document:
        house.repository.asked.append(url)
        landing = mine if house.requests == 1 else theirs
        while not landing.is_set():
            await anyio.sleep(0.001)
        return good(url)

    resolve = pem_repository(URL, fetch, clock=house.clock, observe=house.events)

    async def call() -> None:
        assert await resolve(asking()) is not None
        seen.append(threading.current_thread().name)

    async def herd() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(call)

    def run() -> None:
        anyio.run(herd, backend=other)

    thread = threading.Thread(target=run, name="theirs")
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(herd)
            while house.requests < 1:
                await anyio.sleep(0.001)
            thread.start()
            while house.requests < 2:
                await anyio.sleep(0.001)
            # Theirs lands first; ours, which asked before, must neither wait nor overwrite it.
            theirs.set()
            await anyio.to_thread.run_sync(thread.join)
            assert seen == ["theirs"] * 100
            assert await resolve(asking()) is not None
            mine.set()
    assert len(seen) == 200
    assert house.requests == 2


async def test_an_answer_asked_for_earlier_in_another_loop_does_not_undo_a_later_one() -> None:
    clock, asked = Clock(), list[str]()
    go_on = threading.Event()

    async def fetch(url: str, accept: str) -> Document:
        asked.append(url)
        if len(asked) > 1:
            return missing(url)
        while not go_on.is_set():
            await anyio.sleep(0.001)
        return good(url)

    resolve = pem_repository(URL, fetch, clock=clock)
    early: list[Key | None] = []

    async def ask_early() -> None:
        early.append(await resolve(asking()))

    thread = threading.Thread(target=anyio.run, args=(ask_early,))
    thread.start()
    while not asked:
        await anyio.sleep(0.001)
    assert await resolve(asking()) is None
    go_on.set()
    await anyio.to_thread.run_sync(thread.join)
    assert early == [None]
    assert await resolve(asking()) is None
    assert len(asked) == 2


def test_four_loops_stand_a_source_that_comes_and_goes() -> None:
    turns: list[int] = []

    async def fetch(url: str, accept: str) -> Document:
        turns.append(1)
        await anyio.lowlevel.checkpoint()
        return (good, missing, down)[len(turns) % 3](url)

    resolve = pem_repository(
        URL, fetch, caching=Caching(0.0, 0.0, 0.0, unknown_for=0.0, max_keys=3)
    )
    failures: list[BaseException] = []

    async def call(number: int) -> None:
        for turn in range(50):
            with contextlib.suppress(Unavailable):
                await resolve(asking(f"issuer{turn % 5}/{number % 3}"))
            if number % 3 == 0:
                with anyio.move_on_after(0):
                    await resolve(asking(f"issuer{turn % 5}/0"))

    async def herd() -> None:
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(call, number)

    def run(backend: str) -> None:
        try:
            anyio.run(herd, backend=backend)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(backend,)) for backend in ("asyncio", "trio") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert closed_over(closed_over(resolve, "look_up", "shared").join, "table") == {}
