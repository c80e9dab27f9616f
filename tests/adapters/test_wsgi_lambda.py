"""Connect in Flask on AWS Lambda through serverless-wsgi and apig-wsgi, which give no raw path."""

import base64
import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
import serverless_wsgi
from apig_wsgi import make_lambda_handler
from flask import Flask
from flask import request as flask_request

from asapfn import asap, bearer, connect
from asapfn.adapters import wsgi
from asapfn.keys import generate, import_secret
from asapfn.resolvers import keys_by_id, shared_secrets
from tests.support import lambda_events as events

SECRET = "a secret of the tenant's, long enough for HS256"
BASE = "https://app.example"
QUERY = "repeat=two&repeat=one&to=https%3A%2F%2Fx.example%2Fa&l=a+b&e=a%2Bb&empty=&u=%C3%A9"
PATHS = ["/page", "/a%20b", "/a%2Fb", "/caf%C3%A9", "/a+b/"]
BELOW = {"REST API": "/live", "REST API, mapped": "/base", "function URL": "", "load balancer": ""}
ADAPTERS: dict[str, Any] = {
    "serverless-wsgi": lambda app, event: serverless_wsgi.handle_request(
        app, event, SimpleNamespace()
    ),
    "apig-wsgi": lambda app, event: make_lambda_handler(app)(event, SimpleNamespace()),
}

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS)


async def secret_of(client_key: str) -> str | None:
    return SECRET if client_key == "tenant" else None


def flask_app(below: str) -> Any:
    app = Flask(__name__, static_folder=None)

    @app.get("/")
    @app.get("/<path:rest>")
    def read(rest: str = "") -> Any:
        token = wsgi.token(flask_request.environ)
        return json.dumps([token.claims["iss"], flask_request.path])

    authenticate = connect.authenticator(shared_secrets(secret_of), base_url=f"{BASE}{below}")
    return wsgi.protect(app, authenticate, scheme="JWT")


def event_of(kind: str, path: str, query: str, signed: str | None = None) -> dict[str, Any]:
    """The event of `GET path?query`; the token is for that, or for another request."""
    sign = connect.authorizer("tenant", import_secret(SECRET), base_url=BASE)
    header = sign("GET", BASE + (f"{path}?{query}" if signed is None else signed))
    fields = [("Authorization", header), ("Host", "app.example")]
    decoded = parse_qsl(query, keep_blank_values=True)
    raw = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))]
    if kind == "function URL":
        return events.function_url("GET", path, unquote(path), query, fields)
    if kind == "load balancer":
        return events.load_balancer("GET", path, raw, fields)
    prefix = BELOW[kind]
    return events.rest("GET", path, decoded, fields, prefix=prefix)


def answer(adapter: str, kind: str, event: dict[str, Any]) -> tuple[int, Any]:
    given = ADAPTERS[adapter](flask_app(BELOW[kind]), event)
    body = given["body"]
    if given.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    return int(given["statusCode"]), json.loads(body)


@every_adapter
@pytest.mark.parametrize("kind", BELOW)
@pytest.mark.parametrize("path", PATHS)
def test_a_connect_request_is_verified_by_the_event(adapter: str, kind: str, path: str) -> None:
    status, body = answer(adapter, kind, event_of(kind, path, QUERY))
    below = "/base" if kind == "REST API, mapped" else ""
    assert (status, body) == (200, ["tenant", below + unquote(path)])


@every_adapter
@pytest.mark.parametrize("kind", BELOW)
@pytest.mark.parametrize(
    "signed", [f"/other?{QUERY}", "/page", f"/page?{QUERY}&more=1", f"/page%2F?{QUERY}"]
)
def test_a_token_for_another_request_is_refused(adapter: str, kind: str, signed: str) -> None:
    status, body = answer(adapter, kind, event_of(kind, "/page", QUERY, signed))
    assert (status, body["reason"]) == (401, "request_mismatch")


@every_adapter
def test_an_event_that_is_not_read_is_an_error_that_names_the_adapter(adapter: str) -> None:
    event = event_of("load balancer", "/page", QUERY)
    name = {"serverless-wsgi": "serverless.event", "apig-wsgi": "apig_wsgi.full_event"}[adapter]
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/page", name: {"Records": []}}
    request = wsgi.request(environ)
    assert request.target is None
    assert request.server.startswith(f"{adapter}: expected an event of API Gateway")
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/admin", "QUERY_STRING": QUERY, name: event}
    request = wsgi.request(environ)
    assert request.target == f"/page?{QUERY}"
    assert "path is not the end of the event's" in request.mismatch


@every_adapter
def test_a_path_that_an_http_api_decoded_is_a_mismatch(adapter: str) -> None:
    name = {"serverless-wsgi": "serverless.event", "apig-wsgi": "apig_wsgi.full_event"}[adapter]
    event = events.http_api("GET", "/a b", "", [("Host", "app.example")])
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a b", name: event}
    assert "HTTP APIs decode the path" in wsgi.request(environ).mismatch


@every_adapter
@pytest.mark.parametrize("path", ["/caf\u00e9", "/\u03bb", "/\U0001f389"])
def test_a_path_beyond_ascii_that_an_http_api_decoded_is_no_crash(adapter: str, path: str) -> None:
    """A bearer token is bound to no request: it is accepted all the same."""
    key = generate("ES256", kid="orders/k")
    verify = asap.verifier(keys_by_id([key]), "billing", issuers="orders")
    header = f"Bearer {asap.signer('orders', key)('billing')}"
    fields = [("Authorization", header), ("Host", "app.example")]
    app = wsgi.protect(lambda environ, start: (start("204 No Content", []), [])[1], bearer(verify))
    answered = ADAPTERS[adapter](app, events.http_api("GET", path, "", fields))
    assert int(answered["statusCode"]) == 204
