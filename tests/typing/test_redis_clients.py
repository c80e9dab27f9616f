"""What users write with redis, valkey and coredis: type-checked, and run."""

import coredis
import redis.asyncio
import redis.asyncio.cluster
import valkey.asyncio
import valkey.asyncio.cluster

from asapfn import asap
from asapfn.adapters.redis import first_use
from asapfn.checks import first_use as not_used_before
from asapfn.resolvers import keys_by_id
from asapfn.types import Check, FirstUse


def test_a_client_of_each_package_is_taken() -> None:
    pool = redis.asyncio.BlockingConnectionPool.from_url("redis://localhost", max_connections=50)
    stores: list[FirstUse] = [
        first_use(redis.asyncio.Redis(connection_pool=pool)),
        first_use(redis.asyncio.Redis(decode_responses=True), prefix="billing:"),
        first_use(redis.asyncio.from_url("redis://localhost"), timeout=0.5),
        first_use(redis.asyncio.cluster.RedisCluster("localhost")),
        first_use(valkey.asyncio.Valkey(), timeout=1),
        first_use(valkey.asyncio.Valkey.from_url("valkey://localhost")),
        first_use(valkey.asyncio.cluster.ValkeyCluster("localhost")),
        first_use(coredis.Redis()),
        first_use(coredis.Redis(decode_responses=True)),
        first_use(coredis.Redis.from_url("redis://localhost")),
    ]
    assert all(map(callable, stores))


def of_a_cluster(client: coredis.RedisCluster[bytes]) -> FirstUse:
    """One that is not open would not close what it holds."""
    return first_use(client)


def test_a_store_is_taken_where_tokens_are_verified() -> None:
    store = first_use(redis.asyncio.Redis())
    verify = asap.verifier(keys_by_id([]), "billing", issuers="orders", replay=store)
    check: Check = not_used_before(store)
    assert callable(verify)
    assert callable(check)
