"""Keys in a published set: when the set is asked for."""

import time

import anyio
import anyio.lowlevel
import pytest

from asapfn.errors import Unavailable
from asapfn.keys import export_jwks
from asapfn.resolvers import jwks, prefetch
from asapfn.types import Caching, Event, Key
from tests.support.keysets import EC, NEW, RSA, SOURCE, URL, House, same, serving
from tests.support.keysources import Repository, asking, down


async def test_a_key_that_is_absent_makes_the_set_be_fetched_again_after_the_cooldown() -> None:
    house = House(export_jwks([RSA]), cooldown=30.0)
    new = asking("new", "issuer", "ES256")
    assert await house.resolve(new) is None
    house.source.answer = serving(export_jwks([RSA, NEW]))
    house.clock.turn(29.9)
    assert await house.resolve(new) is None
    assert house.requests == 1
    house.clock.turn(0.1)
    assert same(await house.resolve(new), NEW)
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert house.requests == 2


async def test_the_cooldown_counts_from_the_last_fetch_that_was_completed() -> None:
    house = House(export_jwks([RSA]), cooldown=30.0)
    absent = asking("absent")
    for seconds, requests in ((0.0, 1), (30.0, 2), (29.9, 2), (0.1, 3), (0.0, 3)):
        house.clock.turn(seconds)
        assert await house.resolve(absent) is None
        assert house.requests == requests
    assert house.events == [
        Event("fetched", SOURCE, "absent", 0.0),
        Event("unknown", SOURCE, "absent", 0.0),
        Event("refreshed", SOURCE, "absent", 0.0),
        Event("unknown", SOURCE, "absent", 0.0),
        Event("unknown", SOURCE, "absent", 0.0),
        Event("refreshed", SOURCE, "absent", 0.0),
        Event("unknown", SOURCE, "absent", 0.0),
        Event("unknown", SOURCE, "absent", 0.0),
    ]


async def test_a_key_that_appears_is_found_by_a_real_clock_too() -> None:
    source = Repository(serving(export_jwks([RSA])))
    resolve = jwks(URL, source, cooldown=0.01)
    new = asking("new", "issuer", "ES256")
    assert await resolve(new) is None
    source.answer = serving(export_jwks([RSA, NEW]))
    time.sleep(0.011)
    assert same(await resolve(new), NEW)


async def test_many_that_miss_an_absent_key_fetch_the_set_once() -> None:
    house = House(export_jwks([RSA]))
    await house.resolve(asking(RSA.kid))
    house.source.answer = serving(export_jwks([RSA, NEW]))
    house.clock.turn(30.0)
    found: list[Key | None] = []

    async def call(number: int) -> None:
        kid = "new" if number % 2 else f"unknown{number}"
        found.append(await house.resolve(asking(kid, "issuer", "ES256")))

    open_gate = house.source.close_gate()
    async with anyio.create_task_group() as group:
        for number in range(1000):
            group.start_soon(call, number)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(10):
            assert same(await house.resolve(asking(RSA.kid)), RSA)
        open_gate()
    assert house.requests == 2
    assert found.count(None) == 500


async def test_a_thousand_callers_on_a_cold_cache_make_one_request() -> None:
    house = House(export_jwks([RSA]))
    found: list[Key | None] = []

    async def call() -> None:
        found.append(await house.resolve(asking(RSA.kid)))

    open_gate = house.source.close_gate()
    async with anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(call)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        open_gate()
    assert len(set(map(id, found))) == 1
    assert same(found[0], RSA)
    assert house.requests == 1


async def test_an_outage_is_never_reported_as_an_unknown_key() -> None:
    house = House(export_jwks([RSA]), 300.0)
    await house.resolve(asking(RSA.kid))
    house.source.answer = down
    house.clock.turn(30.0)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await house.resolve(asking("new"))
    assert house.requests == 2  # it is left alone for `min_age`
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert house.events.kinds() == ["fetched", "unavailable"]
    house.clock.turn(5.0)
    house.source.answer = serving(export_jwks([RSA, NEW]))
    assert same(await house.resolve(asking("new", "issuer", "ES256")), NEW)


async def test_a_key_whose_set_is_stale_is_served_while_the_source_is_down() -> None:
    house = House(export_jwks([RSA]), 300.0, caching=Caching(stale_if_error=100.0))
    await house.resolve(asking(RSA.kid))
    house.source.answer = down
    house.clock.turn(399.9)
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    with pytest.raises(Unavailable):
        await house.resolve(asking("new"))
    house.clock.turn(0.1)
    with pytest.raises(Unavailable):
        await house.resolve(asking(RSA.kid))


async def test_a_withdrawn_key_is_gone_with_the_next_fetch() -> None:
    house = House(export_jwks([RSA, EC]), 300.0)
    await house.resolve(asking(RSA.kid))
    house.source.answer = serving(export_jwks([EC]), 300.0)
    house.clock.turn(300.0)
    assert await house.resolve(asking(RSA.kid)) is None
    assert house.requests == 2


async def test_a_flood_of_unknown_key_ids_costs_a_fetch_a_cooldown_and_no_budget() -> None:
    house = House(
        export_jwks([RSA]), cooldown=30.0, caching=Caching(total_misses=(0.0, 1), default_age=1e9)
    )
    for number in range(3000):
        assert await house.resolve(asking(f"unknown/{number}")) is None
        house.clock.turn(0.1)
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert house.requests == 10


async def test_a_set_that_was_never_had_is_asked_for_with_pauses_and_within_the_budget() -> None:
    house = House(b"", caching=Caching(issuer_misses=(0.0, 3), longest_wait=0.0))
    house.source.answer = down
    for _ in range(10):
        for _ in range(10):
            with pytest.raises(Unavailable):
                await house.resolve(asking("issuer/key"))
        house.clock.turn(1.0)
    assert house.requests == 3


async def test_a_set_can_be_fetched_ahead() -> None:
    house = House(export_jwks([RSA]), 300.0)
    assert await prefetch(house.resolve, [str(RSA.kid), "absent"]) == {
        RSA.kid: True,
        "absent": False,
    }
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert house.requests == 1


@pytest.mark.parametrize("cooldown", [0.0, 0.5])
async def test_a_cooldown_may_be_short_or_none(cooldown: float) -> None:
    house = House(export_jwks([RSA]), cooldown=cooldown)
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    house.clock.turn(cooldown)
    assert await house.resolve(asking("new", "issuer")) is None
    assert house.requests == 2


@pytest.mark.parametrize("cooldown", [-1.0, float("nan"), float("inf")])
def test_a_cooldown_is_finite_and_not_negative(cooldown: float) -> None:
    with pytest.raises(ValueError, match=r"^cooldown must be finite and not negative"):
        jwks(URL, Repository(), cooldown=cooldown)


async def test_a_new_key_is_found_soon_after_an_outage_in_which_the_set_is_served() -> None:
    house = House(export_jwks([RSA]), cooldown=30.0)
    new = asking("new", "issuer", "ES256")
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    house.clock.turn(30.0)
    house.source.answer = down
    with pytest.raises(Unavailable, match="no connection"):
        await house.resolve(new)
    house.source.answer = serving(export_jwks([RSA, NEW]))
    house.clock.turn(1.0)
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert same(await house.resolve(new), NEW)
    assert house.requests == 3
