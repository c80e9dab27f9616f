"""Clients of Redis as stores of used tokens, and what stores say."""

import contextlib
import select
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import coredis
import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import valkey.asyncio
import valkey.asyncio.cluster
from anyio.abc import SocketAttribute, SocketStream

from asapfn.errors import Unavailable
from asapfn.types import ReplayStore
from tests.support.redis_server import RedisServer

# coredis leaves the buffers of a connection that failed to its garbage.
LEFTOVERS = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")

# A time-out for what must fail; what a loaded machine may add to it; one that is never reached.
SOON, SLACK, AMPLE = 0.3, 0.7, 20.0


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


async def all_at_once(store: ReplayStore, token_ids: list[str]) -> Counter[tuple[str, bool | str]]:
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


async def assert_unavailable(store: ReplayStore, ttl: float = 60) -> str:
    """In time, and with the cause in one line of ASCII."""
    started = time.monotonic()
    with pytest.raises(
        Unavailable, match=r"^replay store: (\w+(: [ -~]+)?|no answer within [\d.]+ seconds)$"
    ) as raised:
        await store("id", ttl)
    assert time.monotonic() - started < SOON + SLACK
    return str(raised.value)


@contextlib.asynccontextmanager
async def closed_port() -> AsyncIterator[int]:
    """A port that is taken and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextlib.contextmanager
def between(
    server: RedisServer,
    answer: bytes | None,
    *,
    command: bytes = b"SET",
    times: int = sys.maxsize,
) -> Iterator[str]:
    """A proxy before the server, which lets each SET reach it and answers something else.

    Args:
        server: The server.
        answer: What it answers; None drops the connection.
        command: Another command than SET.
        times: How many of the answers it changes, the first ones.

    Yields:
        The URL of the proxy.
    """
    stopping = threading.Event()
    changes = iter(range(times))

    def carry(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", server.port)) as upstream:
            asked = False
            while not stopping.is_set():
                for source in select.select([client, upstream], [], [], 0.02)[0]:
                    data = source.recv(65_536)
                    if not data or (asked and source is upstream and answer is None):
                        return
                    if source is client:
                        asked = b"\r\n" + command + b"\r\n" in data
                        asked = asked and next(changes, None) is not None
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


@contextlib.asynccontextmanager
async def losing_connections(server: RedisServer) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """A proxy before the server, whose connections can be lost without a word.

    Yields:
        The URL of the proxy, and a function: what is sent on the connections that are open when it
        is called is lost from then on, while they stay open.
    """
    connected: set[object] = set()
    lost: set[object] = set()

    async def pump(source: SocketStream, target: SocketStream, connection: object) -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for data in source:
                if connection not in lost:
                    await target.send(data)

    async def carry(client: SocketStream) -> None:
        connected.add(client)
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", server.port) as upstream,
            anyio.create_task_group() as group,
        ):
            group.start_soon(pump, upstream, client, client)
            await pump(client, upstream, client)
            group.cancel_scope.cancel()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, carry)
        port = listener.extra(SocketAttribute.local_port)
        yield f"redis://127.0.0.1:{port}", lambda: lost.update(connected)
        group.cancel_scope.cancel()
