"""Redis as the store of used tokens: whatever fails, no id passes twice, and none unseen."""

import contextlib
import traceback
from collections import Counter
from typing import Any

import anyio
import coredis
import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import valkey.asyncio
import valkey.asyncio.cluster
from coredis.retry import ConstantRetryPolicy, NoRetryPolicy

from asapfn.adapters.redis import replay_store
from asapfn.errors import Unavailable
from asapfn.resolvers import _single_flight
from asapfn.types import ReplayStore
from tests.support.redis_server import redis_server
from tests.support.redis_stores import (
    AMPLE,
    LEFTOVERS,
    SOON,
    all_at_once,
    assert_unavailable,
    between,
    closed_port,
    opened,
)

pytestmark = LEFTOVERS
PASSWORD = "a-word-nobody-else-may-see"


async def test_a_server_that_is_down_is_unavailable_until_it_is_back(package, server):
    async with opened(package, server.url) as client:
        store = replay_store(client, timeout=SOON)
        assert await store("first", 60) is True
        server.kill()
        await assert_unavailable(store)
        await assert_unavailable(store)
        server.start()
        assert [await store("id", 60) for _ in range(2)] == [True, False]


async def test_a_server_that_was_never_there_is_unavailable(package, server):
    server.kill()
    async with opened(package, server.url) as client:
        await assert_unavailable(replay_store(client, timeout=SOON))


async def test_the_deadline_covers_the_retries_of_the_client(package, server):
    # redis-py, as it is made without a word, tries ten times more, a second apart in the end.
    retries: dict[str, dict[str, Any]] = {
        "redis": {"retry": redis.asyncio.retry.Retry(redis.backoff.ConstantBackoff(1), 10)},
        "valkey": {
            "retry": valkey.asyncio.retry.Retry(valkey.backoff.ConstantBackoff(1), 10),
            "retry_on_error": [valkey.exceptions.ConnectionError],
        },
        "coredis": {
            "retry_policy": ConstantRetryPolicy((coredis.exceptions.ConnectionError,), 10, delay=1)
        },
    }
    async with opened(package, server.url, **retries[package]) as client:
        store = replay_store(client, timeout=SOON)
        assert await store("first", 60) is True
        server.kill()
        assert await assert_unavailable(store) == f"replay store: no answer within {SOON} seconds"


async def test_a_server_that_hangs_is_unavailable_and_has_used_the_id_up(package, server):
    async with opened(package, server.url) as client:
        store = replay_store(client, timeout=SOON)
        assert await store("first", 60) is True
        with server.paused():
            said = await assert_unavailable(store)
        assert said == f"replay store: no answer within {SOON} seconds"
        assert await replay_store(client, timeout=AMPLE)("id", 60) is False


async def test_a_late_answer_is_never_taken_for_that_of_another_id(package, server):
    async with opened(package, server.url, connections=1) as client:
        hasty, patient = replay_store(client, timeout=0.05), replay_store(client, timeout=AMPLE)
        assert await patient("used", 60) is True
        for round_ in range(5):
            with server.paused():
                said = await all_at_once(hasty, [f"{round_}-{n}" for n in range(5)])
            assert all(isinstance(answer, str) for _, answer in said)
            assert await all_at_once(patient, ["used"] * 5) == {("used", False): 5}


async def test_an_answer_to_a_cancelled_command_is_never_taken_for_that_to_the_next(
    package, server
):
    """CVE-2023-28858: redis-py before 4.5.5 accepts 20 of 20."""
    said = []

    async def use_again(store: ReplayStore, token_id: str) -> None:
        said.append(await store(token_id, 60))

    async with opened(package, server.url, connections=1) as client:
        store = replay_store(client, timeout=AMPLE)
        for n in range(5):
            assert await store(f"used-{n}", 60) is True
            async with anyio.create_task_group() as group:
                with server.paused():
                    with anyio.move_on_after(0.02):
                        await store(f"cancelled-{n}", 60)
                    group.start_soon(use_again, store, f"used-{n}")
                    await anyio.sleep(0.05)  # it is sent, while the other's answer is to come
    assert said == [False] * 5


async def test_time_outs_take_no_connection_from_the_pool(package, server):
    # coredis loses a place in its pool when it is cancelled while it connects: its own time-outs
    # are to come first.
    own: dict[str, Any] = (
        {"connect_timeout": 0.1, "stream_timeout": 0.1, "retry_policy": NoRetryPolicy()}
        if package == "coredis"
        else {}
    )
    async with opened(package, server.url, connections=3, **own) as client:
        store, patient = replay_store(client, timeout=SOON), replay_store(client, timeout=AMPLE)
        for _ in range(2):
            server.kill()
            server.start()
            with server.paused():
                said = await all_at_once(store, [f"lost-{n}" for n in range(5)])
            assert all(isinstance(answer, str) for _, answer in said)
        with contextlib.suppress(Unavailable):
            await patient("probe", 60)
        said = await all_at_once(patient, [f"id-{n}" for n in range(10)])
        assert said == {(f"id-{n}", True): 1 for n in range(10)}


async def test_callers_who_leave_while_it_connects_take_no_connection_from_the_pool(
    package, server
):
    own: dict[str, Any] = (
        {"connect_timeout": 1, "stream_timeout": 1, "retry_policy": NoRetryPolicy()}
        if package == "coredis"
        else {}
    )
    async with opened(package, server.url, connections=3, **own) as client:
        patient = replay_store(client, timeout=AMPLE)
        for n, seconds in enumerate((0.001, 0.002, 0.005, 0.02, 0.1, 0.1)):
            store = patient if n % 2 else replay_store(client, timeout=seconds)
            server.kill()
            server.start()
            await anyio.sleep(0.02)  # it sees that its connections are closed
            with server.paused(), anyio.move_on_after(seconds if n % 2 else AMPLE):
                # More than there are places, so that some wait for one.
                await all_at_once(store, [f"left-{n}-{caller}" for caller in range(9)])
            # coredis also loses what the server closes just after it was opened.
            assert await patient(f"between-{n}", 60) is True
        said = await all_at_once(patient, [f"id-{n}" for n in range(9)])
        assert said == {(f"id-{n}", True): 1 for n in range(9)}


async def test_a_client_without_time_outs_keeps_its_pool_however_long_the_server_is_silent(
    package, server, monkeypatch
):
    # So long a caller's question goes on where it is cancelled then.
    monkeypatch.setattr(_single_flight, "FINISH_WITHIN", 0.2)
    async with opened(package, server.url, connections=2) as client:
        store, patient = replay_store(client, timeout=0.1), replay_store(client, timeout=AMPLE)
        with server.paused():
            for n in range(3):
                await all_at_once(store, [f"silent-{n}-{caller}" for caller in range(4)])
                await anyio.sleep(0.3)
        said = await all_at_once(patient, [f"id-{n}" for n in range(10)])
        assert said == {(f"id-{n}", True): 1 for n in range(10)}


async def test_the_callers_own_cancellation_passes_through(package, server):
    async with opened(package, server.url) as client:
        store = replay_store(client, timeout=AMPLE)
        assert await store("first", 60) is True
        with server.paused():
            with anyio.move_on_after(0.05) as scope:
                await store("id", 60)
            assert scope.cancelled_caught
        assert await store("another", 60) is True


async def test_a_read_only_replica_is_unavailable(package, server):
    async with opened(package, server.url) as client, closed_port() as nowhere:
        store = replay_store(client, timeout=SOON)
        assert await store("first", 60) is True
        with server.admin() as admin:
            admin.replicaof("127.0.0.1", nowhere)
            await assert_unavailable(store)
            admin.replicaof("NO", "ONE")
            assert await replay_store(client, timeout=AMPLE)("id", 60) is True


@pytest.mark.parametrize(
    "config",
    [
        {"maxmemory_policy": "noeviction", "maxmemory": "1"},
        {"min_replicas_to_write": "1"},
    ],
    ids=["full", "without the replicas it needs"],
)
async def test_a_server_that_takes_no_writes_is_unavailable(package, server, config):
    async with opened(package, server.url) as client:
        store = replay_store(client, timeout=SOON)
        assert await store("first", 60) is True
        with server.set_to(**config):
            await assert_unavailable(store)
        assert await replay_store(client, timeout=AMPLE)("id", 60) is True


@pytest.mark.parametrize("password", ["", f"user:{PASSWORD}@", f":{PASSWORD}@"])
async def test_a_server_that_wants_another_password_is_unavailable(package, server, password):
    with server.set_to(requirepass="another"):
        url = server.url.replace("//", f"//{password}")
        async with opened(package, url) as client:
            with pytest.raises(Unavailable) as raised:
                await replay_store(client, timeout=SOON)("id", 60)
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


async def test_a_user_who_may_do_no_more_than_it_does_is_enough(package, server):
    rights = ("on", f">{PASSWORD}", "~billing:*", "+set", "+get")
    with server.admin() as admin:
        admin.execute_command("ACL SETUSER", "app", *rights)
    url = server.url.replace("//", f"//app:{PASSWORD}@")
    async with opened(package, url) as client:
        store = replay_store(client, prefix="billing:", timeout=AMPLE)
        assert [await store("id", 60) for _ in range(2)] == [True, False]
        await assert_unavailable(replay_store(client, prefix="orders:", timeout=AMPLE))


async def test_a_server_that_is_loading_is_unavailable(package, tmp_path, binary):
    # While it loads it looks at its clients after each two megabytes.
    with redis_server(tmp_path, "--rdbcompression", "no", binary=binary) as server:
        with server.admin() as admin:
            admin.mset({f"key-{n}": "x" * 20_000 for n in range(2000)})
            admin.save()
        server.kill()
        # A millisecond for each key.
        server.start("--key-load-delay", "1000")
        async with opened(package, server.url) as client:
            await assert_unavailable(replay_store(client, timeout=SOON))
            with server.admin() as admin:
                assert admin.info("persistence")["loading"] == 1


@pytest.mark.parametrize(
    "answer",
    [b":1\r\n", b"+QUEUED\r\n", b"$2\r\nno\r\n", b"*1\r\n:1\r\n", b"-ERR no\r\n", b"rubbish\r\n"],
)
async def test_another_answer_is_no_acceptance(package, server, answer):
    with between(server, answer) as url:
        async with opened(package, url) as client:
            store = replay_store(client, timeout=SOON)
            try:
                accepted = await store("id", 60)
            except Unavailable:
                return
    # coredis takes all that is not OK for a no, and what is kept says that the write was its own.
    assert (package, accepted) == ("coredis", True)


async def test_an_id_that_is_there_to_set_and_not_to_get_is_unavailable(package, server):
    """Such as on a replica that is behind, where a cluster's client reads from replicas."""
    async with opened(package, server.url) as client:
        assert await replay_store(client, timeout=AMPLE)("id", 60) is True
    nothing = b"_\r\n" if package == "redis" else b"$-1\r\n"  # protocol 3, which it speaks, and 2
    with between(server, nothing, command=b"GET") as url:
        async with opened(package, url) as client:
            with pytest.raises(Unavailable, match="the key is there to SET and not there to GET"):
                await replay_store(client, timeout=AMPLE)("id", 60)


@pytest.mark.parametrize(
    "answer", [b"$2\r\nno\r\n", b":1\r\n", b"+OK\r\n", b"-ERR no\r\n", b"rubbish\r\n"]
)
async def test_another_answer_to_what_is_kept_is_no_acceptance(package, server, answer):
    async with opened(package, server.url) as client:
        assert await replay_store(client, timeout=AMPLE)("id", 60) is True
    with between(server, answer, command=b"GET") as url:
        async with opened(package, url) as client:
            with contextlib.suppress(Unavailable):
                assert await replay_store(client, timeout=SOON)("id", 60) is False


async def test_answers_lost_twice_are_no_acceptance_and_have_used_the_id_up(package, server):
    with between(server, None) as url:
        async with opened(package, url) as client:
            await assert_unavailable(replay_store(client, timeout=SOON))
    async with opened(package, server.url) as client:
        assert await replay_store(client, timeout=AMPLE)("id", 60) is False


async def test_where_each_write_is_on_disk_a_crash_forgets_nothing(package, tmp_path, binary):
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    accepted: Counter[str] = Counter()

    async def until_accepted(number: int) -> None:
        with anyio.fail_after(AMPLE):
            while accepted.total() < number:
                await anyio.sleep(0.01)

    with redis_server(tmp_path, *durable, binary=binary) as server:
        async with opened(package, server.url) as client:
            store = replay_store(client, timeout=SOON)

            async def use_each_id_twice(worker: int) -> None:
                for n in range(1_000_000):
                    token_id = f"{worker // 2}-{n}"
                    with contextlib.suppress(Unavailable):
                        first = await store(token_id, 600)
                        accepted[token_id] += first
                    await anyio.sleep(0)

            async with anyio.create_task_group() as group:
                for worker in range(8):
                    group.start_soon(use_each_id_twice, worker)
                await until_accepted(50)
                await anyio.to_thread.run_sync(server.kill)
                await anyio.sleep(0.05)
                at_the_crash = accepted.total()
                await anyio.to_thread.run_sync(server.start)
                await until_accepted(at_the_crash + 50)
                group.cancel_scope.cancel()
            assert max(accepted.values()) == 1
            once = [token_id for token_id, times in accepted.items() if times]
            said = await all_at_once(replay_store(client, timeout=AMPLE), once)
            assert said == {(token_id, False): 1 for token_id in once}
