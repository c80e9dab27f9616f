"""Redis as the store of used tokens: clusters, and pools."""

import itertools
import time
from collections.abc import Iterator
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

from asapfn.adapters.redis import replay_store
from asapfn.errors import Unavailable
from asapfn.types import ReplayStore
from tests.support.redis_server import RedisServer, redis_server
from tests.support.redis_stores import AMPLE, LEFTOVERS, all_at_once, losing_connections

pytestmark = LEFTOVERS


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, binary: str | None) -> Iterator[RedisServer]:
    """A cluster of two, each with half of the slots."""
    enabled = ("--cluster-enabled", "yes")
    with (
        redis_server(tmp_path_factory.mktemp("one"), *enabled, binary=binary) as one,
        redis_server(tmp_path_factory.mktemp("two"), *enabled, binary=binary) as two,
    ):
        with one.admin() as first, two.admin() as second:
            first.execute_command("CLUSTER ADDSLOTS", *range(8192))
            second.execute_command("CLUSTER ADDSLOTS", *range(8192, 16384))
            first.execute_command("CLUSTER MEET", "127.0.0.1", two.port)
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
        store = replay_store(client, prefix=f"{time.time()}:", timeout=AMPLE)
        said = await all_at_once(store, [f"id-{n}" for n in range(20)] * 2)
    assert said == {(f"id-{n}", first): 1 for n in range(20) for first in (True, False)}


@pytest.mark.parametrize("pair", [("asyncio", "redis"), ("asyncio", "valkey")], ids="-".join)
async def test_a_cluster_whose_node_hung_has_all_its_connections_again(package, cluster):
    """Calls that are cut off as they connect cost the node's pool none of its places."""
    made: Any = {
        "redis": redis.asyncio.cluster.RedisCluster,
        "valkey": valkey.asyncio.cluster.ValkeyCluster,
    }[package]
    async with made(host="127.0.0.1", port=cluster.port, max_connections=4) as client:
        ids = (f"{time.time()}-{n}" for n in itertools.count())
        of_the_first = (each for each in ids if client.keyslot(each) < 8192)
        hasty, patient = (replay_store(client, prefix="", timeout=t) for t in (0.1, AMPLE))
        with cluster.paused():
            for _ in range(3):
                said = await all_at_once(hasty, list(itertools.islice(of_the_first, 8)))
                assert not {True, False} & {answer for _, answer in said}
        with anyio.fail_after(AMPLE):
            while not await works(patient, next(of_the_first)):
                await anyio.sleep(0.05)
        said = await all_at_once(patient, list(itertools.islice(of_the_first, 4)))
    assert [answer for _, answer in said] == [True] * 4


@pytest.mark.parametrize("pair", [("asyncio", "redis")], ids="-".join)
async def test_a_cluster_whose_connections_were_lost_without_a_word_has_its_places_at_once(cluster):
    """redis-py from 8.1 on gives back what is cancelled, so no call waits for an answer here."""
    async with losing_connections(cluster) as (url, lose):
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        made: Any = partial(redis.asyncio.cluster.RedisCluster, socket_timeout=None)
        async with made(
            host=place[0], port=place[1], max_connections=4, address_remap=lambda _: place
        ) as client:
            ids = (f"{time.time()}-{n}" for n in itertools.count())
            of_the_first = (each for each in ids if client.keyslot(each) < 8192)
            hasty, patient = (replay_store(client, prefix="", timeout=t) for t in (0.1, AMPLE))
            await all_at_once(patient, list(itertools.islice(of_the_first, 4)))
            lose()
            said = await all_at_once(hasty, list(itertools.islice(of_the_first, 4)))
            assert not {True, False} & {answer for _, answer in said}
            assert await patient(next(of_the_first), 60)


async def works(store: ReplayStore, token_id: str) -> bool:
    """Whether a store answers; a cluster's pool that has no connection left raises at once."""
    try:
        return await store(token_id, 60)
    except Unavailable:
        return False


@pytest.mark.parametrize("pair", [("asyncio", "redis"), ("asyncio", "valkey")], ids="-".join)
async def test_a_pool_that_does_not_wait_is_unavailable_when_all_connections_are_taken(
    pair, package, server
):
    plain: Any = redis.asyncio.Redis if package == "redis" else valkey.asyncio.Valkey
    async with plain(port=server.port, max_connections=4) as client:
        said = await all_at_once(replay_store(client, timeout=AMPLE), ["id"] * 100)
    assert said["id", True] == 1
    assert said["id", False] < 99
    assert sum(said.values()) == 100
