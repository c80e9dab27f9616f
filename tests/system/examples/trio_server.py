"""A service on trio, under hypercorn: plain ASGI, its client and its server in one nursery's care.

export ASAP_PUBLIC_KEY_REPOSITORY_URL=https://keys.example/ ASAP_SERVER_AUDIENCE=billing
python trio_server.py localhost:8443 certificate.pem
"""

import sys
from typing import Any

import httpx
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from asapfn import asap, bearer
from asapfn.adapters.asgi import Receive, Scope, Send, protect
from asapfn.adapters.httpx import fetcher


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError("this service speaks http alone")
    await trio.sleep(0)  # here is where it would do its work
    body = f"Hello, {scope['asapfn.token'].claims['iss']}.".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def main(bind: str, certificate: str) -> None:
    async with httpx.AsyncClient() as client:
        protected: Any = protect(app, bearer(asap.verifier_from_env(fetcher(client))))
        config = Config.from_mapping(bind=bind, certfile=certificate, keyfile=certificate)
        await serve(protected, config)


trio.run(main, *sys.argv[1:])
