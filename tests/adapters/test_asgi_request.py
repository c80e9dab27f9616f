import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from asapfn._core.canonical import qsh
from asapfn.adapters.asgi import key_repository, request
from asapfn.types import Request
from tests.support.servers import asgi_server
from tests.support.trio_server import trio_server

SERVERS = {
    "uvicorn": lambda app, **how: asgi_server(app, tls=False, **how),
    "hypercorn": trio_server,
}
TARGETS = [
    "/",
    "/a?b=c",
    "/a%2Fb/%E2%82%AC?x=%20+&y=%zz",
    "/a//b/../c/?",
    "//a;b&c@d?e?f",
]


async def tells(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with the request as the adapter reads it."""
    if scope["type"] == "lifespan":
        return await key_repository([])(scope, receive, send)
    body = json.dumps(request(scope)).encode()
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


def exchange(origin: str, *lines: str) -> Request:
    """Sends a request as it is written here, where a client would tidy it up."""
    address = urlsplit(origin)
    with socket.create_connection((address.hostname, address.port), 10) as peer:
        peer.sendall(
            "\r\n".join((*lines, "Host: x", "Connection: close", "", "")).encode("latin-1")
        )
        with peer.makefile("rb") as answer:
            method, target, headers, mismatch, _ = json.loads(
                answer.read().partition(b"\r\n\r\n")[2]
            )
    return Request(method, target, tuple((name, value) for name, value in headers), mismatch)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Any:
    return SERVERS[request.param]


@pytest.fixture(scope="module")
def origin(server: Any) -> Iterator[str]:
    app = Starlette(routes=[Mount("/connect", routes=[Mount("/inner", tells)]), Mount("/", tells)])
    with server(app) as origin:
        yield origin


@pytest.mark.parametrize("mounted", ["", "/connect/inner", "/%63onnect/inner"])
@pytest.mark.parametrize("target", TARGETS)
def test_the_target_is_what_was_sent(origin: str, mounted: str, target: str) -> None:
    seen = exchange(origin, f"GET {mounted}{target} HTTP/1.1")
    # Only that there was a `?` with nothing after it is lost.
    assert seen.target == f"{mounted}{target}".removesuffix("?")
    assert seen.mismatch == ""


def test_method_and_headers_are_what_was_sent(origin: str) -> None:
    seen = exchange(
        origin, "M-SEARCH / HTTP/1.1", "Authorization: JWT \xe9", "X-A: 1", "authorization: b"
    )
    assert seen.method == "M-SEARCH"
    sent = [(name, value) for name, value in seen.headers if name in ("authorization", "x-a")]
    assert sent == [("authorization", "JWT \xe9"), ("x-a", "1"), ("authorization", "b")]


@pytest.mark.parametrize("server", SERVERS)
def test_a_root_path_that_is_the_base_urls_makes_no_difference_to_a_qsh(server: str) -> None:
    with SERVERS[server](tells, root_path="/proxied") as origin:
        seen = exchange(origin, "GET /a?b=c HTTP/1.1")
    assert seen.target == {"uvicorn": "/proxied/a?b=c", "hypercorn": "/a?b=c"}[server]
    assert seen.mismatch == ""
    assert qsh("GET", seen.target, base_url="https://app.example/proxied") == qsh("GET", "/a?b=c")


SPEC = {"version": "3.0", "spec_version": "2.3"}


@pytest.mark.parametrize(
    ("scope", "agrees"),
    [
        ({"path": "/a b/é"}, True),
        ({"path": "/a b/é", "root_path": ""}, True),
        # Mounted: some frameworks take the mount off the path, and others leave it.
        ({"path": "/a b/é", "root_path": "/a b", "asgi": SPEC}, True),
        ({"path": "/é", "root_path": "/a b", "asgi": SPEC}, True),
        ({"path": "/proxied/a b/é", "root_path": "/proxied", "asgi": SPEC}, True),
        ({"path": "/a b/é", "root_path": "/a b", "app_root_path": ""}, True),
        ({}, True),
        ({"path": "/é"}, False),
        ({"path": "/admin"}, False),
        ({"path": ""}, False),
        ({"path": "/a%20b/é"}, False),
        ({"path": "/A b/é"}, False),
        ({"path": "/a b/é/"}, False),
        ({"path": "/b/é", "root_path": "/a", "asgi": SPEC}, False),
        # As daphne gives it, which takes it from a header.
        ({"path": "/a b/é", "root_path": "/a b", "asgi": {"version": "3.0"}}, False),
        ({"path": "/a b/é", "root_path": "/a b"}, False),
        ({"path": "/a b/é", "root_path": "/a b/é", "app_root_path": "/a b"}, False),
    ],
)
def test_a_path_that_is_not_the_raw_one_decoded_is_a_mismatch(
    scope: dict[str, Any], agrees: bool
) -> None:
    seen = request({"raw_path": b"/a%20b/%C3%A9", "query_string": b"c=d", "headers": []} | scope)
    assert seen.target == "/a%20b/%C3%A9?c=d"
    assert (seen.mismatch == "") is agrees


@pytest.mark.parametrize("scope", [{}, {"raw_path": None}])
def test_without_a_raw_path_there_is_no_target(scope: dict[str, Any]) -> None:
    seen = request({"method": "GET", "path": "/a b", "query_string": b"c=d", "headers": []} | scope)
    assert seen == Request("GET", None, ())


def test_a_websockets_handshake_is_a_get() -> None:
    scope = {"type": "websocket", "raw_path": b"/a", "headers": [(b"origin", b"b")]}
    assert request(scope) == Request("GET", "/a", (("origin", "b"),))


def test_bytes_that_are_not_utf8_stay_apart_and_have_no_qsh() -> None:
    seen = [
        request({"raw_path": b"/", "query_string": query, "headers": []})
        for query in (b"a=\xff", b"a=\xfe", b"a=\xc3\xa9")
    ]
    assert len({each.target for each in seen}) == 3
    for each in seen[:2]:
        with pytest.raises(ValueError, match="surrogate"):
            qsh("GET", each.target or "")
    assert qsh("GET", seen[2].target or "") == qsh("GET", "/?a=%C3%A9")
