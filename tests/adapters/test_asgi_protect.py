import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from asapfn import Request, Token, Unavailable, asap, bearer, connect
from asapfn.adapters.asgi import protect, request
from asapfn.resolvers import keys_by_id
from tests.support.keyring import key_for
from tests.support.lifespan import lifespan
from tests.support.refusals import (
    OPTIONAL,
    ask,
    assert_a_token_is_missing,
    assert_head_is_refused_without_a_body,
    assert_nobody_could_tell,
)
from tests.support.servers import asgi_server
from tests.support.websocket import first_message, refusal

KEY = key_for("RS256")
VERIFY = asap.verifier(keys_by_id([KEY]), "service", issuers="issuer")
AUTHENTICATE = bearer(VERIFY)
SIGN = asap.signer("issuer", KEY)
# Nothing is received or sent.
NEVER: Any = None


def good() -> dict[str, str]:
    return {"Authorization": f"Bearer {SIGN('service')}"}


async def unavailable(request: Request) -> Token:
    raise Unavailable("keys")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say who called, over http and over a websocket, and take part in the lifespan."""
    token = scope.get("asapfn.token")
    who = (token.claims["iss"] if token else "nobody").encode()
    if scope["type"] == "lifespan":
        scope["state"]["lived"] = b"yes"
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": who.decode()})
        await send({"type": "websocket.close", "code": 1000})
    else:
        headers = [(b"x-lived", scope["state"].get("lived", b"no"))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else who
        await send({"type": "http.response.body", "body": body})


def parts() -> Any:
    optional = protect(app, AUTHENTICATE, optional=True)
    return {
        "/optional": optional,
        "/down": protect(app, unavailable, optional=True),
        # Who got past the outer one is nobody to the inner one.
        "/twice": protect(protect(app, connect_only, optional=True), AUTHENTICATE),
    }


async def connect_only(request: Request) -> Token:
    return await connect.context_authenticator(keys_by_id([KEY]))(request)


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    routes, protected = parts(), protect(app, AUTHENTICATE)

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        await routes.get(scope.get("path"), protected)(scope, receive, send)

    with asgi_server(routed) as origin:
        yield origin


def test_a_good_token_is_in_the_scope(origin: str) -> None:
    answer = ask(f"{origin}/", good())
    assert (answer.status_code, answer.text) == (200, "issuer")


def test_lifespan_is_passed_through(origin: str) -> None:
    assert ask(f"{origin}/", good()).headers["x-lived"] == "yes"


def test_a_request_without_a_token_is_told_the_scheme_alone(origin: str) -> None:
    assert_a_token_is_missing(ask(f"{origin}/"))


def test_an_answer_to_head_has_no_body(origin: str) -> None:
    assert_head_is_refused_without_a_body(f"{origin}/")


def test_an_outage_is_503_also_where_a_token_is_optional(origin: str) -> None:
    assert_nobody_could_tell(ask(f"{origin}/down"))


@OPTIONAL
def test_optional_excuses_a_missing_token_alone(
    origin: str, value: str | None, status: int, text: str
) -> None:
    headers = good() if value == "good" else {"Authorization": value} if value else {}
    answer = ask(f"{origin}/optional", headers)
    said = answer.text if status == 200 else answer.json()["reason"]
    assert (answer.status_code, said) == (status, text)


def test_the_token_of_another_protect_does_not_stand_in_for_a_missing_one(origin: str) -> None:
    assert ask(f"{origin}/twice", good()).text == "nobody"


def test_a_websocket_opens_for_a_good_token(origin: str) -> None:
    url = origin.replace("https", "wss")
    assert first_message(url, good()) == "issuer"


def test_a_websocket_is_refused_with_the_whole_answer_where_the_server_can(origin: str) -> None:
    response = refusal(origin.replace("https", "wss"))
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert json.loads(response.body)["reason"] == "missing_token"


@pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {"tls": {}}}])
async def test_a_websocket_is_closed_before_it_opens_where_the_server_cannot_answer(
    extensions: dict[str, Any],
) -> None:
    happened = []

    async def receive() -> Any:
        happened.append("websocket.connect")
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        happened.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [], **extensions}
    await protect(app, AUTHENTICATE)(scope, receive, send)
    assert happened == ["websocket.connect", {"type": "websocket.close", "code": 1008}]


async def test_what_was_added_to_the_scope_is_not_seen_outside() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    fields = [(b"authorization", good()["Authorization"].encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": fields, "state": {}}
    before = dict(scope)
    await protect(app, AUTHENTICATE)(scope, NEVER, send)
    assert scope == before
    assert sent[1]["body"] == b"issuer"


@pytest.mark.parametrize("kind", ["webtransport", "telnet"])
async def test_a_protocol_that_cannot_show_a_token_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        await protect(app, AUTHENTICATE)({"type": kind}, NEVER, NEVER)


def test_a_malformed_scheme_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="one word"):
        protect(app, AUTHENTICATE, scheme="Bearer realm=x")


def test_the_scheme_is_named_in_the_challenge() -> None:
    with asgi_server(protect(app, AUTHENTICATE, scheme="JWT")) as origin:
        assert ask(origin).headers["WWW-Authenticate"] == "JWT"


class Targets:
    """An application that keeps the targets it was asked for."""

    def __init__(self) -> None:
        self.seen: list[str | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(request(scope).target)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    "target", ["/", "/?", "/a%2Fb", "/a%2fb/%C3%A9?x=%2F&y=a+b&z=%20", "//a", "/a;b=c?d?e"]
)
def test_the_target_is_as_it_was_sent_also_where_the_application_is_mounted(target: str) -> None:
    targets = Targets()
    mounted = Starlette(routes=[Mount("/outer", Starlette(routes=[Mount("/inner", targets)]))])
    with asgi_server(mounted) as origin:
        ask(f"{origin}/outer/inner{target}")
    assert targets.seen == [f"/outer/inner{target}".removesuffix("?")]


async def test_a_computed_qsh_fails_closed_where_the_server_gives_no_raw_target() -> None:
    authenticate = connect.authenticator(keys_by_id([KEY]), base_url="https://app.example")
    fields = [(b"authorization", b"JWT a.b.c")]
    scope = {"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": fields}
    with pytest.raises(ValueError, match="raw_path"):
        await protect(app, authenticate)(scope, NEVER, NEVER)
