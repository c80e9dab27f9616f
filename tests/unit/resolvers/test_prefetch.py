"""Keys that are fetched before a token asks for them: `prefetch` and `keep_warm`."""

import asyncio
import gc
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers import keep_warm, only_issuers, pem_repository, prefetch
from asapfn.types import Caching, Document, Key, Unverified
from tests.support.keyring import key_for
from tests.support.keysources import Clock, Repository, asking, down, good, missing

URL = "https://keys.example/"


async def settle() -> None:
    for _ in range(30):
        await anyio.lowlevel.checkpoint()


async def test_keys_are_at_hand_before_they_are_asked_for() -> None:
    repository = Repository()
    resolve = pem_repository(URL, repository)
    assert await prefetch(resolve, ["a/1", "a/b/2"]) == {"a/1": True, "a/b/2": True}
    assert sorted(repository.asked) == [f"{URL}a/1", f"{URL}a/b/2"]
    repository.answer = down
    assert await resolve(asking("a/1")) is not None
    assert await resolve(asking("a/b/2")) is not None


async def test_what_is_asked_for_is_a_key_of_its_issuer_and_no_token() -> None:
    asked: list[Unverified] = []

    async def resolve(unverified: Unverified) -> Key | None:
        asked.append(unverified)
        return None

    assert await prefetch(resolve, ["a/b/k"], algorithm="ES256") == {"a/b/k": False}
    assert await prefetch(resolve, ["k"]) == {"k": False}
    assert asked == [
        Unverified({"alg": "ES256", "kid": "a/b/k"}, {"iss": "a/b"}, b"", b""),
        Unverified({"alg": "RS256", "kid": "k"}, {"iss": ""}, b"", b""),
    ]


async def test_warming_fails_nobody() -> None:
    answers = {"a/down": down, "a/missing": missing, "a/key": good}
    repository = Repository(lambda url: answers[url.removeprefix(URL)](url))
    resolve = only_issuers(pem_repository(URL, repository), "a")
    assert await prefetch(resolve, ["a/key", "a/down", "a/missing", "b/key", "a/../x"]) == {
        "a/key": True,
        "a/down": False,
        "a/missing": False,
        "b/key": False,
        "a/../x": False,
    }
    assert await prefetch(resolve, []) == {}


async def test_a_fault_of_the_resolvers_own_comes_out() -> None:
    async def broken(unverified: Unverified) -> Key | None:
        raise KeyError("row")

    with pytest.raises(ExceptionGroup) as raised:
        await prefetch(broken, ["a/key"])
    assert raised.group_contains(KeyError)


def test_warming_whose_tasks_asyncio_cancels_before_they_begin_leaves_no_coroutine_behind() -> None:
    """As `asyncio.run` does at its end. Such a coroutine warns when collected: an error here."""

    async def main() -> None:
        warming = asyncio.ensure_future(prefetch(pem_repository(URL, Repository()), ["a/1", "a/2"]))
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await warming

    asyncio.run(main())
    gc.collect()


async def test_ten_keys_are_fetched_at_once() -> None:
    asking_now = most = 0

    async def slow(unverified: Unverified) -> Key | None:
        nonlocal asking_now, most
        asking_now += 1
        most = max(most, asking_now)
        await anyio.sleep(0.005)
        asking_now -= 1
        return key_for("RS256")

    assert all((await prefetch(slow, [f"a/{number}" for number in range(35)])).values())
    assert most == 10


async def test_a_source_that_hangs_for_one_key_holds_up_no_other() -> None:
    async def resolve(unverified: Unverified) -> Key | None:
        with suppress(KeyError):
            await {"a/0": anyio.sleep_forever}[unverified.header["kid"]]()
        found.add(unverified.header["kid"])
        if len(found) == 34:
            all_others.set()
        return None

    found: set[str] = set()
    all_others = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(prefetch, resolve, [f"a/{number}" for number in range(35)])
        with anyio.fail_after(30):
            await all_others.wait()
        group.cancel_scope.cancel()


async def test_no_token_waits_for_a_key_that_is_kept_warm() -> None:
    clock, repository = Clock(), Repository()

    async def fetch(url: str, accept: str) -> Document:
        await anyio.lowlevel.checkpoint()
        return await repository(url, accept)

    resolve = pem_repository(URL, fetch, clock=clock)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: keep_warm(resolve, iter(["a/1", "a/2"]), every=0.0))
        await settle()
        for _ in range(150):
            clock.turn(10.0)
            for kid in ("a/1", "a/2"):
                # Served without giving way to any other task.
                with pytest.raises(StopIteration) as served:
                    resolve(asking(kid)).__await__().send(None)
                assert served.value.value is not None
            await settle()
        group.cancel_scope.cancel()
    # Every 150 of 1500 seconds.
    assert len(repository.asked) == 2 * (1 + 10)


async def test_keeping_warm_outlasts_an_outage() -> None:
    clock, repository = Clock(), Repository()
    resolve = pem_repository(URL, repository, caching=Caching(stale_if_error=60.0), clock=clock)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: keep_warm(resolve, ["a/1"], every=0.0))
        await settle()
        repository.answer = down
        clock.turn(360.0)
        await settle()
        with pytest.raises(Unavailable):
            await resolve(asking("a/1"))
        repository.answer = good
        clock.turn(5.0)
        await settle()
        repository.answer = down
        assert await resolve(asking("a/1")) is not None
        group.cancel_scope.cancel()


async def test_between_rounds_there_is_a_pause_and_each_asks_for_the_same() -> None:
    asked: list[Unverified] = []

    async def resolve(unverified: Unverified) -> Key | None:
        asked.append(unverified)
        return None

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: keep_warm(resolve, iter(["a/1"]), every=60.0, algorithm="ES256"))
        with anyio.fail_after(30):
            while not asked:
                await anyio.sleep(0.001)
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    assert [token.header for token in asked] == [{"alg": "ES256", "kid": "a/1"}]
    asked.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: keep_warm(resolve, iter(["a/1"]), every=0.0))
        with anyio.fail_after(30):
            while len(asked) < 2:
                await anyio.sleep(0.001)
        group.cancel_scope.cancel()
    assert all(token == asked[0] for token in asked)
    assert asked[0].header == {"alg": "RS256", "kid": "a/1"}


async def test_a_refusal_does_not_end_keeping_warm() -> None:
    asked = 0

    async def refuses(unverified: Unverified) -> Key | None:
        nonlocal asked
        asked += 1
        raise TokenRejected("issuer_not_allowed")

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: keep_warm(refuses, ["a/1"], every=0.01))
        with anyio.fail_after(30):
            while asked < 2:
                await anyio.sleep(0.001)
        group.cancel_scope.cancel()


async def test_warming_does_not_wait_for_the_budget_with_a_token() -> None:
    repository = Repository(lambda url: good(url) if url.endswith("key") else missing(url))
    caching = Caching(issuer_misses=(0.0, 1), longest_wait=0.3)
    resolve = pem_repository(URL, repository, caching=caching)
    refused: list[Unavailable] = []

    async def call() -> None:
        with pytest.raises(Unavailable, match="the budget of misses is spent") as raised:
            await resolve(asking("a/key"))
        refused.append(raised.value)

    assert await resolve(asking("a/unknown")) is None
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await settle()
        assert await prefetch(resolve, ["a/key"]) == {"a/key": True}
    assert len(refused) == 1
