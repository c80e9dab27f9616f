"""Servers for tests: real ones, on loopback, over real TLS.

Each runs in threads of its own, so that it serves a test on asyncio and one on trio alike, and
stops with the `with` block that started it. `asgi_server` is uvicorn; `raw_server` hands the bare
socket to a function, which can then do to a client all that a good server never would.
"""

import asyncio
import contextlib
import datetime
import functools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import anyio
import trustme
import uvicorn

from tests.support.lifespan import lifespan

# What a raw server does with one connection: the socket, the request's bytes, and an event that
# is set when the server is being stopped.
Behaviour = Callable[[socket.socket, bytes, threading.Event], None]


@functools.cache
def authority() -> trustme.CA:
    """The certificate authority that the tests' clients trust."""
    return trustme.CA()


@functools.cache
def trusting() -> ssl.SSLContext:
    """A client's context that trusts the authority and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


def serving(
    *names: str,
    issuer: trustme.CA | None = None,
    not_after: datetime.datetime | None = None,
) -> ssl.SSLContext:
    """A server's context, with a certificate for some names by an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = (issuer or authority()).issue_cert(
        *(names or ("localhost", "127.0.0.1")), not_after=not_after
    )
    certificate.configure_cert(context)
    return context


@contextlib.contextmanager
def asgi_server(app: Any, *, tls: bool = True, root_path: str = "") -> Iterator[str]:
    """Serve an ASGI application.

    Args:
        app: The application.
        tls: Whether it speaks https.
        root_path: Where a proxy before it is taken to have mounted it.

    Yields:
        Its origin, such as `https://localhost:43567`.
    """
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="wsproto",
        lifespan="on",
        log_config=None,
        access_log=False,
        root_path=root_path,
    )
    config.load()
    config.ssl = serving() if tls else None
    server = uvicorn.Server(config)
    with _listener() as listener:
        running = _serve(server, listener)
        thread = threading.Thread(target=asyncio.run, args=(running,), daemon=True)
        thread.start()
        try:
            _wait_until(lambda: server.started or not thread.is_alive())
            assert server.started, "the server did not start"
            yield f"{'https' if tls else 'http'}://localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


class Turns:
    """An application in whose place each test puts its own, so that all share one server."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        else:
            await self.app(scope, receive, send)


class Seen(NamedTuple):
    """A request as an application saw it."""

    target: str
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.headers if field == name]


class Recorder:
    """An application that keeps what it was asked, and redirects where `to` says."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.seen: list[Seen] = []
        self.to: str | None = None
        self.wait = 0.0
        self.fields: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        target = scope["raw_path"].decode() + "?" * bool(scope["query_string"])
        fields = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        self.seen.append(Seen(target + scope["query_string"].decode(), fields))
        await anyio.sleep(self.wait)
        redirect = [(b"location", self.to.encode())] if self.to and scope["path"] == "/go" else []
        await send(
            {
                "type": "http.response.start",
                "status": 302 if redirect else 200,
                "headers": [
                    (b"content-type", b"Text/Plain; charset=utf-8"),
                    *redirect,
                    *self.fields,
                ],
            }
        )
        await send({"type": "http.response.body", "body": b"hello"})


@contextlib.contextmanager
def raw_server(behaviour: Behaviour, *, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve TLS connections by a function.

    Args:
        behaviour: Called for each connection once the request's head is in; the connection is
            closed after it.
        context: The server's TLS, else a good one.

    Yields:
        Its origin.
    """
    stopping = threading.Event()
    tls = context or serving()
    threads: list[threading.Thread] = []

    def serve(plain: socket.socket) -> None:
        plain.settimeout(10)
        # A client that goes away is what many of these tests are about.
        with contextlib.suppress(OSError), plain, tls.wrap_socket(plain, server_side=True) as peer:
            request = b""
            while b"\r\n\r\n" not in request:
                piece = peer.recv(65_536)
                if not piece:
                    return
                request += piece
            behaviour(peer, request, stopping)

    def accept(listener: socket.socket) -> None:
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                thread = threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True)
                threads.append(thread)
                thread.start()

    with _listener() as listener:
        listener.settimeout(0.01)
        acceptor = threading.Thread(target=accept, args=(listener,), daemon=True)
        acceptor.start()
        try:
            yield f"https://localhost:{listener.getsockname()[1]}"
        finally:
            stopping.set()
            for thread in (acceptor, *threads):
                thread.join(10)


def answers(data: bytes) -> Behaviour:
    """A server that sends these bytes."""

    def behaviour(peer: socket.socket, request: bytes, stopping: threading.Event) -> None:
        peer.sendall(data)

    return behaviour


def response(
    status: str = "200 OK", body: bytes = b"", *headers: str, length: int | None = None
) -> bytes:
    """The bytes of an answer, its length right unless it is given."""
    said = len(body) if length is None else length
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {said}", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1") + body


def hangs(before: bytes = b"") -> Behaviour:
    """A server that sends these bytes, and then neither more nor a close."""

    def behaviour(peer: socket.socket, request: bytes, stopping: threading.Event) -> None:
        peer.sendall(before)
        stopping.wait(10)

    return behaviour


def drips(head: bytes, pause: float = 0.02) -> Behaviour:
    """A server that sends a head, and then a byte at a time for ever."""

    def behaviour(peer: socket.socket, request: bytes, stopping: threading.Event) -> None:
        peer.sendall(head)
        while not stopping.wait(pause):
            peer.sendall(b"x")

    return behaviour


def resets(before: bytes = b"") -> Behaviour:
    """A server that sends these bytes and resets the connection."""

    def behaviour(peer: socket.socket, request: bytes, stopping: threading.Event) -> None:
        peer.sendall(before)
        # Lingering for no time makes the close a reset.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    return behaviour


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not serving.done():
        await asyncio.sleep(0.01)
        if server.should_exit:
            # A client that keeps its connection would keep uvicorn waiting for the end of its TLS.
            for connection in list(server.server_state.connections):
                connection.transport.abort()
    await serving


@contextlib.contextmanager
def _listener() -> Iterator[socket.socket]:
    # Only where a socket says that it is TCP does asyncio turn Nagle's algorithm off.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener


def _wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
