"""The tests of billing, with `asapfn.testing` and aiohttp's test client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import billing
import pytest
from aiohttp.test_utils import TestClient, TestServer

from asapfn import ReplayStore, Resolver, Unavailable, asap, testing
from asapfn.errors import Reason
from asapfn.replay import in_memory

CLOCK = testing.clock()
ORDERS, SHIPPING = testing.issuer("orders", now=CLOCK), testing.issuer("shipping", now=CLOCK)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def serving(resolver: Resolver, replay: ReplayStore) -> AsyncIterator[TestClient[Any, Any]]:
    app = billing.make_app(resolver, replay, now=CLOCK)
    async with TestServer(app) as server, TestClient(server) as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    async with serving(testing.resolver(ORDERS, SHIPPING), in_memory()) as client:
        yield client


async def answer(
    client: TestClient[Any, Any], headers: Mapping[str, str], path: str = "/invoices"
) -> tuple[int, str]:
    async with client.get(path, headers=headers) as response:
        if response.content_type == "application/problem+json":
            return response.status, (await response.json())["reason"]
        return response.status, await response.text()


async def test_each_caller_is_known_by_its_token(client: TestClient[Any, Any]) -> None:
    assert await answer(client, {}, "/health") == (200, "well")
    for issuer in (ORDERS, SHIPPING):
        headers = issuer.headers("billing")
        assert await answer(client, headers) == (200, f"Hello, {issuer.name}.")
        assert await answer(client, headers) == (401, "replayed")


@pytest.mark.parametrize("reason", testing.ASAP_REASONS)
async def test_a_broken_token_is_refused(client: TestClient[Any, Any], reason: Reason) -> None:
    headers = testing.broken(reason, ORDERS, "billing").headers
    assert (await answer(client, headers))[1] == reason


async def test_a_token_expires(client: TestClient[Any, Any]) -> None:
    headers = ORDERS.headers("billing", lifetime=30)
    CLOCK.time += 40
    assert await answer(client, headers) == (401, "expired")


async def test_an_outage_of_the_keys_or_of_the_store_is_to_be_tried_again() -> None:
    async def down(token_id: str, seconds: float) -> bool:
        raise Unavailable("redis.example", "connection refused")

    nothing = testing.fetch({}, otherwise=Unavailable("keys.example", "down"))
    keys = asap.repository(testing.REPOSITORY, nothing)
    for resolver, replay in ((keys, in_memory()), (testing.resolver(ORDERS), down)):
        async with serving(resolver, replay) as client:
            assert await answer(client, ORDERS.headers("billing")) == (503, "unavailable")
