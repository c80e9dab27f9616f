"""An aiohttp application behind tokens, and a server of it for tests."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from asapfn import Request, Token, Unavailable, asap, bearer, connect
from asapfn.adapters.aiohttp import server_middleware
from asapfn.resolvers import keys_by_id, shared_secrets
from tests.support.keyring import key_for
from tests.support.servers import serving

KEY = key_for("ES256")
AUTHENTICATE = bearer(asap.verifier(keys_by_id([KEY]), "service", issuers="issuer"))
SECRET = "a secret of at least thirty-two bytes"


async def secret_of(issuer: str) -> str | None:
    return SECRET if issuer == "product" else None


CONNECT = connect.authenticator(shared_secrets(secret_of), base_url="https://app.example")


def authorizer() -> Any:
    return asap.authorizer(asap.signer("issuer", KEY), "service")


async def unavailable(request: Request) -> Token:
    raise Unavailable("keys")


async def who(request: web.Request) -> web.StreamResponse:
    issuer = request["asapfn.token"].claims["iss"]
    if request.path == "/ws":
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str(issuer)
        await websocket.close()
        return websocket
    return web.Response(text=issuer)


def application() -> web.Application:
    app = web.Application()
    parts = {
        "/asap": server_middleware(AUTHENTICATE),
        "/connect": server_middleware(CONNECT, scheme="JWT"),
        "/down": server_middleware(unavailable),
    }
    for path, middleware in parts.items():
        part = web.Application(middlewares=[middleware])
        part.router.add_route("*", "/{tail:.*}", who)
        app.add_subapp(path, part)
    app.router.add_get("/ws", who)
    app.middlewares.append(protected_websocket)
    return app


@web.middleware
async def protected_websocket(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.path == "/ws":
        return await server_middleware(AUTHENTICATE)(request, handler)
    return await handler(request)


@contextlib.contextmanager
def aiohttp_server() -> Iterator[str]:
    """Serve the application over TLS, by an event loop in a thread of its own."""
    started, ports = threading.Event(), []
    stop: list[Any] = []

    async def serve() -> None:
        runner = web.AppRunner(application(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving())
        await site.start()
        ports.append(runner.addresses[0][1])
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(stopping.set))
        started.set()
        await stopping.wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield f"https://localhost:{ports[0]}"
    finally:
        stop[0]()
        thread.join(10)
