"""Run a coroutine in one step, without an event loop: it works unless the coroutine must wait.

With the key in the cache nothing in a verification waits, so a thread can run it to its end, as it
would call a function. A coroutine that must wait is closed, and the caller runs it again in an
event loop. So nothing with an effect may come before the first wait, and `checks.not_replayed`
asks for an event loop first.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio import NoEventLoopError
from anyio.lowlevel import current_token

from asapfn.errors import Unavailable
from asapfn.types import Token

_T = TypeVar("_T")


def in_event_loop() -> bool:
    """Whether an event loop runs in this thread: there a coroutine is awaited, not run here."""
    try:
        current_token()
    except RuntimeError:  # also in a thread that has the context of an event loop's task
        return False
    return True


def run_one_step(make: Callable[[], Awaitable[_T]]) -> _T:
    """Run what `make` returns to its end, provided that it does not wait.

    Raises:
        RuntimeError: If it waits, or needs an event loop for another reason. What it raises itself
            is raised unchanged.
    """

    async def run() -> _T:
        return await make()

    coroutine = run()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    coroutine.close()
    raise NoEventLoopError("it waits, which needs an event loop")


def at_once(verify: Callable[[str], Awaitable[Token]]) -> Callable[[str], Token]:
    """Make a function that verifies without an event loop, where the key need not be fetched.

    Args:
        verify: Verifies a token, such as `asap.verifier(...)`. Checks of your own that have an
            effect must wait for something first, since what waits is run again.

    Returns:
        A function of a token, safe to call from any thread. It raises what `verify` does, and
        `Unavailable` if verifying this token needs an event loop: its key is not in the cache, or a
        check waits, as `checks.not_replayed` does. To verify it all the same, await `verify`. It
        raises RuntimeError within an event loop.
    """

    def verify_at_once(token: str) -> Token:
        if in_event_loop():
            raise RuntimeError("an event loop runs in this thread: await verify(token) instead")
        try:
            return run_one_step(lambda: verify(token))
        except RuntimeError as error:
            raise Unavailable("verification at once", "it needs an event loop") from error

    return verify_at_once
