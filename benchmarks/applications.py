"""An ASGI application with and without protection, behind uvicorn in a process of its own.

What a request costs is the processor's time that the server spends on it, which the server tells
itself: how many it answers a second at most, and not how soon a busy machine lets it answer.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from contenders import composition, public_pem
from contest import Lap
from elsewhere import served

from asapfn import bearer
from asapfn.adapters.asgi import ASGIApp, protect

CONNECTIONS: Final = 8
LEAST: Final = 64  # requests of a lap: the clock is asked twice in it
OPEN: Final = "asapfn (unprotected)"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """The least that an application does."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await _answer(send, b"hello")


async def _answer(send: Any, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def halves(pem: str) -> ASGIApp:
    """One application, of which `/closed` is behind ASAP tokens and all else is not.

    `/clock` tells the processor's time of the server in nanoseconds.
    """
    closed = protect(hello, bearer(composition(pem)))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path")
        if path == "/clock":
            await _answer(send, b"%020d" % time.process_time_ns())
        else:
            await (closed if path == "/closed" else hello)(scope, receive, send)

    return application


@contextlib.asynccontextmanager
async def requests_to(port: int, text: str) -> AsyncIterator[dict[str, Lap]]:
    """Laps of requests over connections that stay open, all in use at once.

    Args:
        port: Where `halves` is served.
        text: The token; both kinds of requests carry it.

    Yields:
        The contenders; what they tell is the server's time for one request.
    """
    async with contextlib.AsyncExitStack() as stack:
        connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(CONNECTIONS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.push_async_callback(writer.wait_closed)
            stack.callback(writer.close)
            connections.append((reader, writer))

        async def ask(connection: int, path: str, times: int = 1) -> bytes:
            reader, writer = connections[connection]
            request = (
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {text}\r\n\r\n"
            ).encode()
            body = b""
            for _ in range(times):
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200 "):
                    raise AssertionError(f"refused: {head!r}")
                body = await reader.readexactly(20 if path == "/clock" else 5)
            return body

        def asking(path: str) -> Lap:
            async def lap(times: int) -> float:
                each = -(-max(times, LEAST) // CONNECTIONS)
                before = int(await ask(0, "/clock"))
                await asyncio.gather(*(ask(one, path, each) for one in range(CONNECTIONS)))
                spent = int(await ask(0, "/clock")) - before
                return spent / 1e9 / (each * CONNECTIONS)

            return lap

        yield {OPEN: asking("/open"), "asapfn": asking("/closed")}


def protected_and_not(algorithm: str = "RS256") -> contextlib.AbstractContextManager[int]:
    """Serve `halves`; gives the port."""
    return served(halves, public_pem(algorithm))
