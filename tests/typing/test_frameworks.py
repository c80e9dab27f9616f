"""`protect` and the middleware as their users write them: type-checked, and run once."""

from typing import Any

import aiohttp
from aiohttp import web
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware

from asapfn import Request, Token, TokenRejected
from asapfn.adapters import asgi, wsgi
from asapfn.adapters.aiohttp import client_middleware, server_middleware


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


def flask(portal: BlockingPortal) -> Flask:
    app = Flask(__name__)
    app.__dict__["wsgi_app"] = wsgi.protect(app.wsgi_app, authenticate, portal=portal)
    return app


def server() -> web.Application:
    return web.Application(middlewares=[server_middleware(authenticate)])


async def session() -> aiohttp.ClientSession:
    middleware = client_middleware(authorize, origins="https://api.example")
    return aiohttp.ClientSession(middlewares=[middleware])


def test_each_framework_takes_what_is_made_for_it() -> None:
    made: list[Any] = [starlette(), fastapi(), server()]
    with start_blocking_portal() as portal:
        made.append(flask(portal))
        portal.call(_closed)
    assert all(map(callable, made[:2]))


async def _closed() -> None:
    await (await session()).close()
