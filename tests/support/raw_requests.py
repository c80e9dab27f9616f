"""Requests as they are written here, where a client would tidy them up, over a Unix socket."""

import base64
import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions

# The status, 0 where the server hung up; and the body, or a websocket's first message.
Answer = tuple[int, bytes]


def over_http1(path: Path, target: str, headers: Mapping[str, str], method: str = "GET") -> Answer:
    """Ask by HTTP/1.1."""
    with _request(path, target, {"Connection": "close"} | dict(headers), method) as peer:
        answer = peer.recv(65_536)
        with contextlib.suppress(OSError):
            while piece := peer.recv(65_536):
                answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        body = body.partition(b"\r\n")[2].partition(b"\r\n")[0]
    return _status(head), body


def over_websocket(path: Path, target: str, headers: Mapping[str, str]) -> Answer:
    """Open a websocket, and wait for its first message."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    with _request(path, target, headers | upgrade) as peer, peer.makefile("rb") as stream:
        head = stream.readline()
        while stream.readline().strip():
            pass
        if _status(head) != 101:
            return _status(head), b""
        size = stream.read(2)[1]
        if size == 126:
            (size,) = struct.unpack(">H", stream.read(2))
        return 200, stream.read(size)


def over_http2(path: Path, target: str, headers: Mapping[str, str]) -> Answer:
    """Ask by HTTP/2 with prior knowledge (RFC 9113, section 3.3), the target as `:path`."""
    config = h2.config.H2Configuration(
        validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "app.example")]
    fields += [(":path", target), *[(name.lower(), value) for name, value in headers.items()]]
    # A str would be sent as UTF-8; what stands for a byte here is that byte.
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    connection.send_headers(1, encoded, end_stream=True)
    status, body = 0, b""
    with _connected(path) as peer, contextlib.suppress(ConnectionError):
        peer.sendall(connection.data_to_send())
        while data := peer.recv(65_536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                    return status, body
            peer.sendall(connection.data_to_send())
    return 0, b""


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(path))
        yield peer


@contextlib.contextmanager
def _request(
    path: Path, target: str, headers: Mapping[str, str], method: str = "GET"
) -> Iterator[socket.socket]:
    fields = {"Host": "app.example"} | dict(headers)
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in fields.items()]]
    with _connected(path) as peer:
        peer.sendall("\r\n".join((*lines, "", "")).encode("latin-1"))
        yield peer


def _status(head: bytes) -> int:
    words = head.split(None, 2)
    return int(words[1]) if words and words[0].startswith(b"HTTP/") else 0
