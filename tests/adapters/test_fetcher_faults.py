"""A fetcher against servers that fail, over real sockets: each fault is `Unavailable`, in time.

After every fault the client must still work: its pool has a single connection, which a fault that
leaks it would use up.
"""

import datetime
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import pytest
import trustme

from asapfn.adapters.httpx import fetcher
from asapfn.errors import Unavailable
from tests.support.servers import (
    Behaviour,
    answers,
    drips,
    hangs,
    raw_server,
    resets,
    response,
    serving,
    trusting,
)

PEM = "application/x-pem-file"
GOOD = answers(response("200 OK", b"key", f"Content-Type: {PEM}"))
LARGE = b"x" * 10_000_000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    package: Any = request.param
    limits = package.Limits(max_connections=1)
    async with package.AsyncClient(verify=trusting(), limits=limits) as client:
        yield client


async def assert_unavailable(client: Any, origin: str, detail: str, timeout: float = 5.0) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match=detail) as raised:
        await fetcher(client, timeout=timeout)(f"{origin}/issuer/key?a=b", PEM)
    assert time.monotonic() - started < 4
    assert raised.value.source == f"{origin}/issuer/key"
    with raw_server(GOOD) as good:
        assert (await fetcher(client)(f"{good}/key", PEM)).body == b"key"


FAULTS = {
    "10 MB": (answers(response("200 OK", LARGE)), "larger than 65536 bytes"),
    "10 MB of an error page": (answers(response("404 None", LARGE)), "larger than 65536 bytes"),
    "10 MB, not said before": (
        answers(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + LARGE),
        "larger than 65536 bytes",
    ),
    "10 MB, in chunks": (
        answers(CHUNKED + b"989680\r\n" + LARGE + b"\r\n0\r\n\r\n"),
        "larger than 65536 bytes",
    ),
    "a length of one byte too many, and no body": (
        hangs(response(length=65_537)),
        "larger than 65536 bytes",
    ),
    "a length beyond all": (
        hangs(response(length=10**19)),
        "larger than 65536 bytes",
    ),
    "a body shorter than said": (answers(response(body=b"key", length=99)), "RemoteProtocolError"),
    "a chunk cut off": (answers(CHUNKED + b"ff\r\nkey"), "RemoteProtocolError"),
    "no answer": (answers(b""), "RemoteProtocolError"),
    "garbage": (answers(b"\x00\xff garbage \r\n\r\n"), "RemoteProtocolError"),
    "another protocol": (answers(b"220 smtp.example.com ESMTP\r\n"), "RemoteProtocolError"),
    "an endless head": (answers(b"HTTP/1.1 200 OK\r\nX: " + LARGE), "RemoteProtocolError"),
    "two lengths": (
        answers(response("200 OK", b"key", "Content-Length: 4")),
        "RemoteProtocolError",
    ),
    "a reset": (resets(), "Error"),
    "a reset within the head": (resets(b"HTTP/1.1 200 OK\r\nContent-"), "Error"),
    "a reset within the body": (resets(response(body=b"key", length=99)), "Error"),
}

SLOW = {
    "a hang": (hangs(), "waiting for the answer"),
    "a hang within the head": (hangs(b"HTTP/1.1 200 OK\r\n"), "waiting for the answer"),
    "a hang within the body": (hangs(response(body=b"key", length=99)), "reading the body"),
    "a drip of the head": (drips(b"HTTP/1.1 200 OK\r\nX: "), "waiting for the answer"),
    "a drip of the body": (drips(response(length=60_000)), "reading the body"),
    "a drip without end": (drips(b"HTTP/1.1 200 OK\r\n\r\n"), "reading the body"),
    "an interim answer and no other": (
        hangs(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        "waiting for the answer",
    ),
}


@pytest.mark.parametrize(("behaviour", "detail"), FAULTS.values(), ids=FAULTS)
async def test_a_server_that_fails_is_unavailable(
    client: Any, behaviour: Behaviour, detail: str
) -> None:
    with raw_server(behaviour) as origin:
        await assert_unavailable(client, origin, detail)


@pytest.mark.parametrize(("behaviour", "phase"), SLOW.values(), ids=SLOW)
async def test_a_server_that_takes_too_long_is_unavailable(
    client: Any, behaviour: Behaviour, phase: str
) -> None:
    with raw_server(behaviour) as origin:
        detail = rf"no whole answer within 0\.25 seconds: {phase}$"
        await assert_unavailable(client, origin, detail, timeout=0.25)


async def test_a_server_that_never_shakes_hands_is_unavailable(client: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        origin = f"https://localhost:{deaf.getsockname()[1]}"
        await assert_unavailable(
            client, origin, r"within 0\.5 seconds: in the TLS handshake", timeout=0.5
        )


async def test_a_server_that_is_not_there_is_unavailable(client: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        origin = f"https://localhost:{gone.getsockname()[1]}"
    await assert_unavailable(client, origin, "ConnectError: Connection refused$")


def expired() -> ssl.SSLContext:
    return serving("localhost", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))


CERTIFICATES = {
    "another authority's": (
        lambda: serving("localhost", issuer=trustme.CA()),
        "unable to get local issuer certificate",
    ),
    "another host's": (
        lambda: serving("other.example"),
        "Hostname mismatch, certificate is not valid for 'localhost'.",
    ),
    "an expired one": (expired, "certificate has expired"),
}


@pytest.mark.parametrize(("context", "why"), CERTIFICATES.values(), ids=CERTIFICATES)
async def test_a_server_with_a_bad_certificate_is_unavailable(
    client: Any, context: Any, why: str
) -> None:
    asked: list[bytes] = []

    def behaviour(peer: socket.socket, request: bytes, stopping: Any) -> None:
        asked.append(request)

    with raw_server(behaviour, context=context()) as origin:
        detail = f"ConnectError: certificate verify failed: {re.escape(why)}$"
        await assert_unavailable(client, origin, detail)
    assert asked == []


async def test_a_body_of_just_the_size_allowed_is_taken_and_one_byte_more_is_not(
    client: Any,
) -> None:
    for said in (None, "Transfer-Encoding: chunked"):
        for size in (1000, 1001):
            body = b"x" * size
            data = response("200 OK", body)
            if said:
                data = CHUNKED + f"{size:x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
            with raw_server(answers(data)) as origin:
                fetch = fetcher(client, max_bytes=1000)
                if size == 1000:
                    assert (await fetch(f"{origin}/key", PEM)).body == body
                else:
                    with pytest.raises(Unavailable, match="larger than 1000 bytes"):
                        await fetch(f"{origin}/key", PEM)
