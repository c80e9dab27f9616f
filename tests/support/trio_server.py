"""Hypercorn on trio, as `servers.asgi_server` is uvicorn on asyncio."""

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve


@contextlib.contextmanager
def trio_server(app: Any, *, root_path: str = "") -> Iterator[str]:
    """Serve an ASGI application, in the clear, in a thread of its own.

    Args:
        app: The application.
        root_path: Where a proxy before it is taken to have mounted it.

    Yields:
        Its origin.
    """
    config = Config()
    config.bind, config.errorlog, config.root_path = ["127.0.0.1:0"], None, root_path
    # A client that keeps its connection is not waited for.
    config.graceful_timeout = 0.1
    started = threading.Event()
    origins: list[str] = []
    ends: list[partial[None]] = []

    async def run() -> None:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            origins[:] = await nursery.start(
                partial(serve, app, config, shutdown_trigger=stop.wait)
            )
            token = trio.lowlevel.current_trio_token()
            ends.append(partial(token.run_sync_soon, stop.set))
            started.set()

    thread = threading.Thread(target=trio.run, args=(run,), daemon=True)
    thread.start()
    try:
        assert started.wait(10), "the server did not start"
        yield origins[0]
    finally:
        for end in ends:
            end()
        thread.join(10)
