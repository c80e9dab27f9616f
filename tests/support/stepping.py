"""Running a coroutine that suspends nowhere, so without an event loop."""

import functools
from collections.abc import Callable, Coroutine

import pytest


def without_event_loop(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Turn a test that awaits nothing real into a plain one, which fails if it ever suspends."""

    @functools.wraps(test)
    def stepped(*args: object, **kwargs: object) -> None:
        coroutine = test(*args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        finally:
            coroutine.close()
        pytest.fail("this test suspends: with @pytest.mark.anyio it runs on both event loops")

    return stepped
