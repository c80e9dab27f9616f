"""Billing, with aiohttp: orders and shipping call it, each once with each of its tokens.

python billing.py
"""

import time

from aiohttp import web

from asapfn import Clock, ReplayStore, Resolver, asap, bearer
from asapfn.adapters.aiohttp import server_middleware
from asapfn.adapters.httpx import fetcher
from asapfn.replay import in_memory


async def health(request: web.Request) -> web.Response:
    return web.Response(text="well")


async def invoices(request: web.Request) -> web.Response:
    return web.Response(text=f"Hello, {request['asapfn.token'].claims['iss']}.")


def make_app(resolver: Resolver, replay: ReplayStore, *, now: Clock = time.time) -> web.Application:
    """Make the application, for keys from anywhere and any store of used tokens."""
    verify = asap.verifier(
        resolver, "billing", issuers=["orders", "shipping"], replay=replay, now=now
    )
    authenticated = server_middleware(bearer(verify), unless=lambda method, path: path == "/health")
    app = web.Application(middlewares=[authenticated])
    app.add_routes([web.get("/health", health), web.get("/invoices", invoices)])
    return app


if __name__ == "__main__":
    keys = asap.repository("https://keys.example/", fetcher())
    web.run_app(make_app(keys, in_memory()))
