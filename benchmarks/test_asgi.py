"""What protecting an ASGI application costs: the calls alone, and behind uvicorn."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from applications import OPEN, hello, protected_and_not, requests_to
from contenders import composition, public_pem, token
from contest import Measure
from pytest_benchmark.fixture import BenchmarkFixture

from asapfn import bearer
from asapfn.adapters.asgi import protect


@pytest.mark.parametrize("protected", [False, True], ids=["open", "protected"])
def test_a_call_of_an_application(a_hundred_times: Measure, protected: bool) -> None:
    application = protect(hello, bearer(composition(public_pem("RS256")))) if protected else hello
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/page",
        "raw_path": b"/page",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"accept", b"*/*"),
            (b"user-agent", b"a client"),
            (b"authorization", b"Bearer " + token("RS256").encode()),
        ],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message.get("status", 200) != 200:
            raise AssertionError(message)

    a_hundred_times("a call of an ASGI application", lambda: application(scope, receive, send))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with protected_and_not() as port:
        yield port


@pytest.mark.parametrize("who", [OPEN, "asapfn"], ids=["open", "protected"])
def test_requests_to_uvicorn(
    benchmark: BenchmarkFixture, run: Callable[[Any], Any], port: int, who: str
) -> None:
    """Eighty requests over eight connections that stay open."""
    benchmark.group = "eighty requests to uvicorn"
    made = requests_to(port, token("RS256"))
    lap = run(made.__aenter__())[who]
    try:
        benchmark(lambda: run(lap(80)))
    finally:
        run(made.__aexit__(None, None, None))
