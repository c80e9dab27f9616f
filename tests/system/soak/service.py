"""The service that is soaked, to be run as a process of its own: `service.py BACKEND PORT`.

`/many` accepts a token as often as it comes, `/once` once, by Redis; `/health` says how the process
is, `/alive` only how many seconds it has computed. A request's work is cancelled when its client
has gone. It is uvicorn on asyncio, hypercorn on trio; it ends when its standard input does.
REPOSITORY, REDIS and the other settings are in its environment.
"""

import contextlib
import gc
import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[3])]

import anyio  # noqa: E402

from asapfn import bearer  # noqa: E402
from asapfn.adapters.asgi import protect  # noqa: E402
from asapfn.types import Caching  # noqa: E402
from tests.system.soak.seams import asap, fetching, replay_store, storing  # noqa: E402
from tests.system.soak.servers import SERVE  # noqa: E402

AUDIENCE = "soaked"


@contextlib.asynccontextmanager
async def routes(backend: str) -> AsyncIterator[dict[str, Any]]:
    """The parts of the service, as README sets them up."""
    environment = os.environ
    caching = Caching(max_keys=int(environment["MAX_KEYS"]))
    issuers = environment["ISSUERS"].split()
    async with (
        fetching(environment["CLIENT"]) as fetch,
        storing(environment["REDIS"], backend) as client,
    ):
        repository = asap.repository(environment["REPOSITORY"], fetch, caching=caching)
        many = asap.verifier(repository, AUDIENCE, issuers=issuers)
        once = asap.verifier(
            repository, AUDIENCE, issuers=issuers, replay=replay_store(client, prefix="soaked:")
        )
        yield {
            "/many": abandoned_with_client(protect(answer, bearer(many))),
            "/once": abandoned_with_client(protect(answer, bearer(once))),
            "/alive": alive,
            "/health": partial(health, backend),
        }


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, scope["asapfn.token"].claims["jti"].encode())


async def respond(send: Any, body: bytes) -> None:
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def abandoned_with_client(app: Any) -> Any:
    """Cancel the work for a client that has gone, as frameworks and gateways do."""

    async def abandoning(scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await app(scope, receive, send)
            group.cancel_scope.cancel()

    return abandoning


async def alive(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, str(time.process_time()).encode())


async def health(backend: str, scope: Any, receive: Any, send: Any) -> None:
    """How the process is; objects are counted only where `deep` is asked for."""
    deep = b"deep" in scope["query_string"]
    if deep:
        gc.collect()
    said = {
        "fds": len(os.listdir("/proc/self/fd")),
        "tasks": tasks(backend),
        "threads": threading.active_count(),
        "rss_kib": int(Path("/proc/self/statm").read_text().split()[1]) * 4,
        **sockets(int(os.environ["REPOSITORY_PORT"]), int(os.environ["REDIS_PORT"])),
    }
    if deep:
        said |= objects()
    await respond(send, json.dumps(said).encode())


def tasks(backend: str) -> int:
    if backend == "trio":
        import trio

        return trio.lowlevel.current_statistics().tasks_living
    import asyncio

    return len(asyncio.all_tasks())


def lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()[1:]


def sockets(repository: int, redis: int) -> dict[str, int]:
    """How many sockets of the process lead to the repository, to Redis, and no longer anywhere."""
    inodes = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/self/fd/{name}"))
    # While others come and go, one reading may have a socket twice, or not at all.
    leads = {}
    for line in [line for _ in range(2) for line in lines("/proc/self/net/tcp")]:
        fields = line.split()
        leads[f"socket:[{fields[9]}]"] = int(fields[2].rpartition(":")[2], 16)
    to = Counter(leads[inode] for inode in inodes & leads.keys())
    there = set(leads)
    for line in lines("/proc/self/net/unix"):
        there.add(f"socket:[{line.split()[6]}]")
    dead = sum(name.startswith("socket:") and name not in there for name in inodes)
    return {"to_repository": to[repository], "to_redis": to[redis], "dead": dead}


def objects() -> dict[str, int]:
    """Keys that are held, and places in the pools of httpx (whatever holds them)."""
    kinds = Counter(type(each).__name__ for each in gc.get_objects())
    return {
        "keys": kinds["ECKey"] + kinds["RSAKey"],
        "pool": kinds["AsyncHTTPConnection"],
        "queued": kinds["AsyncPoolRequest"],
    }


def application(backend: str) -> Any:
    opened: dict[str, Any] = {}

    async def lifespan(receive: Any, send: Any) -> None:
        await receive()
        async with routes(backend) as parts:
            opened.update(parts)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        else:
            await opened[scope["path"]](scope, receive, send)

    return app


def main(backend: str, port: int) -> None:
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    logging.basicConfig(format="%(created).3f %(name)s: %(message)s", level=logging.WARNING)
    SERVE[backend](application(backend), port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
