"""What users write with httpx and httpx2: type-checked, and run to see that it is taken."""

import httpx
import httpx2

from asapfn.adapters.httpx import auth, fetcher, request_hook
from asapfn.types import Authorize, Fetch


def authorize(method: str, url: str) -> str:
    return "Bearer a.b.c"


async def authorize_later(method: str, url: str) -> str:
    return "Bearer a.b.c"


async def test_a_fetcher_takes_the_async_client_of_either_package() -> None:
    async with httpx.AsyncClient() as client, httpx2.AsyncClient() as client2:
        fetches: list[Fetch] = [
            fetcher(),
            fetcher(client, headers={"User-Agent": "billing/1.0"}),
            fetcher(client2, timeout=1, max_bytes=1024, max_concurrent=5),
        ]
    assert all(map(callable, fetches))


async def test_auth_is_taken_by_all_clients_and_by_their_requests() -> None:
    given: Authorize = authorize
    with httpx.Client(auth=auth(given)) as client, httpx2.Client(auth=auth(given)) as client2:
        assert isinstance(client.auth, httpx.Auth)
        assert isinstance(client2.auth, httpx2.Auth)
    async with (
        httpx.AsyncClient(auth=auth(given)) as later,
        httpx2.AsyncClient(auth=auth(given)) as later2,
    ):
        assert isinstance(later.auth, httpx.Auth)
        assert isinstance(later2.auth, httpx2.Auth)


async def test_a_hook_is_taken_by_either_async_client() -> None:
    hook = request_hook(authorize, origins="https://a.example")
    later = request_hook(authorize_later, origins={"https://a.example", "https://b.example"})
    async with (
        httpx.AsyncClient(event_hooks={"request": [hook, later]}) as client,
        httpx2.AsyncClient(event_hooks={"request": [hook, later]}) as client2,
    ):
        assert client.event_hooks["request"] == client2.event_hooks["request"]
