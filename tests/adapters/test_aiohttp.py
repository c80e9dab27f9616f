import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import yarl
from aiohttp import web
from keyring import key_for
from servers import Recorder, asgi_server, serving, trusting
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_websocket

from asapfn import Request, Token, Unavailable, bearer, qsh
from asapfn.adapters.aiohttp import client_middleware, server_middleware
from asapfn.keys import import_secret
from asapfn.profiles import asap, connect
from asapfn.resolvers import keys_by_id, shared_secrets

TOKEN = "Bearer aaaa.bbbb.cccc"
KEY = key_for("ES256")
AUTHENTICATE = bearer(asap.verifier(keys_by_id([KEY]), "service", issuers="issuer"))
SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # all that aiohttp knows


async def secret_of(issuer: str) -> str | None:
    return SECRET if issuer == "product" else None


CONNECT = connect.authenticator(shared_secrets(secret_of), base_url="https://app.example")


class Calls:
    """An `Authorize` that keeps what it was asked for."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def __call__(self, method: str, url: str) -> str:
        self.made.append((method, url))
        return TOKEN

    async def later(self, method: str, url: str) -> str:
        await asyncio.sleep(0)
        return self(method, url)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture(params=["plain", "async"])
def authorize(request: pytest.FixtureRequest, calls: Calls) -> Any:
    return calls if request.param == "plain" else calls.later


@contextlib.asynccontextmanager
async def session(authorize: Any, *origins: str) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=trusting())
    middleware = client_middleware(authorize, origins=origins)
    async with aiohttp.ClientSession(connector=connector, middlewares=[middleware]) as client:
        yield client


async def send(client: Any, url: Any, *, method: str = "GET", **settings: Any) -> str:
    async with client.request(method, url, **settings) as answer:
        return str(await answer.text())


async def test_a_token_is_put_on_requests_to_its_origins(
    authorize: Any, calls: Calls, app: Recorder, origin: str
) -> None:
    async with session(authorize, "https://other.example", origin.upper()) as client:
        await send(client, f"{origin}/a?b=c#part", method="POST")
    assert calls.made == [("POST", f"{origin}/a?b=c")]
    assert app.seen[0].all("authorization") == [TOKEN]


async def test_a_header_of_the_users_is_replaced_there(
    calls: Calls, app: Recorder, origin: str
) -> None:
    async with session(calls, origin) as client:
        await send(client, f"{origin}/a", headers={"authorization": "Basic mine"})
        await send(client, f"{origin.replace('//', '//user:hunter2@')}/a")
    assert [seen.all("authorization") for seen in app.seen] == [[TOKEN], [TOKEN]]
    assert calls.made == [("GET", f"{origin}/a")] * 2


async def test_another_origin_gets_no_token(calls: Calls, app: Recorder, origin: str) -> None:
    async with session(calls, "https://localhost", origin.replace("https", "http")) as client:
        await send(client, f"{origin}/a")
        await send(client, f"{origin}/a", headers={"Authorization": "Basic mine"})
    assert [seen.all("authorization") for seen in app.seen] == [[], ["Basic mine"]]
    assert calls.made == []


async def test_a_token_does_not_go_to_where_a_redirect_points(
    authorize: Any, app: Recorder, origin: str, elsewhere: tuple[str, Recorder]
) -> None:
    app.to = f"{elsewhere[0]}/end"
    async with session(authorize, origin) as client:
        assert await send(client, f"{origin}/go") == "hello"
    assert app.seen[0].all("authorization") == [TOKEN]
    assert [seen.all("authorization") for seen in elsewhere[1].seen] == [[]]


async def test_a_token_is_made_anew_for_a_redirect_within_the_origins(
    calls: Calls, app: Recorder, origin: str, elsewhere: tuple[str, Recorder]
) -> None:
    app.to = f"{elsewhere[0]}/end"
    async with session(calls, origin, elsewhere[0]) as client:
        await send(client, f"{origin}/go")
    assert calls.made == [("GET", f"{origin}/go"), ("GET", f"{elsewhere[0]}/end")]
    assert elsewhere[1].seen[0].all("authorization") == [TOKEN]


async def test_a_token_goes_by_plain_http_where_an_origin_says_so(
    calls: Calls, app: Recorder
) -> None:
    with asgi_server(app, tls=False) as origin:
        async with session(calls, origin) as client:
            await send(client, f"{origin}/a")
        async with session(calls, origin.replace("http", "https")) as client:
            await send(client, f"{origin}/a")
    assert [seen.all("authorization") for seen in app.seen] == [[TOKEN], []]


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb?next=%2Fhome%3Fa&x=a+b&y=a%20b&z=%2B",
        "/a b/é?q=é&q=ü&empty&eq==",
        "/%7Euser/%61?%61=%7E&b=%c3%a9",
        "/a/../b?c=d;e=f",
        "//double//",
    ],
)
@pytest.mark.parametrize("encoded", [False, True])
async def test_a_qsh_is_that_of_the_url_as_it_is_sent(
    app: Recorder, origin: str, target: str, encoded: bool
) -> None:
    if encoded and not target.isascii():
        target = "/a%20b/%C3%A9"
    key = import_secret(SECRET)
    authorize = connect.authorizer("product", key, base_url=origin)
    async with session(authorize, origin) as client:
        await send(client, yarl.URL(f"{origin}{target}", encoded=encoded))
    (seen,) = app.seen
    request = Request("GET", seen.target, tuple(seen.headers))
    assert (await CONNECT(request)).claims["qsh"] == qsh("GET", seen.target)


async def test_a_websocket_counts_as_http(calls: Calls) -> None:
    with aiohttp_server() as origin:
        for scheme in ("wss", "https"):
            url = origin.replace("https", scheme)
            good = authorizer()
            async with session(good, origin) as client, client.ws_connect(f"{url}/ws") as opened:
                assert await opened.receive_str() == "issuer"
        async with session(calls, "http://localhost") as client:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(f"{origin.replace('https', 'wss')}/ws")
    assert (refused.value.status, calls.made) == (401, [])


@pytest.mark.parametrize("origins", ["https://localhost/", "localhost", "wss://localhost", ()])
def test_a_malformed_origin_is_a_programming_error(origins: Any, calls: Calls) -> None:
    with pytest.raises(ValueError, match="origin"):
        client_middleware(calls, origins=origins)


def authorizer() -> Any:
    return asap.authorizer("issuer", KEY, "service")


def good() -> dict[str, str]:
    return {"Authorization": authorizer()("GET", "/")}


async def unavailable(request: Request) -> Token:
    raise Unavailable("keys")


async def who(request: web.Request) -> web.StreamResponse:
    issuer = request["asapfn.token"].claims["iss"]
    if request.path == "/ws":
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str(issuer)
        await websocket.close()
        return websocket
    return web.Response(text=issuer)


def application() -> web.Application:
    app = web.Application()
    parts = {
        "/asap": server_middleware(AUTHENTICATE),
        "/connect": server_middleware(CONNECT, scheme="JWT"),
        "/down": server_middleware(unavailable),
    }
    for path, middleware in parts.items():
        part = web.Application(middlewares=[middleware])
        part.router.add_route("*", "/{tail:.*}", who)
        app.add_subapp(path, part)
    app.router.add_get("/ws", who)
    app.middlewares.append(protected_websocket)
    return app


@web.middleware
async def protected_websocket(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.path == "/ws":
        return await server_middleware(AUTHENTICATE)(request, handler)
    return await handler(request)


@contextlib.contextmanager
def aiohttp_server() -> Iterator[str]:
    """Serve the application over TLS, by an event loop in a thread of its own."""
    started, ports = threading.Event(), []
    stop: list[Any] = []

    async def serve() -> None:
        runner = web.AppRunner(application(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving())
        await site.start()
        ports.append(runner.addresses[0][1])
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(stopping.set))
        started.set()
        await stopping.wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield f"https://localhost:{ports[0]}"
    finally:
        stop[0]()
        thread.join(10)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aiohttp_server() as origin:
        yield origin


def ask(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> httpx.Response:
    with httpx.Client(verify=trusting()) as client:
        return client.request(method, url, headers=headers)


def test_a_good_token_is_in_the_request(server: str) -> None:
    answer = ask(f"{server}/asap/", good())
    assert (answer.status_code, answer.text) == (200, "issuer")


def test_a_refusal_is_a_problem_with_its_reason(server: str) -> None:
    answer = ask(f"{server}/asap/")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {"title": "Unauthorized", "status": 401, "reason": "missing_token"}
    assert ask(f"{server}/connect/").headers["WWW-Authenticate"] == "JWT"


def test_an_answer_to_head_has_no_body(server: str) -> None:
    answer = ask(f"{server}/asap/", method="HEAD")
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["Content-Length"] == ask(f"{server}/asap/").headers["Content-Length"]


def test_an_outage_is_503(server: str) -> None:
    answer = ask(f"{server}/down/", good())
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "5"


def test_a_websocket_is_refused_before_it_opens(server: str) -> None:
    url = f"{server.replace('https', 'wss')}/ws"
    with open_websocket(url, ssl=trusting(), additional_headers=good(), proxy=None) as websocket:
        assert websocket.recv() == "issuer"
    with pytest.raises(InvalidStatus) as refused:
        open_websocket(url, ssl=trusting(), proxy=None)
    assert refused.value.response.status_code == 401


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


def test_a_malformed_scheme_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="one word"):
        server_middleware(AUTHENTICATE, scheme="Bearer realm=x")
