"""Applications with and without protection, behind uvicorn and gunicorn in processes of their own.

What a request costs is the processor's time that the server spends on it, which the server itself
reports: a second divided by it is how many requests one core answers in a second. How soon a busy
machine lets the server answer is not measured. Every request carries the same token.
"""

import asyncio
import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

from atlassian_jwt_auth.frameworks.wsgi.middleware import ASAPMiddleware
from contenders import AUDIENCE, ISSUER, InHand, composition, public_pem
from contest import Lap
from elsewhere import served

from asapfn import bearer
from asapfn.adapters import wsgi
from asapfn.adapters.asgi import ASGIApp, protect

CONNECTIONS: Final = 8
LEAST: Final = 64  # requests of a lap: the clock is asked twice in it
OPEN: Final = "asapfn (unprotected)"
UVICORN: Final = {OPEN: "/open", "asapfn": "/closed"}
GUNICORN: Final = {**UVICORN, "atlassian-jwt-auth": "/theirs"}


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


def wsgi_hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The least that a WSGI application does."""
    return _wsgi_answer(start_response, b"hello")


def _wsgi_answer(start_response: Any, body: bytes) -> list[bytes]:
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def wsgi_parts() -> Any:
    """The same for WSGI; `/theirs` is behind atlassian-jwt-auth's middleware, its key at hand."""
    pem = os.environ["PEM"]
    closed = wsgi.protect(wsgi_hello, bearer(composition(pem)))
    settings = {
        "ASAP_KEY_RETRIEVER_CLASS": lambda base_url: InHand(pem),
        "ASAP_VALID_AUDIENCE": AUDIENCE,
        "ASAP_VALID_ISSUERS": [ISSUER, "a-third-service"],
    }
    each: dict[str, Any] = {"/closed": closed, "/theirs": ASAPMiddleware(wsgi_hello, settings)}

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/clock":
            return _wsgi_answer(start_response, b"%020d" % time.process_time_ns())
        return each.get(path, wsgi_hello)(environ, start_response)

    return application


@contextlib.contextmanager
def by_gunicorn(algorithm: str = "RS256") -> Iterator[int]:
    """Serve `wsgi_parts` by one worker of gunicorn with threads; gives the port."""
    folder = pathlib.Path(__file__).parent
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        bind = f"--bind=fd://{listener.fileno()}"
        options = ["--threads=8", "--keep-alive=75", "--log-level=warning", bind]
        with subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "applications:wsgi_parts()", *options],
            cwd=folder,
            env={
                **os.environ,
                "PEM": public_pem(algorithm),
                "PYTHONPATH": f"{folder}{os.pathsep}{folder.parent}",
            },
            pass_fds=[listener.fileno()],
        ) as process:
            try:
                yield listener.getsockname()[1]
            finally:
                process.terminate()


@contextlib.asynccontextmanager
async def requests_to(
    port: int, text: str, paths: Mapping[str, str] = UVICORN
) -> AsyncIterator[dict[str, Lap]]:
    """Laps of requests over connections that stay open, all in use at once.

    Args:
        port: Where `halves` or `wsgi_parts` is served.
        text: The token; all requests carry it.
        paths: The contenders, and the path of each.

    Yields:
        The contenders; their figure is the server's time for one request.
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

        yield {name: asking(path) for name, path in paths.items()}


def protected_and_not(algorithm: str = "RS256") -> contextlib.AbstractContextManager[int]:
    """Serve `halves`; gives the port."""
    return served(halves, public_pem(algorithm))
