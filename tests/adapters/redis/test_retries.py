"""Redis as the store of used tokens: what a client or the store sends again does no harm."""

import time
from collections import Counter
from typing import Any

import anyio
import coredis
import pytest
import redis
import redis.asyncio
import valkey.asyncio
from coredis.retry import ConstantRetryPolicy, NoRetryPolicy

from asapfn.adapters.redis import replay_store
from asapfn.errors import Unavailable
from asapfn.types import ReplayStore
from tests.support.redis_server import RedisServer
from tests.support.redis_stores import (
    AMPLE,
    LEFTOVERS,
    all_at_once,
    between,
    losing_connections,
    opened,
)

pytestmark = LEFTOVERS


def sending_again(package: str, times: int = 3) -> dict[str, Any]:
    """Options with which a client sends again what it got no answer to."""
    if package == "coredis":
        failed = (coredis.exceptions.ConnectionError, TimeoutError)
        return {"retry_policy": ConstantRetryPolicy(failed, times, delay=0.01)}
    aio: Any = redis if package == "redis" else valkey
    lost = [aio.exceptions.ConnectionError, aio.exceptions.TimeoutError]
    retry = aio.asyncio.retry.Retry(aio.backoff.ConstantBackoff(0.01), times)
    return {"retry": retry, "retry_on_error": lost}


def sending_once(package: str) -> dict[str, Any]:
    """Options with which a client sends nothing again."""
    if package == "coredis":
        return {"retry_policy": NoRetryPolicy()}
    aio: Any = redis if package == "redis" else valkey
    return {"retry": aio.asyncio.retry.Retry(aio.backoff.NoBackoff(), 0)}


async def test_a_client_that_sends_its_write_again_does_not_make_a_fresh_token_replayed(
    package, server
):
    with between(server, None, times=2) as url:
        async with opened(package, url, **sending_again(package)) as client:
            store = replay_store(client, timeout=AMPLE)
            assert [await store("id", 60) for _ in range(2)] == [True, False]


async def test_an_answer_that_was_lost_once_is_asked_for_again(package, server):
    with between(server, None, times=1) as url:
        async with opened(package, url, **sending_once(package)) as client:
            store = replay_store(client, timeout=AMPLE)
            assert [await store("id", 60) for _ in range(2)] == [True, False]


async def test_a_token_that_another_used_is_replayed_though_the_answer_is_lost(package, server):
    async with opened(package, server.url) as client:
        assert await replay_store(client, timeout=AMPLE)("id", 60) is True
    with between(server, None, times=1) as url:
        async with opened(package, url, **sending_once(package)) as client:
            assert await replay_store(client, timeout=AMPLE)("id", 60) is False


@pytest.mark.parametrize("decode_responses", [False, True])
async def test_of_many_whose_answers_are_lost_one_is_first(package, server, decode_responses):
    ids = [f"id-{n}" for n in range(5)]
    options = {"decode_responses": decode_responses, **sending_again(package)}
    with between(server, None, times=10) as url:
        async with opened(package, url, connections=10, **options) as client:
            said = await all_at_once(replay_store(client, timeout=AMPLE), ids * 10)
    assert {token_id: said[token_id, True] for token_id in ids} == dict.fromkeys(ids, 1)
    assert sum(said.values()) == 50


@pytest.mark.parametrize("how", ["CLIENT KILL", "timeout", "restart"])
async def test_connections_that_the_server_closed_while_idle_cost_no_request(package, server, how):
    async with opened(package, server.url, connections=20, **sending_once(package)) as client:
        store = replay_store(client, timeout=AMPLE)
        await all_at_once(store, [f"first-{n}" for n in range(40)])
        await anyio.to_thread.run_sync(close_clients, server, how)
        said = await all_at_once(store, [f"id-{n}" for n in range(40)])
    assert said == {(f"id-{n}", True): 1 for n in range(40)}


def close_clients(server: RedisServer, how: str) -> None:
    """Let the server close the connections of all clients, and wait until it has."""
    if how == "restart":
        server.kill()
        server.start()
        return
    with server.set_to(timeout="1" if how == "timeout" else "0"), server.admin() as admin:
        if how == "CLIENT KILL":
            admin.execute_command("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
        deadline = time.monotonic() + AMPLE
        while len(admin.client_list()) > 2:  # these two
            assert time.monotonic() < deadline, "clients are still connected"
            time.sleep(0.05)


async def test_a_server_that_pauses_makes_no_fresh_token_replayed(package, server):
    """What a client gives up waiting for has often been written, and is written again."""
    patience: dict[str, Any] = (
        {"stream_timeout": 0.2} if package == "coredis" else {"socket_timeout": 0.2}
    )
    said: Counter[bool | str] = Counter()

    async def use(worker: int, store: Any) -> None:
        for n in range(30):
            said[await outcome(store, f"{worker}-{n}")] += 1
            await anyio.sleep(0.01)

    async with opened(package, server.url, **patience, **sending_again(package, 20)) as client:
        store = replay_store(client, timeout=AMPLE)
        with server.admin() as admin:
            async with anyio.create_task_group() as group:
                for worker in range(20):
                    group.start_soon(use, worker, store)
                for _ in range(3):
                    await anyio.sleep(0.1)
                    admin.execute_command("CLIENT PAUSE", 300)
                    await anyio.sleep(0.35)
    assert said == {True: 600}


async def test_connections_that_were_lost_without_a_word_are_left(package, server):
    # coredis leaves none by itself, however often there is no answer on it.
    own = {"max_idle_time": 1} if package == "coredis" else {}
    async with (
        losing_connections(server) as (url, lose),
        opened(package, url, connections=3, **own) as client,
    ):
        store = replay_store(client, timeout=1)
        await all_at_once(store, ["a", "b", "c"])
        lose()
        with anyio.fail_after(AMPLE):
            said = [await outcome(store, "id-0")]
            while said[-1] is not True:
                said.append(await outcome(store, f"id-{len(said)}"))
        assert False not in said
        assert await replay_store(client, timeout=AMPLE)("another", 60) is True


async def outcome(store: ReplayStore, token_id: str) -> bool | str:
    try:
        return await store(token_id, 60)
    except Unavailable as unavailable:
        return str(unavailable)
