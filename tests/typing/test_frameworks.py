"""`protect` and the middleware as their users write them: type-checked, and run once."""

from typing import Annotated, Any

import aiohttp
import grpc
from aiohttp import web
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import Depends, FastAPI
from flask import Blueprint, Flask
from grpc import aio
from starlette.applications import Starlette
from starlette.middleware import Middleware

from asapfn import Request, Token, TokenRejected, also, any_of
from asapfn.adapters import asgi, wsgi
from asapfn.adapters import flask as flask_adapter
from asapfn.adapters import grpc as grpc_adapter
from asapfn.adapters.aiohttp import client_middleware, server_middleware
from asapfn.adapters.fastapi import REFUSALS, requires
from asapfn.checks import claim_includes, has_scopes
from asapfn.guards import issuer_is_one_of


async def authenticate(request: Request) -> Token:
    raise TokenRejected("missing_token")


def authorize(method: str, url: str) -> str:
    return "Bearer a.b.c"


def starlette() -> asgi.ASGIApp:
    inner = Starlette(middleware=[Middleware(asgi.protect, authenticate=authenticate)])
    inner.add_middleware(asgi.protect, authenticate=authenticate, optional=True)
    return asgi.protect(inner, authenticate, scheme="JWT")


def fastapi() -> FastAPI:
    app = FastAPI()
    app.add_middleware(asgi.protect, authenticate=authenticate)
    return app


def health(method: str, path: str) -> bool:
    return path == "/health"


Caller = Annotated[Token, Depends(requires(any_of(authenticate, authenticate), observe=print))]
refunds_only = requires(authenticate, has_scopes("refunds"), issuer_is_one_of("orders"))
Refunds = Annotated[Token, Depends(refunds_only)]


def endpoints() -> FastAPI:
    app = FastAPI(responses=REFUSALS)

    @app.get("/invoices")
    async def invoices(caller: Caller) -> str:
        return str(caller.claims["iss"])

    @app.post("/refunds")
    def refunds(caller: Refunds) -> None: ...

    app.add_middleware(
        asgi.protect, authenticate=also(authenticate, claim_includes("g", "a")), unless=health
    )
    return app


def who(scope: asgi.Scope) -> str:
    token: Token = asgi.token(scope)
    return str(token.claims["iss"])


def flask(portal: BlockingPortal) -> Flask:
    app = Flask(__name__)
    app.__dict__["wsgi_app"] = wsgi.protect(app.wsgi_app, authenticate, portal=portal)
    return app


def views() -> Flask:
    required = flask_adapter.requires(authenticate, has_scopes("refunds"))
    billing = Blueprint("billing", __name__)
    billing.before_request(required)

    @billing.get("/invoices/<int:number>")
    @required
    def invoice(number: int) -> str:
        return f"{number} {flask_adapter.token().claims['iss']}"

    app = Flask(__name__)
    app.register_blueprint(billing)
    return app


def server() -> web.Application:
    return web.Application(middlewares=[server_middleware(authenticate)])


async def session() -> aiohttp.ClientSession:
    middleware = client_middleware(authorize, origins="https://api.example")
    return aiohttp.ClientSession(middlewares=[middleware])


async def grpc_caller(request: bytes, context: "aio.ServicerContext[bytes, bytes]") -> bytes:
    caller: Token = grpc_adapter.token()
    return str(caller.claims["iss"]).encode()


def grpc_server() -> aio.Server:
    guarded = grpc_adapter.interceptor(authenticate, unless=health, observe=print)
    return aio.server(interceptors=[guarded])


def grpc_credentials() -> grpc.ChannelCredentials:
    mine = grpc_adapter.call_credentials(authorize)
    return grpc.composite_channel_credentials(grpc.ssl_channel_credentials(), mine)


def test_each_framework_takes_what_is_made_for_it() -> None:
    assert grpc_credentials() is not None
    made: list[Any] = [starlette(), fastapi(), endpoints(), views(), server()]
    with start_blocking_portal() as portal:
        made.append(flask(portal))
        portal.call(_closed)
    assert all(map(callable, made[:4]))


async def _closed() -> None:
    await grpc_server().stop(0)
    await (await session()).close()
