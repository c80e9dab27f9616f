"""The cache: the life of an answer, and answers before they are asked for."""

import math

import anyio
import pytest

from asapfn.errors import Unavailable
from asapfn.resolvers import Activity, activity, prefetch
from asapfn.types import Event
from tests.support.effort import ONE_BACKEND
from tests.support.keyring import key_for
from tests.support.keysources import KID, asking, down, good, missing, published, settle
from tests.support.repository_client import URL, Client, says

# The life of an answer


async def test_a_fresh_key_is_served_without_asking() -> None:
    client = Client(says(300.0))
    assert await client.sees() == "key"
    client.clock.turn(299.9)
    assert await client.sees() == "key"
    assert client.repository.asked == [f"{URL}{KID}"]
    client.clock.turn(0.1)
    assert await client.sees() == "key"
    assert client.requests == 2
    assert client.events.kinds() == ["fetched", "refreshed"]


@pytest.mark.parametrize("age", [math.nan, -math.inf, -1.0, 0.0])
async def test_a_key_is_fresh_for_the_least_age_whatever_number_its_source_says(age: float) -> None:
    client = Client(says(age), min_age=5.0)
    for seconds in (0.0, 4.9, 0.1):
        client.clock.turn(seconds)
        assert await client.sees() == "key"
    assert client.requests == 2


@pytest.mark.parametrize("while_revalidated", [math.nan, -math.inf, -1.0, 0.0])
async def test_a_key_ends_while_its_source_fails_whatever_number_the_source_says(
    while_revalidated: float,
) -> None:
    client = Client(says(300.0, while_revalidated), stale_if_error=60.0)
    assert await client.sees() == "key"
    client.repository.answer = down
    client.clock.turn(359.0)
    assert await client.sees() == "key"
    client.clock.turn(1.0)
    assert await client.sees() == "unavailable"


async def test_while_a_key_is_revalidated_no_caller_waits() -> None:
    client = Client(says(300.0, 60.0))
    await client.sees()
    client.clock.turn(359.9)
    open_gate = client.repository.close_gate()
    with anyio.fail_after(10):
        assert await client.sees() == "key"
        await settle()
        assert await client.sees() == "key"
    assert client.requests == 2
    assert activity(client.resolve) == Activity(waiting=0, fetching=1, cached=1, failing=0)
    open_gate()
    await settle()
    assert [(e.kind, round(e.seconds, 3)) for e in client.events] == [
        ("fetched", 0.0),
        ("stale", 59.9),
        ("stale", 59.9),
        ("refreshed", 0.0),
    ]


async def test_past_revalidation_all_callers_wait_for_the_new_key() -> None:
    client = Client(says(300.0, 60.0))
    await client.sees()
    client.clock.turn(360.0)
    open_gate = client.repository.close_gate()
    seen: list[str] = []

    async def call() -> None:
        seen.append(await client.sees())

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
        await settle()
        assert seen == []
        open_gate()
    assert seen == ["key"] * 3
    assert client.requests == 2


async def test_a_source_that_is_down_leaves_the_old_key_and_is_left_alone_for_a_while() -> None:
    client = Client(says(300.0), min_age=5.0, stale_if_error=100.0)
    await client.sees()
    client.repository.answer = down
    client.clock.turn(310.0)
    client.events.clear()
    assert [await client.sees() for _ in range(3)] == ["key"] * 3
    assert [(e.kind, e.seconds) for e in client.events] == [("unavailable", 0.0)] + [
        ("stale", 10.0)
    ] * 3
    assert client.requests == 2
    client.clock.turn(4.9)
    assert await client.sees() == "key"
    assert client.requests == 2
    client.clock.turn(0.1)
    assert await client.sees() == "key"
    await settle()
    assert client.requests == 3
    assert {e.detail for e in client.events} == {"no connection"}


async def test_once_a_source_is_known_to_be_down_no_caller_waits_for_it() -> None:
    client = Client(says(300.0), min_age=5.0, stale_if_error=100.0)
    await client.sees()
    client.repository.answer = down
    client.clock.turn(310.0)
    await client.sees()
    client.clock.turn(5.0)
    open_gate = client.repository.close_gate()
    with anyio.fail_after(10):
        assert await client.sees() == "key"
        await settle()
        assert await client.sees() == "key"
    assert client.requests == 3
    open_gate()


async def test_a_key_is_gone_when_the_outage_no_longer_excuses_its_age() -> None:
    client = Client(says(300.0), min_age=5.0, stale_if_error=100.0)
    await client.sees()
    client.repository.answer = down
    client.clock.turn(399.9)
    assert await client.sees() == "key"
    client.clock.turn(0.1)
    # Within the pause of a key that nothing serves nobody asks, and the error says so.
    said = "not asked again for 0.2 s, since it failed: no connection"
    with pytest.raises(Unavailable, match=f"^{URL}{KID}: {said}$") as paused:
        await client.resolve(asking())
    assert paused.value.source == f"{URL}{KID}"
    assert client.requests == 2
    client.clock.turn(5.0)
    with pytest.raises(Unavailable, match="no connection") as raised:
        await client.resolve(asking())
    assert raised.value.source == f"{URL}{KID}"
    assert isinstance(raised.value.__cause__, Unavailable)
    client.repository.answer = good
    client.clock.turn(0.49)
    assert await client.sees() == "unavailable"
    client.clock.turn(0.01)
    assert await client.sees() == "key"


async def test_a_key_is_told_to_be_stale_from_the_end_of_its_freshness_on() -> None:
    client = Client(says(300.0))
    await client.sees()
    client.repository.answer = down
    client.clock.turn(300.0)
    await client.sees()
    assert client.events[-1] == Event("stale", URL, KID, 0.0, "no connection")


async def test_a_pause_of_no_time_asks_at_every_look_up_and_ends_each() -> None:
    client = Client(says(300.0), min_age=0.0, stale_if_error=100.0)
    await client.sees()
    client.repository.answer = down
    client.clock.turn(300.0)
    assert [await client.sees() for _ in range(3)] == ["key"] * 3
    assert client.requests == 4


async def test_no_such_key_replaces_a_good_one_that_could_be_served_stale() -> None:
    client = Client(says(300.0, 60.0), unknown_for=20.0)
    await client.sees()
    client.repository.answer = missing
    client.clock.turn(301.0)
    assert await client.sees() == "key"
    await settle()
    assert await client.sees() == "unknown"
    client.repository.answer = down
    client.clock.turn(20.0)
    assert await client.sees() == "unavailable"
    assert client.events.kinds() == ["fetched", "stale", "unknown", "unavailable"]


async def test_an_unknown_key_is_remembered_for_a_while_and_then_asked_for_again() -> None:
    client = Client(missing, unknown_for=20.0)
    assert await client.sees() == "unknown"
    client.repository.answer = good
    client.clock.turn(19.9)
    assert await client.sees() == "unknown"
    assert client.requests == 1
    client.clock.turn(0.1)
    assert await client.sees() == "key"
    assert client.events.kinds() == ["unknown", "fetched"]


async def test_the_new_key_is_served_after_a_rotation_under_the_same_id() -> None:
    client = Client(says(300.0))
    await client.sees()
    client.repository.answer = lambda url: published(key_for("RS384"), 300.0)
    assert await client.sees() == "key"
    client.clock.turn(300.0)
    assert await client.sees() == "other key"


@ONE_BACKEND
async def test_good_keys_outlive_24_hours_of_a_dead_source_and_are_gone_after_them() -> None:
    client = Client(says(300.0), stale_if_error=86_400.0)
    kids = [f"issuer/{number}" for number in range(100)]
    for kid in kids:
        client.clock.turn(1.0)
        await client.sees(kid)
    client.repository.answer = down
    client.clock.turn(300.0)
    for _ in range(24 * 60 - 2):
        client.clock.turn(60.0)
        assert await client.sees(kids[0]) == "key"
    assert [await client.sees(kid) for kid in kids] == ["key"] * 100
    client.clock.turn(300.0)
    assert [await client.sees(kid) for kid in kids] == ["unavailable"] * 100
    client.repository.answer = good
    client.clock.turn(5.0)
    assert [await client.sees(kid) for kid in kids] == ["key"] * 100


# Keys before they are asked for


async def test_a_look_up_for_no_token_refreshes_after_half_of_the_freshness() -> None:
    client = Client(says(300.0))
    for seconds, requests in ((0.0, 1), (149.9, 1), (0.1, 2), (149.9, 2), (0.1, 3)):
        client.clock.turn(seconds)
        assert await prefetch(client.resolve, [KID]) == {KID: True}
        assert client.requests == requests


async def test_tokens_are_served_the_fresh_key_while_it_is_refreshed_for_none() -> None:
    client = Client(says(300.0))
    await client.sees()
    client.clock.turn(150.0)
    open_gate = client.repository.close_gate()
    async with anyio.create_task_group() as group:
        group.start_soon(prefetch, client.resolve, [KID])
        await settle()
        with anyio.fail_after(10):
            assert await client.sees() == "key"
            assert await prefetch(client.resolve, [KID]) == {KID: True}
        assert client.requests == 2
        open_gate()
    assert client.events.kinds() == ["fetched", "refreshed"]


async def test_a_refresh_for_no_token_that_fails_takes_nothing_from_the_fresh_key() -> None:
    client = Client(says(300.0))
    await client.sees()
    client.repository.answer = down
    client.clock.turn(150.0)
    assert await prefetch(client.resolve, [KID]) == {KID: True}
    assert await prefetch(client.resolve, [KID]) == {KID: True}
    assert client.events.kinds() == ["fetched", "unavailable"]
    client.clock.turn(149.9)
    assert await client.sees() == "key"
    assert client.requests == 2
