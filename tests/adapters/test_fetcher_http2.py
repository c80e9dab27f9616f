"""HTTP/2, where requests share a connection: one that is cancelled may cost the others theirs.

What is promised is that it does not last. httpcore counts each cancelled stream as open; without
closing their connection, a client would refuse every request after the hundredth, for ever.
"""

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from asapfn.adapters.httpx import fetcher
from asapfn.errors import Unavailable
from tests.support.hanging import PEM, pool_of
from tests.support.servers import authority, trusting


async def slow(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await asyncio.sleep(30 if scope["path"].startswith("/hang") else 0.02)
        headers = [(b"content-type", PEM.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"key"})


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file: Path = tmp_path_factory.mktemp("http2") / "server.pem"
    certificate = authority().issue_cert("localhost", "127.0.0.1")
    file.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    config = Config.from_mapping(
        bind="127.0.0.1:0", certfile=file, keyfile=file, alpn_protocols=["h2"], loglevel="CRITICAL"
    )
    sockets = config.create_sockets()
    config.create_sockets = lambda: sockets  # type: ignore[method-assign]
    ended, loops = asyncio.Event(), list[asyncio.AbstractEventLoop]()

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        # What hypercorn says of clients that go away is nothing to the tests.
        loops[0].set_exception_handler(lambda loop, context: None)
        await serve(slow, config, shutdown_trigger=ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    address = sockets.secure_sockets[0].getsockname()
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(address):
            break
        time.sleep(0.05)
    yield f"https://localhost:{address[1]}"
    loops[0].call_soon_threadsafe(ended.set)
    thread.join(20)


@pytest.mark.parametrize("package", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_cancelled_requests_of_http2_do_not_use_up_the_connection(
    package: Any, origin: str
) -> None:
    at = random.Random(1)
    async with package.AsyncClient(verify=trusting(), http2=True) as client:
        fetch = fetcher(client, timeout=10)

        async def cancelled(number: int) -> None:
            with anyio.move_on_after(at.uniform(0, 0.05)), contextlib.suppress(Unavailable):
                await fetch(f"{origin}/{number}", PEM)

        assert (await fetch(f"{origin}/first", PEM)).body == b"key"
        for _ in range(15):
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(cancelled, number)
        in_a_row = 0
        for _ in range(60):
            with contextlib.suppress(Unavailable):
                assert (await fetch(f"{origin}/next", PEM)).body == b"key"
                in_a_row += 1
                if in_a_row == 3:
                    break
                continue
            in_a_row = 0
        assert in_a_row == 3
        assert pool_of(client)._requests == []


@pytest.mark.parametrize("package", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_as_many_requests_cancelled_at_once_as_a_connection_has_streams(
    package: Any, origin: str
) -> None:
    """The next request is refused by its connection before it writes: no socket error is seen."""
    async with package.AsyncClient(verify=trusting(), http2=True) as client:
        fetch = fetcher(client, timeout=20, max_concurrent=100)
        assert (await fetch(f"{origin}/first", PEM)).body == b"key"
        (connection,) = pool_of(client).connections
        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(fetch, f"{origin}/hang/{number}", PEM)
            with anyio.fail_after(10):
                while len(connection._connection._events) < 100:
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert (await fetch(f"{origin}/next", PEM)).body == b"key"
        assert pool_of(client)._requests == []


@pytest.mark.parametrize("package", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_cancelled_request_closes_no_connection_to_another_origin(
    package: Any, origin: str
) -> None:
    async with package.AsyncClient(verify=trusting(), http2=True) as client:
        fetch, pool = fetcher(client, timeout=20), pool_of(client)
        other = origin.replace("localhost", "127.0.0.1")
        assert (await fetch(f"{other}/first", PEM)).body == b"key"
        (kept,) = pool.connections
        async with anyio.create_task_group() as group:
            group.start_soon(fetch, f"{origin}/hang", PEM)
            with anyio.fail_after(10):
                while not any(
                    getattr(each._connection, "_events", None) for each in pool.connections
                ):
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert (await fetch(f"{other}/next", PEM)).body == b"key"
        assert kept in pool.connections
        assert kept.is_available()
