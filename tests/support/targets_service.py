"""An echo behind Connect tokens, in each framework, that any server can serve.

It answers with the path that the framework routes by and the query parameters it parses. Each
application is reached by its name in the header `X-App`, so that nothing of the request is touched.
Run as a program it serves what has no command of its own: `targets_service.py NAME SOCKET`.
"""

import asyncio
import atexit
import json
import sys
from collections.abc import Iterable
from typing import Any

from asapfn import connect
from asapfn.resolvers import shared_secrets

SECRET = "a secret of at least thirty-two bytes"
BASE_URL = "https://app.example/connect"


async def secret_of(issuer: str) -> str | None:
    return SECRET if issuer == "product" else None


AUTHENTICATE = connect.authenticator(shared_secrets(secret_of), base_url=BASE_URL)


def seen(path: str, query: Iterable[tuple[str, str]]) -> str:
    return json.dumps([path, sorted(map(list, query))])


def _starlette() -> Any:
    from starlette._utils import get_route_path
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    def echo(request: Request) -> Response:
        return Response(seen(get_route_path(request.scope), request.query_params.multi_items()))

    async def echo_websocket(websocket: WebSocket) -> None:
        await websocket.accept()
        query = websocket.query_params.multi_items()
        await websocket.send_text(seen(get_route_path(websocket.scope), query))
        await websocket.close()

    return Starlette(
        routes=[Route("/{rest:path}", echo), WebSocketRoute("/{rest:path}", echo_websocket)]
    )


def _fastapi() -> Any:
    from fastapi import FastAPI, Request, Response
    from starlette._utils import get_route_path

    app = FastAPI(openapi_url=None)

    @app.get("/{rest:path}")
    def echo(rest: str, request: Request) -> Response:
        return Response(seen(get_route_path(request.scope), request.query_params.multi_items()))

    return app


def _litestar() -> Any:
    from litestar import Litestar, Request, get

    @get(["/", "/{rest:path}"], sync_to_thread=False, media_type="text/plain")
    def echo(request: Request[Any, Any, Any]) -> str:
        return seen(request.scope["path"], request.query_params.multi_items())

    return Litestar([echo], openapi_config=None)


def _configure_django() -> None:
    import django
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.urls import re_path

    if settings.configured:
        return

    def echo(request: HttpRequest) -> HttpResponse:
        query = [(name, value) for name, values in request.GET.lists() for value in values]
        return HttpResponse(seen(request.path_info, query))

    class Urls:
        urlpatterns = (re_path(r"(?s)^.*$", echo),)

    settings.configure(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"], USE_TZ=True, LOGGING_CONFIG=None)
    django.setup(set_prefix=False)


def _django_asgi() -> Any:
    from django.core.asgi import get_asgi_application

    _configure_django()
    return get_asgi_application()


def _flask() -> Any:
    from flask import Flask, request

    app = Flask(__name__, static_folder=None)

    @app.get("/")
    @app.get("/<path:rest>")
    def echo(rest: str = "") -> str:
        return seen(request.path, request.args.items(multi=True))

    return app


def _django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    _configure_django()
    return get_wsgi_application()


def asgi() -> Any:
    """Make the ASGI applications, as one."""
    from asapfn.adapters.asgi import protect

    made = {"starlette": _starlette(), "fastapi": _fastapi(), "litestar": _litestar()}
    made["django"] = _django_asgi()
    applications = {name: protect(app, AUTHENTICATE, scheme="JWT") for name, app in made.items()}

    async def dispatch(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await applications["starlette"](scope, receive, send)
            return
        name = dict(scope["headers"])[b"x-app"].decode()
        await applications[name](scope, receive, send)

    return dispatch


def wsgi() -> Any:
    """Make the WSGI applications, as one, with a portal of this process."""
    from anyio.from_thread import start_blocking_portal

    from asapfn.adapters.wsgi import protect

    running = start_blocking_portal()
    portal = running.__enter__()
    atexit.register(running.__exit__, None, None, None)
    made = {"flask": _flask(), "django": _django_wsgi()}
    applications = {
        name: protect(app, AUTHENTICATE, portal=portal, scheme="JWT") for name, app in made.items()
    }
    return lambda environ, start: applications[environ["HTTP_X_APP"]](environ, start)


async def _serve_aiohttp(path: str) -> None:
    from aiohttp import web

    from asapfn.adapters.aiohttp import server_middleware

    async def echo(request: web.Request) -> web.StreamResponse:
        text = seen(request.path, request.query.items())
        if request.headers.get("Upgrade") != "websocket":
            return web.Response(text=text)
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str(text)
        await websocket.close()
        return websocket

    app = web.Application(middlewares=[server_middleware(AUTHENTICATE, scheme="JWT")])
    app.router.add_get("/{rest:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    await asyncio.Event().wait()


def _serve(name: str, path: str) -> None:
    if name == "aiohttp":
        asyncio.run(_serve_aiohttp(path))
    elif name == "waitress":
        import waitress

        waitress.serve(wsgi(), unix_socket=path, _quiet=True)
    elif name == "cheroot":
        from cheroot.wsgi import Server

        Server(path, wsgi()).start()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
