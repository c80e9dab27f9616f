"""A real redis-server for tests, on loopback, with a folder of its own.

It can be killed, paused and started again, as it happens to servers. Tests of the Redis adapter run
with each server that is there: `redis-server` and `valkey-server` in PATH, and those that
`ASAPFN_REDIS_SERVERS` names (paths, separated as in PATH). Other tests take the first. Where there
is none the tests that need it are skipped and say so; in CI they fail.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis


class RedisServer:
    """A redis-server.

    Attributes:
        port: Where it listens; it keeps the port when it is started again. Those of a cluster
            talk to each other at this port and 10,000 more.
    """

    def __init__(self, binary: str, folder: Path, *options: str) -> None:
        self.port = free_port_and_bus()
        where = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder))
        self._command = (binary, *where, "--save", "", "--loglevel", "warning", *options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *options: str) -> None:
        """Start it if it is not running, and wait until it listens: it may still be loading."""
        if self._process is not None:
            return
        self._process = subprocess.Popen([*self._command, *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._listens():
            assert self._process.poll() is None, f"redis-server ended: {self._process.returncode}"
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it as a crash would, without a last word to its clients or its disk."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let it answer nothing, while its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def set_to(self, **config: str) -> Iterator[None]:
        """Change its configuration for a while; `_` stands for `-`."""
        names = {name.replace("_", "-"): value for name, value in config.items()}
        with self.admin() as admin:
            before = {name: admin.config_get(name)[name] for name in names}
            for name, value in names.items():
                admin.config_set(name, value)
            try:
                yield
            finally:
                for name, value in before.items():
                    admin.config_set(name, value)

    @contextlib.contextmanager
    def admin(self) -> Iterator[redis.Redis]:
        """A client to look into it and to set it."""
        with redis.Redis(port=self.port, decode_responses=True, protocol=2) as client:
            yield client

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_port_and_bus() -> int:
    """A free port of which the one 10,000 above is free too."""
    while True:
        port = random.randint(20_000, 50_000)
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port


def binaries() -> dict[str, str]:
    """The servers that are there, each once: what it is and its version, and its path."""
    names = ["redis-server", "valkey-server"]
    names += filter(None, os.environ.get("ASAPFN_REDIS_SERVERS", "").split(os.pathsep))
    return {version_of(path): path for path in map(shutil.which, names) if path is not None}


def version_of(binary: str) -> str:
    """Such as "redis 7.0.15"."""
    ran = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    server, _, version = ran.stdout.split()[:3]
    return f"{server.lower()} {version.removeprefix('v=')}"


@contextlib.contextmanager
def redis_server(folder: Path, *options: str, binary: str | None = None) -> Iterator[RedisServer]:
    """Run a redis-server.

    Args:
        folder: Where it keeps its files.
        options: Its options, such as `"--appendonly", "yes"`.
        binary: The server's path; the first of `binaries()` by default.
    """
    binary = binary or next(iter(binaries().values()), None)
    if binary is None:
        absent = "redis-server is not installed: a shared replay store is not tested"
        if os.environ.get("CI"):
            pytest.fail(absent)
        pytest.skip(absent)
    server = RedisServer(binary, folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
