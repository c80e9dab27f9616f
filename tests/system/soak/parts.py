"""The processes of a soak: key repository, Redis, service. None outlives the soak."""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import trustme

HERE = Path(__file__).parent


class Missing(Exception):
    """Something that the soak needs is not installed."""


@dataclass
class Process:
    """A process that is started, killed and started again by the same command.

    Attributes:
        speaks: Whether its standard output is read; else that goes to its log.
    """

    command: list[str]
    log: Path
    environment: dict[str, str]
    speaks: bool = False
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if self.speaks else log,
                stderr=log,
                preexec_fn=end_with_parent,
            )

    def signal(self, number: signal.Signals) -> None:
        if self.running is not None:
            self.running.send_signal(number)

    def kill(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running.wait(10)
            for pipe in (self.running.stdin, self.running.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self.running = None

    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None


def end_with_parent() -> None:
    """Have Linux kill this process when the soak ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))


@dataclass
class Parts:
    """What is soaked, and what it depends on."""

    repository: Process
    redis: Process
    service: Process
    keys: Path
    service_port: int
    redis_port: int

    async def command(self, mode: str, **settings: Any) -> None:
        """Command the repository, and wait until that holds."""
        process = self.repository.running
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"mode": mode, **settings}).encode() + b"\n")
        process.stdin.flush()
        said = await asyncio.to_thread(process.stdout.readline)
        assert said.strip() == mode.encode(), f"the repository said {said!r} to {mode}"

    async def start_repository(self) -> None:
        self.repository.start()
        process = self.repository.running
        assert process is not None
        assert process.stdout is not None
        said = await asyncio.to_thread(process.stdout.readline)
        assert said.strip() == b"ready", "the repository did not start: see repository.log"

    async def start_redis(self) -> None:
        self.redis.start()
        await until(lambda: answers_ping(self.redis_port), "redis-server")

    async def start_service(self) -> None:
        self.service.start()
        await until(lambda: listens(self.service_port), "the service")

    def waited(self) -> dict[str, float]:
        """Seconds that service, repository and soak were each ready to run while others ran."""
        pids = [str(each.running.pid) for each in (self.service, self.repository) if each.running]
        seconds = {}
        for pid in (*pids, "self"):
            with contextlib.suppress(OSError):  # it has ended
                said = Path(f"/proc/{pid}/schedstat").read_text()
                seconds[pid] = int(said.split()[1]) / 1e9
        return seconds

    def pause_redis(self, milliseconds: int) -> None:
        with redis.Redis(port=self.redis_port, protocol=2, socket_timeout=5) as admin:
            admin.execute_command("CLIENT", "PAUSE", milliseconds, "ALL")


async def until(holds: Any, what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, f"{what} did not start"
        await asyncio.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers_ping(port: int) -> bool:
    with (
        contextlib.suppress(redis.RedisError),
        redis.Redis(port=port, protocol=2, socket_timeout=1) as admin,
    ):
        return bool(admin.ping())
    return False


def longest_wait(before: dict[str, float], after: dict[str, float]) -> float:
    """The most that one of the processes waited for, of those that were there all the time."""
    return max((after[pid] - before[pid] for pid in before.keys() & after.keys()), default=0.0)


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        ports = [probe.getsockname()[1] for probe in probes]
    yield ports


def certificates(folder: Path) -> tuple[str, str]:
    """Write an authority's certificate, and a key and certificate for localhost."""
    authority = trustme.CA()
    trusted, own = folder / "authority.pem", folder / "certificate.pem"
    authority.cert_pem.write_to_path(str(trusted))
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(own))
    return str(trusted), str(own)


def processes(folder: Path, backend: str, settings: dict[str, str]) -> Parts:
    """Say how the three are started, in a folder of theirs."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise Missing("redis-server is not installed: apt-get install redis-server")
    keys = folder / "keys"
    keys.mkdir()
    trusted, own = certificates(folder)
    with free_ports(3) as ports:
        at, redis_port, service_port = ports
    settings = settings | {
        "SSL_CERT_FILE": trusted,
        "REPOSITORY": f"https://localhost:{at}/",
        "REPOSITORY_PORT": str(at),
        "REDIS": f"redis://127.0.0.1:{redis_port}",
        "REDIS_PORT": str(redis_port),
    }
    # It writes before it says yes, so what it said yes to outlives its being killed; that the disk
    # has it would matter in a power cut alone.
    kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "no", "--loglevel", "warning"]
    where = ["--bind", "127.0.0.1", "--port", str(redis_port), "--dir", str(folder)]
    python = [sys.executable, "-u"]
    repository = [*python, str(HERE / "repository.py"), str(keys), own, str(at)]
    service = [*python, str(HERE / "service.py"), backend, str(service_port)]
    return Parts(
        repository=Process(repository, folder / "repository.log", {}, speaks=True),
        redis=Process([binary, *where, *kept], folder / "redis.log", {}),
        service=Process(service, folder / "service.log", settings),
        keys=keys,
        service_port=service_port,
        redis_port=redis_port,
    )


@contextlib.asynccontextmanager
async def started(folder: Path, backend: str, settings: dict[str, str]) -> AsyncIterator[Parts]:
    """Start all three, and kill them in the end."""
    parts = processes(folder, backend, settings)
    try:
        await parts.start_repository()
        await parts.start_redis()
        await parts.start_service()
        yield parts
    finally:
        for process in (parts.service, parts.redis, parts.repository):
            process.kill()
