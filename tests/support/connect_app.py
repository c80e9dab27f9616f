"""A Connect app as its developer would write it: Starlette, tenants in SQLite, and asapfn.

It is served at `BASE_URL` as far as the product knows; where it really listens plays no part.
"""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from asapfn import TokenRejected, Unavailable, connect
from asapfn.adapters import asgi
from asapfn.adapters.httpx import fetcher
from asapfn.errors import challenge
from asapfn.resolvers import shared_secrets
from tests.support.servers import trusting

BASE_URL = "https://app.example/connect"


class Tenants:
    """The tenants of the app, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._execute("create table tenants (client_key text primary key, secret text, url text)")

    def _execute(self, statement: str, *values: str) -> tuple[str, ...] | None:
        # A connection belongs to one thread, and which one this is changes.
        with contextlib.closing(sqlite3.connect(self._path)) as database, database:
            row: tuple[str, ...] | None = database.execute(statement, values).fetchone()
            return row

    async def _run(self, statement: str, *values: str) -> tuple[str, ...] | None:
        return await anyio.to_thread.run_sync(self._execute, statement, *values)

    async def secret(self, client_key: str) -> str | None:
        row = await self._run("select secret from tenants where client_key = ?", client_key)
        return row[0] if row else None

    async def store(self, installation: connect.Installation) -> None:
        await self._run(
            "insert or replace into tenants values (?, ?, ?)",
            installation.client_key,
            installation.shared_secret,
            installation.base_url,
        )

    async def remove(self, installation: connect.Installation) -> None:
        await self._run("delete from tenants where client_key = ?", installation.client_key)


def connect_app(database: Path, hosts: Mapping[str, Any]) -> Starlette:
    """Make the app.

    Args:
        database: Where the tenants are kept; there is no such file yet.
        hosts: The hosts of the products it may be installed in.
    """
    tenants = Tenants(database)
    secrets = shared_secrets(tenants.secret)
    authenticate = connect.authenticator(secrets, base_url=BASE_URL)
    authenticate_context = connect.context_authenticator(secrets)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with httpx.AsyncClient(verify=trusting()) as client:
            yield {"keys": connect.install_keys(fetcher(client), hosts=hosts)}

    def lifecycle(
        act: Callable[[connect.Installation], Awaitable[None]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            installation = await connect.verify_install(
                asgi.request(request.scope),
                await request.body(),
                request.state.keys,
                base_urls=BASE_URL,
            )
            await act(installation)
            return Response(status_code=204)

        return endpoint

    async def webhook(request: Request) -> Response:
        token = await authenticate(asgi.request(request.scope))
        return JSONResponse({"tenant": token.claims["iss"], "event": await request.json()})

    async def page(request: Request) -> Response:
        token = await authenticate(asgi.request(request.scope))
        return JSONResponse({"tenant": token.claims["iss"], "issue": request.query_params["issue"]})

    async def items(request: Request) -> Response:
        token = await authenticate_context(asgi.request(request.scope))
        return JSONResponse({"tenant": token.claims["iss"]})

    routes = [
        Route("/installed", lifecycle(tenants.store), methods=["POST"]),
        Route("/uninstalled", lifecycle(tenants.remove), methods=["POST"]),
        Route("/webhook", webhook, methods=["POST"]),
        Route("/page", page),
        Route("/api/items", items),
    ]
    return Starlette(
        routes=[Mount("/connect", routes=routes)],
        lifespan=lifespan,
        exception_handlers={TokenRejected: rejected, Unavailable: unavailable},
    )


async def rejected(request: Request, error: Any) -> Response:
    headers = {"WWW-Authenticate": challenge(error, "JWT")}
    return JSONResponse({"reason": error.reason}, error.status, headers)


async def unavailable(request: Request, error: Any) -> Response:
    return JSONResponse({"reason": "unavailable"}, error.status)
