"""Running a coroutine that suspends nowhere, so without an event loop."""

import functools
from collections.abc import Callable, Coroutine

import pytest

ADVICE = "with @pytest.mark.anyio this test runs on both event loops"


def without_event_loop(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Turn a test that awaits nothing real into a plain one, which fails if it ever suspends."""

    @functools.wraps(test)
    def stepped(*args: object, **kwargs: object) -> None:
        coroutine = test(*args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        except RuntimeError as error:  # what anyio raises where it needs a loop, among others
            error.add_note(ADVICE)
            raise
        finally:
            coroutine.close()
        pytest.fail(f"it suspends: {ADVICE}")

    return stepped
