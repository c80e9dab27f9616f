"""A burst of unknown key ids, against a healthy repository that is 300 ms away.

Anybody can cause it: a token that no key verifies costs its sender nothing. The event loop must
stay responsive, a caller whose key is in the cache must not wait, and a new key must be found.
"""

import gc
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from asapfn import asap
from asapfn.adapters.httpx import fetcher
from asapfn.errors import Unavailable
from asapfn.keys import export_public_pem
from asapfn.types import Caching, Resolver
from tests.support.hanging import PEM, HangingServer, hanging_server, keeping
from tests.support.keyring import key_for
from tests.support.keysources import asking
from tests.support.servers import trusting
from tests.support.trust import trust

# Look-ups at once, and the time limit of each, which is also how long the burst lasts. It
# is whole once; what a client that is passed in adds shows as well with fewer.
BURSTS = {"no client": (3000, 8.0), "httpx": (150, 6.0), "httpx2": (150, 6.0)}
GENEROUS = Caching(issuer_misses=(1e6, 1_000_000), total_misses=(1e6, 1_000_000))
# Seconds. An idle machine needs a tenth of it; what is looked for is what grows with the burst.
LIMIT = 0.5 if sys.gettrace() is None else 1.0


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[HangingServer, str]]:
    with hanging_server() as (server, origin):
        key = keeping(
            "200 OK", export_public_pem(key_for("RS256")).encode(), f"Content-Type: {PEM}"
        )
        server.answers = {"/warm/key": key, "/new/key": key}
        server.by_default = keeping("404 Not Found")
        server.delay = 0.3
        yield server, origin


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Python's garbage collector stops the loop for a time that the whole test run decides."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=BURSTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def resolver(
    kind: str,
    running: tuple[HangingServer, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[Resolver]:
    async with AsyncExitStack() as stack:
        client = None
        if kind != "no client":
            package: Any = {"httpx": httpx, "httpx2": httpx2}[kind]
            client = await stack.enter_async_context(package.AsyncClient(verify=trusting()))
        trust(monkeypatch, tmp_path)
        yield asap.repository(
            running[1], fetcher(client, timeout=BURSTS[kind][1]), caching=GENEROUS
        )


async def test_3000_unknown_keys_leave_the_loop_responsive_and_a_new_key_is_found(
    resolver: Resolver, kind: str
) -> None:
    size, _ = BURSTS[kind]
    assert await resolver(asking("warm/key")) is not None
    # The loop's own work while the warm caller waits, and the time, which other processes add to.
    waits: list[tuple[float, float]] = []
    outcomes: list[object] = []

    async def unknown(number: int) -> None:
        try:
            outcomes.append(await resolver(asking(f"issuer{number % 100}/{number}")))
        except Unavailable as error:
            outcomes.append(error)

    async def watch() -> None:
        while True:
            began, worked = time.monotonic(), time.thread_time()
            await anyio.sleep(0.001)
            assert await resolver(asking("warm/key")) is not None
            waits.append((time.thread_time() - worked, time.monotonic() - began))

    async with anyio.create_task_group() as watching:
        watching.start_soon(watch)
        async with anyio.create_task_group() as burst:
            for number in range(size):
                burst.start_soon(unknown, number)
                if number % 20 == 0:
                    await anyio.sleep(0.005)
            # Within the time limit, though thousands wait.
            assert await resolver(asking("new/key")) is not None
        watching.cancel_scope.cancel()
    assert len(outcomes) == size
    assert max(waits)[0] < LIMIT, max(wait for _, wait in waits)
