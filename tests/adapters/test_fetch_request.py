"""A request in a task of its own, in event loops that end it."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from asapfn.adapters._fetch_request import Progress, in_own_task
from asapfn.resolvers import prefetch
from asapfn.types import Key, Unverified


async def until_cancelled() -> None:
    await anyio.sleep(20)


async def request() -> None:
    await in_own_task(until_cancelled, Progress())


async def warming() -> None:
    async def resolver(unverified: Unverified) -> Key | None:
        await until_cancelled()
        return None

    await prefetch(resolver, ["a/1", "a/2"])


async def cancel_alone(
    begin: Callable[[], Coroutine[Any, Any, None]], steps: int
) -> "asyncio.Task[None]":
    """Cancel the tasks that a task has begun, but not that task, as an event loop does that ends.

    Args:
        begin: What begins other tasks.
        steps: The turns of the event loop that the other tasks get.
    """
    before = asyncio.all_tasks()
    caller = asyncio.ensure_future(begin())
    while len(asyncio.all_tasks() - before) == 1:
        await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0)
    for each in asyncio.all_tasks() - before - {caller}:
        each.cancel()
    await asyncio.wait([caller], timeout=5)
    gc.collect()  # a coroutine that was never awaited warns, which is an error here
    return caller


@pytest.mark.parametrize("steps", [0, 3], ids=["before its first step", "later"])
async def test_a_request_that_the_event_loop_ends_alone_says_so(
    steps: int, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("trio cancels no task but by its scopes")
    caller = await cancel_alone(request, steps)
    with pytest.raises(RuntimeError, match="the event loop cancelled the request"):
        caller.result()


@pytest.mark.parametrize("steps", [0, 3], ids=["before its first step", "later"])
async def test_a_prefetch_whose_look_ups_the_event_loop_ends_leaves_nothing_unawaited(
    steps: int, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("trio cancels no task but by its scopes")
    assert (await cancel_alone(warming, steps)).done()


@pytest.mark.parametrize("begin", [request, warming])
async def test_a_caller_that_was_cancelled_before_leaves_nothing_unawaited(
    begin: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await begin()
    assert scope.cancelled_caught
    gc.collect()


@pytest.mark.parametrize("begin", [request, warming])
def test_an_event_loop_that_ends_when_a_task_has_just_begun_leaves_nothing_unawaited(
    begin: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    async def run() -> None:
        # It begins its task in the turn in which the loop stops.
        callers.append(asyncio.ensure_future(begin()))

    callers: list[asyncio.Task[None]] = []
    asyncio.run(run())
    assert callers[0].cancelled()
    gc.collect()
