"""Redis as the store of used tokens: an id is used once, and what is wrong use."""

import contextlib
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import valkey.asyncio
import valkey.asyncio.cluster

from asapfn.adapters.redis import replay_store
from tests.support.redis_server import RedisServer
from tests.support.redis_stores import AMPLE, LEFTOVERS, all_at_once, assert_unavailable, opened

pytestmark = LEFTOVERS


@pytest.mark.parametrize("decode_responses", [False, True])
async def test_an_id_is_used_once(package, server, decode_responses):
    async with opened(package, server.url, decode_responses=decode_responses) as client:
        store = replay_store(client, timeout=AMPLE)
        assert [await store("id", 60) for _ in range(3)] == [True, False, False]
        assert await store("another", 60) is True


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("pair", [("asyncio", "redis"), ("asyncio", "valkey")], ids="-".join)
async def test_an_id_is_used_once_in_either_protocol(package, server, protocol):
    async with opened(package, server.url, protocol=protocol) as client:
        store = replay_store(client, timeout=AMPLE)
        assert [await store("id", 60) for _ in range(2)] == [True, False]


async def test_of_many_at_once_one_is_first(package, server):
    async with opened(package, server.url, connections=10) as client:
        said = await all_at_once(replay_store(client, timeout=AMPLE), ["a", "b"] * 50)
    assert said == {("a", True): 1, ("a", False): 49, ("b", True): 1, ("b", False): 49}


async def test_stores_share_ids_where_they_share_a_prefix(package, server):
    async with opened(package, server.url) as client, opened(package, server.url) as other:
        assert await replay_store(client, timeout=AMPLE)("id", 60) is True
        assert await replay_store(other, timeout=AMPLE)("id", 60) is False
        assert await replay_store(other, prefix="billing:", timeout=AMPLE)("id", 60) is True
    with server.admin() as admin:
        assert set(admin.keys()) == {"asapfn:id", "billing:id"}


@pytest.mark.parametrize(
    ("ttl", "milliseconds"), [(90, 90_000), (90.0001, 90_001), (1e-9, 1), (0, 1), (-5, 1)]
)
async def test_a_first_use_is_one_command_and_the_id_never_lives_too_short(
    package, server, ttl, milliseconds
):
    async with opened(package, server.url) as client:
        store = replay_store(client, timeout=AMPLE)
        await store("warm", 60)
        with commands_seen_by(server) as seen:
            assert await store("id", ttl) is True
    [command] = seen
    # redis-py has the two options the other way round.
    assert re.fullmatch(
        f"SET asapfn:id [0-9a-f]{{32}} (PX {milliseconds} NX|NX PX {milliseconds})", command
    )


async def test_another_use_is_two_commands_and_each_use_has_a_value_of_its_own(package, server):
    async with opened(package, server.url) as client:
        store = replay_store(client, timeout=AMPLE)
        with commands_seen_by(server) as seen:
            assert [await store("id", 60) for _ in range(3)] == [True, False, False]
    assert [" ".join(each.split()[:2]) for each in seen if "asapfn:" in each] == [
        *["SET asapfn:id"] * 2,
        "GET asapfn:id",
        "SET asapfn:id",
        "GET asapfn:id",
    ]
    assert len({each.split()[2] for each in seen if "SET asapfn:" in each}) == 3


@contextlib.contextmanager
def commands_seen_by(server: RedisServer) -> Iterator[list[str]]:
    """What the server is sent meanwhile, by clients that are connected already."""
    seen: list[str] = []
    with server.admin() as admin, server.admin() as other:
        other.ping()
        with admin.monitor() as monitor:
            yield seen
            other.echo("the end")
            seen += iter(lambda: monitor.next_command()["command"], "ECHO the end")


async def test_another_use_does_not_change_how_long_an_id_lives(package, server):
    async with opened(package, server.url) as client:
        store = replay_store(client, timeout=AMPLE)
        await store("id", 90)
        with server.admin() as admin:
            assert [await store("id", ttl) for ttl in (1, 900)] == [False, False]
            assert 60 < admin.ttl("asapfn:id") <= 90


async def test_an_id_may_be_used_again_when_its_life_is_over(package, server):
    async with opened(package, server.url) as client:
        store = replay_store(client, timeout=AMPLE)
        assert await store("id", 0.05) is True
        await anyio.sleep(0.1)
        assert await store("id", 0.05) is True


@pytest.mark.parametrize("ttl", [math.nan, math.inf, 1e308, 1e30, 1e17])
async def test_a_life_that_redis_cannot_keep_is_no_acceptance(package, server, ttl):
    async with opened(package, server.url) as client:
        await assert_unavailable(replay_store(client, timeout=AMPLE), ttl)


@pytest.mark.parametrize("pair", [("asyncio", "redis")], ids="-".join)
async def test_what_is_not_an_async_client_is_refused(pair):
    client = redis.asyncio.Redis()
    unfit: list[Any] = [redis.Redis(), valkey.Valkey(), client.pipeline()]
    for each in unfit:
        with pytest.raises(TypeError, match="needs an async client"):
            replay_store(each)
    await client.aclose()


@pytest.mark.parametrize("pair", [("asyncio", "redis")], ids="-".join)
@pytest.mark.parametrize("timeout", [0, -1, math.nan])
async def test_a_time_out_is_positive(pair, timeout):
    async with redis.asyncio.Redis() as client:
        with pytest.raises(ValueError, match="timeout must be positive"):
            replay_store(client, timeout=timeout)


@pytest.mark.parametrize("pair", [("asyncio", "redis")], ids="-".join)
@pytest.mark.parametrize(
    "version", ["4.5.4", "4.5.1", "4.4.4", "3.9", "4.5.4rc1", "4", "4.5.5b1", "10.0"]
)
async def test_redis_py_that_lets_a_used_token_pass_is_refused(monkeypatch, pair, version):
    """By CVE-2023-28858: after a cancelled command it reads the answers of another."""

    class Mine(redis.asyncio.Redis):
        """A client of the user's."""

    monkeypatch.setattr(redis, "__version__", version)
    for kind in (redis.asyncio.Redis, Mine):
        async with kind() as client:
            if version in ("4.5.5b1", "10.0"):
                assert callable(replay_store(client))
                continue
            with pytest.raises(RuntimeError, match=r"needs redis-py 4\.5\.5 or later") as refused:
                replay_store(client)
            assert version in str(refused.value)


@pytest.mark.parametrize("pair", [("asyncio", "valkey")], ids="-".join)
async def test_valkeys_one_connection_for_all_that_lets_a_used_token_pass_is_refused(pair):
    """Who is cancelled as it waits for the connection's lock opens it, and answers are mixed up."""
    made: Any = valkey.asyncio.Valkey
    async with made(single_connection_client=False) as client:
        assert callable(replay_store(client))
    shared = made(single_connection_client=True)
    with pytest.raises(RuntimeError, match="single_connection_client"):
        replay_store(shared)
    with pytest.raises(RuntimeError, match="single_connection_client"):
        replay_store(client.client())


@pytest.mark.parametrize("pair", [("asyncio", "redis")], ids="-".join)
def test_no_client_is_imported(pair):
    code = """
import sys, asapfn.adapters.redis
print({"redis", "valkey", "coredis"} & {name.partition(".")[0] for name in sys.modules})
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
