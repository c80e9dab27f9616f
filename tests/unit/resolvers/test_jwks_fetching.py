"""Keys in a published set: when the set is asked for."""

import time

import anyio
import anyio.lowlevel
import pytest

from asapfn.errors import Unavailable
from asapfn.keys import export_jwks
from asapfn.resolvers import jwks, prefetch
from asapfn.types import Caching, Event, Key
from tests.support.keysets import EC, NEW, RSA, SOURCE, URL, Client, same, serving
from tests.support.keysources import Repository, asking, down


async def test_a_key_that_is_absent_makes_the_set_be_fetched_again_after_the_cooldown() -> None:
    client = Client(export_jwks([RSA]), cooldown=30.0)
    new = asking("new", "issuer", "ES256")
    assert await client.resolve(new) is None
    client.source.answer = serving(export_jwks([RSA, NEW]))
    client.clock.turn(29.9)
    assert await client.resolve(new) is None
    assert client.requests == 1
    client.clock.turn(0.1)
    assert same(await client.resolve(new), NEW)
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    assert client.requests == 2


async def test_the_cooldown_counts_from_the_last_fetch_that_was_completed() -> None:
    client = Client(export_jwks([RSA]), cooldown=30.0)
    absent = asking("absent")
    for seconds, requests in ((0.0, 1), (30.0, 2), (29.9, 2), (0.1, 3), (0.0, 3)):
        client.clock.turn(seconds)
        assert await client.resolve(absent) is None
        assert client.requests == requests
    assert client.events == [
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
    client = Client(export_jwks([RSA]))
    await client.resolve(asking(RSA.kid))
    client.source.answer = serving(export_jwks([RSA, NEW]))
    client.clock.turn(30.0)
    found: list[Key | None] = []

    async def call(number: int) -> None:
        kid = "new" if number % 2 else f"unknown{number}"
        found.append(await client.resolve(asking(kid, "issuer", "ES256")))

    open_gate = client.source.close_gate()
    async with anyio.create_task_group() as group:
        for number in range(1000):
            group.start_soon(call, number)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(10):
            assert same(await client.resolve(asking(RSA.kid)), RSA)
        open_gate()
    assert client.requests == 2
    assert found.count(None) == 500


async def test_a_thousand_callers_on_a_cold_cache_make_one_request() -> None:
    client = Client(export_jwks([RSA]))
    found: list[Key | None] = []

    async def call() -> None:
        found.append(await client.resolve(asking(RSA.kid)))

    open_gate = client.source.close_gate()
    async with anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(call)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        open_gate()
    assert len(set(map(id, found))) == 1
    assert same(found[0], RSA)
    assert client.requests == 1


async def test_an_outage_is_never_reported_as_an_unknown_key() -> None:
    client = Client(export_jwks([RSA]), 300.0)
    await client.resolve(asking(RSA.kid))
    client.source.answer = down
    client.clock.turn(30.0)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await client.resolve(asking("new"))
    assert client.requests == 2  # it is left alone for `min_age`
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    assert client.events.kinds() == ["fetched", "unavailable"]
    client.clock.turn(5.0)
    client.source.answer = serving(export_jwks([RSA, NEW]))
    assert same(await client.resolve(asking("new", "issuer", "ES256")), NEW)


async def test_a_key_whose_set_is_stale_is_served_while_the_source_is_down() -> None:
    client = Client(export_jwks([RSA]), 300.0, caching=Caching(stale_if_error=100.0))
    await client.resolve(asking(RSA.kid))
    client.source.answer = down
    client.clock.turn(399.9)
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    with pytest.raises(Unavailable):
        await client.resolve(asking("new"))
    client.clock.turn(0.1)
    with pytest.raises(Unavailable):
        await client.resolve(asking(RSA.kid))


async def test_a_withdrawn_key_is_gone_with_the_next_fetch() -> None:
    client = Client(export_jwks([RSA, EC]), 300.0)
    await client.resolve(asking(RSA.kid))
    client.source.answer = serving(export_jwks([EC]), 300.0)
    client.clock.turn(300.0)
    assert await client.resolve(asking(RSA.kid)) is None
    assert client.requests == 2


async def test_a_flood_of_unknown_key_ids_costs_a_fetch_a_cooldown_and_no_budget() -> None:
    client = Client(
        export_jwks([RSA]), cooldown=30.0, caching=Caching(total_misses=(0.0, 1), default_age=1e9)
    )
    for number in range(3000):
        assert await client.resolve(asking(f"unknown/{number}")) is None
        client.clock.turn(0.1)
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    assert client.requests == 10


async def test_a_set_that_was_never_had_is_asked_for_with_pauses_and_within_the_budget() -> None:
    client = Client(b"", caching=Caching(issuer_misses=(0.0, 3), longest_wait=0.0))
    client.source.answer = down
    for _ in range(10):
        for _ in range(10):
            with pytest.raises(Unavailable):
                await client.resolve(asking("issuer/key"))
        client.clock.turn(1.0)
    assert client.requests == 3


async def test_a_set_can_be_fetched_ahead() -> None:
    client = Client(export_jwks([RSA]), 300.0)
    assert await prefetch(client.resolve, [str(RSA.kid), "absent"]) == {
        RSA.kid: True,
        "absent": False,
    }
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    assert client.requests == 1


@pytest.mark.parametrize("cooldown", [0.0, 0.5])
async def test_a_cooldown_may_be_short_or_none(cooldown: float) -> None:
    client = Client(export_jwks([RSA]), cooldown=cooldown)
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    client.clock.turn(cooldown)
    assert await client.resolve(asking("new", "issuer")) is None
    assert client.requests == 2


@pytest.mark.parametrize("cooldown", [-1.0, float("nan"), float("inf")])
def test_a_cooldown_is_finite_and_not_negative(cooldown: float) -> None:
    with pytest.raises(ValueError, match=r"^cooldown must be finite and not negative"):
        jwks(URL, Repository(), cooldown=cooldown)


async def test_a_new_key_is_found_soon_after_an_outage_in_which_the_set_is_served() -> None:
    client = Client(export_jwks([RSA]), cooldown=30.0)
    new = asking("new", "issuer", "ES256")
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    client.clock.turn(30.0)
    client.source.answer = down
    with pytest.raises(Unavailable, match="no connection"):
        await client.resolve(new)
    client.source.answer = serving(export_jwks([RSA, NEW]))
    client.clock.turn(1.0)
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    assert same(await client.resolve(new), NEW)
    assert client.requests == 3
