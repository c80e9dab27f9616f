"""An ASGI application with and without protection, behind uvicorn in a process of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from contenders import composition, public_pem
from contest import Lap
from elsewhere import served

from asapfn import bearer
from asapfn.adapters.asgi import ASGIApp, protect

CONNECTIONS: Final = 8
OPEN: Final = "asapfn (unprotected)"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """The least that an application does."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def halves(pem: str) -> ASGIApp:
    """One application, of which `/closed` is behind ASAP tokens and all else is not."""
    closed = protect(hello, bearer(composition(pem)))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await (closed if scope.get("path") == "/closed" else hello)(scope, receive, send)

    return application


@contextlib.asynccontextmanager
async def requests_to(port: int, text: str) -> AsyncIterator[dict[str, Lap]]:
    """Laps of requests over connections that stay open, all in use at once.

    Args:
        port: Where `halves` is served.
        text: The token; both kinds of requests carry it.

    Yields:
        The contenders; what they tell is the time for one request, of those that share it.
    """
    async with contextlib.AsyncExitStack() as stack:
        connections = []
        for _ in range(CONNECTIONS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.push_async_callback(writer.wait_closed)
            stack.callback(writer.close)
            connections.append((reader, writer))

        def asking(path: str) -> Lap:
            request = (
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {text}\r\n\r\n"
            ).encode()

            async def ask(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, times: int
            ) -> None:
                for _ in range(times):
                    writer.write(request)
                    head = await reader.readuntil(b"\r\n\r\n")
                    if not head.startswith(b"HTTP/1.1 200 "):
                        raise AssertionError(f"refused: {head!r}")
                    await reader.readexactly(5)

            async def lap(times: int) -> float:
                loop, each = asyncio.get_running_loop(), -(-times // CONNECTIONS)
                start = loop.time()
                await asyncio.gather(*(ask(*connection, each) for connection in connections))
                return (loop.time() - start) / (each * CONNECTIONS)

            return lap

        yield {OPEN: asking("/open"), "asapfn": asking("/closed")}


def protected_and_not(algorithm: str = "RS256") -> contextlib.AbstractContextManager[int]:
    """Serve `halves`; gives the port."""
    return served(halves, public_pem(algorithm))
