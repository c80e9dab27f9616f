"""Each client on each event loop that it knows, and each Redis that is there for them."""

import gc
from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer, binaries, redis_server

SERVERS = binaries()


@pytest.fixture(
    params=[
        ("asyncio", "redis"),
        ("asyncio", "valkey"),
        ("asyncio", "coredis"),
        ("trio", "coredis"),
    ],
    ids="-".join,
)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A backend and a client that runs on it."""
    return request.param


@pytest.fixture
def anyio_backend(pair: tuple[str, str]) -> str:
    return pair[0]


@pytest.fixture
def package(pair: tuple[str, str]) -> str:
    return pair[1]


@pytest.fixture(scope="module", autouse=True)
def older_objects() -> None:
    """What was there before is not looked through each time that garbage is collected."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def garbage(package: str) -> Iterator[None]:
    """What coredis leaves is collected in the test that made it: others mind the warning."""
    yield
    if package == "coredis":
        gc.collect()


@pytest.fixture(scope="module", params=list(SERVERS.values()) or [None], ids=list(SERVERS) or None)
def binary(request: pytest.FixtureRequest) -> str | None:
    """A server's path; None where there is none, and then what needs it is skipped or fails."""
    return request.param


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, binary: str | None) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), binary=binary) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.start()
    with running.admin() as admin:
        admin.flushall()
    return running
