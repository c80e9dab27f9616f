"""A cache under load: impatient callers, keys that expire together, tokens that anyone can make."""

import collections
import random
import time

import anyio
import pytest

from asapfn import asap, verify
from asapfn._core.signing import sign
from asapfn.errors import Unavailable
from asapfn.keys import import_secret
from asapfn.resolvers import (
    Activity,
    activity,
    by_issuer,
    cached,
    first_of,
    is_prefetch,
    keys_by_id,
    prefetch,
    shared_secrets,
    with_deadline,
)
from asapfn.types import Caching, Document, Unverified
from tests.support.effort import ONE_BACKEND
from tests.support.keyring import key_for
from tests.support.keysources import (
    KID,
    Clock,
    Repository,
    asking,
    cache_of,
    down,
    good,
    missing,
    settle,
)
from tests.support.repository_client import URL, Client, says


async def test_callers_less_patient_than_the_source_get_the_key_from_the_first_ones_fetch() -> None:
    asked: list[str] = []

    async def slow(url: str, accept: str) -> Document:
        asked.append(url)
        await anyio.sleep(0.6)
        return good(url)

    resolve = asap.repository(URL, slow)
    found: list[bool] = []

    async def call() -> None:
        with anyio.move_on_after(0.4):
            found.append(await resolve(asking()) is not None)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(call)
            await anyio.sleep(0.02)
    # Those are answered who begin after the first 0.2 seconds, of one second or more.
    assert len(found) >= 30
    assert all(found)
    assert len(asked) == 1


async def test_a_fetch_whose_callers_were_cancelled_is_charged_once() -> None:
    client = Client(issuer_misses=(0.0, 1), longest_wait=0.0)
    open_gate = client.repository.close_gate()
    for _ in range(20):
        async with anyio.create_task_group() as group:
            group.start_soon(client.sees)
            await settle(2)
            group.cancel_scope.cancel()
    open_gate()
    assert await client.sees() == "key"
    assert client.requests == 1


@ONE_BACKEND
async def test_500_keys_that_expire_together_are_not_refreshed_together() -> None:
    client = Client(says(300.0))
    client.cache.chance = random.Random(1).random
    kids = [f"issuer{number}/key" for number in range(500)]
    for kid in kids:
        await client.sees(kid)
    client.clock.turn(280.0)
    a_second: list[int] = []
    for _ in range(25):
        before = client.requests
        for kid in kids:
            assert await client.sees(kid) == "key"
        a_second.append(client.requests - before)
        client.clock.turn(1.0)
    assert sum(a_second) == 500
    assert max(a_second) <= 60


@ONE_BACKEND
async def test_100_workers_that_start_together_do_not_refresh_together() -> None:
    workers = [Client(says(300.0)) for _ in range(100)]
    chance = random.Random(1).random
    refreshes: collections.Counter[int] = collections.Counter()
    for worker in workers:
        worker.cache.chance = chance
        await worker.sees()
        worker.clock.turn(280.0)
    for second in range(25):
        for worker in workers:
            before = worker.requests
            await worker.sees()
            refreshes[second] += worker.requests - before
            worker.clock.turn(1.0)
    assert refreshes.total() == 100
    assert max(refreshes.values()) <= 20


@ONE_BACKEND
async def test_1100_unsigned_tokens_that_name_existing_keys_push_out_no_key_in_use() -> None:
    key = key_for("RS256")
    clock, repository = Clock(), Repository(good)
    resolve = asap.repository(URL, repository)
    cache_of(resolve).clock = clock
    in_use = [f"service{number}/key" for number in range(40)]
    tokens = []
    for kid in in_use:
        claims = {"iss": kid.partition("/")[0], "exp": time.time() + 600}
        tokens.append(sign(claims, key, kid=kid, algorithm="RS256"))
        await verify(tokens[-1], resolve)
    for number in range(1100):
        assert await resolve(asking(f"victim{number}/key")) is not None
    repository.answer = down
    for token in tokens:
        await verify(token, resolve)
    assert activity(resolve).cached <= 1024 + 40


async def tenant(issuer: str) -> str | None:
    return {"acme": "s" * 32, "other": "t" * 32}.get(issuer)


@ONE_BACKEND
@pytest.mark.parametrize("caching", [None, Caching()], ids=["cached", "by itself"])
async def test_unsigned_tokens_in_a_tenants_name_neither_evict_nor_lock_it_out(
    caching: Caching | None,
) -> None:
    looked_up: list[str] = []

    async def lookup(issuer: str) -> str | None:
        looked_up.append(issuer)
        return await tenant(issuer)

    resolve = shared_secrets(lookup, caching=caching)
    if caching is None:
        resolve = cached(resolve)
    key = import_secret("s" * 32)

    async def acme() -> None:
        token = sign({"iss": "acme", "exp": time.time() + 600}, key, algorithm="HS256")
        await verify(token, resolve, algorithms=["HS256"])

    await acme()
    cache = cache_of(resolve)
    for number in range(1500):
        assert await resolve(asking(f"random{number}", "acme", "HS256")) is not None
        if number % 25 == 0:
            await acme()
    assert await resolve(asking(None, "other", "HS256")) is not None
    for _ in range(60):
        await acme()
    for number in range(1500):
        await resolve(asking(f"random{number}", "acme", "HS256"))
    assert len(cache.unproven) <= 1024
    await acme()
    asked_before = len(looked_up)
    await resolve(asking(None, "other", "HS256"))
    assert len(looked_up) == asked_before  # the other tenant's entry was not the one to go
    assert caching is None or looked_up == ["acme", "other"]


@ONE_BACKEND
async def test_look_ups_of_existing_keys_are_not_limited_at_500_a_second() -> None:
    client = Client(says(300.0))
    seen = []
    for number in range(1500):
        seen.append(await client.sees(f"orders/{number}"))
        client.clock.turn(0.002)
    assert seen == ["key"] * 1500


@ONE_BACKEND
@pytest.mark.parametrize(("rate", "least"), [(10, 20), (500, 1)])
async def test_random_key_ids_in_an_issuers_name_leave_its_first_look_ups(
    rate: int, least: int
) -> None:
    client = Client(lambda url: good(url) if "/real" in url else missing(url), longest_wait=0.0)
    chance, found = random.Random(7), 0
    for second in range(20):
        turn = chance.randrange(rate)
        for number in range(rate):
            await client.sees(f"orders/{second}-{number}")
            if number == turn:
                found += await client.sees(f"orders/real{second}") == "key"
            client.clock.turn(1 / rate)
    assert found >= least
    # Those who run the service have another way, that no token is in the way of.
    assert await prefetch(client.resolve, ["orders/real-new"]) == {"orders/real-new": True}
    assert await client.sees("orders/real-new") == "key"


async def test_waiting_callers_and_fetches_in_progress_can_be_seen() -> None:
    repository = Repository()
    resolve = asap.repository(URL, repository)
    assert activity(resolve) == Activity(0, 0, 0, 0)
    open_gate = repository.close_gate()
    async with anyio.create_task_group() as group:
        for kid in ("a/1", "a/1", "a/2"):
            group.start_soon(resolve, asking(kid))
        await settle()
        assert activity(resolve) == Activity(waiting=3, fetching=2, cached=0, failing=0)
        open_gate()
    assert activity(resolve) == Activity(waiting=0, fetching=0, cached=2, failing=0)
    repository.answer = down
    with pytest.raises(Unavailable):
        await resolve(asking("a/3"))
    assert activity(resolve).failing == 1


async def test_every_cache_in_a_composition_is_seen_once() -> None:
    one, two = asap.repository(URL, Repository()), cached(keys_by_id([key_for("RS256")]))
    composed = by_issuer({"issuer": first_of(with_deadline(two, 1.0), cached(one), one)})
    await composed(asking())
    assert activity(composed).cached == 1
    await one(asking())
    assert activity(composed).cached == 2
    assert activity(keys_by_id([])) == Activity(0, 0, 0, 0)


def test_a_key_in_the_cache_is_served_without_an_event_loop() -> None:
    repository = Repository()
    resolve = asap.repository(URL, repository)

    async def first() -> None:
        assert await resolve(asking()) is not None

    anyio.run(first)
    with pytest.raises(StopIteration) as served:
        resolve(asking()).__await__().send(None)
    assert served.value.value is not None
    # Without one nothing can be asked, and nothing has changed.
    cache = cache_of(resolve)
    with pytest.raises(RuntimeError):
        resolve(asking("issuer/other")).__await__().send(None)
    assert cache.flights == {}
    assert cache.budget.total.left == 5000


async def test_what_a_look_up_for_no_token_is_told_apart_by() -> None:
    seen: list[Unverified] = []

    async def resolve(unverified: Unverified) -> None:
        seen.append(unverified)

    await prefetch(resolve, [KID])
    assert is_prefetch(seen[0])
    assert not is_prefetch(asking())
