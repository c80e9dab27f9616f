"""A key repository that fails on command, to be run as a process of its own.

It serves the files of a folder over TLS: `GET /{kid}`. A line on its standard input is a command,
a JSON object such as `{"mode": "slow", "seconds": 1.5}`; it prints a line once that holds. It ends
when its standard input does.
"""

import asyncio
import json
import math
import os
import socket
import ssl
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CACHED = "public, max-age=5, stale-while-revalidate=2, stale-if-error=600"
FOREVER = 10_000.0


@dataclass
class State:
    """What it was commanded to do, and the event that is set when that changes."""

    folder: Path
    command: dict[str, Any] = field(default_factory=lambda: {"mode": "well"})
    changed: asyncio.Event = field(default_factory=asyncio.Event)


def response(status: str, body: bytes, *fields: str) -> bytes:
    head = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", "")
    return "\r\n".join(head).encode() + body


def published(state: State, target: str) -> bytes:
    """The answer of a repository that is well."""
    path = (state.folder / target.lstrip("/")).resolve()
    if not path.is_relative_to(state.folder) or not path.is_file():
        return response("404 Not Found", b"", "Cache-Control: public, max-age=5")
    fields = ("Content-Type: application/x-pem-file", f"Cache-Control: {CACHED}")
    return response("200 OK", path.read_bytes(), *fields)


async def answer(state: State, target: str, writer: asyncio.StreamWriter) -> bool:
    """Answer one request, as commanded; whether the connection may be used again."""
    command = state.command
    mode = command["mode"]
    if mode in ("slow", "far"):
        await asyncio.sleep(command["seconds"])
    elif mode == "hang":
        # What it was asked meanwhile it answers when it goes on.
        await state.changed.wait()
    elif mode == "blackhole":
        # What it was asked meanwhile it never answers.
        await asyncio.sleep(FOREVER)
    elif mode == "drop":
        # Lingering for no time makes the close a reset.
        plain: socket.socket = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    elif mode == "torn":
        whole = published(state, target)
        writer.write(whole[: len(whole) - 40])
        return False
    elif mode == "error500":
        writer.write(response("500 Internal Server Error", b"x" * 512))
        return True
    elif mode == "error503":
        left = max(1, math.ceil(command["until"] - time.time()))
        writer.write(response("503 Service Unavailable", b"", f"Retry-After: {left}"))
        return True
    writer.write(published(state, target))
    await writer.drain()
    return True


async def serve(state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection. A client that goes away ends whatever was being done for it."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            answering = asyncio.ensure_future(answer(state, head.split()[1].decode(), writer))
            leaving = asyncio.ensure_future(reader.read(1))
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() or leaving.done():
                answering.cancel()
                return
            leaving.cancel()
            await asyncio.wait([leaving])
            if not answering.result():
                return
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def commands(state: State) -> None:
    """Obey until the standard input ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        state.command = json.loads(line)
        state.changed.set()
        state.changed = asyncio.Event()
        print(state.command["mode"], flush=True)


async def main(folder: str, certificate: str, port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    state = State(Path(folder).resolve())

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(state, reader, writer)

    await asyncio.start_server(connected, "127.0.0.1", port, ssl=context, backlog=1024)
    print("ready", flush=True)
    await commands(state)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    finally:
        os._exit(0)
