"""The service of `protected`, by what FastAPI, Flask and Django have for their endpoints.

What `/scoped` wants more than the root is demanded there by the endpoint itself.
"""

import atexit
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from asapfn import Authenticate, Check, Request, Token
from asapfn.adapters import asgi
from asapfn.adapters.httpx import fetcher
from asapfn.checks import has_scopes
from tests.support.protected import _elsewhere, _schemes, authenticators, shared_store

PREFIXES = ("/once", "/shared", "/scoped", "/mounted", "")
METHODS = ["GET", "HEAD", "POST", "OPTIONS"]
REACHED = {"X-Reached": "yes"}
# What is open only while a process serves.
PARTS: dict[str, Authenticate] = {}


def part(prefix: str) -> Callable[[Request], Awaitable[Token]]:
    async def authenticate(request: Request) -> Token:
        return await PARTS[prefix](request)

    return authenticate


def demands(prefix: str) -> tuple[Callable[[Request], Awaitable[Token]], *tuple[Check, ...]]:
    """What authenticates for a part, and what its endpoints check themselves."""
    return (part(""), has_scopes("refunds")) if prefix == "/scoped" else (part(prefix),)


@contextlib.asynccontextmanager
async def open_parts(app: Any = None) -> AsyncIterator[None]:
    async with httpx.AsyncClient() as client, shared_store() as shared:
        PARTS.update(authenticators(fetcher(client), shared))
        yield


def in_a_portal() -> BlockingPortal:
    """Open the parts in a portal of this process."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    portal = stack.enter_context(start_blocking_portal())
    stack.enter_context(portal.wrap_async_context_manager(open_parts()))
    return portal


def fastapi() -> Any:
    from fastapi import APIRouter, Depends, FastAPI, WebSocket
    from fastapi import Request as FastAPIRequest
    from fastapi.responses import RedirectResponse, Response

    from asapfn.adapters.fastapi import requires

    async def service(request: FastAPIRequest) -> Response:
        if to := _elsewhere(request.url.path):
            return RedirectResponse(to, 302)
        return Response(asgi.token(request.scope).claims["iss"], headers=REACHED)

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(asgi.token(websocket.scope).claims["iss"])
        await websocket.close()

    app = FastAPI(lifespan=open_parts, openapi_url=None)
    for prefix in PREFIXES:
        required = requires(*demands(prefix), scheme=_schemes(prefix))
        router = APIRouter(prefix=prefix, dependencies=[Depends(required)])
        router.add_api_route("/{rest:path}", service, methods=METHODS)
        router.add_api_websocket_route("/{rest:path}", chat)
        app.include_router(router)
    return app


def flask() -> Any:
    from flask import Blueprint, Flask, redirect, request

    from asapfn.adapters.flask import requires, token

    def service(rest: str = "") -> Any:
        to = _elsewhere(request.path)
        return redirect(to) if to else (token().claims["iss"], REACHED)

    portal = in_a_portal()
    app = Flask(__name__, static_folder=None)
    for number, prefix in enumerate(PREFIXES):
        blueprint = Blueprint(f"part{number}", __name__, url_prefix=prefix or None)
        required = requires(*demands(prefix), portal=portal, scheme=_schemes(prefix))
        view = service
        if prefix == "/scoped":
            view = required(service)
        else:
            blueprint.before_request(required)
        for rule in ("/", "/<path:rest>"):
            blueprint.add_url_rule(rule, view_func=view, methods=METHODS)
        app.register_blueprint(blueprint)
    return app


def by_prefix(get_response: Callable[[Any], Any]) -> Any:
    """Make a middleware of Django that is another one of asapfn's for each part."""
    from asgiref.sync import iscoroutinefunction

    from asapfn.adapters.django import middleware

    portal = None if iscoroutinefunction(get_response) else in_a_portal()
    each = {
        prefix: middleware(
            demands(prefix)[0],
            portal=portal,
            scheme=_schemes(prefix),
            optional=prefix == "/scoped",
        )(get_response)
        for prefix in PREFIXES
    }

    def chosen(request: Any) -> Any:
        prefix = "/" + request.path_info.split("/")[1]
        return each[prefix if prefix in PREFIXES else ""](request)

    async def chosen_async(request: Any) -> Any:
        return await chosen(request)

    return chosen_async if iscoroutinefunction(get_response) else chosen


by_prefix.sync_capable = by_prefix.async_capable = True  # type: ignore[attr-defined]


def _configure_django(urls: Callable[[], list[Any]], **settings: Any) -> None:
    import django
    from django.conf import settings as configured

    class Urls:
        @property
        def urlpatterns(self) -> list[Any]:
            return urls()

    base = {"ALLOWED_HOSTS": ["*"], "USE_TZ": True, "LOGGING_CONFIG": None}
    configured.configure(ROOT_URLCONF=Urls(), **base, **settings)
    django.setup(set_prefix=False)


def _views(asynchronous: bool) -> None:
    from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
    from django.urls import re_path

    from asapfn.adapters.django import requires, token

    def service(request: HttpRequest) -> HttpResponse:
        if to := _elsewhere(request.path):
            return HttpResponseRedirect(to)
        return HttpResponse(token(request).claims["iss"], headers=REACHED)

    async def service_async(request: HttpRequest) -> HttpResponse:
        return service(request)

    view = service_async if asynchronous else service
    scoped = re_path("(?s)^scoped(?:/.*)?$", requires(has_scopes("refunds"))(view))
    routes = [scoped, re_path("(?s)^.*$", view)]
    _configure_django(lambda: routes, MIDDLEWARE=[f"{__name__}.by_prefix"])


def django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    _views(asynchronous=False)
    return get_wsgi_application()


def django_asgi() -> Any:
    from django.core.asgi import get_asgi_application
    from starlette.applications import Starlette
    from starlette.routing import Mount

    _views(asynchronous=True)
    # Django takes no part in the lifespan.
    return Starlette(routes=[Mount("/", get_asgi_application())], lifespan=open_parts)


def rest_framework() -> Any:
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, HttpResponseRedirect
    from django.urls import re_path

    portal = in_a_portal()

    def urls() -> list[Any]:
        from rest_framework.permissions import IsAuthenticated
        from rest_framework.views import APIView

        from asapfn.adapters.django import authentication

        class Service(APIView):  # type: ignore[misc]
            permission_classes = (IsAuthenticated,)

            def get(self, request: Any) -> Any:
                if to := _elsewhere(request.path):
                    return HttpResponseRedirect(to)
                return HttpResponse(str(request.user), headers=REACHED)

            post = options = get

        def view(prefix: str) -> Any:
            made = authentication(*demands(prefix), portal=portal, scheme=_schemes(prefix))
            return Service.as_view(authentication_classes=(made,))

        return [
            re_path(f"(?s)^{prefix[1:]}(?:/.*)?$" if prefix else "", view(prefix))
            for prefix in PREFIXES
        ]

    apps = ["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"]
    by_issuer = {"UNAUTHENTICATED_USER": None}
    _configure_django(urls, INSTALLED_APPS=apps, REST_FRAMEWORK=by_issuer, MIDDLEWARE=[])
    return get_wsgi_application()
