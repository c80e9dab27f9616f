"""An echo behind tokens with exempt paths, in each framework, for real servers to run.

It answers with the method and the path that the framework goes by. The application is chosen by the
header `X-App` and what is exempt by `X-Unless`, so that nothing else of the request is touched.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from asapfn import asap, bearer
from asapfn.resolvers import keys_by_id
from tests.support.lifespan import lifespan

# By what is named, and by what is not: the latter shows a path that is read in two ways.
RULES: dict[str, Callable[[str, str], bool]] = {
    "health": lambda method, path: method in ("GET", "HEAD") and path == "/health",
    "public": lambda method, path: path.startswith("/public/"),
    "all but admin": lambda method, path: not path.startswith("/admin"),
    "preflight": lambda method, path: method == "OPTIONS",
    "all but POST": lambda method, path: method != "POST",
    "nothing": lambda method, path: False,
}
METHODS = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"]
# Nobody has a key here: who is let in is exempt.
AUTHENTICATE = bearer(asap.verifier(keys_by_id([]), "service", issuers="issuer"))


def seen(method: str, path: str) -> str:
    return json.dumps([method, path])


def _starlette() -> Any:
    from starlette._utils import get_route_path
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def echo(request: Request) -> Response:
        return Response(seen(request.method, get_route_path(request.scope)))

    return Starlette(routes=[Route("/{rest:path}", echo, methods=METHODS)])


def _litestar() -> Any:
    from litestar import Litestar, Request, route

    @route(
        ["/", "/{rest:path}"],
        http_method=["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"],  # type: ignore[list-item]
        sync_to_thread=False,
        media_type="text/plain",
        status_code=200,
    )
    def echo(request: Request[Any, Any, Any]) -> str:
        # The rest of the path as the router found it.
        return seen(request.method, str(request.path_params.get("rest", "/")))

    return Litestar([echo], openapi_config=None)


def _quart() -> Any:
    from quart import Quart, request

    app = Quart(__name__, static_folder=None)

    @app.route("/", methods=METHODS)
    @app.route("/<path:rest>", methods=METHODS)
    async def echo(rest: str = "") -> str:
        return seen(request.method, f"/{rest}")

    return app.asgi_app


def _configure_django() -> None:
    import django
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.urls import re_path

    if settings.configured:
        return

    def echo(request: HttpRequest) -> HttpResponse:
        return HttpResponse(seen(str(request.method), request.path_info))

    class Urls:
        urlpatterns = (re_path(r"(?s)^.*$", echo),)

    settings.configure(
        ROOT_URLCONF=Urls,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        LOGGING_CONFIG=None,
        MIDDLEWARE=["exempt_service.by_rule"],
    )
    django.setup(set_prefix=False)


def by_rule(get_response: Callable[[Any], Any]) -> Any:
    """Make a middleware that is asapfn's, by the rule of each request, where that is asked for."""
    from asgiref.sync import iscoroutinefunction

    from asapfn.adapters.django import middleware

    each = {
        rule: middleware(AUTHENTICATE, unless=unless)(get_response)
        for rule, unless in RULES.items()
    }

    def chosen(request: Any) -> Any:
        inside = "middleware" in request.headers["X-App"]
        return (each[request.headers["X-Unless"]] if inside else get_response)(request)

    async def chosen_async(request: Any) -> Any:
        return await chosen(request)

    return chosen_async if iscoroutinefunction(get_response) else chosen


by_rule.sync_capable = by_rule.async_capable = True  # type: ignore[attr-defined]


def _django_asgi() -> Any:
    from django.core.asgi import get_asgi_application

    _configure_django()
    return get_asgi_application()


def _flask() -> Any:
    from flask import Flask, request

    app = Flask(__name__, static_folder=None)

    @app.route("/", methods=METHODS)
    @app.route("/<path:rest>", methods=METHODS)
    def echo(rest: str = "") -> str:
        return seen(request.method, f"/{rest}")

    return app


def _django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    _configure_django()
    return get_wsgi_application()


ASGI_APPS: dict[str, Callable[[], Any]] = {
    "starlette": _starlette,
    "litestar": _litestar,
    "quart": _quart,
    "django": _django_asgi,
    "django middleware": _django_asgi,
}
WSGI_APPS: dict[str, Callable[[], Any]] = {
    "flask": _flask,
    "django": _django_wsgi,
    "django middleware": _django_wsgi,
}


def asgi() -> Any:
    """Make the ASGI applications, each protected, and once more below `/mount` of a Starlette."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from asapfn.adapters.asgi import protect

    applications: dict[tuple[str, str], Any] = {}
    for name, make in ASGI_APPS.items():
        app = make()
        for rule, unless in RULES.items():
            inside = name.endswith("middleware")
            protected = app if inside else protect(app, AUTHENTICATE, unless=unless)
            applications[name, rule] = protected
            applications[f"mounted {name}", rule] = Starlette(routes=[Mount("/mount", protected)])

    async def dispatch(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        headers = dict(scope["headers"])
        chosen = headers.get(b"x-app", b"").decode(), headers.get(b"x-unless", b"").decode()
        await applications[chosen](scope, receive, send)

    return dispatch


def wsgi() -> Any:
    """Make the WSGI applications, each protected, and once more below `/mount` of a dispatcher."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from asapfn.adapters.wsgi import protect

    applications: dict[tuple[str, str], Any] = {}
    for name, make in WSGI_APPS.items():
        app = make()
        for rule, unless in RULES.items():
            inside = name.endswith("middleware")
            protected = app if inside else protect(app, AUTHENTICATE, unless=unless)
            applications[name, rule] = protected
            mounted: Any = DispatcherMiddleware(_nothing, {"/mount": protected})
            applications[f"mounted {name}", rule] = mounted
    return lambda environ, start: applications[environ["HTTP_X_APP"], environ["HTTP_X_UNLESS"]](
        environ, start
    )


def _nothing(environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [])
    return [b""]


async def _serve_aiohttp(path: str) -> None:
    from aiohttp import web

    from asapfn.adapters.aiohttp import server_middleware

    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(text=seen(request.method, f"/{request.match_info['rest']}"))

    chosen: dict[str, Any] = {
        rule: server_middleware(AUTHENTICATE, unless=unless) for rule, unless in RULES.items()
    }

    @web.middleware
    async def choose(request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = await chosen[request.headers["X-Unless"]](request, handler)
        return answer

    app = web.Application(middlewares=[choose])
    app.router.add_route("*", "/{rest:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_aiohttp(sys.argv[1]))
