"""The cases of the servers' matrix asked of gRPC: a method of each kind has the same outcome.

gRPC sends POST alone, and a status of HTTP is one of its own.
"""

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from asapfn import TokenRejected, asap, connect
from asapfn.adapters.asgi import key_repository
from asapfn.adapters.grpc import call_credentials
from asapfn.errors import DESCRIPTIONS
from asapfn.keys import import_secret
from tests.support.grpc_service import KINDS, channel
from tests.support.matrix_cases import BASE, CASES, KEY, Case
from tests.support.processes import announcing
from tests.support.protected import SECRET
from tests.support.servers import asgi_server

HERE = Path(__file__).parents[1] / "support"
STATUS = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}
# The others are of other methods of HTTP.
SENT = {name: case for name, case in CASES.items() if case.method in ("GET", "POST")}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # all that grpc.aio knows


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with asgi_server(key_repository([KEY])) as keys, socket.socket() as closed:
        # Bound and not listening: nobody answers, and nobody else can.
        closed.bind(("127.0.0.1", 0))
        down = f"localhost:{closed.getsockname()[1]}"
        where = {"KEYS": keys, "DOWN": f"https://{down}", "REDIS": f"redis://{down}"}
        command = ["protected_grpc.py", "{certificate}"]
        with announcing(command, within=HERE, folder=folder, environment=where) as address:
            yield address


@pytest.fixture(scope="module")
async def client(server: str, anyio_backend: str) -> AsyncIterator[Any]:
    async with channel(server) as opened:
        yield opened


async def accepted(client: Any, kind: str, target: str, headers: Any = ()) -> bytes:
    """The one message of the answer to one message, or to a stream without any."""
    call = begin(client, kind, target, headers)
    if kind.startswith("stream"):
        await call.done_writing()
    answer: bytes = (await call.read()) if kind.endswith("stream") else await call
    assert await call.code() == grpc.StatusCode.OK
    return answer


async def refused(client: Any, kind: str, target: str, headers: Any) -> tuple[Any, Any, Any]:
    """The status of a call, its details, and what is in the trailing metadata."""
    call = begin(client, kind, target, headers)
    status = await call.code(), await call.details()
    return *status, dict(list(await call.trailing_metadata()))


def begin(client: Any, kind: str, target: str, headers: Any) -> Any:
    metadata = (("kind", kind), *((name.lower(), value) for name, value in headers))
    message = () if kind.startswith("stream") else (b"",)
    return getattr(client, kind)(target)(*message, metadata=metadata, timeout=60)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", SENT.values(), ids=SENT)
async def test_each_case_has_its_outcome_in_a_method_of_each_kind(
    client: Any, case: Case, kind: str
) -> None:
    headers = case.headers("POST", case.target)
    if case.outcome in ("issuer", "product"):
        for _ in range(case.times):
            answer = await accepted(client, kind, case.target, headers)
            assert answer == case.outcome.encode()
        return
    for _ in range(case.times - 1):
        await accepted(client, kind, case.target, headers)
    code, details, trailing = await refused(client, kind, case.target, headers)
    if case.outcome == "unavailable":
        assert (code, details) == (grpc.StatusCode.UNAVAILABLE, "unavailable: Try again later")
        assert trailing == {"grpc-retry-pushback-ms": "5000"}
        return
    reason: Any = case.outcome
    assert code == STATUS[TokenRejected(reason).status]
    assert details == f"{reason}: {DESCRIPTIONS[reason]}"
    assert trailing == {}


async def test_call_credentials_are_accepted_of_each_profile(server: str) -> None:
    origin = f"https://{server}"
    by_app = connect.authorizer("product", import_secret(SECRET), base_url=BASE)

    def by_connect(method: str, url: str) -> str:
        return by_app(method, BASE + url.removeprefix(origin))

    by_asap = asap.authorizer(asap.signer("issuer", KEY), "service")
    for authorize, target, who in (
        (by_asap, "/billing.Invoices/List", b"issuer"),
        (by_connect, "/mounted/List", b"product"),
    ):
        async with channel(server, call_credentials(authorize)) as client:
            for kind in KINDS:
                assert await accepted(client, kind, target) == who
