"""Connect through a2wsgi, which carries no target: both ways, on real servers."""

import asyncio
import contextlib
import io
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from a2wsgi import ASGIMiddleware, WSGIMiddleware
from a2wsgi.wsgi import Body, build_environ
from asgiref.wsgi import WsgiToAsgiInstance
from flask import Flask
from flask import request as flask_request
from werkzeug.serving import make_server as make_threaded_server

from asapfn import connect
from asapfn.adapters import asgi, wsgi
from asapfn.keys import import_secret
from asapfn.resolvers import shared_secrets
from tests.support.servers import asgi_server
from tests.support.wsgi_servers import Quiet, in_a_thread

SECRET = "a secret of the tenant's, long enough for HS256"
TARGETS = ["/page?a=1&b=x+y", "/a%2Fb/%C3%A9?c=%2F", "/a%20b", "/", "/%2561"]


async def secret_of(client_key: str) -> str | None:
    return SECRET if client_key == "tenant" else None


def header_for(target: str) -> str:
    base = "https://app.example"
    sign = connect.authorizer("tenant", import_secret(SECRET), base_url=base)
    return sign("GET", f"{base}{target}")


authenticate = connect.authenticator(shared_secrets(secret_of), base_url="https://app.example")


def flask_app() -> Any:
    app = Flask(__name__, static_folder=None)

    @app.get("/")
    @app.get("/<path:rest>")
    def read(rest: str = "") -> Any:
        seen = [wsgi.token(flask_request.environ).claims["iss"], flask_request.path]
        return json.dumps([*seen, flask_request.query_string.decode()])

    return wsgi.protect(app, authenticate)


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    seen = [asgi.token(scope).claims["iss"], scope["path"], scope["query_string"].decode()]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


@contextlib.contextmanager
def as_wsgi() -> Iterator[Any]:
    """The ASGI application as one of WSGI, its event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield ASGIMiddleware(asgi.protect(asgi_app, authenticate), loop=loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def on_werkzeug(app: Any) -> Iterator[str]:
    server = make_threaded_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    with in_a_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"


class Silent(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def on_wsgiref(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, handler_class=Silent)
    with in_a_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"


def ask(origin: str, target: str, *lines: str) -> tuple[int, Any]:
    """Send a request as it is written here, where a client would make it tidy."""
    address = urlsplit(origin)
    head = (f"GET {target} HTTP/1.1", *lines, "Host: x", "Connection: close", "", "")
    with socket.create_connection((str(address.hostname), address.port or 0), 20) as peer:
        peer.sendall("\r\n".join(head).encode("latin-1"))
        with peer.makefile("rb") as given:
            answer = given.read()
    head_of, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in head_of.lower():
        body = body.partition(b"\r\n")[2].partition(b"\r\n")[0]
    status = int(answer.split(b" ", 2)[1])
    return status, json.loads(body) if body[:1] in (b"{", b"[") else body


@contextlib.contextmanager
def wsgi_in_asgi() -> Iterator[str]:
    with asgi_server(WSGIMiddleware(flask_app()), tls=False) as origin:
        yield origin


@contextlib.contextmanager
def asgi_in_wsgi() -> Iterator[str]:
    with as_wsgi() as app, on_werkzeug(app) as origin:
        yield origin


@pytest.fixture(scope="module", params=[wsgi_in_asgi, asgi_in_wsgi])
def origin(request: pytest.FixtureRequest) -> Iterator[str]:
    with request.param() as origin:
        yield origin


@pytest.mark.parametrize("target", TARGETS)
def test_a_connect_request_is_verified_by_the_target_as_it_was_sent(
    origin: str, target: str
) -> None:
    path, _, query = target.partition("?")
    status, body = ask(origin, target, f"Authorization: {header_for(target)}")
    assert (status, body) == (200, ["tenant", unquote(path), query])
    for other in (f"{target}x", "/other", f"{target}&a=2" if query else f"{target}?a=2"):
        status, body = ask(origin, other, f"Authorization: {header_for(target)}")
        assert (status, body["reason"]) == (401, "request_mismatch")


def test_two_tokens_are_refused(origin: str) -> None:
    good = f"Authorization: {header_for('/page')}"
    assert ask(origin, "/page", good, good)[1]["reason"] == "ambiguous_token"


def test_a_request_without_a_token_is_refused(origin: str) -> None:
    assert ask(origin, "/page")[1]["reason"] == "missing_token"


def test_a_server_that_does_not_say_the_target_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = f"Authorization: {header_for('/page')}"
    errors: list[str] = []
    with as_wsgi() as app:

        def noting(environ: Any, start_response: Any) -> Any:
            """a2wsgi hands an error to the server, and wsgiref does not print it."""

            def start(status: str, headers: Any, error: Any = None) -> Any:
                errors.append(str(error[1]))
                return start_response(status, headers, error)

            return app(environ, start)

        with on_wsgiref(noting) as origin:
            assert ask(origin, "/page", good)[0] == 500
    assert "this server (a2wsgi in WSGIServer" in errors[0]
    with on_wsgiref(flask_app()) as origin:
        assert ask(origin, "/page", good)[0] == 500
    assert "this server (WSGIServer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "its name is not known"),
        ({"asgi.scope": {"path": "/", "query_string": b"", "headers": []}}, "a2wsgi, of a scope"),
        ({"SERVER_SOFTWARE": "small/1"}, "small/1"),
    ],
)
async def test_the_error_of_configuration_names_what_is_known(environ: Any, name: str) -> None:
    asked = wsgi.request({"REQUEST_METHOD": "GET", "PATH_INFO": "/", **environ})
    assert (asked.target, asked.mismatch) == (None, "")
    with pytest.raises(ValueError, match=rf"this server \({name}"):
        await authenticate(asked)


async def test_asgirefs_bridge_carries_nothing_and_is_an_error_of_configuration() -> None:
    bridge = WsgiToAsgiInstance(None)
    bridge.scope = SCOPE
    environ = bridge.build_environ(SCOPE, io.BytesIO())
    with pytest.raises(ValueError, match="its name is not known"):
        await authenticate(wsgi.request(environ))


SCOPE: dict[str, Any] = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "path": "/invoices/refunds",
    "raw_path": b"/invoices/refunds",
    "query_string": b"a=1",
    "headers": [],
    "asgi": {"version": "3.0", "spec_version": "2.3"},
}


@pytest.mark.parametrize(
    ("scope", "environ", "agrees"),
    [
        ({}, {}, True),
        ({"root_path": "/invoices"}, {}, True),
        # What a dispatcher within the application moves from one to the other.
        ({}, {"SCRIPT_NAME": "/invoices", "PATH_INFO": "/refunds"}, True),
        ({}, {"PATH_INFO": "/refunds"}, False),
        ({}, {"QUERY_STRING": "a=2"}, False),
        ({"path": "/refunds"}, {}, False),
        # As daphne has it of a request with the header `Daphne-Root-Path: /invoices`.
        ({"root_path": "/invoices", "asgi": {"version": "3.0"}}, {}, False),
    ],
)
def test_what_the_application_reads_otherwise_than_the_scope_says_is_a_mismatch(
    scope: Any, environ: Any, agrees: bool
) -> None:
    made: Any = build_environ({**SCOPE, **scope}, Body(asyncio, None))  # type: ignore[arg-type]
    seen = wsgi.request({**made, **environ})
    assert seen.target == "/invoices/refunds?a=1"
    assert (seen.mismatch == "") is agrees


@pytest.mark.parametrize(
    ("scope", "agrees"),
    [({}, True), ({"path": "/other"}, False), ({"path": "/a/b", "root_path": "/a"}, True)],
)
def test_what_the_application_reads_otherwise_than_the_environ_says_is_a_mismatch(
    scope: Any, agrees: bool
) -> None:
    environ = {"RAW_URI": "/a/b?c", "PATH_INFO": "/a/b", "QUERY_STRING": "c"}
    made = {"wsgi_environ": environ, "path": "/a/b", "query_string": b"c", "headers": []}
    seen = asgi.request({**made, **scope, "asgi": {"spec_version": "2.5"}})
    assert seen.target == "/a/b?c"
    assert (seen.mismatch == "") is agrees
    environ["QUERY_STRING"] = "d"
    assert asgi.request({**made, **scope}).mismatch != ""
