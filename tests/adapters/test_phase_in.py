"""`enforce=False` and `optional=True`, in each adapter: who gets through, what is reported."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from anyio.from_thread import start_blocking_portal
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from flask import Blueprint, Flask
from flask import request as flask_request
from starlette.requests import Request as StarletteRequest

from asapfn import Request, Token, TokenRejected, Unavailable, asap, bearer, testing
from asapfn.adapters import aiohttp, asgi, fastapi, flask, wsgi
from asapfn.checks import claim_equals
from asapfn.errors import Reason
from asapfn.types import Verdict
from tests.support.django_site import configure

configure()

from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import AsyncRequestFactory, RequestFactory  # noqa: E402
from rest_framework.permissions import AllowAny  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from asapfn.adapters import django  # noqa: E402

ALICE = testing.issuer("alice")
VERIFY = asap.verifier(testing.resolver(ALICE), "service", issuers="alice")
REASONS = get_args(Reason)
IS_BOSS = claim_equals("boss", True)
Get = Callable[[dict[str, str]], tuple[int, str]]


async def scripted(request: Request) -> Token:
    """Reject for the reason that a header names; else what the token deserves."""
    script = {name.lower(): value for name, value in request.headers}.get("x-outcome")
    if script == "outage":
        raise Unavailable("keys.example", "connection refused")
    if script is not None:
        raise TokenRejected(next(reason for reason in REASONS if reason == script), "private")
    return await bearer(VERIFY)(request)


def name_of(token: Token | None) -> str:
    return "nobody" if token is None else str(token.claims["iss"])


def by_transport(transport: Any) -> Get:
    def get(headers: dict[str, str]) -> tuple[int, str]:
        with httpx.Client(transport=transport, base_url="https://service.example") as client:
            answer = client.get("/", headers=headers)
            return answer.status_code, answer.text.strip('"')

    return get


def by_test_client(app: Any) -> Get:
    def get(headers: dict[str, str]) -> tuple[int, str]:
        answer = TestClient(app, base_url="https://service.example").get("/", headers=headers)
        return answer.status_code, answer.text.strip('"')

    return get


@contextlib.contextmanager
def of_asgi(authenticate: Any, **settings: Any) -> Iterator[Get]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = name_of(asgi.token(scope) if "asapfn.token" in scope else None).encode()
        await send({"type": "http.response.body", "body": body})

    protected = asgi.protect(app, authenticate, **settings)

    async def claimed(scope: Any, receive: Any, send: Any) -> None:
        # As if whatever is outside had put a token there.
        await protected({**scope, "asapfn.token": ALICE.verified("service")}, receive, send)

    yield by_test_client(claimed)


@contextlib.contextmanager
def of_wsgi(authenticate: Any, **settings: Any) -> Iterator[Get]:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        held = wsgi.token(environ) if "asapfn.token" in environ else None
        return [name_of(held).encode()]

    protected = wsgi.protect(app, authenticate, **settings)

    def claimed(environ: Any, start_response: Any) -> Any:
        environ["asapfn.token"] = ALICE.verified("service")
        return protected(environ, start_response)

    yield by_transport(httpx.WSGITransport(claimed))


@contextlib.contextmanager
def of_aiohttp(authenticate: Any, **settings: Any) -> Iterator[Get]:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=name_of(request.get("asapfn.token")))

    app = web.Application(middlewares=[aiohttp.server_middleware(authenticate, **settings)])
    app.router.add_get("/", handler)

    @contextlib.asynccontextmanager
    async def serving() -> Any:
        async with TestServer(app) as server:
            yield str(server.make_url("/"))

    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(serving()) as url,
        httpx.Client(trust_env=False) as client,
    ):

        def get(headers: dict[str, str]) -> tuple[int, str]:
            answer = client.get(url, headers=headers)
            return answer.status_code, answer.text

        yield get


@contextlib.contextmanager
def of_django(authenticate: Any, *, within: Any = None, **settings: Any) -> Iterator[Get]:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(name_of(request.asapfn_token))

    reached = view if within is None else within(view)
    handle = django.middleware(authenticate, **settings)(reached)

    def get(headers: dict[str, str]) -> tuple[int, str]:
        answer = handle(RequestFactory().get("/", headers=headers))
        return answer.status_code, answer.content.decode()

    yield get


@contextlib.contextmanager
def of_django_async(authenticate: Any, *, within: Any = None, **settings: Any) -> Iterator[Get]:
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(name_of(request.asapfn_token))

    reached = view if within is None else within(view)
    handle = django.middleware(authenticate, **settings)(reached)
    with start_blocking_portal("asyncio") as portal:

        def get(headers: dict[str, str]) -> tuple[int, str]:
            answer: Any = portal.call(handle, AsyncRequestFactory().get("/", headers=headers))
            return answer.status_code, answer.content.decode()

        yield get


@contextlib.contextmanager
def of_fastapi(authenticate: Any, *checks: Any, **settings: Any) -> Iterator[Get]:
    app = FastAPI()

    @app.get("/")
    def who(
        request: StarletteRequest,
        caller: Annotated[
            Token | None, Depends(fastapi.requires(authenticate, *checks, **settings))
        ],
    ) -> str:
        assert caller is request.scope.get("asapfn.token")
        return name_of(caller)

    async def claimed(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "asapfn.token": ALICE.verified("service")}, receive, send)

    yield by_test_client(claimed)


@contextlib.contextmanager
def of_flask(authenticate: Any, *checks: Any, **settings: Any) -> Iterator[Get]:
    app = Flask(__name__)

    @app.get("/")
    @flask.requires(authenticate, *checks, **settings)
    def who() -> str:
        held = "asapfn.token" in flask_request.environ
        return name_of(flask.token() if held else None)

    def claimed(environ: Any, start_response: Any) -> Any:
        environ["asapfn.token"] = ALICE.verified("service")
        return app(environ, start_response)

    yield by_transport(httpx.WSGITransport(claimed))


WAYS = [of_asgi, of_wsgi, of_aiohttp, of_django, of_django_async, of_fastapi, of_flask]
EACH = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@EACH
def test_without_enforcement_every_request_passes_and_every_refusal_is_reported(
    way: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    verdicts: list[Verdict] = []
    with way(scripted, enforce=False, observe=verdicts.append) as get:
        for outcome in (*REASONS, "outage"):
            headers = ALICE.headers("service") | {"X-Outcome": outcome}
            assert get(headers) == (200, "nobody"), outcome
    kinds = [(verdict.outcome, verdict.reason, verdict.issuer) for verdict in verdicts]
    assert kinds == [
        *[("rejected", reason, "") for reason in REASONS],
        ("unavailable", "unavailable", ""),
    ]
    first, *records = [record for record in caplog.records if record.name == "asapfn"]
    assert first.getMessage() == (
        "asapfn: NOT PROTECTING: enforce=False lets every request through"
    )
    assert len(records) == len(kinds)
    for (outcome, reason, _), record in zip(kinds, records, strict=True):
        words = outcome if reason == "unavailable" else f"{outcome} {reason}"
        assert record.getMessage().startswith(f"asapfn: NOT ENFORCED: {words}: ")
        assert vars(record)["asapfn_enforced"] is False
    assert {record.levelno for record in records[:-1]} == {logging.INFO}
    assert records[-1].levelno == logging.WARNING


@EACH
def test_without_enforcement_a_good_token_is_found_and_a_broken_one_is_not(way: Any) -> None:
    verdicts: list[Verdict] = []
    with way(scripted, enforce=False, observe=verdicts.append) as get:
        assert get(ALICE.headers("service")) == (200, "alice")
        for reason in testing.ASAP_REASONS:
            broken = testing.broken(reason, ALICE, "service")
            assert get(dict(broken.headers)) == (200, "nobody"), reason
    assert [verdict.reason for verdict in verdicts] == ["", *testing.ASAP_REASONS]


@EACH
def test_what_is_optional_is_not_reported_where_nothing_is_enforced_either(way: Any) -> None:
    verdicts: list[Verdict] = []
    with way(scripted, enforce=False, optional=True, observe=verdicts.append) as get:
        assert get({}) == (200, "nobody")
        assert get({"Authorization": "Bearer bad"}) == (200, "nobody")
    assert [verdict.reason for verdict in verdicts] == ["malformed"]


@EACH
def test_an_optional_token_may_be_missing_and_nothing_else(way: Any) -> None:
    verdicts: list[Verdict] = []
    with way(scripted, optional=True, observe=verdicts.append) as get:
        for outcome in (*REASONS, "outage"):
            expected = 503 if outcome == "outage" else 401
            if outcome in ("issuer_not_allowed", "insufficient_scope"):
                expected = 403
            status, text = get({"X-Outcome": outcome})
            if outcome == "missing_token":
                assert (status, text) == (200, "nobody")
            else:
                assert status == expected, outcome
        assert get({}) == (200, "nobody")
        assert get(ALICE.headers("service")) == (200, "alice")
    reported = ["unavailable" if each == "outage" else each for each in (*REASONS, "outage", "")]
    reported.remove("missing_token")
    assert [verdict.reason for verdict in verdicts] == reported


@EACH
@pytest.mark.parametrize("given", [None, 0, "", "false", "yes"])
def test_a_setting_that_is_no_bool_opens_nothing(way: Any, given: Any) -> None:
    with (
        pytest.raises(TypeError, match="enforce must be True or False, not"),
        way(scripted, enforce=given),
    ):
        raise AssertionError("it was made")


@EACH
def test_what_is_enforced_is_logged_as_before(way: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    with way(scripted) as get:
        assert get({})[0] == 401
    (record,) = [record for record in caplog.records if record.name == "asapfn"]
    assert record.getMessage().startswith("asapfn: rejected missing_token: ")
    assert vars(record)["asapfn_enforced"] is True


ENDPOINTS = {"fastapi": of_fastapi, "flask": of_flask}


@contextlib.contextmanager
def endpoint(name: str, *checks: Any, **settings: Any) -> Iterator[Get]:
    """An endpoint that requires more, of each framework that has `requires`."""
    if name in ENDPOINTS:
        with ENDPOINTS[name](scripted, *checks, **settings) as get:
            yield get
        return
    of = of_django if name == "django" else of_django_async
    within = django.requires(*checks, **settings)
    with of(scripted, within=within, optional=True) as get:
        yield get


REQUIRES = pytest.mark.parametrize("name", [*ENDPOINTS, "django", "django_async"])


@REQUIRES
def test_an_optional_token_that_is_there_must_satisfy_the_checks(name: str) -> None:
    with endpoint(name, IS_BOSS, optional=True) as get:
        assert get({}) == (200, "nobody")
        assert get(ALICE.headers("service"))[0] == 401
        assert get(ALICE.headers("service", claims={"boss": True})) == (200, "alice")
        assert get({"Authorization": "Bearer bad"})[0] == 401


def pretends(token: Token) -> None:
    """The token is there."""
    raise TokenRejected("missing_token")


@REQUIRES
def test_a_check_that_rejects_as_missing_a_token_that_is_there_opens_no_optional_endpoint(
    name: str,
) -> None:
    with endpoint(name, pretends, optional=True) as get:
        assert get(ALICE.headers("service"))[0] == 401
        assert get({}) == (200, "nobody")


def test_a_check_that_rejects_as_missing_a_token_that_is_there_is_a_refusal_to_rest_framework() -> (
    None
):
    class Open(APIView):  # type: ignore[misc]
        authentication_classes = (django.authentication(scripted, pretends),)
        permission_classes = (AllowAny,)

        def get(self, request: Any) -> Response:
            return Response(str(request.user))

    view = Open.as_view()
    assert view(RequestFactory().get("/")).status_code == 200
    refused = view(RequestFactory().get("/", headers=ALICE.headers("service")))
    assert refused.status_code == 401


@REQUIRES
def test_without_enforcement_an_endpoint_finds_a_token_that_satisfies_its_checks_alone(
    name: str,
) -> None:
    verdicts: list[Verdict] = []
    with endpoint(name, IS_BOSS, enforce=False, observe=verdicts.append) as get:
        assert get(ALICE.headers("service")) == (200, "nobody")
        assert get({}) == (200, "nobody")
        assert get(ALICE.headers("service", claims={"boss": True})) == (200, "alice")
    refused = [each.reason for each in verdicts if each.outcome == "rejected"]
    assert refused == ["missing_claim", "missing_token"]


def test_a_view_that_requires_a_token_does_so_behind_a_middleware_that_enforces_nothing() -> None:
    with of_django(scripted, within=django.requires(), enforce=False) as get:
        assert get({})[0] == 401
        assert get(ALICE.headers("service")) == (200, "alice")


def test_a_blueprints_token_is_not_that_of_a_view_whose_check_it_fails() -> None:
    app = Flask(__name__)
    billing = Blueprint("billing", __name__)
    billing.before_request(flask.requires(scripted))

    @billing.get("/")
    @flask.requires(scripted, IS_BOSS, enforce=False)
    def who() -> str:
        return str("asapfn.token" in flask_request.environ)

    app.register_blueprint(billing)
    get = by_transport(httpx.WSGITransport(app))
    assert get(ALICE.headers("service")) == (200, "False")
    assert get(ALICE.headers("service", claims={"boss": True})) == (200, "True")
    assert get({})[0] == 401


def test_a_routers_token_is_not_that_of_an_endpoint_whose_check_it_fails() -> None:
    app, api = FastAPI(), APIRouter(dependencies=[Depends(fastapi.requires(scripted))])

    @api.get("/")
    def who(
        request: StarletteRequest,
        boss: Annotated[Token | None, Depends(fastapi.requires(scripted, IS_BOSS, enforce=False))],
    ) -> str:
        return str(boss is not None and "asapfn.token" in request.scope)

    app.include_router(api)
    get = by_test_client(app)
    assert get(ALICE.headers("service")) == (200, "False")
    assert get(ALICE.headers("service", claims={"boss": True})) == (200, "True")
    assert get({})[0] == 401


@pytest.mark.parametrize("enforce", [True, False])
def test_a_view_does_not_put_back_the_token_that_its_blueprints_check_refused(
    enforce: bool,
) -> None:
    app, admin = Flask(__name__), Blueprint("admin", __name__)
    admin.before_request(flask.requires(scripted, IS_BOSS, enforce=False))

    @admin.get("/")
    @flask.requires(scripted, enforce=enforce)
    def who() -> str:
        return str("asapfn.token" in flask_request.environ)

    app.register_blueprint(admin)
    get = by_transport(httpx.WSGITransport(app))
    assert get(ALICE.headers("service")) == (200, "False")
    assert get(ALICE.headers("service", claims={"boss": True})) == (200, "True")
    assert get({})[0] == (401 if enforce else 200)


@pytest.mark.parametrize("enforce", [True, False])
def test_an_endpoint_does_not_put_back_the_token_that_its_routers_check_refused(
    enforce: bool,
) -> None:
    boss = fastapi.requires(scripted, IS_BOSS, enforce=False)
    app, admin = FastAPI(), APIRouter(dependencies=[Depends(boss)])

    @admin.get("/")
    def who(
        request: StarletteRequest,
        caller: Annotated[Token | None, Depends(fastapi.requires(scripted, enforce=enforce))],
    ) -> str:
        return f"{caller is not None} {'asapfn.token' in request.scope}"

    app.include_router(admin)
    get = by_test_client(app)
    # What an enforced dependency promises is a token; it is not the request's.
    assert get(ALICE.headers("service")) == (200, f"{enforce} False")
    assert get(ALICE.headers("service", claims={"boss": True})) == (200, "True True")
    assert get({})[0] == (401 if enforce else 200)


def test_a_view_behind_two_decorators_that_enforce_nothing_finds_no_token_that_one_refused() -> (
    None
):
    """Django, whose middleware verifies once."""
    both = [django.requires(IS_BOSS, enforce=False), django.requires(enforce=False)]
    with of_django(scripted, within=lambda view: both[0](both[1](view)), enforce=False) as get:
        assert get(ALICE.headers("service")) == (200, "nobody")
        assert get(ALICE.headers("service", claims={"boss": True})) == (200, "alice")


def test_a_websocket_opens_without_a_token_where_nothing_is_enforced() -> None:
    app = FastAPI()

    @app.websocket("/events")
    async def events(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(str("asapfn.token" in websocket.scope))
        await websocket.close()

    client: Any = TestClient(asgi.protect(app, scripted, enforce=False))
    for headers, expected in (({}, "False"), (ALICE.headers("service"), "True")):
        with client.websocket_connect("/events", headers=headers) as websocket:
            assert websocket.receive_text() == expected
