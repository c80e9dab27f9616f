"""`protect` works alike under each framework: what is protected is what the framework made.

The frameworks run in process, through httpx's transports, but for their own request objects.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from flask import Flask
from flask import request as flask_request
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import get as litestar_get
from quart import Quart
from quart import request as quart_request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asapfn import asap, bearer
from asapfn.adapters import asgi, wsgi
from asapfn.resolvers import keys_by_id
from tests.support.django_site import configure
from tests.support.keyring import key_for

KEY = key_for("ES256")
AUTHENTICATE = bearer(asap.verifier(keys_by_id([KEY]), "service", issuers="issuer"))
SIGN = asap.signer("issuer", KEY)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # the only one that some of the frameworks know


def _starlette() -> Any:
    def who(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(request.scope["asapfn.token"].claims["iss"])

    protected = Middleware(asgi.protect, authenticate=AUTHENTICATE)
    return Starlette(routes=[Route("/who", who)], middleware=[protected])


def _starlette_route() -> Any:
    def who(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(request.scope["asapfn.token"].claims["iss"])

    protected = Middleware(asgi.protect, authenticate=AUTHENTICATE)
    return Starlette(routes=[Route("/who", who, middleware=[protected])])


def _fastapi() -> Any:
    app = FastAPI()
    app.add_middleware(asgi.protect, authenticate=AUTHENTICATE)

    @app.get("/who", response_class=PlainTextResponse)
    def who(request: FastAPIRequest) -> str:
        return str(request.scope["asapfn.token"].claims["iss"])

    return app


def _litestar() -> Any:
    @litestar_get("/who", sync_to_thread=False, media_type="text/plain")
    def who(request: LitestarRequest[Any, Any, Any]) -> str:
        return str(request.scope["asapfn.token"].claims["iss"])

    return asgi.protect(Litestar([who]), AUTHENTICATE)


def _quart() -> Any:
    app = Quart(__name__)

    @app.get("/who")
    async def who() -> str:
        return str(quart_request.scope["asapfn.token"].claims["iss"])

    app.asgi_app = asgi.protect(app.asgi_app, AUTHENTICATE)
    return app


def _django_asgi() -> Any:
    configure()
    return asgi.protect(get_asgi_application(), AUTHENTICATE)


FRAMEWORKS = [
    _starlette,
    _starlette_route,
    _fastapi,
    _litestar,
    _quart,
    _django_asgi,
]


def headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {SIGN('service')}"}


@pytest.mark.parametrize("make", FRAMEWORKS, ids=lambda make: make.__name__.strip("_"))
async def test_protect_works_alike_under_each_asgi_framework(make: Callable[[], Any]) -> None:
    transport = httpx.ASGITransport(make())
    async with httpx.AsyncClient(transport=transport, base_url="https://service.example") as client:
        good = await client.get("/who", headers=headers())
        bad = await client.get("/who", headers={"Authorization": "Bearer bad"})
    assert (good.status_code, good.text) == (200, "issuer")
    expect_refusal(bad)


def expect_refusal(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
    assert answer.json()["reason"] == "malformed"


def _flask(portal: Any) -> Any:
    app = Flask(__name__)

    @app.get("/who")
    def who() -> str:
        return str(flask_request.environ["asapfn.token"].claims["iss"])

    app.wsgi_app = wsgi.protect(app.wsgi_app, AUTHENTICATE, portal=portal)
    return app


def _django_wsgi(portal: Any) -> Any:
    configure()
    return wsgi.protect(get_wsgi_application(), AUTHENTICATE, portal=portal)


@pytest.mark.parametrize("make", [_flask, _django_wsgi], ids=lambda make: make.__name__.strip("_"))
def test_protect_works_alike_under_each_wsgi_framework(make: Callable[[Any], Any]) -> None:
    with start_blocking_portal() as portal:
        transport = httpx.WSGITransport(make(portal))
        with httpx.Client(transport=transport, base_url="https://service.example") as client:
            good = client.get("/who", headers=headers())
            bad = client.get("/who", headers={"Authorization": "Bearer bad"})
    assert (good.status_code, good.text) == (200, "issuer")
    expect_refusal(bad)
