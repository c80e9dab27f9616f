"""What the soak uses of asapfn whose name or call differs between its versions: here alone."""

import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any

import httpx

from asapfn.adapters import redis as adapter
from asapfn.adapters.httpx import fetcher

try:
    from asapfn import asap
except ImportError:
    from asapfn import asap

__all__ = ["asap", "fetching", "replay_store", "storing"]

replay_store: Any = adapter.replay_store


@contextlib.asynccontextmanager
async def fetching(client: str) -> AsyncIterator[Any]:
    """Open what fetches keys.

    Args:
        client: `httpx` or `httpx2`: a client of the service's own; `none`: the fetcher's own;
            `default`: none, if this version's fetcher needs no client, else httpx.
    """
    if client == "default":
        required = (
            inspect.signature(fetcher).parameters["client"].default is inspect.Parameter.empty
        )
        client = "httpx" if required else "none"
    if client == "none":
        make: Any = fetcher
        yield make()
        return
    package: Any = httpx
    if client == "httpx2":
        import httpx2

        package = httpx2
    async with package.AsyncClient() as opened:
        yield fetcher(opened)


@contextlib.asynccontextmanager
async def storing(url: str, backend: str) -> AsyncIterator[Any]:
    """Open the client of Redis that README names for a backend, set up as README has it."""
    if backend == "trio":
        import coredis

        waits = {"connect_timeout": 1, "stream_timeout": 1, "max_idle_time": 5}
        async with coredis.Redis.from_url(url, max_connections=10, **waits) as client:
            yield client
        return
    from redis.asyncio import BlockingConnectionPool, Redis

    pool = BlockingConnectionPool.from_url(url, max_connections=50, timeout=None)
    async with Redis.from_pool(pool) as client:
        yield client
