"""A fetcher without a client of the caller's: any event loop, thread and process; nothing kept.

And a fetcher with one, which is for one event loop.
"""

import asyncio
import contextlib
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from asapfn.adapters.httpx import fetcher
from asapfn.errors import Unavailable
from asapfn.types import Fetch
from tests.support.hanging import PEM, HangingServer, hanging_server, open_files
from tests.support.servers import trusting
from tests.support.trust import trust

BACKENDS = ["asyncio", "trio"]


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[HangingServer, str]]:
    with hanging_server() as running:
        yield running


@pytest.fixture
def server(running: tuple[HangingServer, str]) -> HangingServer:
    running[0].phase, running[0].delay = "healthy", 0.0
    return running[0]


@pytest.fixture
def url(running: tuple[HangingServer, str], server: HangingServer) -> str:
    return f"{running[1]}/key"


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment says which certificates are trusted, as httpx's users know it."""
    trust(monkeypatch, tmp_path)


@pytest.fixture(params=["httpx", "httpx2"])
def only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the packages is installed."""
    if request.param == "httpx2":
        monkeypatch.setitem(sys.modules, "httpx", None)


async def body(fetch: Fetch, url: str) -> bytes:
    return (await fetch(url, PEM)).body


@pytest.mark.usefixtures("only")
async def test_it_fetches_with_whichever_package_is_installed(
    url: str, server: HangingServer
) -> None:
    assert await body(fetcher(), url) == b"key"


async def test_a_certificate_that_the_environment_does_not_name_is_not_trusted(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unavailable, match="certificate verify failed: unable to get local issuer"):
        await fetcher()(url, PEM)


async def test_it_goes_through_the_proxy_that_the_environment_names(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(Unavailable, match="ConnectError: Connection refused"):
        await fetcher()(url, PEM)


def test_one_fetcher_serves_any_number_of_event_loops_one_after_another(url: str) -> None:
    fetch = fetcher()
    for backend in BACKENDS * 3:
        assert anyio.run(body, fetch, url, backend=backend) == b"key"


def test_one_fetcher_serves_event_loops_in_several_threads_at_once(url: str) -> None:
    fetch = fetcher()
    bodies: list[bytes] = []

    def run(backend: str) -> None:
        bodies.extend(anyio.run(body, fetch, url, backend=backend) for _ in range(5))

    threads = [threading.Thread(target=run, args=(backend,)) for backend in BACKENDS * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert bodies == [b"key"] * 30


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_fetcher_serves_a_process_that_is_forked_while_it_fetches(
    url: str, server: HangingServer, backend: str
) -> None:
    fetch, asked = fetcher(), server.requests
    bodies: list[bytes] = []
    server.delay = 0.5
    found = multiprocessing.get_context("fork").Value("i", 0)

    def run() -> None:
        bodies.append(anyio.run(body, fetch, url, backend=backend))

    thread = threading.Thread(target=run)
    thread.start()
    while server.requests == asked:
        time.sleep(0.01)
    child = os.fork()
    if not child:
        try:
            found.value = int(anyio.run(body, fetch, url, backend=backend) == b"key")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    thread.join(10)
    assert (found.value, bodies) == (1, [b"key"])


@pytest.mark.parametrize("phase", ["tls", "head", "within the head", "body", "healthy"])
@pytest.mark.parametrize("how", ["deadline", "scope", "task"])
async def test_whatever_hangs_or_is_cancelled_leaves_nothing_open(
    url: str, server: HangingServer, phase: Any, how: str, anyio_backend_name: str
) -> None:
    if how == "task" and anyio_backend_name != "asyncio":
        pytest.skip("tasks are asyncio's")
    fetch = fetcher(timeout=0.2)
    with pytest.raises(Unavailable):
        await fetch("https://127.0.0.1:9/key", PEM)
    files = open_files()
    server.phase, server.delay = phase, 0.05

    async def ask(number: int) -> None:
        with anyio.move_on_after(0.003 * number if how == "scope" else 9):
            with contextlib.suppress(Unavailable):
                await body(fetch, f"{url}/{number}")

    if how == "task":
        tasks = [asyncio.ensure_future(ask(number)) for number in range(50)]
        for number, task in enumerate(tasks):
            asyncio.get_running_loop().call_later(0.003 * number, task.cancel)
        await asyncio.wait(tasks)
    else:
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(ask, number)
    server.phase, server.delay = "healthy", 0.0
    with anyio.fail_after(15):
        assert await body(fetcher(timeout=20), url) == b"key"
    with anyio.move_on_after(15):
        while open_files() > files:
            await anyio.sleep(0.01)
    assert open_files() <= files


async def test_a_source_that_hangs_leaves_places_for_another(
    url: str, server: HangingServer
) -> None:
    fetch = fetcher(timeout=40, max_concurrent=2)
    with hanging_server() as (hanging, origin):
        hanging.phase = "head"
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(body, fetch, f"{origin}/{number}")
            with anyio.fail_after(15):
                while hanging.requests < 2:
                    await anyio.sleep(0.01)
            await anyio.sleep(0.1)
            assert hanging.requests == 2
            with anyio.fail_after(15):
                assert await body(fetch, url) == b"key"
            group.cancel_scope.cancel()


async def test_a_source_that_is_well_again_is_found_before_the_fetches_that_hang_end(
    url: str, server: HangingServer
) -> None:
    fetch, asked = fetcher(timeout=40, max_concurrent=6), server.requests
    server.phase = "head"
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(body, fetch, f"{url}/{number}")
        with anyio.fail_after(15):
            while server.requests < asked + 6:
                await anyio.sleep(0.01)
        await anyio.sleep(1.1)
        server.phase = "healthy"
        with anyio.fail_after(15):
            assert await body(fetch, url) == b"key"
        group.cancel_scope.cancel()


async def test_fetches_that_wait_are_answered_soon_after_the_source_is_well_again(
    url: str, server: HangingServer
) -> None:
    fetch, asked = fetcher(timeout=40), server.requests
    bodies: list[bytes] = []

    async def ask(number: int) -> None:
        bodies.append(await body(fetch, f"{url}/{number}"))

    server.phase = "head"
    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(ask, number)
        with anyio.fail_after(15):
            while server.requests < asked + 21:
                await anyio.sleep(0.01)
        await anyio.sleep(0.6)
        server.phase = "healthy"
        hang = server.requests - asked
        with anyio.fail_after(15):
            while len(bodies) < 60 - hang:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()


async def test_a_fetch_that_gets_no_place_says_what_it_waited_for(
    url: str, server: HangingServer
) -> None:
    fetch = fetcher(timeout=2, max_concurrent=1)
    server.phase = "head"
    details = []

    async def ask(number: int) -> None:
        with pytest.raises(Unavailable) as raised:
            await fetch(f"{url}/{number}", PEM)
        details.append(raised.value.args[1])

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(ask, number)
    said = "no whole answer within 2 seconds: "
    # The place of the first is free at its deadline, which may let the next few begin.
    assert f"{said}waiting for the answer" in details
    assert f"{said}waiting for a place among the fetches under way" in details
    assert all(detail.startswith(said) for detail in details)


@pytest.mark.parametrize("package", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_client_of_the_callers_is_for_one_event_loop_and_the_refusal_says_why(
    package: Any, url: str, server: HangingServer
) -> None:
    client = package.AsyncClient(verify=trusting())
    fetch = fetcher(client)

    async def run() -> None:
        assert [await body(fetch, url) for _ in range(2)] == [b"key"] * 2
        asked = server.requests

        def elsewhere() -> None:
            with pytest.raises(Unavailable) as raised:
                asyncio.run(body(fetch, url))
            assert raised.value.args[1] == (
                "RuntimeError: the client's connections belong to the event loop that used it "
                "first: use fetcher() without a client, or a client for each event loop"
            )

        await asyncio.to_thread(elsewhere)
        assert server.requests == asked
        await client.aclose()

    asyncio.run(run())


async def test_a_hook_of_the_client_that_hangs_ends_soon_after_the_deadline(url: str) -> None:
    async def hang(request: Any) -> None:
        await anyio.sleep(60)

    hooks: Any = {"request": [hang]}
    async with httpx.AsyncClient(verify=trusting(), event_hooks=hooks) as client:
        with anyio.fail_after(30), pytest.raises(Unavailable, match="in the client's pool"):
            await fetcher(client, timeout=0.2)(url, PEM)


def test_making_a_fetcher_imports_no_client_and_reads_no_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    assert callable(fetcher())


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SSL_CERT_FILE", __file__, "SSL_CERT_FILE or SSL_CERT_DIR: SSLError: no certificate"),
        # httpx takes what is before the slash for the port, and says which it was.
        ("HTTPS_PROXY", "http://u:geh/eim@proxy:1", "ALL_PROXY is not a proxy's URL: InvalidURL"),
        ("HTTPS_PROXY", "socks5://u:geheim@proxy:1", "'socksio' package is not installed"),
    ],
)
@pytest.mark.usefixtures("only")
def test_a_variable_that_cannot_be_used_is_named_and_its_password_is_not_logged(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    monkeypatch.setenv(variable, value)
    with pytest.raises(Unavailable) as raised:
        anyio.run(fetcher(), "https://localhost:1/", PEM)
    assert said in raised.value.detail
    link: BaseException | None = raised.value
    while link is not None:
        assert "geh" not in f"{link} {link!r}"
        link = link.__cause__ or link.__context__
