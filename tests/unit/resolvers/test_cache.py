"""The cache: the life of an answer, and answers before they are asked for."""

import anyio
import pytest

from asapfn.errors import Unavailable
from asapfn.resolvers import Activity, activity, prefetch
from asapfn.types import Event
from tests.support.effort import ONE_BACKEND
from tests.support.keyhouse import URL, House, says
from tests.support.keyring import key_for
from tests.support.keysources import KID, asking, down, good, missing, published, settle

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


async def test_while_a_key_is_revalidated_no_caller_waits() -> None:
    house = House(says(300.0, 60.0))
    await house.sees()
    house.clock.turn(359.9)
    open_gate = house.repository.close_gate()
    with anyio.fail_after(10):
        assert await house.sees() == "key"
        await settle()
        assert await house.sees() == "key"
    assert house.requests == 2
    assert activity(house.resolve) == Activity(waiting=0, fetching=1, cached=1, failing=0)
    open_gate()
    await settle()
    assert [(e.kind, round(e.seconds, 3)) for e in house.events] == [
        ("fetched", 0.0),
        ("stale", 59.9),
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
    await settle()
    assert house.requests == 3
    assert {e.detail for e in house.events} == {"no connection"}


async def test_once_a_source_is_known_to_be_down_no_caller_waits_for_it() -> None:
    house = House(says(300.0), min_age=5.0, stale_if_error=100.0)
    await house.sees()
    house.repository.answer = down
    house.clock.turn(310.0)
    await house.sees()
    house.clock.turn(5.0)
    open_gate = house.repository.close_gate()
    with anyio.fail_after(10):
        assert await house.sees() == "key"
        await settle()
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
    # Within the pause of a key that nothing serves nobody asks, and the error says so.
    said = "not asked again for 0.2 s, since it failed: no connection"
    with pytest.raises(Unavailable, match=f"^{URL}{KID}: {said}$") as paused:
        await house.resolve(asking())
    assert paused.value.source == f"{URL}{KID}"
    assert house.requests == 2
    house.clock.turn(5.0)
    with pytest.raises(Unavailable, match="no connection") as raised:
        await house.resolve(asking())
    assert raised.value.source == f"{URL}{KID}"
    assert isinstance(raised.value.__cause__, Unavailable)
    house.repository.answer = good
    house.clock.turn(0.49)
    assert await house.sees() == "unavailable"
    house.clock.turn(0.01)
    assert await house.sees() == "key"


async def test_a_key_is_told_to_be_stale_from_the_end_of_its_freshness_on() -> None:
    house = House(says(300.0))
    await house.sees()
    house.repository.answer = down
    house.clock.turn(300.0)
    await house.sees()
    assert house.events[-1] == Event("stale", URL, KID, 0.0, "no connection")


async def test_a_pause_of_no_time_asks_at_every_look_up_and_ends_each() -> None:
    house = House(says(300.0), min_age=0.0, stale_if_error=100.0)
    await house.sees()
    house.repository.answer = down
    house.clock.turn(300.0)
    assert [await house.sees() for _ in range(3)] == ["key"] * 3
    assert house.requests == 4


async def test_no_such_key_replaces_a_good_one_that_could_be_served_stale() -> None:
    house = House(says(300.0, 60.0), unknown_for=20.0)
    await house.sees()
    house.repository.answer = missing
    house.clock.turn(301.0)
    assert await house.sees() == "key"
    await settle()
    assert await house.sees() == "unknown"
    house.repository.answer = down
    house.clock.turn(20.0)
    assert await house.sees() == "unavailable"
    assert house.events.kinds() == ["fetched", "stale", "unknown", "unavailable"]


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


@ONE_BACKEND
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
        with anyio.fail_after(10):
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
