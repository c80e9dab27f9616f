"""The memo between event loops and threads."""

import contextlib
import threading

import anyio
import anyio.lowlevel
import pytest

from asapfn.errors import Unavailable
from asapfn.resolvers import pem_repository
from asapfn.types import Caching, Document, Key
from tests.support.keyhouse import URL, House
from tests.support.keysources import Clock, asking, down, flights_of, good, missing


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_two_loops_in_two_threads_share_keys_and_never_wait_for_one_another(
    other: str,
) -> None:
    house = House()
    mine, theirs = threading.Event(), threading.Event()
    seen: list[str] = []

    async def fetch(url: str, accept: str) -> Document:
        house.repository.asked.append(url)
        landing = mine if house.requests == 1 else theirs
        while not landing.is_set():
            await anyio.sleep(0.001)
        return good(url)

    resolve = pem_repository(URL, fetch, clock=house.clock, observe=house.events)

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
            while house.requests < 1:
                await anyio.sleep(0.001)
            thread.start()
            while house.requests < 2:
                await anyio.sleep(0.001)
            # Theirs lands first; ours, which asked before, must neither wait nor overwrite it.
            theirs.set()
            await anyio.to_thread.run_sync(thread.join)
            assert seen == ["theirs"] * 100
            assert await resolve(asking()) is not None
            mine.set()
    assert len(seen) == 200
    assert house.requests == 2


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
