"""A key repository over real TLS that hangs on request, and what a client keeps of it."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, Literal

import anyio

from tests.support.servers import response, serving

Phase = Literal["healthy", "tls", "writing", "head", "within the head", "body"]

PEM = "application/x-pem-file"


def keeping(status: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an answer after which the connection stays open."""
    return response(status, body, *headers).replace(b"Connection: close\r\n", b"")


ANSWER = keeping("200 OK", b"key", f"Content-Type: {PEM}")
BEFORE_HANGING = {"head": b"", "within the head": ANSWER[:30], "body": ANSWER[:-2]}


class HangingServer:
    """Answers, after a while; or hangs at a phase, until the client closes its connection."""

    def __init__(self) -> None:
        self.phase: Phase = "healthy"
        self.delay = 0.0
        self.requests = 0
        self.by_default = ANSWER
        self.answers: dict[str, bytes] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.phase == "tls":
            await reader.read(-1)
            return
        await writer.start_tls(CONTEXT)
        if self.phase == "writing":
            # A reader that is paused notices no close: it is looked for instead.
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0.4)
            return
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            path = request.split(b" ", 2)[1].decode()
            if self.phase in BEFORE_HANGING:
                writer.write(BEFORE_HANGING[self.phase])
                await reader.read(-1)
                return
            await asyncio.sleep(self.delay)
            writer.write(self.answers.get(path, self.by_default))


CONTEXT = serving()


@contextlib.contextmanager
def hanging_server() -> Iterator[tuple[HangingServer, str]]:
    """Serve in a thread of its own.

    Yields:
        The server, whose phase may be changed at any time, and its origin.
    """
    server, started, ended = HangingServer(), threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def run() -> None:
        listening = await asyncio.start_server(server, "127.0.0.1", 0, backlog=1000)
        found.extend((asyncio.get_running_loop(), listening.sockets[0].getsockname()[1]))
        started.set()
        await ended.wait()
        listening.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield server, f"https://localhost:{found[1]}"
    finally:
        found[0].call_soon_threadsafe(ended.set)
        thread.join(10)


@contextlib.contextmanager
def unreachable() -> Iterator[str]:
    """An origin where no connection is ever made: the listener's queue is full.

    Yields:
        The origin.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


def pool_of(client: Any) -> Any:
    """The pool of httpcore under a client."""
    return client._transport._pool


def open_files() -> int:
    """The process's open file descriptors."""
    return len(os.listdir("/proc/self/fd"))


async def assert_nothing_is_left(client: Any, files: int) -> None:
    """Assert that a client's pool is free, and that no socket is open but its idle ones.

    Args:
        client: The client.
        files: The descriptors that were open before, with no connection.
    """
    pool = pool_of(client)
    with anyio.move_on_after(15):
        while pool._requests or open_files() > files + 2 * len(pool.connections):
            await anyio.sleep(0.01)
    assert pool._requests == []
    assert [each for each in pool.connections if not each.is_idle()] == []
    # Both ends of a connection are in this process.
    assert open_files() <= files + 2 * len(pool.connections)
