"""Two servers that keep what they are asked, the clients of both packages, and what authorizes."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from tests.support.calls import Calls
from tests.support.servers import Recorder, asgi_server, trusting

Servers = tuple[tuple[str, Recorder], tuple[str, Recorder]]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    first, second = Recorder(), Recorder()
    with asgi_server(first) as origin, asgi_server(second) as elsewhere:
        yield (origin, first), (elsewhere, second)


@pytest.fixture
def app(servers: Servers) -> Recorder:
    servers[0][1].forget()
    return servers[0][1]


@pytest.fixture
def origin(servers: Servers, app: Recorder) -> str:
    return servers[0][0]


@pytest.fixture
def elsewhere(servers: Servers) -> tuple[str, Recorder]:
    servers[1][1].forget()
    return servers[1]


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def package(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def client(package: Any) -> AsyncIterator[Any]:
    async with package.AsyncClient(verify=trusting()) as client:
        yield client


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture(params=["plain", "async"])
def authorize(request: pytest.FixtureRequest, calls: Calls) -> Any:
    return calls if request.param == "plain" else calls.later
