"""Services of other origins for a page in a browser: one behind tokens in each framework.

Run as a program, it opens a page in the browser that is named, waits for what the page reports, and
prints that with the verdicts of each service, as one line of JSON. Below `/open/` a preflight needs
no token, by `unless=` as README has it; below `/closed/` it does.
"""

import asyncio
import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web
from werkzeug.serving import make_server

from asapfn import any_of, bearer, connect, forge, sign
from asapfn.adapters import aiohttp as aiohttp_adapter
from asapfn.adapters import asgi, wsgi
from asapfn.keys import generate, import_secret
from asapfn.resolvers import keys_by_id, shared_secrets
from asapfn.types import Verdict
from tests.support.servers import asgi_server
from tests.support.wsgi_servers import Quiet, in_a_thread

APP = "ari:cloud:ecosystem::app/8db33309-6f28-4b8e-a2b1-9c3d1f0e7a11"
SECRET = "a secret of the tenant's, long enough for HS256"
KEY = generate("RS256", kid="forge-key")
ALLOWED = "authorization, content-type"

Observe = Callable[[Verdict], None]


def preflights(method: str, path: str) -> bool:
    return method == "OPTIONS" and path.startswith("/open/")


async def secret_of(client_key: str) -> str | None:
    return SECRET if client_key == "tenant" else None


AUTHENTICATE = any_of(
    connect.authenticator(shared_secrets(secret_of), base_url="https://app.example"),
    bearer(forge.verifier(keys_by_id([KEY]), APP)),
)


def fields(origin: str) -> dict[str, str]:
    """What the application's own CORS answers, to a preflight and to the request after it."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Headers": ALLOWED,
        "Access-Control-Allow-Methods": "GET, POST",
    }


def _fastapi(origin: str, observe: Observe, *, outside: bool = False) -> Any:
    from fastapi import FastAPI, Request
    from fastapi.middleware.cors import CORSMiddleware

    app = FastAPI()

    @app.api_route("/{rest:path}", methods=["GET", "POST"])
    async def who(request: Request) -> str:
        return str(asgi.token(request.scope).claims["iss"])

    def cors() -> None:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin],
            allow_headers=ALLOWED.split(", "),
            allow_methods=["GET", "POST"],
        )

    # What is added last is outermost.
    if not outside:
        cors()
    unless = None if outside else preflights
    app.add_middleware(asgi.protect, authenticate=AUTHENTICATE, unless=unless, observe=observe)
    if outside:
        cors()
    return app


def _flask(origin: str, observe: Observe) -> Any:
    from flask import Flask, request

    app = Flask(__name__, static_folder=None)

    @app.route("/<path:rest>", methods=["GET", "POST"])
    def who(rest: str) -> str:
        return json.dumps(wsgi.token(request.environ).claims["iss"])

    @app.after_request
    def allow(response: Any) -> Any:
        response.headers.extend(fields(origin))
        return response

    return wsgi.protect(app, AUTHENTICATE, unless=preflights, observe=observe)


def _django(origin: str, observe: Observe) -> Any:
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import re_path

    from asapfn.adapters.django import middleware, token

    def who(request: HttpRequest) -> HttpResponse:
        return HttpResponse(json.dumps(token(request).claims["iss"]))

    def cors(get_response: Any) -> Any:
        def allowed(request: HttpRequest) -> HttpResponse:
            response = HttpResponse() if request.method == "OPTIONS" else get_response(request)
            for name, value in fields(origin).items():
                response[name] = value
            return response  # type: ignore[no-any-return]

        return allowed

    here: Any = sys.modules[__name__]
    here.authenticated = middleware(AUTHENTICATE, unless=preflights, observe=observe)
    here.cors, here.urlpatterns = cors, [re_path(r"^.*$", who)]
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        LOGGING_CONFIG=None,
        MIDDLEWARE=[f"{__name__}.authenticated", f"{__name__}.cors"],
    )
    django.setup(set_prefix=False)
    return get_wsgi_application()


async def _aiohttp(origin: str, observe: Observe) -> web.AppRunner:
    async def who(request: web.Request) -> web.Response:
        if request.method == "OPTIONS":
            return web.Response()
        return web.json_response(request["asapfn.token"].claims["iss"])

    async def allow(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(fields(origin))

    protected = aiohttp_adapter.server_middleware(AUTHENTICATE, unless=preflights, observe=observe)
    app = web.Application(middlewares=[protected])
    app.router.add_route("*", "/{rest:.*}", who)
    app.on_response_prepare.append(allow)
    runner = web.AppRunner(app)
    await runner.setup()
    return runner


@contextlib.contextmanager
def aiohttp_server(origin: str, observe: Observe) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(30)

    runner = run(_aiohttp(origin, observe))
    try:
        site = web.TCPSite(runner, "localhost", 0)
        run(site.start())
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        run(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def wsgi_server(app: Any) -> Iterator[str]:
    server = make_server("localhost", 0, app, threaded=True, request_handler=Quiet)
    with in_a_thread(server):
        yield f"http://localhost:{server.server_port}"


PAGE = """<!doctype html><title>a page of another origin</title><script>
async function ask(each) {
  try {
    const answer = await fetch(each.url, each.options);
    return {...each, status: answer.status, body: await answer.json()};
  } catch (error) {
    return {...each, error: String(error)};
  }
}
Promise.all(CASES.map(ask)).then(
  seen => fetch("/results", {method: "POST", body: JSON.stringify(seen)}));
</script>"""


def page(cases: dict[str, Any], results: "queue.Queue[Any]") -> Any:
    """The page, of an origin of its own, and where it reports to."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/results":
            size = int(environ["CONTENT_LENGTH"])
            results.put(json.loads(environ["wsgi.input"].read(size)))
            start_response("204 No Content", [])
            return []
        start_response("200 OK", [("Content-Type", "text/html")])
        return [PAGE.replace("CASES", json.dumps(cases["all"])).encode()]

    return app


def cases_of(name: str, origin: str) -> list[dict[str, Any]]:
    """What the page asks one service for: a Connect page, and as Forge's `requestRemote` does."""
    now = int(time.time())
    base = "https://app.example"
    authorize = connect.authorizer("tenant", import_secret(SECRET), base_url=base)
    claims = {"iss": "forge/invocation-token", "aud": APP, "iat": now, "nbf": now, "jti": "1"}
    invoked = f"Bearer {sign(claims | {'exp': now + 60}, KEY)}"
    json_type = {"Content-Type": "application/json"}
    made = []
    for below in ("open", "closed"):
        target = f"/{below}/page?issue=A-1"
        signed = {"headers": {"Authorization": authorize("GET", base + target)}}
        for_other = {"headers": {"Authorization": authorize("GET", f"{base}/other")}}
        remote = {
            "method": "POST",
            "headers": {"Authorization": invoked, **json_type},
            "body": json.dumps({"issue": "A-1"}),
        }
        made += [
            {"case": f"{name}, {below}, page", "url": origin + target, "options": signed},
            {"case": f"{name}, {below}, remote", "url": f"{origin}/{below}/x", "options": remote},
            {"case": f"{name}, {below}, forged", "url": origin + target, "options": for_other},
        ]
    return made


@contextlib.contextmanager
def browser(program: str, url: str) -> Iterator[None]:
    """Chromium without a window, with a profile of its own."""
    switches = (
        *(
            "headless",
            "no-sandbox",
            "disable-gpu",
            "disable-quic",
            "no-first-run",
            "no-proxy-server",
        ),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        *("disable-dev-shm-usage", "disable-extensions", "mute-audio"),
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *(f"--{each}" for each in switches), f"--user-data-dir={profile}", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def main(program: str) -> None:
    """Ask every service from the page, and print what came of it."""
    cases: dict[str, Any] = {}
    results: queue.Queue[Any] = queue.Queue()
    verdicts: dict[str, list[str]] = {}

    def observer(name: str) -> Observe:
        noted = verdicts.setdefault(name, [])
        return lambda verdict: noted.append(verdict.reason or verdict.outcome)

    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(wsgi_server(page(cases, results)))
        services = {
            "fastapi": asgi_server(_fastapi(origin, observer("fastapi")), tls=False),
            "fastapi, CORS outside": asgi_server(
                _fastapi(origin, observer("fastapi, CORS outside"), outside=True), tls=False
            ),
            "aiohttp": aiohttp_server(origin, observer("aiohttp")),
            "flask": wsgi_server(_flask(origin, observer("flask"))),
            "django": wsgi_server(_django(origin, observer("django"))),
        }
        cases["all"] = [
            case
            for name, service in services.items()
            for case in cases_of(name, stack.enter_context(service))
        ]
        stack.enter_context(browser(program, f"{origin}/"))
        seen = results.get(timeout=90)
    print(json.dumps({"seen": seen, "verdicts": verdicts}))


if __name__ == "__main__":
    main(sys.argv[1])
