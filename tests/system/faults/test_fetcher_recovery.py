"""A fetcher recovers: whatever was cancelled or timed out, at whatever point, it works afterwards.

The repository hangs at each phase of a request while many fetches are begun and torn down; then it
is well again. The next fetch must succeed within a second, the client's pool must be free, and no
socket may be left open. The pools are smaller and larger than the number of fetches at once.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from asapfn.adapters.httpx import fetcher
from asapfn.errors import Unavailable
from asapfn.types import Fetch
from tests.support.hanging import (
    PEM,
    HangingServer,
    assert_nothing_is_left,
    hanging_server,
    open_files,
    unreachable,
)
from tests.support.servers import trusting

PACKAGES = {"httpx": httpx, "httpx2": httpx2}
PHASES = ["tls", "head", "within the head", "body", "healthy"]
# Pools smaller and larger than the number of fetches at once, of both packages.
POOLS = [("httpx", 1), ("httpx", 100), ("httpx2", 2)]
LARGE = {"X-Large": "x" * 8_000_000}
# How long callers are cancelled at random.
SECONDS = float(os.environ.get("ASAPFN_RECOVERY_SECONDS", "0.5"))


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[HangingServer, str]]:
    with hanging_server() as running:
        yield running


@pytest.fixture
def server(running: tuple[HangingServer, str]) -> HangingServer:
    running[0].phase, running[0].delay = "healthy", 0.0
    return running[0]


@pytest.fixture
def origin(running: tuple[HangingServer, str], server: HangingServer) -> str:
    return running[1]


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> Any:
    return PACKAGES[request.param]


@pytest.fixture(params=POOLS, ids=lambda pool: f"{pool[0]}, pool of {pool[1]}")
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    package = PACKAGES[request.param[0]]
    limits = package.Limits(max_connections=request.param[1])
    async with package.AsyncClient(verify=trusting(), limits=limits) as client:
        yield client


async def asked(fetch: Fetch, url: str) -> None:
    """One fetch, whatever comes of it."""
    with contextlib.suppress(Unavailable):
        await fetch(url, PEM)


async def until_the_deadline(fetch: Fetch, url: str, seconds: float) -> None:
    await asked(fetch, url)


async def cancelled_by_a_scope(fetch: Fetch, url: str, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await asked(fetch, url)


async def cancelled_as_a_task(fetch: Fetch, url: str, seconds: float) -> None:
    """Cancelled as asyncio does it, which passes every shield, and twice."""
    task = asyncio.ensure_future(asked(fetch, url))
    # No task is left to the end of the event loop, which anyio's own connecting warns of.
    with anyio.CancelScope(shield=True):
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])


ENDINGS = [until_the_deadline, cancelled_by_a_scope, cancelled_as_a_task]


@pytest.fixture(params=ENDINGS, ids=lambda ending: ending.__name__)
def ending(request: pytest.FixtureRequest, anyio_backend: str) -> Any:
    if request.param is cancelled_as_a_task and anyio_backend != "asyncio":
        pytest.skip("tasks are asyncio's")
    return request.param


async def many(fetch: Fetch, url: str, ending: Any, *, count: int, within: float) -> None:
    """Begin fetches at once, and end each at a time of its own."""
    at = random.Random(count)
    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(ending, fetch, f"{url}/{number}", at.uniform(0, within))


async def assert_it_recovers(client: Any, origin: str, files: int) -> None:
    # A second on an idle machine; a place that was lost is never free.
    with anyio.fail_after(15):
        document = await fetcher(client, timeout=20)(f"{origin}/next", PEM)
    assert document.body == b"key"
    await assert_nothing_is_left(client, files)


@pytest.mark.parametrize("phase", PHASES)
async def test_it_recovers_from_a_repository_that_hangs(
    client: Any, server: HangingServer, origin: str, phase: Any, ending: Any
) -> None:
    files = open_files()
    server.phase, server.delay = phase, 0.03
    fetch = fetcher(client, timeout=0.2)
    await many(fetch, origin, ending, count=40, within=0.15)
    server.phase, server.delay = "healthy", 0.0
    await assert_it_recovers(client, origin, files)


async def test_it_recovers_from_a_host_that_cannot_be_reached(
    client: Any, origin: str, ending: Any
) -> None:
    files = open_files()
    with unreachable() as nowhere:
        await many(fetcher(client, timeout=0.2), nowhere, ending, count=30, within=0.15)
    await assert_it_recovers(client, origin, files)


async def test_it_recovers_from_a_repository_that_reads_no_request(
    client: Any, server: HangingServer, origin: str, ending: Any
) -> None:
    files = open_files()
    server.phase = "writing"
    fetch = fetcher(client, timeout=0.3, headers=LARGE)
    await many(fetch, origin, ending, count=5, within=0.25)
    server.phase = "healthy"
    await assert_it_recovers(client, origin, files)


async def test_300_misses_at_once_three_times_while_it_hangs_leave_the_pool_free(
    package: Any, server: HangingServer, origin: str
) -> None:
    async with package.AsyncClient(verify=trusting()) as client:
        files = open_files()
        server.phase = "head"
        for _ in range(3):
            await many(
                fetcher(client, timeout=0.3), origin, until_the_deadline, count=300, within=0
            )
        server.phase = "healthy"
        await assert_it_recovers(client, origin, files)


async def test_callers_that_are_cancelled_at_random_lose_no_place(
    client: Any, server: HangingServer, origin: str, ending: Any
) -> None:
    files = open_files()
    server.delay = 0.02
    fetch = fetcher(client, timeout=0.3)
    with anyio.move_on_after(SECONDS):
        while True:
            await many(fetch, origin, ending, count=40, within=0.2)
    server.delay = 0.0
    await assert_it_recovers(client, origin, files)


@pytest.mark.parametrize("phase", ["tls", "body", "healthy"])
async def test_fetchers_that_share_a_client_lose_no_place_in_its_queue(
    package: Any, server: HangingServer, origin: str, phase: Any, ending: Any
) -> None:
    async with package.AsyncClient(
        verify=trusting(), limits=package.Limits(max_connections=2)
    ) as client:
        files = open_files()
        server.phase, server.delay = phase, 0.02
        async with anyio.create_task_group() as group:
            for number in range(5):
                fetch = fetcher(client, timeout=0.2)
                run = partial(many, count=20, within=0.15)
                group.start_soon(run, fetch, f"{origin}/{number}", ending)
        server.phase, server.delay = "healthy", 0.0
        await assert_it_recovers(client, origin, files)
