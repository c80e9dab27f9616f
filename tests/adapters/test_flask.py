"""`requires` of Flask: what `wsgi.protect` answers, for each view and blueprint."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint
from flask import Blueprint, Flask, Response
from flask import request as flask_request

from asapfn import Request, Token, TokenRejected, Unavailable, asap, bearer, checks, connect
from asapfn._core.one_step import in_event_loop
from asapfn.adapters import wsgi
from asapfn.adapters.asgi import key_repository
from asapfn.adapters.flask import requires, token
from asapfn.adapters.httpx import fetcher
from asapfn.errors import Reason
from asapfn.keys import import_secret
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id, shared_secrets
from asapfn.types import Verdict
from tests.support.keyring import key_for
from tests.support.servers import asgi_server
from tests.support.trust import trust

KEYS = [key_for("ES256"), key_for("ES256", "other")]
RESOLVER = keys_by_id(KEYS)
AUTHENTICATE = bearer(asap.verifier(RESOLVER, "service", issuers=["issuer", "other"]))


def good(issuer: str = "issuer") -> dict[str, str]:
    key = next(key for key in KEYS if str(key.kid).startswith(issuer))
    return {"Authorization": f"Bearer {asap.signer(issuer, key)('service')}"}


def client(app: Any) -> httpx.Client:
    return httpx.Client(transport=httpx.WSGITransport(app), base_url="https://service.example")


def rejecting(error: Exception) -> Callable[[Request], Any]:
    async def authenticate(request: Request) -> Token:
        raise error

    return authenticate


def who() -> str:
    return str(token().claims["iss"])


def service() -> Flask:
    app = Flask(__name__, static_folder=None)
    billing = Blueprint("billing", __name__, static_folder="raw", url_prefix="/billing")
    billing.before_request(requires(AUTHENTICATE))

    @app.get("/health")
    def health() -> str:
        return "well"

    @app.get("/who/<suffix>")
    @requires(AUTHENTICATE)
    def named(suffix: str) -> str:
        return f"{who()} {suffix}"

    @app.get("/other")
    @requires(AUTHENTICATE, checks.claim_equals("iss", "other"))
    def other() -> str:
        return who()

    billing.add_url_rule("/who", view_func=who)
    app.register_blueprint(billing)
    return app


def test_each_view_and_blueprint_says_who_may_call_it() -> None:
    with client(service()) as http:
        assert http.get("/health").text == "well"
        assert http.get("/who/x").json()["reason"] == "missing_token"
        assert http.get("/who/x", headers=good()).text == "issuer x"
        assert http.get("/other", headers=good()).json()["reason"] == "invalid_claim"
        assert http.get("/other", headers=good("other")).text == "other"
        assert http.get("/billing/who").json()["reason"] == "missing_token"
        assert http.get("/billing/who", headers=good()).text == "issuer"
        assert http.get("/none").status_code == 404
        for path in ("/billing/raw/x", "/billing/raw/../x", "/billing/raw/..%2f..%2fx"):
            assert http.get(path).status_code in (401, 404)


def test_a_blueprints_static_files_and_options_need_a_token_too() -> None:
    with client(service()) as http:
        assert http.get("/billing/raw/x.css").status_code == 401
        assert http.options("/billing/who").status_code == 401
        # Flask answers this one itself, and says no more than which methods there are.
        assert set(http.options("/who/x").headers["Allow"].split(", ")) == {
            "GET",
            "HEAD",
            "OPTIONS",
        }


def test_a_whole_application_can_require_a_token() -> None:
    app = Flask(__name__, static_folder=None)
    app.before_request(requires(AUTHENTICATE))
    app.add_url_rule("/who", view_func=who)
    with client(app) as http:
        assert http.get("/who", headers=good()).text == "issuer"
        assert [http.get(path).status_code for path in ("/who", "/none")] == [401, 401]


def test_a_blueprint_lets_preflights_through_where_it_says_so() -> None:
    required, billing = requires(AUTHENTICATE), Blueprint("billing", __name__)
    billing.before_request(lambda: None if flask_request.method == "OPTIONS" else required())
    billing.add_url_rule("/who", view_func=who)
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(billing)
    with client(app) as http:
        assert http.options("/who").status_code == 200
        assert [http.get("/who", headers=each).status_code for each in ({}, good())] == [401, 200]


ERRORS = [*[TokenRejected(reason, "private") for reason in get_args(Reason)], Unavailable("keys")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: getattr(error, "reason", "outage"))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_refusal_is_that_of_protect(error: Any, method: str) -> None:
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/", view_func=requires(rejecting(error), scheme="JWT")(lambda: "in"))

    def bare(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError("it was let in")

    answers = []
    for each in (app, wsgi.protect(bare, rejecting(error), scheme="JWT")):
        with client(each) as http:
            answer = http.request(method, "/")
            answers.append((answer.status_code, dict(answer.headers), answer.content))
    assert answers[0] == answers[1]


def test_what_runs_after_each_request_sees_the_refusal() -> None:
    app = service()

    @app.after_request
    def allow(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = "https://shop.example"
        return response

    with client(app) as http:
        for path in ("/who/x", "/billing/who"):
            refused = http.get(path)
            assert refused.status_code == 401
            assert refused.headers["Access-Control-Allow-Origin"] == "https://shop.example"


def test_a_requirement_of_the_blueprint_and_one_of_the_view_use_a_token_once() -> None:
    once = bearer(asap.verifier(RESOLVER, "service", issuers=None, replay=in_memory()))
    billing = Blueprint("billing", __name__)
    billing.before_request(requires(once))
    narrow = requires(once, checks.claim_equals("iss", "other"))
    billing.add_url_rule("/other", view_func=narrow(who))
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(billing)
    with client(app) as http:
        headers = good("other")
        assert http.get("/other", headers=headers).text == "other"
        assert http.get("/other", headers=headers).json()["reason"] == "replayed"
        assert http.get("/other", headers=good()).json()["reason"] == "invalid_claim"


def test_protect_and_a_requirement_behind_it_use_a_token_once() -> None:
    once = bearer(asap.verifier(RESOLVER, "service", issuers=None, replay=in_memory()))
    narrow = requires(once, checks.claim_equals("iss", "other"))
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/other", view_func=narrow(who))
    for layers in (1, 2):
        served: Any = app
        served.wsgi_app = wsgi.protect(app.wsgi_app, once)
        with client(app) as http:
            headers = good("other")
            assert http.get("/other", headers=headers).text == "other", layers
            assert http.get("/other", headers=headers).json()["reason"] == "replayed"
            assert http.get("/other", headers=good()).json()["reason"] == "invalid_claim"


def test_a_check_that_waits_runs_in_an_event_loop_and_uses_the_token_once() -> None:
    threads: list[int] = []

    async def waits(verified: Token) -> None:
        await checkpoint()
        threads.append(threading.get_ident())

    once = bearer(asap.verifier(RESOLVER, "service", issuers=None, replay=in_memory()))
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/who", view_func=requires(once, waits)(who))
    with client(app) as http:
        assert http.get("/who", headers=good()).text == "issuer"
    assert len(threads) == 1
    assert threads != [threading.get_ident()]


def test_a_portal_of_the_callers_is_used() -> None:
    seen: list[str] = []

    async def authenticate(request: Request) -> Token:
        await checkpoint()
        seen.append(threading.current_thread().name)
        return await AUTHENTICATE(request)

    with start_blocking_portal("trio", name="mine") as portal:
        app = Flask(__name__, static_folder=None)
        app.add_url_rule("/who", view_func=requires(authenticate, portal=portal)(who))
        with client(app) as http:
            assert http.get("/who", headers=good()).text == "issuer"
    assert seen == ["mine"]


def test_a_key_that_is_not_in_the_cache_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trust(monkeypatch, tmp_path)
    with asgi_server(key_repository(KEYS)) as keys:
        verify = asap.verifier(asap.repository(keys, fetcher()), "service", issuers="issuer")
        app = Flask(__name__, static_folder=None)
        app.add_url_rule("/who", view_func=requires(bearer(verify))(who))
        with client(app) as http:
            assert [http.get("/who", headers=good()).text for _ in range(2)] == ["issuer"] * 2


def test_an_async_view_is_run_as_flask_runs_one() -> None:
    pytest.importorskip("asgiref")
    app = Flask(__name__, static_folder=None)

    @app.get("/who")
    @requires(AUTHENTICATE)
    async def later() -> str:
        await checkpoint()
        return who()

    with client(app) as http:
        assert http.get("/who", headers=good()).text == "issuer"
        assert http.get("/who").status_code == 401


def test_a_view_without_a_requirement_has_no_token() -> None:
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/who", view_func=who)
    app.testing = True
    with (
        pytest.raises(RuntimeError, match="no verified token"),
        app.test_client() as http,
    ):
        http.get("/who", headers=good())


@pytest.mark.parametrize("given", [None, True, "issuer"])
def test_what_is_no_token_reaches_no_view(given: Any) -> None:
    async def authenticate(request: Request) -> Any:
        return given

    app = Flask(__name__, static_folder=None)
    app.testing = True
    app.add_url_rule("/", view_func=requires(authenticate)(pytest.fail))
    with pytest.raises(TypeError, match="not a Token"):
        app.test_client().get("/")


def test_the_decorator_without_its_arguments_lets_nobody_in() -> None:
    def view(*given: Any) -> str:
        return "in"

    forgotten: Any = requires
    app = Flask(__name__, static_folder=None)
    app.testing = True
    app.add_url_rule("/", "view", view_func=forgotten(view))
    with pytest.raises(TypeError):
        app.test_client().get("/", headers=good())


def test_each_request_is_reported_as_protect_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    verdicts: list[Verdict] = []
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/who", view_func=requires(AUTHENTICATE, observe=verdicts.append)(who))
    with client(app) as http:
        assert http.get("/who", headers=good()).status_code == 200
        assert http.get("/who").status_code == 401
    assert [(each.outcome, each.issuer) for each in verdicts] == [
        ("accepted", "issuer"),
        ("rejected", ""),
    ]
    (record,) = [record for record in caplog.records if record.name == "asapfn"]
    assert record.getMessage().startswith("asapfn: rejected missing_token: ")


def test_a_malformed_scheme_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="one word"):
        requires(AUTHENTICATE, scheme="Bearer realm=x")


def test_a_token_of_one_request_does_not_pass_for_another_that_has_its_environ() -> None:
    """As where an application answers by asking a part of itself, with a path of its own."""

    async def secret_of(issuer: str) -> str | None:
        return secret if issuer == "product" else None

    secret, base = "a secret of at least thirty-two bytes", "https://service.example"
    bound = connect.authenticator(shared_secrets(secret_of), base_url=base)
    app = Flask(__name__, static_folder=None)
    app.before_request(requires(bound, scheme="JWT"))
    app.add_url_rule("/<path>", view_func=lambda path: path)

    def asks_itself(environ: Any, start_response: Any) -> Any:
        list(app(environ, lambda *answer: None))
        return app(environ | {"PATH_INFO": "/refunds", "REQUEST_URI": "/refunds"}, start_response)

    authorize = connect.authorizer("product", import_secret(secret), base_url=base)
    for app_, expected in ((app, 200), (asks_itself, 401)):

        def served(environ: Any, start_response: Any, app: Any = app_) -> Any:
            return app(environ | {"REQUEST_URI": "/page"}, start_response)

        with client(served) as http:
            headers = {"Authorization": authorize("GET", f"{base}/page")}
            assert http.get("/page", headers=headers).status_code == expected


def test_a_view_has_the_token_after_a_check_that_is_unavailable_without_an_event_loop() -> None:
    """As one that asks a store of its own; it is asked again in the event loop of the adapter."""

    async def authenticate(request: Request) -> Token:
        return Token({}, {"iss": "orders"}, 0.0, 1.0)

    def check(_: Token) -> None:
        if not in_event_loop():
            raise Unavailable("store", "it needs an event loop")

    app = Flask(__name__)

    @app.get("/")
    @requires(authenticate, check)
    def who() -> str:
        return str(token().claims["iss"])

    answer = app.test_client().get("/")
    assert (answer.status_code, answer.text) == (200, "orders")
