"""A service of aiohttp: a middleware before all its handlers, which knows who may call what.

export ASAP_PUBLIC_KEY_REPOSITORY_URL=https://keys.example/ ASAP_SERVER_AUDIENCE=billing
python aiohttp_server.py localhost:8443 certificate.pem
"""

import asyncio
import ssl
import sys

from aiohttp import web

from asapfn import Request, Token, also, asap, bearer
from asapfn.adapters.aiohttp import server_middleware
from asapfn.adapters.httpx import fetcher
from asapfn.guards import issuer_is_one_of

by_anyone = bearer(asap.verifier_from_env(fetcher()))
by_orders = also(by_anyone, issuer_is_one_of("orders"))


async def authenticate(request: Request) -> Token:
    """Let any known caller have these, and orders alone all else."""
    path = (request.target or "").partition("?")[0]
    return await (by_anyone if path in ("/invoices", "/events") else by_orders)(request)


async def health(request: web.Request) -> web.Response:
    return web.Response(text="well")


async def invoices(request: web.Request) -> web.Response:
    return web.Response(text=f"Hello, {request['asapfn.token'].claims['iss']}.")


async def refunds(request: web.Request) -> web.Response:
    return web.Response(text=f"Refunded, {request['asapfn.token'].claims['iss']}.")


async def events(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    await websocket.send_str(f"Hello, {request['asapfn.token'].claims['iss']}.")
    await websocket.close()
    return websocket


def make_app() -> web.Application:
    guarded = server_middleware(authenticate, unless=lambda method, path: path == "/health")
    app = web.Application(middlewares=[guarded])
    app.router.add_get("/health", health)
    app.router.add_get("/invoices", invoices)
    app.router.add_post("/refunds", refunds)
    app.router.add_get("/events", events)
    return app


async def main(bind: str, certificate: str) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    runner = web.AppRunner(make_app())
    await runner.setup()
    host, _, port = bind.rpartition(":")
    site = web.TCPSite(runner, host, int(port), ssl_context=tls)
    await site.start()
    print("port", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
