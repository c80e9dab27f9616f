"""Load: what protection costs a uvicorn that is kept busy, and whether it keeps its memory.

    python benchmarks/load_asgi.py [seconds]

One server, one application: a part of it open, a part protected, and a part that does nothing but
`verify` before it answers. wrk asks the three by turns, so that whatever else the machine does
befalls each. What `verify` costs is thus measured where it runs: in a loop by itself, which is told
too, the processor's caches make it about twice as fast. The server tells its own processor's time.
Needs wrk, and Linux for the memory.
"""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from applications import halves  # noqa: E402
from contenders import composition, public_pem, token  # noqa: E402

from asapfn.adapters.asgi import ASGIApp, Receive, Scope, Send  # noqa: E402

TURN = 3  # seconds
LIMIT = 60e-6  # seconds of the server's a request, beyond `verify`
CONNECTIONS = 32


class Turn(NamedTuple):
    """What came of asking one half for a while: times in seconds, memory in KiB."""

    requests: int
    errors: int
    spent: float
    memory: int


def application() -> ASGIApp:
    """Make the application, in the server's process."""
    pem = os.environ["PEM"]
    parts, verify = halves(pem), composition(pem)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/verified":
            values = [value for name, value in scope["headers"] if name == b"authorization"]
            await verify(values[0].decode().removeprefix("Bearer "))
        await parts(scope, receive, send)

    return application


@contextlib.contextmanager
def serving(pem: str) -> Iterator[tuple[str, int]]:
    """Run uvicorn; gives its origin and its process."""
    # Not by a listening socket of ours: uvicorn takes that for one that has no TCP_NODELAY.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "load_asgi:application", "--factory"]
    with subprocess.Popen(
        [*command, f"--port={port}", "--no-access-log", "--log-level=warning"],
        cwd=HERE,
        env={**os.environ, "PEM": pem},
    ) as process:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


def clock(origin: str) -> float:
    with urllib.request.urlopen(f"{origin}/clock", timeout=30) as answer:
        return int(answer.read()) / 1e9


def turn(origin: str, pid: int, path: str, text: str) -> Turn:
    """Ask one half for a while, over connections that stay open."""
    before = clock(origin)
    said = subprocess.run(
        [
            *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{TURN}s"),
            *("-H", f"Authorization: Bearer {text}", origin + path),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    spent = clock(origin) - before
    requests = re.search(r"(\d+) requests in", said)
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+)", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert requests, said
    errors = [int(found) for match in (socket_errors, refused) if match for found in match.groups()]
    memory = re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert memory
    return Turn(int(requests[1]), sum(errors), spent, int(memory[1]))


def verification(pem: str, text: str, times: int = 2000) -> float:
    """What `verify` costs by itself, in seconds of the processor."""
    verify = composition(pem)

    async def many() -> float:
        await verify(text)
        before = time.process_time()
        for _ in range(times):
            await verify(text)
        return (time.process_time() - before) / times

    return asyncio.run(many())


def main(seconds: float) -> int:
    """Measure, and tell. 0 if protection costs no more than it may and nothing went wrong."""
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk")
        return 2
    pem, text = public_pem("RS256"), token("RS256")
    turns: dict[str, list[Turn]] = {"/open": [], "/verified": [], "/closed": []}
    alone = []
    with serving(pem) as (origin, pid):
        for path in turns:
            turn(origin, pid, path, text)  # until it is warm
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for path, made in turns.items():
                made.append(turn(origin, pid, path, text))
            alone.append(verification(pem, text))

    each = {path: [one.spent / one.requests for one in made] for path, made in turns.items()}
    rounds = list(zip(*each.values(), strict=True))
    protection = statistics.median(closed - open_ for open_, _, closed in rounds)
    within = statistics.median(verified - open_ for open_, verified, _ in rounds)
    loop = statistics.median(alone)
    errors = sum(one.errors for made in turns.values() for one in made)
    memory = [one.memory for pair in zip(*turns.values(), strict=True) for one in pair]
    for path, made in turns.items():
        requests, spent = sum(one.requests for one in made), sum(one.spent for one in made)
        rate = requests / (len(made) * TURN)
        print(f"{path:<10} {requests:>8} requests {rate:>7.0f}/s {spent / requests * 1e6:>7.1f} µs")
    print(f"protection  {protection * 1e6:6.1f} µs of the server's more a request")
    print(f"verify      {within * 1e6:6.1f} µs in the server, {loop * 1e6:.1f} in a loop")
    beyond = protection - within
    print(f"beyond it   {beyond * 1e6:6.1f} µs, at most {LIMIT * 1e6:.0f}")
    print(f"errors      {errors}")
    quarters = " ".join(str(memory[len(memory) * part // 4]) for part in range(4))
    print(f"memory      {quarters} {memory[-1]} KiB, from first to last")
    return 0 if beyond <= LIMIT and errors == 0 else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
