"""What users write with redis, valkey and coredis: type-checked, and run."""

import coredis
import redis.asyncio
import redis.asyncio.cluster
import valkey.asyncio
import valkey.asyncio.cluster

from asapfn import asap
from asapfn.adapters.redis import replay_store
from asapfn.checks import not_replayed
from asapfn.resolvers import keys_by_id
from asapfn.types import Check, ReplayStore


def test_a_client_of_each_package_is_taken() -> None:
    pool = redis.asyncio.BlockingConnectionPool.from_url("redis://localhost", max_connections=50)
    stores: list[ReplayStore] = [
        replay_store(redis.asyncio.Redis(connection_pool=pool)),
        replay_store(redis.asyncio.Redis(decode_responses=True), prefix="billing:"),
        replay_store(redis.asyncio.from_url("redis://localhost"), timeout=0.5),
        replay_store(redis.asyncio.cluster.RedisCluster("localhost")),
        replay_store(valkey.asyncio.Valkey(), timeout=1),
        replay_store(valkey.asyncio.Valkey.from_url("valkey://localhost")),
        replay_store(valkey.asyncio.cluster.ValkeyCluster("localhost")),
        replay_store(coredis.Redis()),
        replay_store(coredis.Redis(decode_responses=True)),
        replay_store(coredis.Redis.from_url("redis://localhost")),
    ]
    assert all(map(callable, stores))


def of_a_cluster(client: coredis.RedisCluster[bytes]) -> ReplayStore:
    """One that is not open would not close what it holds."""
    return replay_store(client)


def test_a_store_is_taken_where_tokens_are_verified() -> None:
    store = replay_store(redis.asyncio.Redis())
    verify = asap.verifier(keys_by_id([]), "billing", issuers="orders", replay=store)
    check: Check = not_replayed(store)
    assert callable(verify)
    assert callable(check)
