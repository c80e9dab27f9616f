"""The verified token as the application gets it, and a body that is read within bounds."""

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from asapfn import Request, Token, asap, bearer
from asapfn.adapters import asgi, wsgi
from asapfn.resolvers import keys_by_id
from tests.support.keyring import key_for
from tests.support.servers import asgi_server, trusting

KEY = key_for("ES256")
AUTHENTICATE = bearer(asap.verifier(keys_by_id([KEY]), "service", issuers="issuer"))
SIGN = asap.signer("issuer", KEY)
TOKEN = Token({"alg": "ES256"}, {"iss": "issuer"}, 0.0, 1.0)
READERS = pytest.mark.parametrize("token", [asgi.token, wsgi.token], ids=["asgi", "wsgi"])


@READERS
def test_the_token_is_the_one_that_protect_verified(token: Callable[[Any], Token]) -> None:
    assert token({"asapfn.token": TOKEN}) is TOKEN


@READERS
@pytest.mark.parametrize("carrier", [{}, {"asapfn.token": None}, {"asapfn.token": {"iss": "x"}}])
def test_where_nothing_was_verified_the_error_says_what_is_missing(
    token: Callable[[Any], Token], carrier: dict[str, Any]
) -> None:
    with pytest.raises(RuntimeError, match=r"no verified token .* protect"):
        token(carrier)


def test_a_field_of_the_request_does_not_pass_for_a_token() -> None:
    environ = {"HTTP_ASAPFN_TOKEN": "x", "asapfn.token": "x"}
    with pytest.raises(RuntimeError):
        wsgi.token(environ)


async def who(scope: Any, receive: Any, send: Any) -> None:
    body = asgi.token(scope).claims["iss"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def test_behind_protect_the_token_is_there_and_elsewhere_it_is_an_error() -> None:
    here = httpx.ASGITransport(asgi.protect(who, AUTHENTICATE))
    headers = {"Authorization": f"Bearer {SIGN('service')}"}
    async with httpx.AsyncClient(transport=here, base_url="https://service.example") as client:
        assert (await client.get("/", headers=headers)).text == "issuer"
    open_ = httpx.ASGITransport(who)
    async with httpx.AsyncClient(transport=open_, base_url="https://service.example") as client:
        with pytest.raises(RuntimeError, match="no verified token"):
            await client.get("/", headers=headers)


def messages(*parts: bytes, last: Any = None) -> Callable[[], Any]:
    """A `receive` of parts of a body; after the last one it fails."""
    events = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if last is not None:
        events.append(last)
    else:
        events[-1]["more_body"] = False

    async def receive() -> Any:
        await checkpoint()
        assert events, "more was read than there is"
        return events.pop(0)

    return receive


async def test_a_body_is_read_whole() -> None:
    assert await asgi.read_body(messages(b"")) == b""
    assert await asgi.read_body(messages(b"a", b"", b"bc")) == b"abc"
    assert await asgi.read_body(messages(last={"type": "http.request"})) == b""
    assert await asgi.read_body(messages(b"abc"), max_bytes=3) == b"abc"


async def test_a_body_over_the_bound_is_refused_before_the_rest_is_read() -> None:
    for parts in ((b"abcd", b"never"), (b"ab", b"cd", b"never")):
        with pytest.raises(ValueError, match="over 3 bytes"):
            await asgi.read_body(messages(*parts), max_bytes=3)


async def test_a_client_that_leaves_half_way_has_sent_no_body() -> None:
    left = {"type": "http.disconnect"}
    with pytest.raises(ConnectionError, match="client"):
        await asgi.read_body(messages(b"half", last=left))


def test_an_endless_body_is_refused_while_it_is_sent() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        try:
            answer = await asgi.read_body(receive, max_bytes=100_000)
            status = 200
        except ValueError as error:
            answer, status = str(error).encode(), 413
        except ConnectionError:
            return
        headers = [(b"connection", b"close"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    with asgi_server(app) as origin:
        answer = httpx.post(origin, content=json.dumps([1]), verify=trusting())
        assert (answer.status_code, answer.content) == (200, b"[1]")
        place = (urlsplit(origin).hostname or "", urlsplit(origin).port or 0)
        with (
            socket.create_connection(place, timeout=20) as plain,
            trusting().wrap_socket(plain, server_hostname="localhost") as peer,
        ):
            peer.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"2710\r\n" + b"a" * 10_000 + b"\r\n"
            )
            for _ in range(10):
                peer.sendall(b"2710\r\n" + b"a" * 10_000 + b"\r\n")
            assert peer.recv(100).startswith(b"HTTP/1.1 413")


def test_read_body_runs_on_either_event_loop() -> None:
    for backend in ("asyncio", "trio"):
        assert anyio.run(asgi.read_body, messages(b"a", b"b"), backend=backend) == b"ab"


class Callers:
    """Somebody's class, whose method says who calls; equal to every other object."""

    def __init__(self) -> None:
        self.asked = 0

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    async def says(self, request: Request) -> Token:
        await checkpoint()
        self.asked += 1
        return TOKEN


async def through(app: asgi.ASGIApp, scope: dict[str, Any]) -> int:
    """The status of an application's answer."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await checkpoint()
        sent.append(message)

    await app(scope, messages(b""), send)
    return int(sent[0]["status"])


def scope() -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "headers": []}


async def test_a_method_authenticates_a_request_once_and_that_of_another_object_again() -> None:
    callers, others = Callers(), Callers()
    app = asgi.protect(asgi.protect(who, callers.says), callers.says)
    assert await through(app, scope()) == 200
    assert callers.asked == 1
    assert await through(asgi.protect(app, others.says), scope()) == 200
    assert (callers.asked, others.asked) == (2, 1)


async def test_what_protect_adds_is_not_seen_in_a_scope_outside_of_it() -> None:
    callers, others, seen = Callers(), Callers(), list[str]()
    within = asgi.protect(who, others.says)

    async def between(scope: Any, receive: Any, send: Any) -> None:
        seen.append(repr(scope))  # also of what is within it
        await within(scope, receive, send)
        seen.append(repr(scope))

    outer = scope()
    assert await through(asgi.protect(between, callers.says), outer) == 200
    assert outer == scope()
    assert seen[0] == seen[1]
    assert (callers.asked, others.asked) == (1, 1)
