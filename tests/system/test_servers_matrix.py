"""One service behind tokens, under each kind of server, asked the same questions.

The servers are their own processes, several workers where they can, over TLS on loopback.
"""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import anyio
import httpx
import pytest

from asapfn import TokenRejected, asap, connect
from asapfn.adapters.asgi import key_repository
from asapfn.errors import DESCRIPTIONS, Reason, challenge
from asapfn.keys import import_secret
from tests.support.matrix_cases import CASES, ENCODED, KEY, Case, bearer_of, token
from tests.support.matrix_clients import CLIENTS, by_aiohttp
from tests.support.processes import running, trusted
from tests.support.protected import SECRET
from tests.support.redis_server import RedisServer, redis_server
from tests.support.servers import Recorder, asgi_server, trusting
from tests.support.websocket import first_message, refusal

HERE = Path(__file__).parents[1] / "support"

ASGI = ["protected:asgi", "--keyfile={certificate}", "--certfile={certificate}"]
_UVICORN = [
    *("-m", "uvicorn", "--factory", "--fd={fd}", "--workers=2", "--no-access-log"),
    *("--ssl-keyfile={certificate}", "--ssl-certfile={certificate}"),
]
_GUNICORN = [
    *("-m", "gunicorn", "--bind=fd://{fd}", "--workers=2", "--threads=4"),
    *("--keyfile={certificate}", "--certfile={certificate}"),
]
SERVERS = {
    "uvicorn": [
        *("-m", "uvicorn", "protected:asgi", "--fd={fd}", "--workers=2", "--no-access-log"),
        *("--ssl-keyfile={certificate}", "--ssl-certfile={certificate}"),
    ],
    "hypercorn on asyncio": [
        "-m",
        "hypercorn",
        *ASGI,
        "--bind=fd://{fd}",
        "--worker-class=asyncio",
    ],
    "hypercorn on trio": ["-m", "hypercorn", *ASGI, "--bind=fd://{fd}", "--worker-class=trio"],
    "gunicorn": [
        *("-m", "gunicorn", "protected:wsgi()", "--bind=fd://{fd}", "--workers=2", "--threads=4"),
        *("--keyfile={certificate}", "--certfile={certificate}"),
    ],
    "gunicorn, preloaded": [
        *("-m", "gunicorn", "protected:bare", "--bind=fd://{fd}", "--workers=2", "--threads=4"),
        *("--keyfile={certificate}", "--certfile={certificate}", "--config=python:preforked"),
    ],
    "aiohttp": ["protected.py", "{fd}", "{certificate}"],
    # What these have for endpoints, and not `protect`.
    "requires of FastAPI": [*_UVICORN, "protected_endpoints:fastapi"],
    "requires of Flask": [*_GUNICORN, "protected_endpoints:flask()"],
    "middleware of Django, WSGI": [*_GUNICORN, "protected_endpoints:django_wsgi()"],
    "middleware of Django, ASGI": [*_UVICORN, "protected_endpoints:django_asgi"],
    "Django REST framework": [*_GUNICORN, "protected_endpoints:rest_framework()"],
}
# Flask's router and Django's handler refuse to be asked, before anything of ours.
_WITHOUT_WEBSOCKETS = {
    "requires of Flask": 400,
    "middleware of Django, WSGI": 401,
    "Django REST framework": 401,
    "middleware of Django, ASGI": 500,
}
# What Django REST framework has in place of the reason.
IN_ITS_WORDS: dict[str, str] = {
    **DESCRIPTIONS,
    "missing_token": "Authentication credentials were not provided.",
    "unavailable": "Try again later",
}


class Service(NamedTuple):
    """A service that runs: where it is, and where it redirects to."""

    origin: str
    elsewhere: Recorder
    name: str


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that has each write on disk before it answers."""
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with redis_server(tmp_path_factory.mktemp("redis"), *durable) as server:
        yield server


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    elsewhere = Recorder()
    with (
        asgi_server(key_repository([KEY])) as keys,
        asgi_server(elsewhere) as other,
        socket.socket() as closed,
    ):
        # Bound and not listening: nobody answers, and nobody else can.
        closed.bind(("127.0.0.1", 0))
        down = f"https://localhost:{closed.getsockname()[1]}"
        PLACES[other] = elsewhere
        where = {"KEYS": keys, "DOWN": down, "ELSEWHERE": f"{other}/end"}
        where["REDIS"] = down.replace("https", "redis")
        # Where there is no redis-server, the tests that ask for it are skipped and no others.
        with contextlib.suppress(pytest.skip.Exception):
            where["REDIS"] = request.getfixturevalue("redis").url
        yield where


PLACES: dict[str, Recorder] = {}


@pytest.fixture(scope="module", params=SERVERS)
def service(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("server")
    command = SERVERS[request.param]
    with running(command, within=HERE, folder=folder, environment=environment) as origin:
        elsewhere = PLACES[environment["ELSEWHERE"].removesuffix("/end")]
        yield Service(origin, elsewhere, request.param)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_case_has_the_same_outcome_under_each_server(service: Service, case: Case) -> None:
    headers = case.headers(case.method, case.target)
    with httpx.Client(verify=trusting(), timeout=20) as client:
        for _ in range(case.times):
            answer = client.request(case.method, service.origin + case.target, headers=headers)
    if case.outcome == "issuer" or case.outcome == "product":
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-Reached"] == "yes"
        assert answer.text == ("" if case.method == "HEAD" else case.outcome)
        return
    assert "X-Reached" not in answer.headers
    if case.outcome == "unavailable":
        status, title = 503, "Service Unavailable"
        assert answer.headers["Retry-After"] == "5"
    else:
        error = TokenRejected(case.outcome)
        status, title = error.status, "Forbidden" if error.status == 403 else "Unauthorized"
        scheme = "JWT" if case.target.startswith("/mounted") else "Bearer"
        assert answer.headers["WWW-Authenticate"] == challenge(error, scheme)
    assert answer.status_code == status
    by_itself = service.name == "Django REST framework"
    media_type = "application/json" if by_itself else "application/problem+json"
    assert answer.headers["Content-Type"] == media_type
    problem = {"title": title, "status": status, "reason": case.outcome}
    if case.method == "HEAD":
        assert answer.content == b""
    else:
        assert answer.json() == ({"detail": IN_ITS_WORDS[case.outcome]} if by_itself else problem)


def test_each_reason_is_among_the_cases() -> None:
    assert {case.outcome for case in CASES.values()} >= {*get_args(Reason), "unavailable"}


def reason_of(answer: httpx.Response) -> str:
    """Why a request was refused, as the body has it."""
    body = answer.json()
    if "reason" in body:
        return str(body["reason"])
    (reason,) = [name for name, words in IN_ITS_WORDS.items() if words == body["detail"]]
    return reason


def by_redis(service: Service, authorization: str | None = None) -> httpx.Response:
    """The answer to a token, or to a new one; a connection each, so that each worker is met."""
    headers = {"Authorization": authorization or f"Bearer {token()}"}
    return httpx.get(f"{service.origin}/shared/", headers=headers, verify=trusting(), timeout=20)


def by_redis_at_last(service: Service, authorization: str | None = None) -> httpx.Response:
    """As `by_redis`, once it is no 503: each worker may need a request to find Redis again."""
    deadline = time.monotonic() + 20
    while (answer := by_redis(service, authorization)).status_code == 503:
        assert time.monotonic() < deadline, "Redis is up, and was not found"
        time.sleep(0.05)
    return answer


def assert_replayed(service: Service, used: str) -> None:
    answer = by_redis_at_last(service, used)
    assert (answer.status_code, reason_of(answer)) == (401, "replayed")
    assert "X-Reached" not in answer.headers


def test_redis_down_accepts_nobody_and_redis_back_takes_each_token_once(
    service: Service, redis: RedisServer
) -> None:
    accepted = by_redis_at_last(service)
    assert (accepted.status_code, accepted.text) == (200, "issuer")
    before = accepted.request.headers["Authorization"]
    assert_replayed(service, before)
    redis.kill()
    try:
        for authorization in (before, *[None] * 7):
            answer = by_redis(service, authorization)
            assert "X-Reached" not in answer.headers
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert reason_of(answer) == "unavailable"
    finally:
        redis.start()
    for _ in range(4):
        accepted = by_redis_at_last(service)
        assert (accepted.status_code, accepted.text) == (200, "issuer")
        assert_replayed(service, accepted.request.headers["Authorization"])
    assert_replayed(service, before)


@pytest.mark.parametrize("size", [17_000, 200_000])
def test_an_oversize_header_reaches_nobody(service: Service, size: int) -> None:
    headers = {"Authorization": f"Bearer {'a' * size}"}
    with httpx.Client(verify=trusting(), timeout=20) as client:
        # A server may hang up before it has read all of it.
        with contextlib.suppress(httpx.TransportError):
            answer = client.get(service.origin, headers=headers)
            assert answer.status_code in (400, 401, 431), answer.text
        good = client.get(service.origin, headers=dict(bearer_of()("GET", "/")))
    assert good.text == "issuer"


def test_an_oversize_path_reaches_nobody(service: Service) -> None:
    with httpx.Client(verify=trusting(), timeout=20) as client:
        with contextlib.suppress(httpx.TransportError):
            answer = client.get(f"{service.origin}/{'a' * 60_000}")
            assert answer.status_code in (400, 401, 414, 431), answer.text
        good = client.get(service.origin, headers=dict(bearer_of()("GET", "/")))
    assert good.text == "issuer"


def test_a_websocket_opens_for_a_good_token_alone(service: Service) -> None:
    url = service.origin.replace("https", "wss")
    good = dict(bearer_of()("GET", "/"))
    # WSGI knows no websockets: what is refused there is the request.
    status = _WITHOUT_WEBSOCKETS.get(service.name, 401)
    assert refusal(url).status_code == status
    if service.name.startswith("gunicorn") or service.name in _WITHOUT_WEBSOCKETS:
        return
    assert first_message(url, good) == "issuer"


@pytest.mark.parametrize("ask", CLIENTS, ids=lambda ask: ask.__name__.removeprefix("by_"))
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_client_is_accepted_and_takes_no_token_elsewhere(
    service: Service, ask: Any, backend: str, tmp_path: Path, monkeypatch: Any
) -> None:
    if ask is by_aiohttp and backend == "trio":
        return  # aiohttp is asyncio's

    def answer(authorize: Any, path: str) -> tuple[int, str]:
        # Not by the plugin, which would have each server started once for each event loop.
        return anyio.run(ask, authorize, service.origin, path, backend=backend)

    for name, value in trusted(tmp_path).items():
        monkeypatch.setenv(name, value)
    service.elsewhere.forget()
    by_asap = asap.authorizer(asap.signer("issuer", KEY), "service")
    by_connect = connect.authorizer("product", import_secret(SECRET), base_url=service.origin)
    assert answer(by_asap, "/a%2Fb?c=%2F") == (200, "issuer")
    assert answer(by_connect, ENCODED) == (200, "product")
    assert answer(by_asap, "/go") == (200, "hello")
    assert [seen.all("authorization") for seen in service.elsewhere.seen] == [[]]


def test_a_portal_from_before_the_fork_is_an_error_and_no_hang(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # Closing the portal at exit is what hangs then.
    command = [*SERVERS["gunicorn"], "--preload"]
    with running(
        command, within=HERE, folder=tmp_path, environment=environment, patience=0
    ) as origin:
        answer = httpx.get(origin, headers=dict(bearer_of()("GET", "/")), verify=trusting())
    assert answer.status_code == 500
    assert "in each worker" in (tmp_path / "log.txt").read_text()
