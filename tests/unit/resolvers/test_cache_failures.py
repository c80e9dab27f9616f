"""A cache and a source that fails: pauses that grow, one try for many keys, recovery at once."""

import itertools
import math
from collections.abc import Callable

import anyio
import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers import cached, pem_repository, prefetch
from asapfn.types import Document, Event, Key, Unverified
from tests.support.effort import ONE_BACKEND
from tests.support.keyring import key_for
from tests.support.keysources import (
    KID,
    PEM,
    Clock,
    Events,
    Repository,
    asking,
    cache_of,
    down,
    good,
    missing,
    settle,
)
from tests.support.repository_client import URL, Client, says


async def test_a_key_not_in_the_cache_is_asked_for_a_handful_of_times_while_its_source_fails() -> (
    None
):
    client = Client(down)
    first_second = 0
    for hundredth in range(1000):
        assert [await client.sees() for _ in range(3)] == ["unavailable"] * 3
        client.clock.turn(0.01)
        if hundredth == 99:
            first_second = client.requests
    assert first_second <= 4
    assert client.requests <= 14
    client.repository.answer = good
    client.clock.turn(1.0)
    assert await client.sees() == "key"
    assert [await client.sees(f"other{n}/key") for n in range(200)] == ["key"] * 200
    assert "rate_limited" not in client.events.kinds()


@ONE_BACKEND
async def test_a_source_that_is_down_for_many_keys_is_asked_by_one_look_up_a_pause() -> None:
    client = Client(down)
    for _ in range(30):
        assert {await client.sees(f"issuer{n}/key") for n in range(300)} == {"unavailable"}
        client.clock.turn(0.1)
    assert client.requests <= 5 + 3.0 / 0.25
    # One success, of any key, ends it for all: also for those that were not asked for at all.
    client.repository.answer = good
    client.clock.turn(1.0)
    seen = [await client.sees(f"issuer{n}/key") for n in range(300)]
    assert seen.count("key") >= 295
    client.clock.turn(1.0)
    assert [await client.sees(f"issuer{n}/key") for n in range(300)] == ["key"] * 300


async def test_an_issuer_whose_budget_is_spent_keeps_no_other_from_a_source_that_is_well() -> None:
    client = Client(missing, issuer_misses=(0.0, 3), longest_wait=0.0)
    assert [await client.sees(f"spent/{n}") for n in range(4)] == ["unknown"] * 3 + ["unavailable"]
    client.repository.answer = down
    for n in range(20):
        await client.sees(f"issuer{n}/key")
        client.clock.turn(0.05)
    client.repository.answer = good
    client.clock.turn(1.0)
    assert await client.sees("spent/another") == "unavailable"
    assert await client.sees("cold/key") == "key"


async def test_look_ups_that_come_at_once_are_one_question_to_a_source_that_is_down() -> None:
    client = Client(total_misses=(0.0, 10_000))
    assert await client.sees() == "key"
    client.clock.turn(301.0)
    client.repository.answer = down
    for n in range(20):
        await client.sees(f"issuer{n}/key")
    client.clock.turn(1.0)
    asked, left = client.requests, client.cache.budget.total.left
    async with anyio.create_task_group() as group:
        for n in range(50):
            group.start_soon(client.sees, f"other{n}/key")
        group.start_soon(client.sees)
    assert client.requests == asked + 1
    assert client.cache.budget.total.left == left
    assert await client.sees() == "key"


async def test_look_ups_that_a_source_is_not_asked_for_cost_their_issuer_nothing() -> None:
    client = Client(down, issuer_misses=(0.0, 10), longest_wait=0.0)
    for n in range(5):
        await client.sees(f"issuer/{n}")
    client.clock.turn(0.25)
    async with anyio.create_task_group() as group:
        for n in range(5, 11):
            group.start_soon(client.sees, f"issuer/{n}")
    assert client.requests == 6
    client.repository.answer = missing
    client.clock.turn(1.0)
    seen = [await client.sees(f"issuer/{n}") for n in range(20, 30)]
    # Those of before it was known to be down are charged.
    assert seen == ["unknown"] * 6 + ["unavailable"] * 4


async def test_a_source_that_stays_down_is_asked_in_pauses_that_double_to_half_a_second() -> None:
    client = Client(down)
    asked: list[float] = []
    for number in range(4 * 64):
        before = client.requests
        await client.sees(f"issuer{number}/key")
        asked += [number / 64] * (client.requests - before)
        client.clock.turn(1 / 64)
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked[4:])]
    assert pauses == [0.125, 0.125, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]


async def test_failures_in_the_same_instant_as_an_answer_count() -> None:
    client = Client()
    assert await client.sees() == "key"
    client.repository.answer = down
    for _ in range(2):
        assert {await client.sees(f"issuer{n}/key") for n in range(3)} == {"unavailable"}
        assert client.requests == 1 + 3
    assert {await client.sees(f"issuer{n}/key") for n in range(30)} == {"unavailable"}
    assert client.requests == 1 + 5


async def test_while_one_look_up_asks_a_source_that_is_down_the_others_need_not_wait() -> None:
    client = Client(down)
    for n in range(5):
        await client.sees(f"issuer{n}/key")
    client.clock.turn(0.25)
    open_gate = client.repository.close_gate()
    async with anyio.create_task_group() as group:
        group.start_soon(client.sees, "asks/key")
        await settle()
        with pytest.raises(Unavailable, match=r"not asked again for 0\.1 s, since it failed: no"):
            await client.resolve(asking("other/key"))
        open_gate()
    assert client.requests == 6


async def test_who_waits_for_a_call_that_raises_hears_which_source_it_was() -> None:
    gate = anyio.Event()
    heard: list[str] = []

    async def broken(unverified: Unverified) -> Key | None:
        await gate.wait()
        raise ValueError("a bug")

    resolve = cached(broken)

    async def call() -> None:
        try:
            await resolve(asking())
        except (ValueError, Unavailable) as error:
            heard.append(str(error))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
        await settle()
        gate.set()
    assert sorted(heard) == ["a bug", *["cached: asking failed: ValueError"] * 2]


async def test_a_refresh_that_raises_is_a_failure_of_its_source() -> None:
    def broken(url: str) -> Document:
        raise ValueError("a bug")

    client = Client(says(300.0, 100.0, 0.0))
    assert await client.sees() == "key"
    client.repository.answer = broken
    client.clock.turn(399.9)
    assert await client.sees() == "key"
    await settle()
    client.clock.turn(0.2)
    with pytest.raises(Unavailable, match=r"not asked again .*: asking failed") as raised:
        await client.resolve(asking())
    assert raised.value.source == URL


async def test_pauses_are_spread_by_chance() -> None:
    client = Client(down)
    chances = iter((1.0, 0.0, 0.5))
    client.cache.chance = lambda: next(chances)
    for pause in (0.125, 0.5, 0.75):
        assert await client.sees() == "unavailable"
        (failure,) = client.cache.failures.values()
        assert failure.retry_at == client.clock.now + pause
        client.clock.turn(pause)


@pytest.mark.parametrize(
    ("says", "pause"), [(30.0, 30.0), (86_400.0, 60.0), (60.0, 60.0), (0.1, 0.25), (None, 0.25)]
)
async def test_a_source_is_asked_again_when_it_wants_to_be_within_bounds(
    says: float | None, pause: float
) -> None:
    client = Client(lambda url: Document(503, "", b"", retry_after=says))
    assert await client.sees() == "unavailable"
    client.repository.answer = good
    client.clock.turn(pause - 0.01)
    assert await client.sees() == "unavailable"
    assert await client.sees("other/key") == ("key" if pause < 1 else "unavailable")
    client.clock.turn(0.01)
    assert await client.sees() == "key"


@ONE_BACKEND
@pytest.mark.parametrize("wait", [0.0, -10.0, -math.inf, math.nan])
async def test_a_source_that_names_a_time_in_the_past_is_asked_as_seldom(wait: float) -> None:
    client = Client(lambda url: Document(503, "", b"", retry_after=wait))
    for _ in range(30):
        assert {await client.sees(f"issuer{n}/key") for n in range(50)} == {"unavailable"}
        client.clock.turn(0.1)
    assert client.requests <= 5 + 3.0 / 0.25


@pytest.mark.parametrize("status", [400, 503])
async def test_a_key_is_asked_for_again_when_its_answer_says(status: int) -> None:
    client = Client(lambda url: Document(status, "", b"", retry_after=10.0))
    assert await client.sees() == "unavailable"
    client.repository.answer = good
    assert await client.sees("other/key") == ("key" if status == 400 else "unavailable")
    for step, seen in ((9.9, "unavailable"), (0.1, "key")):
        client.clock.turn(step)
        assert await client.sees() == seen


async def test_any_resolver_can_say_when_to_ask_it_again() -> None:
    clock, asked = Clock(), list[Unverified]()

    async def limited(unverified: Unverified) -> Key | None:
        asked.append(unverified)
        raise Unavailable("database", "too many", retry_after=10.0)

    resolve = cached(limited, clock=clock)
    for kid in ("a/1", "a/1", "a/2", "a/2"):
        with pytest.raises(Unavailable, match="too many") as raised:
            await resolve(asking(kid))
    assert raised.value.source == "database"
    # An outage of one key says nothing of another's, since it is not known what the resolver does.
    assert asked == [asking("a/1"), asking("a/2")]


UNUSABLE = {
    "no PEM": Document(200, PEM, b"<html>"),
    "another media type": Document(200, "text/html", b"<html>"),
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_key_that_cannot_be_used_is_no_outage_for_the_others(answer: Document) -> None:
    client = Client(lambda url: answer if "/bad" in url else good(url), unknown_for=20.0)
    for number in range(100):
        assert await client.sees(f"issuer/bad{number % 10}") == "unavailable"
        assert await client.sees(f"issuer{number}/key") == "key"
        client.clock.turn(0.19)
    assert client.requests == 110
    client.clock.turn(1.1)
    client.repository.answer = good
    assert await client.sees("issuer/bad0") == "key"


async def test_a_key_in_the_cache_outlives_an_answer_that_cannot_be_used() -> None:
    client = Client()
    assert await client.sees() == "key"
    client.repository.answer = lambda url: UNUSABLE["no PEM"]
    client.clock.turn(300.0)
    assert [await client.sees() for _ in range(5)] == ["key"] * 5
    assert client.requests == 2
    client.clock.turn(20.0)
    assert await client.sees() == "key"
    await settle()
    assert client.requests == 3


async def test_without_leave_to_use_it_stale_a_key_is_gone_with_its_freshness() -> None:
    client = Client(lambda url: good(url)._replace(max_age=0.0, must_revalidate=True))
    assert await client.sees() == "key"
    client.repository.answer = down
    client.clock.turn(4.9)
    assert await client.sees() == "key"
    client.clock.turn(0.1)
    assert await client.sees() == "unavailable"


async def test_an_outage_long_ago_is_not_taken_for_one_now() -> None:
    client = Client()
    assert await client.sees() == "key"
    client.repository.answer = down
    client.clock.turn(300.0)
    assert await client.sees() == "key"
    client.repository.answer = lambda url: Document(404, "", b"")
    client.clock.turn(1000.0)
    assert await client.sees() == "unknown"


@pytest.mark.parametrize("keys", [4, 20])
async def test_look_ups_at_once_long_after_an_outage_are_all_answered(keys: int) -> None:
    client = Client(down)
    for n in range(keys):
        assert await client.sees(f"issuer{n}/key") == "unavailable"
    client.clock.turn(1000.0)
    client.repository.answer = good
    open_gate = client.repository.close_gate()
    seen: list[str] = []

    async def look(kid: str) -> None:
        seen.append(await client.sees(kid))

    async with anyio.create_task_group() as group:
        for n in range(20):
            group.start_soon(look, f"cold{n}/key")
        await settle()
        open_gate()
    assert seen == ["key"] * 20


async def test_failures_long_ago_do_not_count_with_those_of_now() -> None:
    client = Client(down)
    for n in range(20):
        assert await client.sees(f"issuer{n}/key") == "unavailable"
        client.clock.turn(10.0)
    assert client.requests == 20
    client.repository.answer = lambda url: down(url) if "bad" in url else good(url)
    assert await client.sees("issuer/bad") == "unavailable"
    assert await client.sees("cold/key") == "key"


async def test_a_refresh_that_breaks_beside_its_callers_is_reported_and_paused() -> None:
    clock, events, calls = Clock(), Events(), 0

    async def breaks(unverified: Unverified) -> Key | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            return key_for("RS256")
        raise Unavailable("database", "down") if calls == 2 else KeyError("secret row")

    resolve = cached(breaks, clock=clock, observe=events)
    cache_of(resolve).chance = lambda: 0.0
    await resolve(asking())
    clock.turn(600.0)
    await resolve(asking())
    clock.turn(5.0)
    for _ in range(5):
        assert await resolve(asking()) is key_for("RS256")
        await settle()
    assert calls == 3
    broken = Event("unavailable", "cached", KID, 0.0, "asking failed: KeyError")
    assert [event for event in events if event.kind == "unavailable"] == [
        broken._replace(detail="down"),
        broken,
    ]
    # Past its time the key does not hide the fault.
    clock.turn(10_000.0)
    with pytest.raises(KeyError):
        await resolve(asking())
    assert events[-1] == broken


async def test_a_token_that_is_rejected_beside_its_callers_is_rejected_the_next_time() -> None:
    clock, calls = Clock(), 0

    async def rejects(unverified: Unverified) -> Key | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            return key_for("RS256")
        if calls == 2:
            raise Unavailable("database", "down")
        raise TokenRejected("issuer_not_allowed")

    resolve = cached(rejects, clock=clock)
    await resolve(asking())
    clock.turn(600.0)
    await resolve(asking())
    clock.turn(5.0)
    assert await resolve(asking()) is key_for("RS256")
    await settle()
    with pytest.raises(TokenRejected):
        await resolve(asking())


async def test_keys_are_kept_warm_by_those_who_run_the_service_whatever_tokens_cost() -> None:
    client = Client(issuer_misses=(0.0, 1), longest_wait=0.0)
    client.repository.answer = lambda url: Document(404, "", b"")
    assert await client.sees("issuer/random") == "unknown"
    assert await client.sees("issuer/random2") == "unavailable"
    client.repository.answer = good
    assert await prefetch(client.resolve, ["issuer/new"]) == {"issuer/new": True}
    assert await client.sees("issuer/new") == "key"


async def test_a_resolver_of_its_own_pauses_nothing_with_no_least_age() -> None:
    client = Client(down, min_age=0.0)
    for requests in range(1, 20):
        assert await client.sees(f"issuer/{requests}") == "unavailable"
        assert client.requests == requests


async def test_an_error_that_many_get_is_each_ones_own() -> None:
    client = Client(down)
    errors: list[Unavailable] = []

    async def call() -> None:
        with pytest.raises(Unavailable) as raised:
            await client.resolve(asking())
        errors.append(raised.value)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(call)
    assert len(set(map(id, errors))) == 10
    assert {str(error) for error in errors} == {f"{URL}{KID}: no connection"}


async def test_questions_that_still_hang_when_a_source_is_well_again_do_not_make_it_down() -> None:
    client = Client(lambda url: down(url) if "hangs" in url else good(url))
    open_gate = client.repository.close_gate()
    async with anyio.create_task_group() as group:
        for n in range(20):
            group.start_soon(client.sees, f"hangs{n}/key")
        await settle()
        client.clock.turn(1.0)
        client.repository.closed = None
        assert await client.sees("cold/key") == "key"
        open_gate()
    assert len(client.cache.failures) == 20
    assert [await client.sees(f"colder{n}/key") for n in range(20)] == ["key"] * 20


async def test_old_questions_that_fail_one_by_one_do_not_put_off_the_next_try() -> None:
    client = Client(down)
    open_gates: list[Callable[[], None]] = []
    async with anyio.create_task_group() as group:
        for n in range(40):
            open_gates.append(client.repository.close_gate())
            group.start_soon(client.sees, f"hangs{n}/key")
            await settle()
        client.repository.closed = None
        for n in range(10):
            assert await client.sees(f"issuer{n}/key") == "unavailable"
        asked, seen = client.requests, list[str]()
        for n, open_gate in enumerate(open_gates):
            # As fast as those fail that wait for their deadlines in a source that hangs.
            client.clock.turn(0.1)
            open_gate()
            await settle()
            seen.append(await client.sees(f"cold{n}/key"))
        assert seen == ["unavailable"] * 40
        assert client.requests - asked >= 4.0 / 0.5 - 1


@pytest.mark.parametrize("later", [0.4, 0.6])
async def test_who_comes_after_a_recovery_does_not_wait_for_a_question_that_hangs(
    later: float,
) -> None:
    client = Client()
    open_gate = client.repository.close_gate()
    seen: list[str] = []

    async def look(kid: str) -> None:
        seen.append(await client.sees(kid))

    async with anyio.create_task_group() as group:
        group.start_soon(look, "cold/key")
        await settle()
        client.repository.closed = None
        client.clock.turn(later)
        # Another key's question began later and is answered: so the first one hangs, or was slow.
        assert await client.sees("other/key") == "key"
        with anyio.move_on_after(0.05):
            await look("cold/key")
        assert seen == ([] if later < 0.5 else ["key"])
        asked = client.requests
        open_gate()
    assert seen == ["key"] * (1 if later < 0.5 else 2)
    assert client.requests == asked == (2 if later < 0.5 else 3)
    assert not client.cache.flights


async def test_a_question_that_fails_after_a_recovery_puts_off_no_later_one_for_its_key() -> None:
    client = Client(down)
    open_gate = client.repository.close_gate()
    async with anyio.create_task_group() as group:
        group.start_soon(client.sees, "cold/key")
        await settle()
        client.repository.closed, client.repository.answer = None, good
        client.clock.turn(0.1)
        assert await client.sees("other/key") == "key"
        client.repository.answer = down
        open_gate()
    client.repository.answer = good
    assert await client.sees("cold/key") == "key"


def fails_for_some(retry_after: float | None = None) -> Callable[[str], Document]:
    failure = Document(500, "", b"", retry_after=retry_after)
    return lambda url: failure if "/bad" in url else good(url)


async def ask_beside_others(client: Client, kid: str) -> None:
    """Ask for a key; the answer comes after that to a later question for another key."""
    open_gate = client.repository.close_gate()
    async with anyio.create_task_group() as group:
        group.start_soon(client.sees, kid)
        await settle()
        client.repository.closed = None
        client.clock.turn(0.1)
        assert await client.sees(f"other/{client.clock.now}") == "key"
        client.clock.turn(0.1)
        open_gate()


async def test_a_key_that_fails_is_put_off_though_other_keys_are_answered_meanwhile() -> None:
    client = Client(fails_for_some())
    for _ in range(20):
        await ask_beside_others(client, "issuer/bad")
    # At once after the first time, and then after 0.5, 1, 1 and 1 seconds.
    assert client.repository.asked.count(f"{URL}issuer/bad") <= 6


async def test_a_key_is_not_asked_for_sooner_than_was_said_with_its_failure() -> None:
    client = Client(fails_for_some(retry_after=30.0))
    for _ in range(20):
        await ask_beside_others(client, "issuer/bad")
    assert client.repository.asked.count(f"{URL}issuer/bad") == 1


async def test_keys_that_fail_spend_the_budget_though_other_keys_are_answered_meanwhile() -> None:
    client = Client(fails_for_some(), issuer_misses=(0.0, 5), longest_wait=0.0)
    for number in range(20):
        await ask_beside_others(client, f"issuer/bad{number}")
    assert sum("/bad" in url for url in client.repository.asked) == 5


async def test_questions_that_hung_when_the_source_was_well_again_spend_no_budget() -> None:
    client = Client(down, issuer_misses=(0.0, 5), longest_wait=0.0)
    open_gate = client.repository.close_gate()
    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(client.sees, f"issuer/hangs{number}")
        await settle()
        client.repository.closed, client.repository.answer = None, good
        client.clock.turn(1.0)
        assert await client.sees("other/key") == "key"
        client.repository.answer = down
        open_gate()
    client.repository.answer = good
    assert await client.sees("issuer/key") == "key"


async def test_an_outage_spends_no_budget() -> None:
    client = Client(lambda url: down(url))
    open_gate = client.repository.close_gate()
    async with anyio.create_task_group() as group:
        for n in range(190):  # as many as an issuer may ask for at once, and a few less
            group.start_soon(client.sees, f"issuer/hangs{n}")
        await settle()
        open_gate()
    client.repository.closed, client.repository.answer = None, good
    client.clock.turn(1.0)
    assert [await client.sees(f"issuer/cold{n}") for n in range(30)] == ["key"] * 30
    client.repository.answer = missing
    seen = [await client.sees(f"issuer/missing{n}") for n in range(190)]
    assert seen == ["unknown"] * 190


REFUSED = {
    "a redirect": Unavailable(URL, "status 301, a redirect", answered=True),
    "a bad request": Document(400, "", b""),
    "gone": Document(410, "", b""),
}


@ONE_BACKEND
@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
async def test_what_a_source_answers_for_one_key_is_no_outage_for_the_others(
    answer: Document | Exception,
) -> None:
    def say(url: str) -> Document:
        if "/bad" not in url:
            return good(url)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = Client(say)
    for number in range(20):
        for bad in range(10):
            assert await client.sees(f"issuer{number}/bad{bad}") == "unavailable"
        assert await client.sees(f"issuer{number}/key") == "key"
        client.clock.turn(0.02)


async def test_unknown_keys_are_no_outage_of_a_mirror_while_the_first_is_down() -> None:
    def say(url: str) -> Document:
        return down(url) if "one" in url else missing(url) if "/bad" in url else good(url)

    resolve = pem_repository(["https://one.example/", "https://two.example/"], Repository(say))
    for number in range(20):
        with pytest.raises(Unavailable, match="no connection"):
            await resolve(asking(f"issuer/bad{number}"))
        assert await resolve(asking(f"issuer/key{number}")) is not None


async def test_a_failure_beside_it_does_not_shorten_what_a_source_asks_for() -> None:
    clock, repository = Clock(), Repository()
    repository.answer = lambda url: (
        Document(503, "", b"", retry_after=30.0) if "slow" in url else down(url)
    )
    resolve = pem_repository(URL, repository, clock=clock)
    open_gate = repository.close_gate()

    async def fails(kid: str) -> None:
        with pytest.raises(Unavailable):
            await resolve(asking(kid))

    async with anyio.create_task_group() as group:
        for kid in ("issuer/slow", "issuer/other"):
            group.start_soon(fails, kid)
            await settle()
        open_gate()
    clock.turn(29.0)
    await fails("issuer/third")
    assert len(repository.asked) == 2


async def test_a_key_that_expires_in_an_outage_is_asked_for_again_as_soon_as_an_unknown_one() -> (
    None
):
    client = Client(says(10.0), stale_if_error=20.0)
    assert await client.sees() == "key"
    client.clock.turn(29.5)
    client.repository.answer = down
    assert await client.sees() == "key"
    client.repository.answer = says(10.0)
    client.clock.turn(1.0)
    assert await client.sees() == "key"
    assert client.requests == 3
