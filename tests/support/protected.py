"""One service behind tokens, by ASGI, WSGI and aiohttp, for real servers in their own processes.

`asgi`, `wsgi()` and `aiohttp()` answer alike: with who called, on every path; `/once` takes a token
once, `/shared` once by Redis, `/scoped` one with a scope, `/mounted` is a mounted application that
speaks Connect, `/go` redirects elsewhere. Where the keys are, Redis, and elsewhere, is in the
environment.
"""

import asyncio
import atexit
import contextlib
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import trio
from anyio.from_thread import start_blocking_portal

from asapfn import Authenticate, Fetch, ReplayStore, also, asap, bearer, connect
from asapfn.adapters.httpx import fetcher
from asapfn.adapters.redis import replay_store
from asapfn.checks import has_scopes
from asapfn.replay import in_memory
from asapfn.resolvers import by_issuer, shared_secrets

SECRET = "a secret of at least thirty-two bytes"


async def _secret_of(issuer: str) -> str | None:
    return SECRET if issuer == "product" else None


@contextlib.asynccontextmanager
async def shared_store() -> AsyncIterator[ReplayStore]:
    """Open the store that is in Redis, by a client for the event loop that runs."""
    url = os.environ["REDIS"]
    if trio.lowlevel.in_trio_run():
        import coredis
        from coredis.retry import NoRetryPolicy

        async with coredis.Redis.from_url(
            url, connect_timeout=1, stream_timeout=1, retry_policy=NoRetryPolicy()
        ) as client:
            yield replay_store(client, timeout=5)
        return
    from redis.asyncio import BlockingConnectionPool, Redis

    pool = BlockingConnectionPool.from_url(url, timeout=None)
    async with Redis.from_pool(pool) as redis:
        yield replay_store(redis, timeout=5)


def authenticators(fetch: Fetch, shared: ReplayStore) -> Mapping[str, Authenticate]:
    """Who may call which part of the service, the root last."""
    resolver = by_issuer(
        {
            "issuer": asap.repository(os.environ["KEYS"], fetch),
            "down": asap.repository(os.environ["DOWN"], fetch),
        }
    )
    once = asap.verifier(resolver, "service", issuers=None, replay=in_memory())
    once_by_redis = asap.verifier(resolver, "service", issuers=None, replay=shared)
    verify = asap.verifier(resolver, "service", issuers=None)
    return {
        "/once": bearer(once),
        "/shared": bearer(once_by_redis),
        "/mounted": connect.authenticator(
            shared_secrets(_secret_of), base_url="https://service.example"
        ),
        "/scoped": also(bearer(verify), has_scopes("refunds")),
        "": bearer(verify),
    }


def _schemes(path: str) -> str:
    return "JWT" if path == "/mounted" else "Bearer"


def _elsewhere(path: str) -> str | None:
    return os.environ["ELSEWHERE"] if path == "/go" else None


async def _asgi_service(scope: Any, receive: Any, send: Any) -> None:
    who = scope["asapfn.token"].claims["iss"]
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": who})
        await send({"type": "websocket.close", "code": 1000})
        return
    to = _elsewhere(scope["path"])
    headers = [(b"location", to.encode())] if to else [(b"x-reached", b"yes")]
    status = 302 if to else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else who.encode()
    await send({"type": "http.response.body", "body": body})


def _asgi() -> Any:
    from starlette.applications import Starlette

    from asapfn.adapters.asgi import protect

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx.AsyncClient() as client, shared_store() as shared:
            for path, authenticate in authenticators(fetcher(client), shared).items():
                app.mount(path, protect(_asgi_service, authenticate, scheme=_schemes(path)))
            yield

    return Starlette(lifespan=lifespan)


def wsgi() -> Any:
    """Make the WSGI application, with a portal of this process."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from asapfn.adapters.wsgi import protect

    def service(environ: Any, start_response: Any) -> list[bytes]:
        to = _elsewhere(environ["PATH_INFO"])
        headers = [("Location", to)] if to else [("X-Reached", "yes")]
        start_response("302 Found" if to else "200 OK", headers)
        who = environ["asapfn.token"].claims["iss"].encode()
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [who]

    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    portal = stack.enter_context(start_blocking_portal())
    client = stack.enter_context(portal.wrap_async_context_manager(httpx.AsyncClient()))
    shared = stack.enter_context(portal.wrap_async_context_manager(shared_store()))
    parts = {
        path: protect(service, authenticate, portal=portal, scheme=_schemes(path))
        for path, authenticate in authenticators(fetcher(client), shared).items()
    }
    return DispatcherMiddleware(parts.pop(""), parts)


def bare(environ: Any, start_response: Any) -> list[bytes]:
    """Stand in for an application that nothing protects yet."""
    start_response("200 OK", [("X-Reached", "yes")])
    return [b"nobody"]


def aiohttp(shared: ReplayStore) -> Any:
    """Make aiohttp's application."""
    from aiohttp import web

    from asapfn.adapters.aiohttp import server_middleware

    async def service(request: web.Request) -> web.StreamResponse:
        who = request["asapfn.token"].claims["iss"]
        if request.headers.get("Upgrade") == "websocket":
            websocket = web.WebSocketResponse()
            await websocket.prepare(request)
            await websocket.send_str(who)
            await websocket.close()
            return websocket
        if to := _elsewhere(request.path):
            raise web.HTTPFound(to)
        return web.Response(text=who, headers={"X-Reached": "yes"})

    applications = {}
    for path, authenticate in authenticators(fetcher(httpx.AsyncClient()), shared).items():
        middleware = server_middleware(authenticate, scheme=_schemes(path))
        applications[path] = web.Application(middlewares=[middleware])
    root = web.Application()
    for path, application in applications.items():
        application.router.add_route("*", "/{tail:.*}", service)
        if path:
            root.add_subapp(path, application)
    # aiohttp mounts nothing at the root.
    root.router.add_route("*", "/{tail:.*}", service)

    @web.middleware
    async def at_the_root(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.match_info.apps[-1] is root:
            return await applications[""].middlewares[0](request, handler)
        return await handler(request)

    root.middlewares.append(at_the_root)
    return root


async def serve_aiohttp(descriptor: int, certificate: str) -> None:
    """Serve aiohttp's application on a listening socket."""
    from aiohttp import web

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with shared_store() as shared:
        runner = web.AppRunner(aiohttp(shared))
        await runner.setup()
        await web.SockSite(runner, socket.socket(fileno=descriptor), ssl_context=context).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve_aiohttp(int(sys.argv[1]), sys.argv[2]))
elif "KEYS" in os.environ:
    asgi = _asgi()
