"""The servers that the soak's service runs in: uvicorn on asyncio, hypercorn on trio."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

# Seconds that the servers keep idle connections. The clients close what was idle for less.
KEPT = 5
# What begins the line of the log for a connection that the server lost by a fault of its own.
LOST = "the server itself lost a connection"


def asyncio_server(app: Any, port: int) -> None:
    import uvicorn

    uvicorn.run(
        app,
        port=port,
        access_log=False,
        log_level="warning",
        log_config=None,
        loop="asyncio",
        timeout_keep_alive=KEPT,
    )


def trio_server(app: Any, port: int) -> None:
    import trio
    from hypercorn.config import Config
    from hypercorn.trio import serve, tcp_server

    tcp_server.TCPServer.run = contained(tcp_server.TCPServer.run)  # type: ignore[method-assign]
    config = Config()
    config.bind, config.backlog = [f"127.0.0.1:{port}"], 2048
    config.keep_alive_timeout = KEPT
    trio.run(partial(serve, app, config))


def contained(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let hypercorn's own error end the connection it is of, and not the whole server.

    hypercorn 0.18 ends the sending side of a connection without the lock under which it sends.
    Where it refuses the rest of a request that was cut, while the application's answer to its first
    part ends, trio raises BusyResourceError, and no part of hypercorn expects that: all
    connections, and the process, end. The application has no part in it.
    """
    import trio

    async def run_contained(server: Any) -> None:
        try:
            await run(server)
        except* trio.BusyResourceError as errors:
            logging.getLogger("soak").error(LOST, exc_info=errors)

    return run_contained


SERVE = {"asyncio": asyncio_server, "trio": trio_server}
