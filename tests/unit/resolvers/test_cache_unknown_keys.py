"""The cache and unknown keys: budgets of misses."""

import anyio
import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers import cached
from asapfn.types import Caching, Event, Key, Unverified
from tests.support.keyhouse import URL, House, says
from tests.support.keysources import Clock, Events, asking, down, good, missing, settle


async def test_past_the_budget_the_answer_is_unavailable_and_nobody_is_asked() -> None:
    house = House(missing, issuer_misses=(1.0, 3), longest_wait=0.0)
    assert [await house.sees(f"a/{n}") for n in range(5)] == ["unknown"] * 3 + ["unavailable"] * 2
    assert house.requests == 3
    assert [(e.kind, e.seconds) for e in house.events][3:] == [("rate_limited", 0.0)] * 2
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
    house.clock.turn(0.25)
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

    resolve = cached(
        refuses, caching=Caching(issuer_misses=(0.0, 2), longest_wait=0.0), clock=Clock()
    )
    for _ in range(2):
        with pytest.raises(TokenRejected):
            await resolve(asking())
    with pytest.raises(Unavailable):
        await resolve(asking())
    assert asked == 2


async def test_an_issuer_without_budget_fails_alone_and_the_others_ask_for_themselves() -> None:
    house = House(missing, issuer_misses=(0.0, 1), longest_wait=0.2)
    assert await house.sees("a/other") == "unknown"
    house.repository.answer = good
    results: list[tuple[str, str]] = []

    async def call(issuer: str) -> None:
        try:
            await house.resolve(asking("a/b/key", issuer))
            results.append((issuer, "key"))
        except Unavailable:
            results.append((issuer, "unavailable"))

    async with anyio.create_task_group() as group:
        for issuer in ["a", "a", "a/b"]:
            group.start_soon(call, issuer)
            await settle()
    assert sorted(results) == [("a", "unavailable"), ("a", "unavailable"), ("a/b", "key")]
    assert house.events.kinds() == ["unknown", "rate_limited", "fetched"]


async def test_a_token_without_issuer_is_budgeted_too() -> None:
    async def nobody(unverified: Unverified) -> Key | None:
        return None

    events = Events()
    caching = Caching(issuer_misses=(0.0, 1), longest_wait=0.0)
    resolve = cached(nobody, caching=caching, clock=Clock(), observe=events)
    assert await resolve(asking(None)) is None
    assert events == [Event("unknown", "cached", "", 0.0)]
    with pytest.raises(Unavailable):
        await resolve(asking("kid2")._replace(claims={}))
