"""The cache and unknown keys: budgets of misses."""

import anyio
import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers import cached
from asapfn.types import Caching, Event, Key, Unverified
from tests.support.keysources import Clock, Events, asking, down, good, missing, settle
from tests.support.repository_client import URL, Client, says


async def test_past_the_budget_the_answer_is_unavailable_and_nobody_is_asked() -> None:
    client = Client(missing, issuer_misses=(1.0, 3), longest_wait=0.0)
    assert [await client.sees(f"a/{n}") for n in range(5)] == ["unknown"] * 3 + ["unavailable"] * 2
    assert client.requests == 3
    assert [(e.kind, e.seconds) for e in client.events][3:] == [("rate_limited", 0.0)] * 2
    with pytest.raises(Unavailable, match=f"^{URL}: the budget of misses is spent$") as raised:
        await client.resolve(asking("a/5"))
    assert raised.value.source == URL
    client.repository.answer = good
    assert await client.sees("b/1") == "key"
    client.clock.turn(1.0)
    assert await client.sees("a/6") == "key"


async def test_hits_and_refreshes_of_good_keys_are_never_charged() -> None:
    client = Client(says(300.0), issuer_misses=(0.0, 1), total_misses=(0.0, 1))
    for _ in range(20):
        assert await client.sees() == "key"
        client.clock.turn(299.0)
        assert await client.sees() == "key"
        client.clock.turn(1.0)
    assert client.requests == 20
    client.repository.answer = down
    client.clock.turn(10_000.0)
    assert await client.sees() == "unavailable"
    client.repository.answer = good
    client.clock.turn(0.25)
    assert await client.sees() == "key"


async def test_a_token_that_must_not_ask_is_not_charged() -> None:
    client = Client(issuer_misses=(0.0, 1))
    for _ in range(5):
        with pytest.raises(TokenRejected):
            await client.resolve(asking("../../etc/passwd", "issuer"))
    assert await client.sees() == "key"


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
    client = Client(missing, issuer_misses=(0.0, 1), longest_wait=0.2)
    assert await client.sees("a/other") == "unknown"
    client.repository.answer = good
    results: list[tuple[str, str]] = []

    async def call(issuer: str) -> None:
        try:
            await client.resolve(asking("a/b/key", issuer))
            results.append((issuer, "key"))
        except Unavailable:
            results.append((issuer, "unavailable"))

    async with anyio.create_task_group() as group:
        for issuer in ["a", "a", "a/b"]:
            group.start_soon(call, issuer)
            await settle()
    assert sorted(results) == [("a", "unavailable"), ("a", "unavailable"), ("a/b", "key")]
    assert client.events.kinds() == ["unknown", "rate_limited", "fetched"]


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
