"""A service as an operator runs it, for real servers; nothing is set up for its log but one line.

Who may call is chosen by the path: `/once` accepts a token once, by Redis, `/scoped` demands a
scope, `/connect` speaks Connect. Where keys are is in the environment: of `orders` in a repository,
of each other issuer in one that has its own fault.
"""

import json
import logging
import os
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis

from asapfn import Request, Token, also, asap, bearer, connect
from asapfn.adapters import asgi, wsgi
from asapfn.adapters.httpx import fetcher
from asapfn.adapters.redis import replay_store
from asapfn.checks import has_scopes
from asapfn.resolvers import by_issuer, shared_secrets

if "QUIET" not in os.environ:
    logging.basicConfig(level=logging.INFO)

fetch = fetcher(headers={"Authorization": os.environ["CREDENTIALS"]})
places = {"orders": os.environ["KEYS"]} | json.loads(os.environ["FAULTY"])
resolver = by_issuer({issuer: asap.repository(url, fetch) for issuer, url in places.items()})
store = replay_store(Redis.from_url(os.environ["REDIS"], socket_timeout=None), timeout=1.0)


async def secret_of(issuer: str) -> str | None:
    """The secret of the one tenant there is."""
    return os.environ["SECRET"] if issuer == "tenant" else None


services = bearer(asap.verifier(resolver, "billing", issuers=list(places)))
once = bearer(asap.verifier(resolver, "billing", issuers=list(places), replay=store))
product = connect.authenticator(shared_secrets(secret_of), base_url="https://app.example")
parts = {"/once": once, "/scoped": also(services, has_scopes("refunds")), "/connect": product}


async def authenticate(request: Request) -> Token:
    """Choose by the path."""
    path = (request.target or "").partition("?")[0]
    return await parts.get(path, services)(request)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Greet, by ASGI."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def plain(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Greet, by WSGI."""
    start_response("200 OK", [])
    return [b"hello"]


by_asgi = asgi.protect(app, authenticate)
by_wsgi = wsgi.protect(plain, authenticate)
