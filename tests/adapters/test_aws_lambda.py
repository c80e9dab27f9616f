"""Connect on AWS Lambda: events as AWS documents them, through Mangum, and by the event alone."""

import asyncio
import base64
import itertools
import json
import logging
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote

import pytest
from a2wsgi import WSGIMiddleware
from fastapi import Depends, FastAPI
from flask import Flask
from flask import request as flask_request
from mangum import Mangum
from starlette.requests import Request as StarletteRequest

from asapfn import Token, TokenRejected, connect
from asapfn.adapters import asgi, aws_lambda, wsgi
from asapfn.adapters.fastapi import requires
from asapfn.keys import import_secret
from asapfn.resolvers import shared_secrets
from tests.support import lambda_events as events

SECRET = "a secret of the tenant's, long enough for HS256"
QUERY = "repeat=two&repeat=one&to=https%3A%2F%2Fx.example%2Fa%2Fb&l=a+b&e=a%2Bb&empty=&u=%C3%A9"
RAW = [(name, value) for name, _, value in (pair.partition("=") for pair in QUERY.split("&"))]
DECODED = parse_qsl(QUERY, keep_blank_values=True)

# What each kind of event gives of a path, as it was seen on AWS; None: answered by 400 there.
PATHS = {
    "/plain": "/plain",
    "/a-b.c_d~e!$'()*,;:@=+/": "/a-b.c_d~e!$'()*,;:@=+/",
    "/space%20value": "/space value",
    "/hash%23value": "/hash#value",
    "/question%3Fvalue": "/question",
    "/percent%25done": None,
    "/slash%2Fvalue": "/slash/value",
    "/unicode-%CE%BB": "/unicode-λ",
    "/literal%252Fvalue": "/literal/value",
    "/literal%253Fvalue": "/literal?value",
    "/literal%2525value": "/literal%value",
}


async def secret_of(client_key: str) -> str | None:
    return SECRET if client_key == "tenant" else None


def authenticator(path: str) -> Any:
    return connect.authenticator(shared_secrets(secret_of), base_url=f"https://app.example{path}")


def headers_for(url: str, *more: tuple[str, str]) -> events.Pairs:
    base = "https://app.example"
    sign = connect.authorizer("tenant", import_secret(SECRET), base_url=base)
    return [("Authorization", sign("GET", f"{base}{url}")), *more, ("Host", "app.example")]


def event_of(kind: str, path: str, query: str = QUERY, headers: Any = None) -> dict[str, Any]:
    """The event of `GET path?query`; the token is for that, whatever AWS makes of it."""
    fields = headers_for(f"{path}?{query}") if headers is None else headers
    raw = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))]
    decoded = parse_qsl(query, keep_blank_values=True)
    seen = str(PATHS.get(path, path))
    made: dict[str, Any] = {
        "REST API": lambda: events.rest("GET", path, decoded, fields),
        "REST API, mapped": lambda: events.rest("GET", path, decoded, fields, prefix="/base"),
        "function URL": lambda: events.function_url("GET", path, unquote(path), query, fields),
        "load balancer": lambda: events.load_balancer("GET", path, raw, fields),
        "HTTP API": lambda: events.http_api("GET", seen, query, fields),
        "HTTP API, stage": lambda: events.http_api("GET", seen, query, fields, stage="live"),
        "HTTP API 1.0": lambda: events.http_api_1("GET", seen, decoded, fields),
    }
    event: dict[str, Any] = made[kind]()
    return event


# Where AWS gives the path: below what.
BELOW = {
    "REST API": "/live",
    "REST API, mapped": "/base",
    "function URL": "",
    "load balancer": "",
    "HTTP API": "",
    "HTTP API, stage": "/live",
    "HTTP API 1.0": "",
}
# What Mangum is to remove: of a REST API's own domain AWS has removed the stage.
STRIPPED = {"REST API, mapped": "/base", "HTTP API, stage": "/live"}


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop that Mangum runs in, as there is one in a Lambda function."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    asyncio.set_event_loop(None)
    made.close()


def fastapi_app(authenticate: Any) -> Any:
    app = FastAPI()

    caller = Depends(requires(authenticate))

    @app.get("/{rest:path}")
    async def read(request: StarletteRequest, token: Annotated[Token, caller]) -> Any:
        path = request.scope["path"]
        return [token.claims["iss"], path, sorted(request.query_params.multi_items())]

    return app


def protected_app(authenticate: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        parameters = sorted(StarletteRequest(scope).query_params.multi_items())
        body = [asgi.token(scope).claims["iss"], scope["path"], parameters]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    return asgi.protect(app, authenticate)


def flask_app(authenticate: Any) -> Any:
    app = Flask(__name__, static_folder=None)

    @app.get("/")
    @app.get("/<path:rest>")
    def read(rest: str = "") -> Any:
        token = wsgi.token(flask_request.environ)
        seen = sorted(flask_request.args.items(multi=True))
        return json.dumps([token.claims["iss"], flask_request.path, seen])

    return WSGIMiddleware(wsgi.protect(app, authenticate), workers=1)  # type: ignore[arg-type]


APPS = {"fastapi": fastapi_app, "protect": protected_app, "flask": flask_app}


def answer(app: Any, event: Any, kind: str = "") -> tuple[int, Any]:
    stripped = STRIPPED.get(kind, "/")
    handler = Mangum(app, lifespan="off", api_gateway_base_path=stripped)
    given = handler(event, None)  # type: ignore[arg-type]
    body = given["body"]
    if given.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    status = given.get("statusCode", given.get("status"))
    return status, json.loads(body) if body.startswith(("{", "[")) else body


@pytest.mark.parametrize("kind", BELOW)
@pytest.mark.parametrize("name", APPS)
def test_a_connect_request_is_verified_behind_each_gateway(name: str, kind: str) -> None:
    app = APPS[name](authenticator(BELOW[kind]))
    status, body = answer(app, event_of(kind, "/page"), kind)
    assert (status, body) == (200, ["tenant", "/page", [list(pair) for pair in sorted(DECODED)]])
    # In the query, as a page's first request has its token.
    token = dict(headers_for(f"/page?{QUERY}"))["Authorization"].removeprefix("JWT ")
    in_query = event_of(kind, "/page", f"{QUERY}&jwt={token}", [("Host", "app.example")])
    assert answer(app, in_query, kind)[0] == 200


@pytest.mark.parametrize("kind", BELOW)
@pytest.mark.parametrize("name", APPS)
def test_a_token_for_another_request_is_refused_behind_each_gateway(name: str, kind: str) -> None:
    app = APPS[name](authenticator(BELOW[kind]))
    good = headers_for(f"/page?{QUERY}")
    for path, query in (
        ("/pages", QUERY),
        ("/", QUERY),
        ("/page", f"{QUERY}&admin=1"),
        ("/page", QUERY.replace("l=a+b", "l=a%2Bb")),
        ("/page", QUERY.replace("repeat=one", "repeat=two")),
        ("/page", QUERY.removesuffix("&u=%C3%A9")),
    ):
        status, body = answer(app, event_of(kind, path, query, good), kind)
        assert (status, body["reason"]) == (401, "request_mismatch")


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (kind, path)
        for kind, (path, seen) in itertools.product(BELOW, PATHS.items())
        if not (kind.startswith("HTTP API") and seen is None)
    ],
)
@pytest.mark.parametrize("name", APPS)
def test_the_application_reads_what_was_signed_or_the_request_is_refused(
    name: str, kind: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen = PATHS[path]
    app = APPS[name](authenticator(BELOW[kind]))
    caplog.set_level(logging.INFO)
    status, body = answer(app, event_of(kind, path), kind)
    if kind.startswith("HTTP API"):
        accepted = seen == path
        why = "HTTP APIs decode the path" if set(str(seen)) & set(" #?%λ") else "expected"
    else:
        # Mangum decodes once more what Lambda has decoded for `requestContext.http.path`.
        accepted = kind != "function URL" or "%25" not in path or path == "/percent%25done"
        why = "decoded once"
    if accepted:
        assert (status, body[:2]) == (200, ["tenant", unquote(path)])
    else:
        assert (status, body["reason"]) == (401, "request_mismatch")
        assert why in caplog.text


@pytest.mark.parametrize("kind", BELOW)
async def test_a_handler_verifies_by_the_event_alone(kind: str) -> None:
    authenticate = authenticator(BELOW[kind])
    event = event_of(kind, "/page")
    asked = aws_lambda.request(event)
    assert (asked.method, asked.mismatch) == ("GET", "")
    assert (await authenticate(asked)).claims["iss"] == "tenant"
    forged = event_of(kind, "/pages", headers=headers_for(f"/page?{QUERY}"))
    with pytest.raises(TokenRejected, match="request_mismatch"):
        await authenticate(aws_lambda.request(forged))


@pytest.mark.parametrize("kind", BELOW)
def test_two_authorization_headers_are_refused(kind: str, loop: asyncio.AbstractEventLoop) -> None:
    good = headers_for(f"/page?{QUERY}")
    for first in ("JWT x.y.z", "Bearer x", good[0][1]):
        event = event_of(kind, "/page", headers=[("Authorization", first), *good])
        with pytest.raises(TokenRejected, match="ambiguous_token"):
            loop.run_until_complete(authenticator(BELOW[kind])(aws_lambda.request(event)))
        status, body = answer(protected_app(authenticator(BELOW[kind])), event, kind)
        assert (status, body["reason"]) in ((401, "ambiguous_token"), (401, "missing_token"))


async def test_a_load_balancer_without_multi_value_headers_passes_on_the_last_value() -> None:
    authenticate = authenticator("")
    for query, passed_on, expected in (
        ("a=1&b=2", [("a", "1"), ("b", "2")], "tenant"),
        ("a=1&a=2", [("a", "2")], "request_mismatch"),
    ):
        fields = headers_for(f"/page?{query}")
        event = events.load_balancer("GET", "/page", passed_on, fields, many=False)
        try:
            verified = (await authenticate(aws_lambda.request(event))).claims["iss"]
        except TokenRejected as error:
            verified = error.reason
        assert verified == expected


@pytest.mark.parametrize("name", APPS)
def test_an_event_that_is_not_known_is_an_error_of_configuration_that_names_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    event = events.edge("GET", "/page", "", headers_for("/page"))
    status, _ = answer(APPS[name](authenticator("")), event)
    assert status == 500
    said = (
        "this server (Mangum: expected an event of API Gateway (REST or HTTP API), a function URL"
    )
    assert said in caplog.text
    assert "got one with the members Records) does not say" in caplog.text


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"requestContext": None},
        {"requestContext": {}},
        {"requestContext": {"stage": "live"}, "resource": "/"},
        {"version": "2.0", "requestContext": {"region": "x"}, "path": "/", "method": "GET"},
        {"version": "2.0", "requestContext": {"http": {"method": "GET"}}},
        {"version": "1.0", "requestContext": {"path": "/"}},
        {"version": "3.0", "requestContext": {"path": "/", "http": {}}, "rawPath": "/"},
    ],
)
def test_what_is_no_http_event_is_a_value_error(event: Any) -> None:
    with pytest.raises(ValueError, match=r"expected an event of API Gateway \(REST or HTTP API\)"):
        aws_lambda.request(event)


def test_a_context_token_needs_no_target() -> None:
    authenticate = connect.context_authenticator(shared_secrets(secret_of))
    event = events.edge("GET", "/page", "", [])
    assert answer(protected_app(authenticate), event)[1]["reason"] == "missing_token"


def test_a_request_without_query_and_headers_is_one() -> None:
    for event in (
        events.rest("GET", "/", [], []),
        events.load_balancer("GET", "/", [], []),
        events.load_balancer("GET", "/", [], [], many=False),
        events.http_api("GET", "/", "", []),
    ):
        asked = aws_lambda.request(event)
        assert (asked.target, asked.headers) in (("/", ()), ("/live/", ()))


def test_a_parameter_of_any_text_is_encoded() -> None:
    event = events.rest("GET", "/", [("a&b", "c=d"), ("\ud800", "?#")], [])
    assert aws_lambda.request(event).target == "/live/?a%26b=c%3Dd&%ED%A0%80=%3F%23"
