"""The aiohttp server: who called is in the request, or the request is refused."""

import json
import socket
from collections.abc import Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from asapfn import Request, Token, TokenRejected, connect
from asapfn.adapters.aiohttp import server_middleware
from asapfn.keys import import_secret
from tests.support.aiohttp_service import AUTHENTICATE, SECRET, aiohttp_server, authorizer
from tests.support.refusals import (
    ask,
    assert_a_token_is_missing,
    assert_head_is_refused_without_a_body,
    assert_nobody_could_tell,
)
from tests.support.servers import trusting
from tests.support.websocket import first_message, refusal


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # all that aiohttp knows


def good() -> dict[str, str]:
    return {"Authorization": authorizer()("GET", "/")}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aiohttp_server() as origin:
        yield origin


def test_a_good_token_is_in_the_request(server: str) -> None:
    answer = ask(f"{server}/asap/", good())
    assert (answer.status_code, answer.text) == (200, "issuer")


def test_a_refusal_is_a_problem_with_its_reason(server: str) -> None:
    assert_a_token_is_missing(ask(f"{server}/asap/"))
    assert ask(f"{server}/connect/").headers["WWW-Authenticate"] == "JWT"


def test_an_answer_to_head_has_no_body(server: str) -> None:
    assert_head_is_refused_without_a_body(f"{server}/asap/")


def test_an_outage_is_503(server: str) -> None:
    assert_nobody_could_tell(ask(f"{server}/down/", good()))


def test_a_websocket_is_refused_before_it_opens(server: str) -> None:
    url = f"{server.replace('https', 'wss')}/ws"
    assert first_message(url, good()) == "issuer"
    assert refusal(url).status_code == 401


@pytest.mark.parametrize(
    "target", ["/", "/a%2Fb", "/a%2fb/%C3%A9?x=%2F&y=a+b&z=%20", "//a", "/a;b=c?d?e"]
)
def test_the_target_is_as_it_was_sent_also_in_a_sub_application(server: str, target: str) -> None:
    sent = f"/connect{target}"
    header = connect.authorizer("product", import_secret(SECRET), base_url="https://app.example")(
        "GET", sent
    )
    assert ask(f"{server}{sent}", {"Authorization": header}).text == "product"
    other = ask(f"{server}{sent}", {"Authorization": header}, method="POST")
    assert other.json()["reason"] == "request_mismatch"


@pytest.mark.parametrize(
    "target",
    [
        "/connect/page?a=1#&b=2",
        "/connect/page?a=1#",
        "/connect/page#?a=1",
        "http://app.example/connect/page?a=1",
    ],
)
def test_a_target_that_the_application_reads_otherwise_is_refused(server: str, target: str) -> None:
    authorize = connect.authorizer("product", import_secret(SECRET), base_url="")
    header = f"Authorization: {authorize('GET', '/connect/page?a=1')}"
    address = ("localhost", int(server.rpartition(":")[2]))
    with (
        socket.create_connection(address, 10) as plain,
        trusting().wrap_socket(plain, server_hostname="localhost") as peer,
        peer.makefile("rb") as answer,
    ):
        lines = (f"GET {target} HTTP/1.1", "Host: x", "Connection: close", header, "", "")
        peer.sendall("\r\n".join(lines).encode())
        head, _, body = answer.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 ")
    assert json.loads(body)["reason"] == "request_mismatch"


def test_a_malformed_scheme_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="one word"):
        server_middleware(AUTHENTICATE, scheme="Bearer realm=x")


async def test_an_application_and_one_within_it_use_a_token_once() -> None:
    used = set[str]()

    async def once(request: Request) -> Token:
        token = dict(request.headers)["Authorization"]
        if token in used:
            raise TokenRejected("replayed")
        used.add(token)
        return Token({}, {"iss": "issuer"}, 0.0, 1.0)

    async def who(request: web.Request) -> web.Response:
        return web.Response(text=request["asapfn.token"].claims["iss"])

    inner, outer = (web.Application(middlewares=[server_middleware(once)]) for _ in range(2))
    inner.router.add_get("/who", who)
    outer.add_subapp("/inner", inner)
    async with TestClient(TestServer(outer)) as client:
        for status in (200, 401):
            answer = await client.get("/inner/who", headers={"Authorization": "Bearer x"})
            assert answer.status == status
