"""Each client, with a token for one origin, following where that redirects to."""

from typing import Any

import aiohttp
import anyio
import httpx
import httpx2
import requests

from asapfn.adapters.aiohttp import client_middleware
from asapfn.adapters.httpx import auth, request_hook
from tests.support.servers import trusting


async def by_httpx(authorize: Any, origin: str, path: str) -> tuple[int, str]:
    async with httpx.AsyncClient(
        verify=trusting(), auth=auth(authorize), follow_redirects=True
    ) as client:
        answer = await client.get(origin + path)
        return answer.status_code, answer.text


async def by_httpx2_and_hook(authorize: Any, origin: str, path: str) -> tuple[int, str]:
    hooks = {"request": [request_hook(authorize, origins=origin)]}
    async with httpx2.AsyncClient(
        verify=trusting(), event_hooks=hooks, follow_redirects=True
    ) as client:
        answer = await client.get(origin + path)
        return answer.status_code, answer.text


async def by_aiohttp(authorize: Any, origin: str, path: str) -> tuple[int, str]:
    middleware = client_middleware(authorize, origins=origin)
    connector = aiohttp.TCPConnector(ssl=trusting())
    async with (
        aiohttp.ClientSession(connector=connector, middlewares=[middleware]) as client,
        client.get(origin + path) as answer,
    ):
        said = answer.status, await answer.text()
    await anyio.sleep(0.1)  # TLS is closed a little after the session is (aiohttp's documentation)
    return said


async def by_requests(authorize: Any, origin: str, path: str) -> tuple[int, str]:
    def authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = authorize(request.method, request.url)
        return request

    def ask() -> tuple[int, str]:
        with requests.Session() as client:
            answer = client.get(origin + path, auth=authenticate)
            return answer.status_code, answer.text

    return await anyio.to_thread.run_sync(ask)


CLIENTS = [by_httpx, by_httpx2_and_hook, by_aiohttp, by_requests]
