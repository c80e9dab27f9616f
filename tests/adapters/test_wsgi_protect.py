"""WSGI: who called is in the environ, or the application is not called."""

import asyncio
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults

import anyio
import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from asapfn import (
    Request,
    Token,
    TokenRejected,
    Unavailable,
    Unverified,
    asap,
    bearer,
    connect,
    verifier,
)
from asapfn.adapters.asgi import key_repository
from asapfn.adapters.httpx import fetcher
from asapfn.adapters.wsgi import protect
from asapfn.replay import in_memory
from asapfn.resolvers import by_issuer, cached, keys_by_id
from asapfn.types import Key
from tests.support.keyring import key_for
from tests.support.refusals import (
    OPTIONAL,
    ask,
    assert_a_token_is_missing,
    assert_head_is_refused_without_a_body,
    assert_nobody_could_tell,
)
from tests.support.servers import asgi_server
from tests.support.trust import trust
from tests.support.wsgi_servers import app, in_a_thread, wsgi_server

KEYS = [key_for("ES256", issuer) for issuer in ("issuer", "other")]
VERIFY = asap.verifier(keys_by_id(KEYS), "service", issuers=["issuer", "other"])
AUTHENTICATE = bearer(VERIFY)
SIGN = {key.kid: asap.signer(str(key.kid).partition("/")[0], key) for key in KEYS}


def good(issuer: str = "issuer") -> dict[str, str]:
    return {"Authorization": f"Bearer {SIGN[f'{issuer}/ES256.pem']('service')}"}


async def unavailable(request: Request) -> Token:
    raise Unavailable("keys")


@pytest.fixture(scope="module")
def portal(anyio_backend_name: str) -> Iterator[BlockingPortal]:
    with start_blocking_portal(anyio_backend_name) as portal:
        yield portal


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def origin(portal: BlockingPortal) -> Iterator[str]:
    protected = protect(app, AUTHENTICATE, portal=portal)
    parts = {
        "/optional": protect(app, AUTHENTICATE, portal=portal, optional=True),
        "/down": protect(app, unavailable, portal=portal, optional=True),
    }
    inner = protect(app, connect_only, portal=portal, optional=True)
    parts["/twice"] = protect(inner, AUTHENTICATE, portal=portal)
    with wsgi_server(DispatcherMiddleware(protected, parts)) as origin:
        yield origin


async def connect_only(request: Request) -> Token:
    return await connect.context_authenticator(keys_by_id(KEYS))(request)


def test_a_good_token_is_in_the_environ(origin: str) -> None:
    answer = ask(f"{origin}/", good())
    assert (answer.status_code, answer.text) == (200, "issuer")


def test_a_refusal_is_a_problem_with_its_reason(origin: str) -> None:
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


@pytest.mark.parametrize("other", ["Bearer a.b.c", "Basic dXNlcjpwYXNz", ""])
@pytest.mark.parametrize("first", [True, False])
def test_a_second_authorization_header_is_seen_though_servers_join_the_two(
    origin: str, other: str, first: bool
) -> None:
    values = [good()["Authorization"], other]
    pairs = [("Authorization", value) for value in (values if first else values[::-1])]
    answer = ask(f"{origin}/optional", pairs)
    assert (answer.status_code, answer.json()["reason"]) == (401, "ambiguous_token")


def test_the_token_of_another_protect_does_not_stand_in_for_a_missing_one(origin: str) -> None:
    assert ask(f"{origin}/twice", good()).text == "nobody"


def test_threads_do_not_mix_up_their_callers(origin: str) -> None:
    def call(number: int) -> bool:
        issuer = ("issuer", "other")[number % 2]
        return ask(f"{origin}/", good(issuer)).text == issuer

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(call, range(200)))


def test_requests_wait_side_by_side(portal: BlockingPortal) -> None:
    met, both = [], threading.Barrier(2, timeout=5)

    async def authenticate(request: Request) -> Token:
        # Each goes on only when the other is here too.
        await anyio.to_thread.run_sync(both.wait)
        met.append(request.method)
        raise TokenRejected("missing_token")

    protected = protect(app, authenticate, portal=portal)
    with wsgi_server(protected) as origin, ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(ask, [origin, origin]))
    assert [answer.status_code for answer in answers] == [401, 401]
    assert met == ["GET", "GET"]


def test_a_portal_that_was_stopped_lets_nobody_in() -> None:
    with start_blocking_portal() as portal:
        protected = protect(app, authenticate_after_waiting, portal=portal)
    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": good()["Authorization"]}
    with pytest.raises(RuntimeError, match="not running"):
        protected(environ, pytest.fail)


FORKS = """
import os, signal, sys
from anyio.from_thread import start_blocking_portal
from asapfn.adapters.wsgi import protect

with start_blocking_portal() as portal:
    protected = protect(None, None, portal=portal)
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    signal.alarm(10)  # rather than to wait for ever
    try:
        protected({"REQUEST_METHOD": "GET"}, None)
    except RuntimeError as error:
        print(error, flush=True)
        os._exit(7)
"""


def test_a_portal_from_before_a_fork_is_refused_rather_than_waited_for() -> None:
    script = [sys.executable, "-W", "ignore", "-c", FORKS]
    done = subprocess.run(script, capture_output=True, text=True, timeout=20)
    assert done.returncode == 7, done.stderr
    assert "in each worker" in done.stdout


def test_a_malformed_scheme_is_a_programming_error(portal: BlockingPortal) -> None:
    with pytest.raises(ValueError, match="one word"):
        protect(app, AUTHENTICATE, portal=portal, scheme="Bearer realm=x")


def test_a_computed_qsh_fails_closed_where_the_server_gives_no_raw_target(
    portal: BlockingPortal,
) -> None:
    authenticate = connect.authenticator(keys_by_id(KEYS), base_url="https://app.example")
    raised = []

    def watched(environ: Any, start_response: Any) -> Any:
        try:
            return protect(app, authenticate, portal=portal)(environ, start_response)
        except ValueError as error:
            raised.append(str(error))
            raise

    class Handler(WSGIRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def get_stderr(self) -> Any:
            return io.StringIO()

    server = make_server("127.0.0.1", 0, watched, handler_class=Handler)
    with in_a_thread(server):
        answer = httpx.get(
            f"http://127.0.0.1:{server.server_port}/a", headers={"Authorization": "JWT a.b.c"}
        )
    assert answer.status_code == 500
    assert "RAW_URI" in raised[0]


def test_a_cached_key_needs_neither_a_portal_nor_another_thread() -> None:
    threads: list[int] = []

    async def authenticate(request: Request) -> Token:
        threads.append(threading.get_ident())
        return await AUTHENTICATE(request)

    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": good()["Authorization"]}
    answered: list[str] = []
    body = protect(app, authenticate)(environ, lambda status, headers: answered.append(status))
    assert (list(body), answered) == ([b"issuer"], ["200 OK"])
    assert threads == [threading.get_ident()]


def test_a_cold_crowd_of_threads_makes_one_fetch_for_a_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trust(monkeypatch, tmp_path)
    paths: list[str] = []
    serve = key_repository(KEYS)

    async def repository(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            paths.append(scope["path"])
        await serve(scope, receive, send)

    with asgi_server(repository) as keys:
        verify = asap.verifier(asap.repository(keys, fetcher()), "service", issuers="issuer")
        protected = protect(app, bearer(verify))
        with wsgi_server(protected) as origin, ThreadPoolExecutor(50) as crowd:
            answers = list(crowd.map(lambda _: ask(f"{origin}/", good()), range(50)))
    assert [answer.text for answer in answers] == ["issuer"] * 50
    assert paths == [f"/{KEYS[0].kid}"]


def test_a_source_that_hangs_for_one_issuer_holds_up_no_other() -> None:
    released = threading.Event()

    async def hangs(unverified: Unverified) -> Key | None:
        await anyio.to_thread.run_sync(released.wait)
        return KEYS[0]

    resolver = by_issuer({"issuer": cached(hangs), "other": cached(keys_by_id(KEYS))})
    verify = asap.verifier(resolver, "service", issuers=None)
    with wsgi_server(protect(app, bearer(verify))) as origin, ThreadPoolExecutor(4) as crowd:
        waiting = [crowd.submit(ask, f"{origin}/", good()) for _ in range(4)]
        try:
            for _ in range(10):
                assert ask(f"{origin}/", good("other")).text == "other"
            assert not any(each.done() for each in waiting)
        finally:
            released.set()
        assert [each.result().text for each in waiting] == ["issuer"] * 4


FETCHES_AFTER_A_FORK = """
import os, sys
import anyio
from asapfn import asap, bearer
from asapfn.adapters.wsgi import protect
from asapfn.resolvers import keys_by_id
from tests.support.keyring import key_for

KEY = key_for("ES256", "issuer")
SIGN = asap.signer("issuer", KEY)

async def waits(unverified):
    await anyio.sleep(0)
    return KEY

def app(environ, start_response):
    return [environ["asapfn.token"].claims["iss"].encode()]

protected = protect(app, bearer(asap.verifier(waits, "service", issuers="issuer")))

def ask():
    header = f"Bearer {SIGN('service')}"
    return protected({"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": header}, None)

assert ask() == [b"issuer"]
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        os._exit(0 if ask() == [b"issuer"] and ask() == [b"issuer"] else 1)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
assert ask() == [b"issuer"]
print("ended", flush=True)
"""


def test_each_process_starts_an_event_loop_of_its_own_and_ends_without_waiting_for_it() -> None:
    script = [sys.executable, "-W", "ignore", "-c", FETCHES_AFTER_A_FORK]
    done = subprocess.run(script, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_an_event_loop_that_cannot_be_started_is_an_error_and_no_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*args: object) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(anyio, "run", fails)
    protected = protect(app, authenticate_after_waiting)
    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": good()["Authorization"]}
    with pytest.raises(OSError, match="too many open files"):
        protected(environ, pytest.fail)


def test_an_event_loop_that_was_ended_by_an_exit_is_started_again() -> None:
    ended: list[threading.Thread] = []

    async def authenticate(request: Request) -> Token:
        await anyio.sleep(0)
        if not ended:
            ended.append(threading.current_thread())
            raise SystemExit("of a function of the caller's")
        return await AUTHENTICATE(request)

    protected = protect(app, authenticate)
    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": good()["Authorization"]}
    with pytest.raises(SystemExit):
        protected(environ, pytest.fail)
    ended[0].join(10)
    assert protected(environ, lambda status, headers: None) == [b"issuer"]


async def authenticate_after_waiting(request: Request) -> Token:
    await anyio.sleep(0)
    return await AUTHENTICATE(request)


def test_a_token_is_accepted_once_and_not_used_up_by_the_first_attempt() -> None:
    verify = asap.verifier(keys_by_id(KEYS), "service", issuers="issuer", replay=in_memory())
    with wsgi_server(protect(app, bearer(verify))) as origin:
        header = good()
        assert ask(f"{origin}/", header).text == "issuer"
        assert ask(f"{origin}/", header).json()["reason"] == "replayed"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_in_a_thread_with_an_event_loop_another_one_verifies(backend: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": good()["Authorization"]}
    protected = protect(app, AUTHENTICATE)

    async def main() -> list[bytes]:
        return list(protected(environ, lambda status, headers: None))

    assert anyio.run(main, backend=backend) == [b"issuer"]


def status_of(*checks: Any) -> str:
    """What a request with a good token is answered, without a server, by a new verifier."""
    asked = asap.policy(keys_by_id(KEYS), "service", issuers="issuer")
    verify = verifier(asked._replace(checks=checks))
    started: list[str] = []
    environ: dict[str, Any] = {"HTTP_AUTHORIZATION": good()["Authorization"]}
    setup_testing_defaults(environ)

    def start(status: str, *rest: Any) -> Any:
        started.append(status)

    protect(app, bearer(verify))(environ, start)
    return started[0]


def test_what_is_unavailable_for_want_of_an_event_loop_is_asked_again_in_one() -> None:
    calls: list[Token] = []

    async def store(token: Token) -> None:
        calls.append(token)
        try:
            asyncio.get_running_loop()
        except Exception as error:
            raise Unavailable("store", "it cannot be asked") from error

    async def hidden(token: Token) -> None:
        with suppress(Unavailable):
            return await store(token)
        raise Unavailable("store", "no word of what it was caused by")

    assert status_of(store).startswith("200")
    assert status_of(hidden).startswith("200")
    assert len(calls) == 4
