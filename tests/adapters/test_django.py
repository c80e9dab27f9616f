"""Django: the middleware, what views require, and Django REST framework, sync and async."""

import logging
from typing import Any, get_args
from urllib.parse import unquote_to_bytes

import anyio
import httpx
import pytest

from asapfn import Token, TokenRejected, Unavailable, connect
from asapfn.adapters import wsgi
from asapfn.errors import DESCRIPTIONS, Reason, challenge
from asapfn.keys import import_secret
from tests.support.django_site import configure

configure()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.test import AsyncClient, Client, override_settings  # noqa: E402

from asapfn.adapters.django import authentication, middleware, requires, token  # noqa: E402
from tests.support import django_views as views  # noqa: E402
from tests.support.django_views import good  # noqa: E402

HERE = "tests.support.django_views"
WAYS = pytest.mark.parametrize("way", ["wsgi", "asgi"])


@pytest.fixture(autouse=True)
def forget() -> None:
    views.VERDICTS.clear()
    views.ANSWERS.clear()


def ask(
    way: str,
    path: str,
    headers: Any = None,
    *,
    method: str = "GET",
    by: tuple[str, ...] = ("authenticated",),
    environment: Any = None,
) -> httpx.Response:
    """Ask Django behind some middleware of `django_views`."""
    with override_settings(ROOT_URLCONF=HERE, MIDDLEWARE=[f"{HERE}.{name}" for name in by]):
        if way == "wsgi":
            served = get_wsgi_application()

            def app(environ: Any, start_response: Any) -> Any:
                return served(environ | (environment or {}), start_response)

            transport = httpx.WSGITransport(app)
            with httpx.Client(transport=transport, base_url="https://service.example") as http:
                return http.request(method, path, headers=headers)

        async def ask_async() -> httpx.Response:
            transport = httpx.ASGITransport(get_asgi_application())
            async with httpx.AsyncClient(
                transport=transport, base_url="https://service.example"
            ) as http:
                return await http.request(method, path, headers=headers)

        return anyio.run(ask_async, backend="asyncio")


@WAYS
@pytest.mark.parametrize("path", ["/who", "/who/async"])
@pytest.mark.parametrize("by", [("authenticated",), ("authenticated", "after_each")])
@pytest.mark.parametrize("last", [True, False])
def test_the_middleware_lets_a_good_token_alone_reach_the_views(
    way: str, path: str, by: tuple[str, ...], last: bool
) -> None:
    by = by if last else by[::-1]
    answer = ask(way, path, good(), by=by)
    assert (answer.status_code, answer.text) == (200, "issuer")
    refused = ask(way, path, by=by)
    assert refused.status_code == 401
    assert refused.json() == {"title": "Unauthorized", "status": 401, "reason": "missing_token"}
    # What stands outside of it sees its answers too.
    assert ("X-After" in refused.headers) is (by[0] == "after_each")
    assert ask(way, "/none", by=by).status_code == 401


ERRORS = [*[TokenRejected(reason, "private") for reason in get_args(Reason)], Unavailable("keys")]
EACH_ERROR = pytest.mark.parametrize(
    "error", ERRORS, ids=lambda error: getattr(error, "reason", "outage")
)


@WAYS
@EACH_ERROR
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_refusal_is_that_of_protect(way: str, error: Any, method: str) -> None:
    views.ANSWERS["answer"] = error

    def bare(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError("it was let in")

    protected = wsgi.protect(bare, views.scripted, scheme="JWT")
    with httpx.Client(transport=httpx.WSGITransport(protected)) as http:
        expected = http.request(method, "https://service.example/who")
    answer = ask(way, "/who", method=method, by=("by_script",))
    assert answer.status_code == expected.status_code
    assert dict(answer.headers) == dict(expected.headers)
    # waitress and uWSGI send what Django gives them, and the next answer would begin with it.
    assert answer.content == expected.content
    assert (answer.content == b"") is (method == "HEAD")


@WAYS
@pytest.mark.parametrize("given", [None, True, {"iss": "issuer"}])
def test_what_is_no_token_reaches_no_view(way: str, given: Any) -> None:
    views.ANSWERS["answer"] = given
    answer = ask(way, "/who", by=("by_script",))
    assert answer.status_code == 500


@WAYS
def test_what_unless_names_has_no_token_and_nothing_else_is_let_through(way: str) -> None:
    for headers in (None, good(), {"Authorization": "Bearer bad"}):
        answer = ask(way, "/health", headers)
        assert (answer.status_code, answer.text) == (200, "None")
    assert views.VERDICTS == []
    for path in ("/health/", "//health", "/health%2F", "/health;"):
        assert ask(way, path).status_code == 401, path


@WAYS
@pytest.mark.parametrize("path", ["/need", "/need/async"])
def test_behind_an_optional_middleware_a_view_may_need_a_token(way: str, path: str) -> None:
    by = ("optional",)
    assert ask(way, "/health", by=by).text == "None"
    assert ask(way, path, good(), by=by).text == "issuer"
    refused = ask(way, path, by=by)
    assert (refused.status_code, refused.json()["reason"]) == (401, "missing_token")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert ask(way, "/health", {"Authorization": "Bearer bad"}, by=by).status_code == 401


@WAYS
@pytest.mark.parametrize("path", ["/other", "/other/async", "/other/class", "/other/class/async"])
def test_a_view_may_require_more_of_the_token(way: str, path: str) -> None:
    assert ask(way, path, good("other")).text == "other"
    refused = ask(way, path, good())
    assert (refused.status_code, refused.json()["reason"]) == (401, "invalid_claim")
    assert [(each.outcome, each.reason) for each in views.VERDICTS] == [
        ("accepted", ""),
        ("accepted", ""),
        ("rejected", "invalid_claim"),
    ]


@WAYS
@pytest.mark.parametrize("path", ["/waits", "/waits/async"])
def test_a_check_that_waits_is_awaited(way: str, path: str) -> None:
    assert ask(way, path, good()).text == "issuer"


@pytest.mark.parametrize("way", ["wsgi", "asgi"])
def test_a_token_that_is_bound_to_its_request_is_accepted_whatever_the_path(way: str) -> None:
    """Django has the path decoded where the server had put its bytes."""
    target = "/caf%C3%A9/a%20b%2Bc?x=%C3%A9"
    secret = import_secret(views.SECRET)
    sign = connect.authorizer("product", secret, base_url="https://service.example")
    # As a server of WSGI gives it, which httpx's transport does not.
    path = unquote_to_bytes(target.partition("?")[0]).decode("latin-1")
    environment = {"REQUEST_URI": target, "PATH_INFO": path}
    for signed, status in ((target, 200), (target.replace("%20", "%21"), 401)):
        headers = {"Authorization": sign("GET", f"https://service.example{signed}")}
        answer = ask(way, target, headers, by=("by_connect",), environment=environment)
        assert answer.status_code == status, answer.text


@WAYS
def test_a_store_of_used_tokens_is_asked_in_an_event_loop(way: str) -> None:
    headers = good()
    assert ask(way, "/who", headers, by=("strict_once",)).text == "issuer"
    assert ask(way, "/who", headers, by=("strict_once",)).json()["reason"] == "replayed"


@WAYS
@pytest.mark.parametrize("by", [("strict_once",), ("strict_once", "strict_once")])
def test_the_middleware_and_an_authentication_behind_it_use_a_token_once(
    way: str, by: tuple[str, ...]
) -> None:
    headers = good()
    assert ask(way, "/rest/named", headers, by=by).json()["user"] == "user issuer"
    assert ask(way, "/rest/named", headers, by=by).json()["reason"] == "replayed"


@WAYS
@pytest.mark.parametrize("path", ["/need", "/need/async"])
def test_a_requirement_without_the_middleware_is_an_error_that_says_so(
    way: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(way, path, good(), by=()).status_code == 500
    raised = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert isinstance(raised[0], ImproperlyConfigured)
    assert "MIDDLEWARE" in str(raised[0])


def test_the_decorator_without_its_parentheses_lets_nobody_in() -> None:
    assert ask("wsgi", "/bare", good()).status_code == 500
    forgotten: Any = requires(views.who)
    with pytest.raises(TypeError, match="parentheses"):
        forgotten(object())


def test_a_request_without_a_token_has_none() -> None:
    request: Any = object()
    with pytest.raises(RuntimeError, match="no verified token in this request"):
        token(request)


def test_each_request_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    ask("wsgi", "/who", good())
    ask("asgi", "/who/async", good())
    ask("wsgi", "/who")
    assert [(each.outcome, each.issuer) for each in views.VERDICTS] == [
        ("accepted", "issuer"),
        ("accepted", "issuer"),
        ("rejected", ""),
    ]
    (record,) = [record for record in caplog.records if record.name == "asapfn"]
    assert record.getMessage().startswith("asapfn: rejected missing_token: ")


def test_djangos_own_test_client_is_behind_it_too() -> None:
    with override_settings(ROOT_URLCONF=HERE, MIDDLEWARE=[f"{HERE}.authenticated"]):
        assert Client().get("/who").status_code == 401
        assert Client().get("/health").status_code == 200
        answer = Client(headers=good()).get("/who")
        assert answer.content == b"issuer"

        async def ask_async() -> tuple[int, bytes, int]:
            client: Any = AsyncClient()
            answer = await client.get("/who/async", headers=good())
            return answer.status_code, answer.content, (await client.get("/who")).status_code

        assert anyio.run(ask_async, backend="asyncio") == (200, b"issuer", 401)


@WAYS
def test_rest_framework_has_the_caller_and_the_token(way: str) -> None:
    answer = ask(way, "/rest", good(), by=())
    assert answer.json() == {"user": "issuer", "iss": "issuer"}
    assert ask(way, "/rest/named", good(), by=()).json()["user"] == "user issuer"
    assert ask(way, "/rest/other", good(), by=()).json() == {
        "detail": DESCRIPTIONS["invalid_claim"]
    }
    assert [each.outcome for each in views.VERDICTS] == ["accepted"]


@WAYS
@EACH_ERROR
def test_rest_framework_answers_a_refusal_in_its_own_form(way: str, error: Any) -> None:
    views.ANSWERS["answer"] = error
    answer = ask(way, "/rest/script", by=())
    assert answer.status_code == error.status
    assert answer.headers["Content-Type"] == "application/json"
    if isinstance(error, Unavailable):
        assert answer.headers["Retry-After"] == "5"
        assert answer.json() == {"detail": "Try again later"}
        return
    assert answer.headers["WWW-Authenticate"] == challenge(error, "JWT")
    if error.reason != "missing_token":
        assert answer.json() == {"detail": DESCRIPTIONS[error.reason]}
    assert "private" not in answer.text


@WAYS
def test_rest_framework_shows_a_browser_the_refusal_as_a_page(way: str) -> None:
    answer = ask(way, "/rest", {"Accept": "text/html"}, by=())
    assert answer.status_code == 401
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "401 Unauthorized" in answer.text
    page = ask(way, "/rest", good() | {"Accept": "text/html"}, by=())
    assert (page.status_code, "200 OK" in page.text) == (200, True)
    held = good()["Authorization"].rpartition(".")[0]
    assert held not in page.text


@WAYS
def test_in_rest_framework_a_bad_token_reaches_no_open_view_and_none_does(way: str) -> None:
    assert ask(way, "/rest/open", by=()).json() == {"user": "None", "iss": None}
    bad = ask(way, "/rest/open", {"Authorization": "Bearer bad"}, by=())
    assert bad.status_code == 401
    assert bad.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
    assert [each.reason for each in views.VERDICTS] == ["malformed"]


@pytest.mark.parametrize("given", [None, True, {"iss": "issuer"}])
def test_in_rest_framework_what_is_no_token_is_no_user(given: Any) -> None:
    views.ANSWERS["answer"] = given
    assert ask("wsgi", "/rest/script", by=()).status_code == 500


def test_a_caller_is_a_user_that_is_throttled_by_its_issuer() -> None:
    from rest_framework.throttling import UserRateThrottle

    held = Token({}, {"iss": "issuer"}, 0.0, 1.0)
    views.ANSWERS["answer"] = held

    class Throttle(UserRateThrottle):  # type: ignore[misc]
        rate = "1/day"

    class Request:
        user, _ = authentication(views.scripted)().authenticate(
            type("R", (), {"_request": type("H", (), {"scope": {"headers": []}})()})()
        )

    assert (str(Request.user), Request.user.is_authenticated) == ("issuer", True)
    assert "issuer" in Throttle().get_cache_key(Request(), None)


@pytest.mark.parametrize(
    "make",
    [
        lambda scheme: middleware(views.AUTHENTICATE, scheme=scheme),
        lambda scheme: requires(scheme=scheme),
        lambda scheme: authentication(views.AUTHENTICATE, scheme=scheme),
    ],
    ids=["middleware", "requires", "authentication"],
)
def test_a_malformed_scheme_is_a_programming_error(make: Any) -> None:
    with pytest.raises(ValueError, match="one word"):
        make("Bearer realm=x")
