"""The cache and unknown keys: budgets of misses, and floods of key ids that nobody has."""

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from os import environ

import anyio
import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers import cached
from asapfn.types import Caching, Event, Key, Unverified
from tests.support.keyhouse import URL, House, says
from tests.support.keysources import Clock, Events, asking, down, good, missing, settle

# How many unknown key ids are looked up, ten a second.
FLOOD = int(environ.get("ASAPFN_FLOOD", "3000"))


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


# In one issuer's name, and in many. What is kept is the same under each backend.
@pytest.mark.parametrize(
    ("anyio_backend", "unknown"),
    [("asyncio", "unknown/{}"), ("trio", "unknown{}/key")],
    ids=["asyncio-one", "trio-many"],
)
async def test_a_flood_of_unknown_key_ids_leaves_memory_flat_and_good_keys_alone(
    unknown: str, memory: Callable[[], int]
) -> None:
    house = House(
        lambda url: missing(url) if "unknown" in url else good(url),
        issuer_misses=(5.0, 50),
        longest_wait=0.0,
        max_keys=512,
    )
    kids = [f"honest/{number}" for number in range(40)]
    sizes: list[int] = []
    asked: Counter[str] = Counter()
    for kid in kids:
        assert await house.sees(kid) == "key"
    for tenth in range(10):
        for number in range(FLOOD // 10):
            assert await house.sees(unknown.format(f"{tenth}-{number}")) != "key"
            house.clock.turn(0.1)
        house.clock.turn(0.1)
        assert [await house.sees(kid) for kid in kids] == ["key"] * 40
        assert await house.sees(f"another{tenth}/key") == "key"
        asked.update(url[len(URL) :][:6] for url in house.repository.asked)
        house.repository.asked.clear()
        house.events.clear()
        sizes.append(memory())
    rate, burst = (5, 50) if unknown == "unknown/{}" else (200, 5000)
    assert FLOOD // 2 < asked["unknow"] <= burst + rate * (FLOOD // 10 + 1)
    # Once at first, and after each 300 seconds.
    assert 40 < asked["honest"] <= 40 * (1 + FLOOD // 3000)
    # The tables are full by then.
    assert max(sizes) - min(sizes[2:]) < 50_000


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """Says how many bytes are in use that were not when the test began."""

    def used() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    yield used
    tracemalloc.stop()
