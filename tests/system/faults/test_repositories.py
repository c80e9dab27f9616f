"""What callers see of a key repository that fails, through real sockets and TLS.

Each test is a row of the README's table: what the repository does, and what becomes of tokens whose
key is at hand, and of tokens whose key is not.
"""

import itertools
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import anyio
import httpx
import pytest

from asapfn import asap
from asapfn.adapters.asgi import key_repository
from asapfn.adapters.httpx import fetcher
from asapfn.errors import TokenRejected
from asapfn.keys import export_public_pem, generate
from tests.support.keyring import key_for
from tests.support.keysources import PEM
from tests.support.mirror import GOOD, KEY, MISSING, OTHER, TIMEOUT, Mirror, Service, pem
from tests.support.servers import (
    Behaviour,
    answers,
    asgi_server,
    hangs,
    raw_server,
    resets,
    response,
)

T = TypeVar("T")


async def together(count: int, call: Callable[[], Awaitable[T]]) -> list[T]:
    results: list[T] = []

    async def keep() -> None:
        results.append(await call())

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(keep)
    return results


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    behaviour = Mirror()
    with raw_server(behaviour) as url:
        behaviour.url = url
        yield behaviour


DOWN: dict[str, Behaviour] = {
    "resets connections": resets(),
    "closes connections": answers(b""),
    "hangs": hangs(),
    "is overloaded": answers(response("503 Service Unavailable")),
    "redirects": answers(response("302 Found", b"", "Location: https://localhost:1/")),
    "serves a login page": answers(response("200 OK", b"<html>", "Content-Type: text/html")),
    "serves half a key": answers(response("200 OK", b"-----BEGIN", f"Content-Type: {PEM}")),
    "speaks garbage": answers(b"\x00\xff\r\n\r\n"),
}


@pytest.mark.parametrize("outage", DOWN.values(), ids=DOWN)
async def test_a_repository_that_is_down_leaves_good_keys_and_comes_back(
    client: httpx.AsyncClient, mirror: Mirror, outage: Behaviour
) -> None:
    service = Service(client, mirror.url, stale_if_error=3600.0, min_age=5.0)
    assert await service.sees() == "accepted"
    mirror.behave = outage
    assert await service.sees() == "accepted"
    assert await service.sees(OTHER) == "unavailable"
    service.clock.turn(300.0)
    asked = mirror.requests
    assert [await service.sees() for _ in range(20)] == ["accepted"] * 20
    assert mirror.requests == asked + 1
    service.clock.turn(3600.0)
    assert await service.sees() == "unavailable"
    mirror.behave = pem(OTHER)
    assert await service.sees(OTHER) == "accepted"
    mirror.behave = GOOD
    service.clock.turn(20.0)  # what is no key is remembered for so long
    assert await service.sees() == "accepted"


async def test_a_repository_that_dies_leaves_good_keys(client: httpx.AsyncClient) -> None:
    mirror = Mirror()
    with raw_server(mirror) as url:
        service = Service(client, url)
        assert await service.sees() == "accepted"
    service.clock.turn(310.0)
    assert await service.sees() == "accepted"
    assert await service.sees(OTHER) == "unavailable"
    service.clock.turn(3600.0)
    assert await service.sees() == "unavailable"


async def test_nobody_waits_for_a_repository_that_is_known_to_hang(
    client: httpx.AsyncClient, mirror: Mirror
) -> None:
    service = Service(client, mirror.url)
    await service.sees()
    mirror.behave = hangs()
    service.clock.turn(300.0)
    started = time.monotonic()
    assert await together(50, service.sees) == ["accepted"] * 50
    assert TIMEOUT <= time.monotonic() - started < 4 * TIMEOUT
    service.clock.turn(5.0)
    waited: list[float] = []

    async def timed() -> str:
        started = time.monotonic()
        seen = await service.sees()
        waited.append(time.monotonic() - started)
        return seen

    assert await together(50, timed) == ["accepted"] * 50
    assert max(waited) < TIMEOUT
    while mirror.requests < 3:
        await anyio.sleep(0.01)


async def test_a_repository_that_flaps_is_not_noticed(
    client: httpx.AsyncClient, mirror: Mirror
) -> None:
    service = Service(client, mirror.url)
    up = itertools.cycle([GOOD, resets(), answers(b""), GOOD])
    mirror.behave = lambda *connection: next(up)(*connection)
    for _ in range(40):
        assert await service.sees() == "accepted"
        service.clock.turn(100.0)
    assert {"unavailable", "stale", "refreshed"} <= set(service.events.kinds())


async def test_a_repository_that_slows_down_is_waited_for_by_all_once(
    client: httpx.AsyncClient, mirror: Mirror
) -> None:
    service = Service(client, mirror.url)

    def slow(peer: socket.socket, request: bytes, stopping: threading.Event) -> None:
        stopping.wait(TIMEOUT / 3)
        GOOD(peer, request, stopping)

    mirror.behave = slow
    assert await together(50, service.sees) == ["accepted"] * 50
    assert mirror.requests == 1
    assert await service.sees() == "accepted"
    assert mirror.requests == 1


async def test_no_such_key_is_believed_at_once(client: httpx.AsyncClient, mirror: Mirror) -> None:
    service = Service(client, mirror.url)
    assert await service.sees() == "accepted"
    mirror.behave = MISSING
    service.clock.turn(299.0)
    assert await service.sees() == "accepted"
    service.clock.turn(1.0)
    assert await service.sees() == "unknown_key"
    mirror.behave = resets()
    service.clock.turn(20.0)
    assert await service.sees() == "unavailable"


async def test_a_key_that_was_unknown_is_found_when_it_is_published(
    client: httpx.AsyncClient, mirror: Mirror
) -> None:
    mirror.behave = MISSING
    service = Service(client, mirror.url, unknown_for=20.0)
    assert await service.sees() == "unknown_key"
    mirror.behave = GOOD
    assert await service.sees() == "unknown_key"
    service.clock.turn(20.0)
    assert await service.sees() == "accepted"


async def test_an_old_key_after_a_new_one_is_believed_until_the_next_refresh(
    client: httpx.AsyncClient, mirror: Mirror
) -> None:
    new = generate("ES256", kid=KEY.kid)
    same_id = asap.signer("issuer", new)
    service = Service(client, mirror.url)
    mirror.behave = pem(new)
    await service.verify(same_id("service"))
    assert await service.sees() == "bad_signature"
    mirror.behave = GOOD
    service.clock.turn(300.0)
    assert await service.sees() == "accepted"
    with pytest.raises(TokenRejected, match="bad_signature"):
        await service.verify(same_id("service"))
    mirror.behave = pem(new)
    service.clock.turn(300.0)
    await service.verify(same_id("service"))


async def test_while_one_mirror_answers_an_outage_of_the_other_is_not_noticed(
    client: httpx.AsyncClient, mirror: Mirror
) -> None:
    first = Mirror()
    first.behave = resets()
    with raw_server(first) as url:
        service = Service(client, url, mirror.url)
        for _ in range(3):
            assert await service.sees() == "accepted"
            service.clock.turn(300.0)
        assert (first.requests, mirror.requests) == (3, 3)
        first.behave = MISSING
        assert await service.sees() == "unknown_key"
        assert mirror.requests == 3


async def test_good_keys_survive_24_hours_of_dead_mirrors_and_are_gone_after_them(
    client: httpx.AsyncClient, mirror: Mirror
) -> None:
    second = Mirror()
    with raw_server(second) as url:
        service = Service(client, mirror.url, url, stale_if_error=86_400.0)
        assert await service.sees() == "accepted"
        mirror.behave = second.behave = resets()
        service.clock.turn(300.0)
        for _ in range(48):
            assert await service.sees() == "accepted"
            service.clock.turn(1799.0)
        service.clock.turn(47.0)
        assert await service.sees() == "accepted"
        service.clock.turn(1.0)
        assert await service.sees() == "unavailable"
        second.behave = GOOD
        service.clock.turn(5.0)
        assert await service.sees() == "accepted"


async def test_ten_thousand_verifications_on_a_cold_cache_make_one_request(
    client: httpx.AsyncClient,
) -> None:
    asked: list[str] = []
    repository = key_repository([key_for("RS256")])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            asked.append(scope["path"])
        await repository(scope, receive, send)

    with asgi_server(app) as url:
        # Not a measure of how fast a busy machine starts ten thousand tasks.
        resolver = asap.repository(url, fetcher(client, timeout=60.0))
        verify = asap.verifier(resolver, "service", issuers="issuer")
        token = asap.signer("issuer", key_for("RS256"))("service")
        verified = await together(10_000, lambda: verify(token))
    assert len(verified) == 10_000
    assert {accepted.claims["iss"] for accepted in verified} == {"issuer"}
    assert asked == ["/issuer/RS256.pem"]


async def test_a_caller_cancelled_within_the_body_takes_nothing_from_the_others(
    client: httpx.AsyncClient, mirror: Mirror
) -> None:
    service = Service(client, mirror.url)
    body, go_on = export_public_pem(KEY).encode(), threading.Event()

    def in_two_parts(peer: socket.socket, request: bytes, stopping: threading.Event) -> None:
        whole = response("200 OK", body, f"Content-Type: {PEM}")
        peer.sendall(whole[:-20])
        go_on.wait(TIMEOUT)
        peer.sendall(whole[-20:])

    mirror.behave = in_two_parts
    seen: list[str] = []

    async def call() -> None:
        seen.append(await service.sees())

    leading = anyio.CancelScope()

    async def lead() -> None:
        with leading:
            await service.sees()

    async with anyio.create_task_group() as group:
        group.start_soon(lead)
        while mirror.requests == 0:
            await anyio.sleep(0.001)
        for _ in range(100):
            group.start_soon(call)
        await anyio.sleep(0.05)
        leading.cancel()
        await anyio.sleep(0.01)
        go_on.set()
    assert seen == ["accepted"] * 100
    assert mirror.requests == 1
