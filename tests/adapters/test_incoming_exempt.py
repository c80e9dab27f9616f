"""`unless` names what goes through without a token; whatever could be read in two ways does not."""

import logging
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asapfn import Request, Token, Unavailable, asap, bearer
from asapfn.adapters import asgi, wsgi
from asapfn.adapters._incoming import is_exempt
from asapfn.adapters.aiohttp import server_middleware
from asapfn.resolvers import keys_by_id
from asapfn.types import Unless, Verdict
from tests.support.keyring import key_for

KEY = key_for("ES256")
AUTHENTICATE = bearer(asap.verifier(keys_by_id([KEY]), "service", issuers="issuer"))


def good() -> dict[str, str]:
    return {"Authorization": f"Bearer {asap.signer('issuer', KEY)('service')}"}


def health(method: str, path: str) -> bool:
    return path == "/health"


def always(method: str, path: str) -> bool:
    return True


async def down(request: Request) -> Token:
    raise Unavailable("keys")


def by_asgi(authenticate: Any, path: str, sent: Any = None, **options: Any) -> tuple[int, str]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = asgi.token(scope).claims["iss"] if "asapfn.token" in scope else "nobody"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body.encode()})

    async def ask() -> tuple[int, str]:
        # The outer one is for whoever, the inner one for what is asked.
        protected = asgi.protect(app, authenticate, **options)
        outer = asgi.protect(protected, AUTHENTICATE, optional=True)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(outer)) as client:
            answer = await client.get(f"https://service.example{path}", headers=sent)
            return answer.status_code, answer.text

    return anyio.run(ask)


def by_wsgi(authenticate: Any, path: str, sent: Any = None, **options: Any) -> tuple[int, str]:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        body = wsgi.token(environ).claims["iss"] if "asapfn.token" in environ else "nobody"
        return [body.encode()]

    protected = wsgi.protect(app, authenticate, **options)
    outer = wsgi.protect(protected, AUTHENTICATE, optional=True)
    with httpx.Client(transport=httpx.WSGITransport(outer)) as client:
        answer = client.get(f"https://service.example{path}", headers=sent)
        return answer.status_code, answer.text


def by_aiohttp(authenticate: Any, path: str, sent: Any = None, **options: Any) -> tuple[int, str]:
    async def handler(request: web.Request) -> web.Response:
        token = request.get("asapfn.token")
        return web.Response(text=token.claims["iss"] if token else "nobody")

    async def ask() -> tuple[int, str]:
        outer = server_middleware(AUTHENTICATE, optional=True)
        inner = server_middleware(authenticate, **options)
        app = web.Application(middlewares=[outer, inner])
        app.router.add_get("/{rest:.*}", handler)
        async with (
            TestServer(app) as server,
            TestClient(server) as client,
            client.get(path, headers=sent) as answer,
        ):
            return answer.status, await answer.text()

    return anyio.run(ask, backend="asyncio")


ADAPTERS = pytest.mark.parametrize("ask", [by_asgi, by_wsgi, by_aiohttp])


@ADAPTERS
def test_nothing_is_exempt_unless_it_is_named(ask: Callable[..., tuple[int, str]]) -> None:
    assert ask(AUTHENTICATE, "/health")[0] == 401
    assert ask(AUTHENTICATE, "/health", unless=health) == (200, "nobody")
    assert ask(AUTHENTICATE, "/admin", unless=health)[0] == 401
    assert ask(AUTHENTICATE, "/admin", good(), unless=health) == (200, "issuer")
    bad = {"Authorization": "Bearer bad"}
    assert ask(AUTHENTICATE, "/admin", bad, unless=health, optional=True)[0] == 401


@ADAPTERS
def test_an_exempt_request_asks_nobody_and_is_not_reported(
    ask: Callable[..., tuple[int, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    verdicts: list[Verdict] = []
    options: dict[str, Any] = {"unless": health, "observe": verdicts.append}
    assert ask(down, "/health", **options) == (200, "nobody")
    assert (verdicts, caplog.records) == ([], [])
    assert ask(down, "/admin", **options)[0] == 503
    assert [verdict.outcome for verdict in verdicts] == ["unavailable"]


@ADAPTERS
def test_an_exempt_request_has_no_token_though_another_protect_verified_one(
    ask: Callable[..., tuple[int, str]],
) -> None:
    assert ask(AUTHENTICATE, "/health", good(), unless=health) == (200, "nobody")


REQUEST = Request("GET", "/health", ())


@pytest.mark.parametrize("answer", [None, 1, "yes", 0, "", [], object()])
def test_what_is_no_bool_exempts_nobody(answer: Any) -> None:
    with pytest.raises(TypeError, match="unless returned"):
        is_exempt(lambda method, path: answer, REQUEST, "/health")


@pytest.mark.filterwarnings("ignore:coroutine")
def test_an_async_function_exempts_nobody() -> None:
    async def later(method: str, path: str) -> bool:
        return False

    unless: Any = later
    with pytest.raises(TypeError, match="coroutine"):
        is_exempt(unless, REQUEST, "/health")


def nobody_asks(method: str, path: str) -> bool:
    raise AssertionError(f"unless was asked about {method} {path}")


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "//health",
        "/a//b",
        "/a//",
        "/.",
        "/..",
        "/./a",
        "/../a",
        "/a/.",
        "/a/..",
        "/a/./b",
        "/a/../b",
        "/a\\b",
        "/a%2fb",
        "/a%",
        "/a;b",
        "/a?b",
        "/a#b",
        "/a\x00",
        "/a\n",
        "/a\x7f",
        "/a\u2028b",
        "/a\u202eb",
        "/a\ufffdb",
        "health",
        "*",
        "https://service.example/health",
        " /health",
    ],
)
def test_a_path_that_may_be_read_in_two_ways_is_not_exempt(path: str) -> None:
    assert is_exempt(nobody_asks, Request("GET", None, ()), path) is False


@pytest.mark.parametrize(
    "path",
    [
        *("/", "", "/a", "/a/", "/a/b.css", "/.well-known/x", "/..a", "/a./b", "/a..", "/..."),
        *("/caf\u00e9", "/a b", "/a=b,c:d@e", "/~a", "/a+b"),
    ],
)
def test_a_plain_path_is_asked_about(path: str) -> None:
    seen: list[str] = []

    def unless(method: str, path: str) -> bool:
        seen.append(path)
        return True

    assert is_exempt(unless, Request("GET", None, ()), path) is True
    assert seen == [path]


@pytest.mark.parametrize("method", ["get", "Get", "options", "p\xf6st"])
def test_a_method_that_is_not_in_upper_case_is_not_exempt(method: str) -> None:
    assert is_exempt(nobody_asks, Request(method, "/health", ()), "/health") is False


@pytest.mark.parametrize(
    "target",
    [
        "/%2Fhealth",
        "/%2fhealth",
        "/a%5cb",
        "/a%5Cb",
        "/health#",
        "/health#/../admin",
        "https://service.example/health",
        "health",
        "/h\u00e9alth",
        "/health x",
        "",
    ],
)
def test_a_target_that_may_be_read_in_two_ways_is_not_exempt(target: str) -> None:
    assert is_exempt(nobody_asks, Request("GET", target, ()), "/health") is False


def test_a_request_that_is_not_the_one_that_was_sent_is_not_exempt() -> None:
    request = Request("GET", "/health", (), "the application reads another")
    assert is_exempt(nobody_asks, request, "/health") is False
    assert is_exempt(nobody_asks, REQUEST, None) is False
    assert is_exempt(None, REQUEST, "/health") is False
    assert is_exempt(always, Request("GET", "/health?a=%2F", ()), "/health") is True


@pytest.mark.parametrize("value", ["websocket", "WebSocket", "h2c, websocket"])
def test_a_handshake_of_a_websocket_is_not_exempt(value: str) -> None:
    request = Request("GET", "/health", (("UPGRADE", value),))
    assert is_exempt(nobody_asks, request, "/health") is False
    assert is_exempt(always, Request("GET", "/health", (("Upgrade", "h2c"),)), "/health") is True


@pytest.mark.parametrize(
    ("mount", "path", "seen"),
    [
        ("", "/health", "/health"),
        ("/svc", "/svc/health", "/health"),
        ("/svc", "/svc", ""),
        ("/svc", "/svc/", "/"),
        ("/svc", "/health", "/health"),
        ("/svc", "/svc/svc/health", "/svc/health"),
        # Django reads /x and Starlette /svcx; Quart and Litestar /admin.
        ("/svc", "/svcx/health", None),
        ("/svc", "/public/svc/admin", None),
        ("/", "/health", None),
        ("/svc/", "/svc/health", None),
    ],
)
async def test_the_path_is_the_one_below_the_mount(mount: str, path: str, seen: str | None) -> None:
    asked: list[str] = []

    def unless(method: str, path: str) -> bool:
        asked.append(path)
        return True

    scope = {"type": "http", "method": "GET", "path": path, "root_path": mount, "headers": []}
    scope["asgi"] = {"spec_version": "2.3"}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    receive: Any = None
    await asgi.protect(app, AUTHENTICATE, unless=unless)(scope, receive, send)
    assert asked == ([] if seen is None else [seen])
    assert sent[0]["status"] == (401 if seen is None else 200)


def test_a_path_of_wsgi_is_utf_8_or_not_exempt() -> None:
    asked: list[str] = []

    def unless(method: str, path: str) -> bool:
        asked.append(path)
        return True

    protected: Any = wsgi.protect(lambda environ, start: [b"in"], AUTHENTICATE, unless=unless)
    answers = []
    for path in ("/caf\u00c3\u00a9", "/caf\u00e9"):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path}
        answers.append(b"".join(protected(environ, lambda status, headers: None)) == b"in")
    assert (answers, asked) == ([True, False], ["/caf\u00e9"])


async def test_a_websocket_is_refused_where_the_page_beside_it_is_exempt() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it was let in")

    scope = {"type": "websocket", "path": "/health", "headers": []}
    await asgi.protect(app, AUTHENTICATE, unless=always)(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


PREFLIGHT = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}


def preflights(method: str, path: str) -> bool:
    return method == "OPTIONS"


@pytest.mark.parametrize("way", ["outside", "unless"])
async def test_a_preflight_needs_no_token_and_the_request_after_it_does(way: str) -> None:
    def who(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(asgi.token(request.scope).claims["iss"])

    cors = Middleware(CORSMiddleware, allow_origins=["https://shop.example"])
    unless: Unless | None = preflights if way == "unless" else None
    protected = Middleware(asgi.protect, authenticate=AUTHENTICATE, unless=unless)
    stack = [cors, protected] if way == "outside" else [protected, cors]
    app = Starlette(routes=[Route("/who", who)], middleware=stack)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="https://service.example"
    ) as client:
        preflight = await client.options("/who", headers=PREFLIGHT)
        allowed = "Access-Control-Allow-Origin"
        assert preflight.status_code == 200
        assert preflight.headers[allowed] == "https://shop.example"
        refused = await client.get("/who", headers=PREFLIGHT)
        # Only from outside does CORS let a page read why it was refused.
        assert (refused.status_code, allowed in refused.headers) == (401, way == "outside")
        answered = await client.get("/who", headers=PREFLIGHT | good())
        assert (answered.text, answered.headers[allowed]) == ("issuer", "https://shop.example")
