"""`requires` of FastAPI: what `protect` answers, for each endpoint, and in the OpenAPI document."""

import logging
from collections.abc import Callable
from typing import Annotated, Any, get_args

import httpx
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware

from asapfn import Request as Asked
from asapfn import Token, TokenRejected, Unavailable, asap, bearer, checks
from asapfn.adapters import asgi
from asapfn.adapters.fastapi import REFUSALS, requires
from asapfn.errors import Reason
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id
from asapfn.types import Verdict
from tests.support.keyring import key_for
from tests.support.servers import asgi_server, trusting
from tests.support.websocket import first_message, refusal

KEYS = [key_for("ES256"), key_for("ES256", "other")]
RESOLVER = keys_by_id(KEYS)
VERIFY = asap.verifier(RESOLVER, "service", issuers=["issuer", "other"])
AUTHENTICATE = bearer(VERIFY)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def good(issuer: str = "issuer") -> dict[str, str]:
    key = next(key for key in KEYS if str(key.kid).startswith(issuer))
    return {"Authorization": f"Bearer {asap.signer(issuer, key)('service')}"}


def client(app: Any) -> httpx.AsyncClient:
    here = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=here, base_url="https://service.example")


def rejecting(error: Exception) -> Callable[[Asked], Any]:
    async def authenticate(request: Asked) -> Token:
        raise error

    return authenticate


caller = requires(AUTHENTICATE)
Caller = Annotated[Token, Depends(caller)]
Other = Annotated[Token, Depends(requires(AUTHENTICATE, checks.claim_equals("iss", "other")))]


def service() -> FastAPI:
    app = FastAPI()
    api = APIRouter(responses=REFUSALS)

    @app.get("/health")
    def health() -> str:
        return "well"

    @api.get("/who")
    async def who(caller: Caller) -> str:
        return str(caller.claims["iss"])

    @api.get("/other")
    def other(caller: Other) -> str:
        return str(caller.claims["iss"])

    @api.post("/sum")
    def total(caller: Caller, numbers: Annotated[list[int], Body()]) -> int:
        return sum(numbers)

    @app.websocket("/chat")
    async def chat(websocket: WebSocket, caller: Caller) -> None:
        await websocket.accept()
        await websocket.send_text(str(caller.claims["iss"]))
        await websocket.close()

    app.include_router(api)
    return app


async def test_each_endpoint_says_who_may_call_it() -> None:
    async with client(service()) as http:
        assert (await http.get("/health")).json() == "well"
        assert (await http.get("/who")).json()["reason"] == "missing_token"
        assert (await http.get("/who", headers=good())).json() == "issuer"
        assert (await http.get("/other", headers=good())).json()["reason"] == "invalid_claim"
        assert (await http.get("/other", headers=good("other"))).json() == "other"


ERRORS = [*[TokenRejected(reason, "private") for reason in get_args(Reason)], Unavailable("keys")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: getattr(error, "reason", "outage"))
@pytest.mark.parametrize("scheme", ["Bearer", "JWT"])
async def test_a_refusal_is_byte_for_byte_that_of_protect(error: Any, scheme: str) -> None:
    app = FastAPI()

    @app.get("/", dependencies=[Depends(requires(rejecting(error), scheme=scheme))])
    def never() -> None:
        raise AssertionError("it was let in")

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it was let in")

    protected = asgi.protect(bare, rejecting(error), scheme=scheme)
    answers = []
    for each in (app, protected):
        async with client(each) as http:
            answer = await http.get("/")
            answers.append((answer.status_code, answer.headers.raw, answer.content))
    assert answers[0] == answers[1]
    assert b"private" not in answers[0][2]


async def test_a_refusal_is_the_same_below_middleware_and_a_mount_and_a_handler_of_errors() -> None:
    app, inner = FastAPI(), service()

    async def middleware(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    @inner.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"mine": error.status_code}, error.status_code)

    inner.add_middleware(BaseHTTPMiddleware, dispatch=middleware)
    app.mount("/inner", inner)
    async with client(app) as http, client(service()) as plain:
        refused, expected = await http.get("/inner/who"), await plain.get("/who")
        assert refused.content == expected.content
        assert refused.headers.raw == expected.headers.raw
        assert (await http.get("/inner/none")).json() == {"mine": 404}


async def test_an_application_may_answer_a_status_itself() -> None:
    app = service()

    @app.exception_handler(401)
    def mine(request: Request, error: Any) -> JSONResponse:
        return JSONResponse({"mine": error.detail}, error.status_code, headers=error.headers)

    async with client(app) as http:
        answer = await http.get("/who")
        assert (answer.status_code, answer.json()) == (401, {"mine": "missing_token"})
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_where_no_handler_can_be_added_the_refusal_is_that_of_fastapi() -> None:
    def without(request: Request) -> None:
        del request.scope["starlette.exception_handlers"]

    app = FastAPI(dependencies=[Depends(without), Depends(caller)])
    app.add_api_route("/", lambda: "in")
    async with client(app) as http:
        answer = await http.get("/")
        assert (answer.status_code, answer.json()) == (401, {"detail": "missing_token"})
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_what_the_endpoint_reads_is_looked_at_only_for_who_may_call() -> None:
    async with client(service()) as http:
        assert (await http.post("/sum", json=["x"])).status_code == 401
        assert (await http.post("/sum", json=["x"], headers=good())).status_code == 422
        assert (await http.post("/sum", json=[1, 2], headers=good())).json() == 3


async def test_a_requirement_of_the_router_and_one_of_the_endpoint_use_a_token_once() -> None:
    verdicts: list[Verdict] = []
    once = bearer(asap.verifier(RESOLVER, "service", issuers=None, replay=in_memory()))
    every = Depends(requires(once, observe=verdicts.append))
    api = APIRouter(dependencies=[every])
    narrow = requires(once, checks.claim_equals("iss", "other"), observe=verdicts.append)

    @api.get("/other")
    def other(caller: Annotated[Token, Depends(narrow)]) -> str:
        return str(caller.claims["iss"])

    app = FastAPI()
    app.include_router(api)
    async with client(app) as http:
        headers = good("other")
        assert (await http.get("/other", headers=headers)).json() == "other"
        assert (await http.get("/other", headers=headers)).json()["reason"] == "replayed"
        assert (await http.get("/other", headers=good())).json()["reason"] == "invalid_claim"


async def test_protect_and_a_requirement_behind_it_use_a_token_once() -> None:
    once = bearer(asap.verifier(RESOLVER, "service", issuers=None, replay=in_memory()))
    app = FastAPI()

    @app.get("/other", dependencies=[Depends(requires(once, checks.claim_equals("iss", "other")))])
    def other(request: Request) -> str:
        return str(asgi.token(request.scope).claims["iss"])

    for inner in (app, asgi.protect(app, once)):
        async with client(asgi.protect(inner, once)) as http:
            headers = good("other")
            assert (await http.get("/other", headers=headers)).json() == "other"
            assert (await http.get("/other", headers=headers)).json()["reason"] == "replayed"
            assert (await http.get("/other", headers=good())).json()["reason"] == "invalid_claim"


async def test_a_request_that_was_changed_behind_protect_is_authenticated_again() -> None:
    app = FastAPI()
    app.get("/who", dependencies=[Depends(requires(AUTHENTICATE))])(lambda: "in")

    async def exchange(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"authorization", b"Bearer x")]
        await app({**scope, "headers": headers}, receive, send)

    async with client(asgi.protect(exchange, AUTHENTICATE)) as http:
        assert (await http.get("/who", headers=good())).json()["reason"] == "malformed"


async def test_two_identities_of_one_request_are_not_mixed_up() -> None:
    def x_token(name: str) -> Callable[[Asked], Any]:
        async def authenticate(request: Asked) -> Token:
            return await VERIFY(dict(request.headers).get(name, ""))

        return authenticate

    app = FastAPI()
    first, second = requires(x_token("x-first")), requires(x_token("x-second"))

    @app.get("/")
    def both(
        one: Annotated[Token, Depends(first)], two: Annotated[Token, Depends(second)]
    ) -> list[str]:
        return [one.claims["iss"], two.claims["iss"]]

    tokens = [good(issuer)["Authorization"].partition(" ")[2] for issuer in ("issuer", "other")]
    async with client(app) as http:
        headers = {"X-First": tokens[0], "X-Second": tokens[1]}
        assert (await http.get("/", headers=headers)).json() == ["issuer", "other"]
        assert (await http.get("/", headers={"X-First": tokens[0]})).status_code == 401


async def test_the_token_is_in_the_scope_where_no_parameter_has_it() -> None:
    app = FastAPI(dependencies=[Depends(caller)])

    @app.get("/who")
    def who(request: Request) -> str:
        return str(asgi.token(request.scope).claims["iss"])

    async with client(app) as http:
        assert (await http.get("/who", headers=good())).json() == "issuer"
        assert (await http.get("/who")).status_code == 401


@pytest.mark.parametrize("given", [None, True, {"iss": "issuer"}])
async def test_what_is_no_token_reaches_no_view(given: Any) -> None:
    async def authenticate(request: Asked) -> Any:
        return given

    app = FastAPI(dependencies=[Depends(requires(authenticate))])
    app.add_api_route("/", lambda: "in")
    async with client(app) as http:
        with pytest.raises(TypeError, match="not a Token"):
            await http.get("/")


def test_a_test_overrides_who_calls() -> None:
    app = service()
    app.dependency_overrides[caller] = lambda: Token({}, {"iss": "tester"}, 0.0, 1.0)
    with TestClient(app) as http:
        assert http.get("/who").json() == "tester"
        with http.websocket_connect("/chat") as websocket:
            assert websocket.receive_text() == "tester"
        assert http.get("/other").status_code == 401


def test_each_request_is_reported_as_protect_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    verdicts: list[Verdict] = []
    app = FastAPI(dependencies=[Depends(requires(AUTHENTICATE, observe=verdicts.append))])
    app.add_api_route("/", lambda: "in")
    with TestClient(app) as http:
        assert http.get("/", headers=good()).status_code == 200
        assert http.get("/").status_code == 401
    assert [(each.outcome, each.reason, each.issuer) for each in verdicts] == [
        ("accepted", "", "issuer"),
        ("rejected", "missing_token", ""),
    ]
    (record,) = [record for record in caplog.records if record.name == "asapfn"]
    assert record.getMessage().startswith("asapfn: rejected missing_token: ")


def test_a_websocket_opens_for_a_good_token_alone() -> None:
    with asgi_server(service()) as origin:
        url = f"{origin.replace('https', 'wss')}/chat"
        assert first_message(url, good()) == "issuer"
        response = refusal(url)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        expected = httpx.get(f"{origin}/who", verify=trusting())
        assert response.body == expected.content


async def test_a_websocket_is_closed_before_it_opens_where_the_server_cannot_answer() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/chat", "raw_path": b"/chat", "query_string": b""}
    await service()({**scope, "headers": [], "subprotocols": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_document_has_the_scheme_and_the_refusals_where_a_token_is_needed() -> None:
    document = service().openapi()
    schemes = document["components"]["securitySchemes"]
    assert schemes == {
        "Bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A signed token of the calling service",
        }
    }
    who = document["paths"]["/who"]["get"]
    assert who["security"] == [{"Bearer": []}]
    assert set(who["responses"]) == {"200", "401", "403", "503"}
    assert "WWW-Authenticate" in who["responses"]["401"]["headers"]
    assert "WWW-Authenticate" in who["responses"]["403"]["headers"]
    assert "Retry-After" in who["responses"]["503"]["headers"]
    problem = who["responses"]["401"]["content"]["application/problem+json"]["schema"]
    assert set(problem["required"]) == {"title", "status", "reason"}
    # A reason each and the outage: none that a client may meet is undocumented.
    assert set(problem["properties"]["reason"]["enum"]) == {
        reason for reason in get_args(Reason) if TokenRejected(reason).status == 401
    }
    health = document["paths"]["/health"]["get"]
    assert "security" not in health
    assert set(health["responses"]) == {"200"}


def test_another_scheme_and_another_name_are_in_the_document() -> None:
    app = FastAPI()
    dependency = requires(AUTHENTICATE, scheme="JWT", name="Connect", description="of the product")
    app.add_api_route("/", lambda: "in", dependencies=[Depends(dependency)])
    schemes = app.openapi()["components"]["securitySchemes"]
    assert schemes == {
        "Connect": {"type": "http", "scheme": "JWT", "description": "of the product"}
    }


def test_a_malformed_scheme_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="one word"):
        requires(AUTHENTICATE, scheme="Bearer realm=x")
