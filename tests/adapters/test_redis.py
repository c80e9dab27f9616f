import contextlib
import gc
import math
import select
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
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
from redis_server import RedisServer, free_port, redis_server

from asapfn.adapters.redis import first_use
from asapfn.errors import Unavailable
from asapfn.types import FirstUse

# coredis leaves the buffers of a connection that failed to its garbage.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")

# A time-out for what must fail; what a loaded machine may add to it; one that is never reached.
SOON, SLACK, AMPLE = 0.3, 0.7, 20.0
PASSWORD = "a-word-nobody-else-may-see"


@pytest.fixture(
    params=[
        ("asyncio", "redis"),
        ("asyncio", "valkey"),
        ("asyncio", "coredis"),
        ("trio", "coredis"),
    ],
    ids="-".join,
)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A backend and a client that runs on it."""
    return request.param


@pytest.fixture
def anyio_backend(pair: tuple[str, str]) -> str:
    return pair[0]


@pytest.fixture
def package(pair: tuple[str, str]) -> str:
    return pair[1]


@pytest.fixture(scope="module", autouse=True)
def older_objects() -> Iterator[None]:
    """What was there before is not looked through each time that garbage is collected."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def garbage(package: str) -> Iterator[None]:
    """What coredis leaves is collected in the test that made it: others mind the warning."""
    yield
    if package == "coredis":
        gc.collect()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.start()
    with running.admin() as admin:
        admin.flushall()
    return running


@contextlib.asynccontextmanager
async def opened(
    package: str, url: str, *, connections: int = 50, **options: Any
) -> AsyncIterator[Any]:
    """A client with a pool that waits for a free connection."""
    if package == "coredis":
        async with coredis.Redis.from_url(url, max_connections=connections, **options) as client:
            yield client
        return
    aio: Any = redis.asyncio if package == "redis" else valkey.asyncio
    pool = aio.BlockingConnectionPool.from_url(
        url, max_connections=connections, timeout=None, **options
    )
    async with (aio.Redis if package == "redis" else aio.Valkey).from_pool(pool) as client:
        yield client


async def all_at_once(store: FirstUse, token_ids: list[str]) -> Counter[tuple[str, bool | str]]:
    """What the store says of each id: yes, no, or why it cannot tell."""
    said: Counter[tuple[str, bool | str]] = Counter()

    async def ask(token_id: str) -> None:
        try:
            answer: bool | str = await store(token_id, 60)
        except Unavailable as unavailable:
            answer = str(unavailable)
        said[token_id, answer] += 1

    async with anyio.create_task_group() as group:
        for token_id in token_ids:
            group.start_soon(ask, token_id)
    return said


async def assert_unavailable(store: FirstUse, ttl: float = 60) -> str:
    """In time, and saying no more of the client's error than its name."""
    started = time.monotonic()
    with pytest.raises(
        Unavailable, match=r"^replay store: (\w+|no answer within [\d.]+ seconds)$"
    ) as raised:
        await store("id", ttl)
    assert time.monotonic() - started < SOON + SLACK
    return str(raised.value)


# What it does when all is well


@pytest.mark.parametrize("decode_responses", [False, True])
async def test_an_id_is_used_once(package, server, decode_responses):
    async with opened(package, server.url, decode_responses=decode_responses) as client:
        store = first_use(client, timeout=AMPLE)
        assert [await store("id", 60) for _ in range(3)] == [True, False, False]
        assert await store("another", 60) is True


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("pair", [("asyncio", "redis"), ("asyncio", "valkey")], ids="-".join)
async def test_an_id_is_used_once_in_either_protocol(package, server, protocol):
    async with opened(package, server.url, protocol=protocol) as client:
        store = first_use(client, timeout=AMPLE)
        assert [await store("id", 60) for _ in range(2)] == [True, False]


async def test_of_many_at_once_one_is_first(package, server):
    async with opened(package, server.url, connections=10) as client:
        said = await all_at_once(first_use(client, timeout=AMPLE), ["a", "b"] * 50)
    assert said == {("a", True): 1, ("a", False): 49, ("b", True): 1, ("b", False): 49}


async def test_stores_share_ids_where_they_share_a_prefix(package, server):
    async with opened(package, server.url) as client, opened(package, server.url) as other:
        assert await first_use(client, timeout=AMPLE)("id", 60) is True
        assert await first_use(other, timeout=AMPLE)("id", 60) is False
        assert await first_use(other, prefix="billing:", timeout=AMPLE)("id", 60) is True
    with server.admin() as admin:
        assert set(admin.keys()) == {"asapfn:id", "billing:id"}


@pytest.mark.parametrize(
    ("ttl", "milliseconds"), [(90, 90_000), (90.0001, 90_001), (1e-9, 1), (0, 1), (-5, 1)]
)
async def test_it_is_one_command_and_the_id_never_lives_too_short(
    package, server, ttl, milliseconds
):
    async with opened(package, server.url) as client:
        store = first_use(client, timeout=AMPLE)
        await store("warm", 60)
        with server.admin() as admin:
            admin.ping()
            with admin.monitor() as monitor:
                assert await store("id", ttl) is True
                admin.echo("the end")
                seen = [monitor.next_command()["command"] for _ in range(2)]
    # redis-py has the two options the other way round.
    assert seen in (
        [f"SET asapfn:id 1 PX {milliseconds} NX", "ECHO the end"],
        [f"SET asapfn:id 1 NX PX {milliseconds}", "ECHO the end"],
    )


async def test_another_use_does_not_change_how_long_an_id_lives(package, server):
    async with opened(package, server.url) as client:
        store = first_use(client, timeout=AMPLE)
        await store("id", 90)
        with server.admin() as admin:
            dies_at = admin.pexpiretime("asapfn:id")
            assert [await store("id", ttl) for ttl in (1, 900)] == [False, False]
            assert admin.pexpiretime("asapfn:id") == dies_at


async def test_an_id_may_be_used_again_when_its_life_is_over(package, server):
    async with opened(package, server.url) as client:
        store = first_use(client, timeout=AMPLE)
        assert await store("id", 0.05) is True
        await anyio.sleep(0.1)
        assert await store("id", 0.05) is True


@pytest.mark.parametrize("ttl", [math.nan, math.inf, 1e308, 1e30, 1e17])
async def test_a_life_that_redis_cannot_keep_is_no_acceptance(package, server, ttl):
    async with opened(package, server.url) as client:
        await assert_unavailable(first_use(client, timeout=AMPLE), ttl)


# What it does when it is not


async def test_a_server_that_is_down_is_unavailable_until_it_is_back(package, server):
    async with opened(package, server.url) as client:
        store = first_use(client, timeout=SOON)
        assert await store("first", 60) is True
        server.kill()
        await assert_unavailable(store)
        await assert_unavailable(store)
        server.start()
        # A client may need one call to find its connection gone.
        with contextlib.suppress(Unavailable):
            await store("probe", 60)
        assert [await store("id", 60) for _ in range(2)] == [True, False]


async def test_a_server_that_was_never_there_is_unavailable(package, server):
    server.kill()
    async with opened(package, server.url) as client:
        await assert_unavailable(first_use(client, timeout=SOON))


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
        store = first_use(client, timeout=SOON)
        assert await store("first", 60) is True
        server.kill()
        assert await assert_unavailable(store) == f"replay store: no answer within {SOON} seconds"


async def test_a_server_that_hangs_is_unavailable_and_has_used_the_id_up(package, server):
    async with opened(package, server.url) as client:
        store = first_use(client, timeout=SOON)
        assert await store("first", 60) is True
        with server.paused():
            said = await assert_unavailable(store)
        assert said == f"replay store: no answer within {SOON} seconds"
        assert await first_use(client, timeout=AMPLE)("id", 60) is False


async def test_a_late_answer_is_never_taken_for_that_of_another_id(package, server):
    async with opened(package, server.url, connections=1) as client:
        hasty, patient = first_use(client, timeout=0.05), first_use(client, timeout=AMPLE)
        assert await patient("used", 60) is True
        for round_ in range(5):
            with server.paused():
                said = await all_at_once(hasty, [f"{round_}-{n}" for n in range(5)])
            assert all(isinstance(answer, str) for _, answer in said)
            assert await all_at_once(patient, ["used"] * 5) == {("used", False): 5}


async def test_time_outs_take_no_connection_from_the_pool(package, server):
    # coredis loses a place in its pool when it is cancelled while it connects: its own time-outs
    # are to come first.
    own: dict[str, Any] = (
        {"connect_timeout": 0.1, "stream_timeout": 0.1, "retry_policy": NoRetryPolicy()}
        if package == "coredis"
        else {}
    )
    async with opened(package, server.url, connections=3, **own) as client:
        store, patient = first_use(client, timeout=SOON), first_use(client, timeout=AMPLE)
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


async def test_the_callers_own_cancellation_passes_through(package, server):
    async with opened(package, server.url) as client:
        store = first_use(client, timeout=AMPLE)
        assert await store("first", 60) is True
        with server.paused():
            with anyio.move_on_after(0.05) as scope:
                await store("id", 60)
            assert scope.cancelled_caught
        assert await store("another", 60) is True


async def test_a_read_only_replica_is_unavailable(package, server):
    async with opened(package, server.url) as client, closed_port() as nowhere:
        store = first_use(client, timeout=SOON)
        assert await store("first", 60) is True
        with server.admin() as admin:
            admin.replicaof("127.0.0.1", nowhere)
            await assert_unavailable(store)
            admin.replicaof("NO", "ONE")
            assert await first_use(client, timeout=AMPLE)("id", 60) is True


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
        store = first_use(client, timeout=SOON)
        assert await store("first", 60) is True
        with server.set_to(**config):
            await assert_unavailable(store)
        assert await first_use(client, timeout=AMPLE)("id", 60) is True


@pytest.mark.parametrize("password", ["", f"user:{PASSWORD}@", f":{PASSWORD}@"])
async def test_a_server_that_wants_another_password_is_unavailable(package, server, password):
    with server.set_to(requirepass="another"):
        url = server.url.replace("//", f"//{password}")
        async with opened(package, url) as client:
            with pytest.raises(Unavailable) as raised:
                await first_use(client, timeout=SOON)("id", 60)
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


async def test_a_user_who_may_do_no_more_than_it_does_is_enough(package, server):
    rights = ("on", f">{PASSWORD}", "~billing:*", "+set")
    with server.admin() as admin:
        admin.execute_command("ACL SETUSER", "app", *rights)
    url = server.url.replace("//", f"//app:{PASSWORD}@")
    async with opened(package, url) as client:
        store = first_use(client, prefix="billing:", timeout=AMPLE)
        assert [await store("id", 60) for _ in range(2)] == [True, False]
        await assert_unavailable(first_use(client, prefix="orders:", timeout=AMPLE))


async def test_a_server_that_is_loading_is_unavailable(package, tmp_path):
    with redis_server(tmp_path, "--loading-process-events-interval-bytes", "1024") as server:
        with server.admin() as admin:
            admin.mset({f"key-{n}": "x" * 100 for n in range(2000)})
            admin.save()
        server.kill()
        # A millisecond for each key.
        server.start("--key-load-delay", "1000")
        async with opened(package, server.url) as client:
            await assert_unavailable(first_use(client, timeout=SOON))
            with server.admin() as admin:
                assert admin.info("persistence")["loading"] == 1


@pytest.mark.parametrize(
    "answer",
    [b":1\r\n", b"+QUEUED\r\n", b"$2\r\nno\r\n", b"*1\r\n:1\r\n", b"-ERR no\r\n", b"rubbish\r\n"],
)
async def test_another_answer_is_no_acceptance(package, server, answer):
    with between(server, answer) as url:
        async with opened(package, url) as client:
            store = first_use(client, timeout=SOON)
            try:
                accepted = await store("id", 60)
            except Unavailable:
                return
    # coredis takes all that is not OK for a no.
    assert (package, accepted) == ("coredis", False)


async def test_a_lost_answer_is_no_acceptance_and_has_used_the_id_up(package, server):
    with between(server, None) as url:
        async with opened(package, url) as client:
            await assert_unavailable(first_use(client, timeout=SOON))
    async with opened(package, server.url) as client:
        assert await first_use(client, timeout=AMPLE)("id", 60) is False


async def test_where_each_write_is_on_disk_a_crash_forgets_nothing(package, tmp_path):
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    accepted: Counter[str] = Counter()

    async def until_accepted(number: int) -> None:
        with anyio.fail_after(AMPLE):
            while accepted.total() < number:
                await anyio.sleep(0.01)

    with redis_server(tmp_path, *durable) as server:
        async with opened(package, server.url) as client:
            store = first_use(client, timeout=SOON)

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
            said = await all_at_once(first_use(client, timeout=AMPLE), once)
            assert said == {(token_id, False): 1 for token_id in once}


# Clusters and pools


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A cluster of two, each with half of the slots."""
    # The port of the nodes' talk is else the client's and 10,000 more, which may be none.
    buses = [free_port(), free_port()]
    options = [("--cluster-enabled", "yes", "--cluster-port", str(bus)) for bus in buses]
    with (
        redis_server(tmp_path_factory.mktemp("one"), *options[0]) as one,
        redis_server(tmp_path_factory.mktemp("two"), *options[1]) as two,
    ):
        with one.admin() as first, two.admin() as second:
            first.execute_command("CLUSTER ADDSLOTSRANGE", 0, 8191)
            second.execute_command("CLUSTER ADDSLOTSRANGE", 8192, 16383)
            first.execute_command("CLUSTER MEET", "127.0.0.1", two.port, buses[1])
            deadline = time.monotonic() + 20
            while {each.cluster("INFO")["cluster_state"] for each in (first, second)} != {"ok"}:
                assert time.monotonic() < deadline, "the cluster did not form"
                time.sleep(0.05)
        yield one


async def test_in_a_cluster_an_id_is_used_once(package, cluster):
    where: dict[str, Any] = {"host": "127.0.0.1", "port": cluster.port}
    client: Any = {
        "redis": partial(redis.asyncio.cluster.RedisCluster, **where),
        "valkey": partial(valkey.asyncio.cluster.ValkeyCluster, **where),
        "coredis": partial(coredis.RedisCluster, **where),
    }[package]()
    async with client:
        store = first_use(client, prefix=f"{time.time()}:", timeout=AMPLE)
        said = await all_at_once(store, [f"id-{n}" for n in range(20)] * 2)
    assert said == {(f"id-{n}", first): 1 for n in range(20) for first in (True, False)}


@pytest.mark.parametrize("pair", [("asyncio", "redis"), ("asyncio", "valkey")], ids="-".join)
async def test_a_pool_that_does_not_wait_is_unavailable_when_all_connections_are_taken(
    pair, package, server
):
    plain: Any = redis.asyncio.Redis if package == "redis" else valkey.asyncio.Valkey
    async with plain(port=server.port, max_connections=4) as client:
        said = await all_at_once(first_use(client, timeout=AMPLE), ["id"] * 100)
    assert said["id", True] == 1
    assert said["id", False] < 99
    assert sum(said.values()) == 100


# Misuse


@pytest.mark.parametrize("pair", [("asyncio", "redis")], ids="-".join)
async def test_what_is_not_an_async_client_is_refused(pair):
    client = redis.asyncio.Redis()
    unfit: list[Any] = [redis.Redis(), valkey.Valkey(), client.pipeline()]
    for each in unfit:
        with pytest.raises(TypeError, match="needs an async client"):
            first_use(each)
    await client.aclose()


@pytest.mark.parametrize("pair", [("asyncio", "redis")], ids="-".join)
@pytest.mark.parametrize("timeout", [0, -1, math.nan])
async def test_a_time_out_is_positive(pair, timeout):
    async with redis.asyncio.Redis() as client:
        with pytest.raises(ValueError, match="timeout must be positive"):
            first_use(client, timeout=timeout)


@pytest.mark.parametrize("pair", [("asyncio", "redis")], ids="-".join)
def test_no_client_is_imported(pair):
    code = """
import sys, asapfn.adapters.redis
print({"redis", "valkey", "coredis"} & {name.partition(".")[0] for name in sys.modules})
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


# What stands between


@contextlib.asynccontextmanager
async def closed_port() -> AsyncIterator[int]:
    """A port that is taken and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextlib.contextmanager
def between(server: RedisServer, answer: bytes | None) -> Iterator[str]:
    """A proxy before the server, which lets each SET reach it and answers something else.

    Args:
        server: The server.
        answer: What it answers; None drops the connection.

    Yields:
        The URL of the proxy.
    """
    stopping = threading.Event()

    def carry(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", server.port)) as upstream:
            asked = False
            while not stopping.is_set():
                for source in select.select([client, upstream], [], [], 0.02)[0]:
                    data = source.recv(65_536)
                    if not data or (asked and source is upstream and answer is None):
                        return
                    if source is client:
                        asked = b"\r\nSET\r\n" in data
                        upstream.sendall(data)
                    else:
                        client.sendall(answer if asked and answer is not None else data)

    def carry_all() -> None:
        threads = []
        while not stopping.is_set():
            if select.select([listener], [], [], 0.02)[0]:
                threads.append(threading.Thread(target=carry, args=(listener.accept()[0],)))
                threads[-1].start()
        for thread in threads:
            thread.join(10)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        carrying = threading.Thread(target=carry_all)
        carrying.start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopping.set()
            carrying.join(10)
