"""The cache between event loops and threads."""

import asyncio
import contextlib
import gc
import os
import threading

import anyio
import anyio.lowlevel
import pytest

from asapfn.errors import Unavailable
from asapfn.resolvers import activity, pem_repository
from asapfn.types import Caching, Document, Key
from tests.support.keysources import Clock, asking, down, flights_of, good, missing, settle
from tests.support.repository_client import URL, Client


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_two_loops_in_two_threads_share_keys_and_never_wait_for_one_another(
    other: str,
) -> None:
    client = Client()
    mine, theirs = threading.Event(), threading.Event()
    seen: list[str] = []

    async def fetch(url: str, accept: str) -> Document:
        client.repository.asked.append(url)
        landing = mine if client.requests == 1 else theirs
        while not landing.is_set():
            await anyio.sleep(0.001)
        return good(url)

    resolve = pem_repository(URL, fetch, clock=client.clock, observe=client.events)

    async def call() -> None:
        assert await resolve(asking()) is not None
        seen.append(threading.current_thread().name)

    async def herd() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(call)

    def run() -> None:
        anyio.run(herd, backend=other)

    thread = threading.Thread(target=run, name="theirs")
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(herd)
            while client.requests < 1:
                await anyio.sleep(0.001)
            thread.start()
            while client.requests < 2:
                await anyio.sleep(0.001)
            # Theirs lands first; ours, which asked before, must neither wait nor overwrite it.
            theirs.set()
            await anyio.to_thread.run_sync(thread.join)
            assert seen == ["theirs"] * 100
            assert await resolve(asking()) is not None
            mine.set()
    assert len(seen) == 200
    assert client.requests == 2


async def test_an_answer_asked_for_earlier_in_another_loop_does_not_undo_a_later_one() -> None:
    clock, asked = Clock(), list[str]()
    go_on = threading.Event()

    async def fetch(url: str, accept: str) -> Document:
        asked.append(url)
        if len(asked) > 1:
            return missing(url)
        while not go_on.is_set():
            await anyio.sleep(0.001)
        return good(url)

    resolve = pem_repository(URL, fetch, clock=clock)
    early: list[Key | None] = []

    async def ask_early() -> None:
        early.append(await resolve(asking()))

    thread = threading.Thread(target=anyio.run, args=(ask_early,))
    thread.start()
    while not asked:
        await anyio.sleep(0.001)
    assert await resolve(asking()) is None
    go_on.set()
    await anyio.to_thread.run_sync(thread.join)
    assert early == [None]
    assert await resolve(asking()) is None
    assert len(asked) == 2


def test_four_loops_stand_a_source_that_comes_and_goes() -> None:
    turns: list[int] = []

    async def fetch(url: str, accept: str) -> Document:
        turns.append(1)
        await anyio.lowlevel.checkpoint()
        return (good, missing, down)[len(turns) % 3](url)

    resolve = pem_repository(
        URL, fetch, caching=Caching(0.0, 0.0, 0.0, unknown_for=0.0, max_keys=3)
    )
    failures: list[BaseException] = []

    async def call(number: int) -> None:
        for turn in range(50):
            with contextlib.suppress(Unavailable):
                await resolve(asking(f"issuer{turn % 5}/{number % 3}"))
            if number % 3 == 0:
                # Another loop's failure may be newer than this one's clock reading.
                with anyio.move_on_after(0), contextlib.suppress(Unavailable):
                    await resolve(asking(f"issuer{turn % 5}/0"))

    async def herd() -> None:
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(call, number)

    def run(backend: str) -> None:
        try:
            anyio.run(herd, backend=backend)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(backend,)) for backend in ("asyncio", "trio") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert flights_of(resolve) == {}


def test_what_a_closed_loop_left_is_no_fetch_in_progress() -> None:
    client = Client()

    async def leave() -> None:
        client.repository.close_gate()
        with anyio.move_on_after(0.01):
            await client.resolve(asking())
        assert activity(client.resolve).fetching == 1

    loop = asyncio.new_event_loop()
    # asyncio complains about tasks that are dropped while pending; that is its user's fault.
    loop.set_exception_handler(lambda loop, context: None)
    loop.run_until_complete(leave())
    loop.close()
    assert activity(client.resolve).fetching == 0
    flights_of(client.resolve).clear()
    gc.collect()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_fork_takes_no_fetch_in_progress_along() -> None:
    client = Client()
    open_gate = client.repository.close_gate()
    async with anyio.create_task_group() as group:
        group.start_soon(client.resolve, asking())
        await settle()
        child = os.fork()
        if child == 0:  # pragma: no cover
            os._exit(activity(client.resolve) != (0, 0, 0, 0))
        assert os.waitpid(child, 0)[1] == 0
        assert activity(client.resolve)[:2] == (1, 1)
        open_gate()
