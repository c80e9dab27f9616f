"""What callers see of an OpenID provider that fails, through real sockets and TLS.

The rows are those of `test_repositories.py`, for the two documents: the provider as a whole fails,
or its metadata alone, or its key set alone.
"""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from socket import socket
from typing import Any

import anyio
import httpx
import pytest

from asapfn import oidc
from asapfn.adapters.httpx import fetcher
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_jwks, generate
from asapfn.resolvers import discovered
from asapfn.types import Caching, Document, Fetch, Key
from tests.support.forging import forge
from tests.support.keysources import Clock, Events
from tests.support.provider import never_early
from tests.support.servers import (
    Behaviour,
    answers,
    hangs,
    raw_server,
    resets,
    response,
)

# A good answer is waited for as long as a busy machine may need, and one that hangs is not.
PATIENT, HASTY = 20.0, 0.2
HANGS = hangs()
METADATA = "/.well-known/openid-configuration"
KEY, NEW = generate("ES256", kid="one"), generate("ES256", kid="two")


class Server:
    """A provider that behaves as it should, or as it is set to, for each of its paths."""

    def __init__(self) -> None:
        self.keys: tuple[Key, ...] = (KEY,)
        self.keys_at = "/keys"
        self.url = ""
        self.behave: dict[str, Behaviour] = {}
        self.asked: list[str] = []

    def __call__(self, peer: socket, request: bytes, stopping: threading.Event) -> None:
        path = request.split(b" ", 2)[1].decode()
        self.asked.append(path)
        (self.at(path) or self.good(path))(peer, request, stopping)

    def at(self, path: str) -> Behaviour | None:
        return self.behave.get(path) or self.behave.get("both")

    def good(self, path: str) -> Behaviour:
        content = {
            METADATA: {"issuer": self.url, "jwks_uri": f"{self.url}{self.keys_at}"},
            self.keys_at: export_jwks(self.keys),
        }.get(path)
        if content is None:
            return answers(response("404 Not Found"))
        fields = ("Content-Type: application/json", "Cache-Control: max-age=300")
        return answers(response("200 OK", json.dumps(content).encode(), *fields))


class Service:
    """A service that accepts the tokens of a provider."""

    def __init__(self, fetch: Fetch, issuer: str, **caching: Any) -> None:
        self.clock, self.events, self.issuer = Clock(), Events(), issuer
        resolver = discovered(
            issuer,
            fetch,
            caching=Caching(**caching),
            clock=self.clock,
            observe=self.events,
        )
        never_early(resolver)
        self.verify = oidc.verifier(resolver, issuer=issuer, audience="service")

    async def sees(self, key: Key = KEY) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "pod", "aud": "service", "iat": now, "exp": now + 600}
        try:
            await self.verify(forge(claims, key))
        except TokenRejected as error:
            return error.reason
        except Unavailable:
            return "unavailable"
        return "accepted"


@pytest.fixture
def server() -> Iterator[Server]:
    behaviour = Server()
    with raw_server(behaviour) as url:
        behaviour.url = url
        yield behaviour


@pytest.fixture
def fetch(client: httpx.AsyncClient, server: Server) -> Fetch:
    patient, hasty = fetcher(client, timeout=PATIENT), fetcher(client, timeout=HASTY)

    async def fetch(url: str, accept: str) -> Document:
        hanging = server.at(url.removeprefix(server.url)) is HANGS
        return await (hasty if hanging else patient)(url, accept)

    return fetch


DOWN: dict[str, Behaviour] = {
    "resets connections": resets(),
    "hangs": HANGS,
    "fails": answers(response("500 Internal Server Error")),
    "redirects": answers(response("302 Found", b"", "Location: https://localhost:1/")),
    "serves a login page": answers(response("200 OK", b"<html>", "Content-Type: text/html")),
    "serves another document": answers(response("200 OK", b"{}", "Content-Type: text/plain")),
}


@pytest.mark.parametrize("failing", ["both", METADATA, "/keys"])
@pytest.mark.parametrize("outage", DOWN.values(), ids=DOWN)
async def test_a_provider_that_is_down_leaves_good_keys_and_comes_back(
    fetch: Fetch, server: Server, outage: Behaviour, failing: str
) -> None:
    service = Service(fetch, server.url, stale_if_error=3600.0, min_age=5.0)
    assert await service.sees() == "accepted"
    server.behave = {failing: outage}
    assert await service.sees() == "accepted"
    assert await service.sees(NEW) == "unknown_key"
    service.clock.turn(300.0)
    asked = len(server.asked)
    assert [await service.sees() for _ in range(20)] == ["accepted"] * 20
    # The set, and the metadata before it or after it, once each.
    assert len(server.asked) - asked <= 3
    server.behave = {"both": outage}
    service.clock.turn(4000.0)
    assert await service.sees() == "unavailable"
    server.behave, server.keys = {}, (NEW,)
    # What is neither document is remembered for 20 s; it is found within a second after that.
    service.clock.turn(21.0)
    assert await service.sees(NEW) == "accepted"
    assert await service.sees() == "unknown_key"


@pytest.mark.parametrize("failing", [METADATA, "/keys"])
@pytest.mark.parametrize("outage", DOWN.values(), ids=DOWN)
async def test_where_nothing_is_cached_either_outage_is_one(
    fetch: Fetch, server: Server, outage: Behaviour, failing: str
) -> None:
    server.behave = {failing: outage}
    service = Service(fetch, server.url)
    assert await service.sees() == "unavailable"
    kinds = {(event.source, event.kind) for event in service.events}
    assert (server.url, "unavailable") in kinds
    assert ((f"{server.url}{METADATA}", "unavailable") in kinds) == (failing == METADATA)
    server.behave = {}
    service.clock.turn(21.0)
    assert await service.sees() == "accepted"


async def test_a_provider_that_is_killed_leaves_good_keys_and_is_found_when_it_is_back(
    client: httpx.AsyncClient,
) -> None:
    issuer, origins = "https://provider.example", ["https://localhost:1"]

    async def fetch(url: str, accept: str) -> Document:
        # It has another port each time: nobody may count on the old one.
        return await fetcher(client, timeout=PATIENT)(url.replace(issuer, origins[-1]), accept)

    provider = Server()
    provider.url = issuer
    service = Service(fetch, issuer)
    assert await service.sees() == "unavailable"
    service.clock.turn(1.0)
    with raw_server(provider) as origin:
        origins.append(origin)
        assert await service.sees() == "accepted"
    service.clock.turn(310.0)
    assert await service.sees() == "accepted"
    service.clock.turn(3600.0)
    assert await service.sees() == "unavailable"
    service.clock.turn(1.0)
    with raw_server(provider) as origin:
        origins.append(origin)
        assert await service.sees() == "accepted"


@pytest.mark.parametrize("failing", ["both", METADATA, "/keys"])
async def test_nobody_waits_for_a_provider_that_is_known_to_hang(
    fetch: Fetch, server: Server, failing: str
) -> None:
    service = Service(fetch, server.url)
    await service.sees()
    server.behave = {failing: HANGS}
    service.clock.turn(300.0)
    seen: list[str] = []

    async def call() -> None:
        seen.append(await service.sees())

    asked = list[int]()
    for _ in range(2):
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(call)
        asked.append(len(server.asked))
    assert seen == ["accepted"] * 100
    assert asked == [asked[0]] * 2


async def test_a_provider_that_flaps_is_not_noticed(fetch: Fetch, server: Server) -> None:
    service = Service(fetch, server.url)
    up = itertools.cycle([None, resets(), answers(b""), None, None])

    def flap(peer: socket, request: bytes, stopping: threading.Event) -> None:
        path = request.split(b" ", 2)[1].decode()
        (next(up) or server.good(path))(peer, request, stopping)

    assert await service.sees() == "accepted"
    server.behave = {"both": flap}
    for _ in range(40):
        assert await service.sees() == "accepted"
        service.clock.turn(100.0)
    assert {"unavailable", "stale", "refreshed"} <= set(service.events.kinds())


async def test_a_provider_that_rotates_under_load_is_not_noticed(
    fetch: Fetch, server: Server
) -> None:
    """Its keys change, and then their place too, while tokens of both keys come."""
    service = Service(fetch, server.url)
    assert await service.sees() == "accepted"
    server.keys = (KEY, NEW)
    service.clock.turn(30.0)
    seen: list[str] = []

    async def call(key: Key) -> None:
        seen.append(await service.sees(key))

    async with anyio.create_task_group() as group:
        for key in (KEY, NEW) * 20:
            group.start_soon(call, key)
    assert seen == ["accepted"] * 40
    server.keys, server.keys_at = (NEW,), "/moved"
    service.clock.turn(300.0)
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(call, NEW)
    assert seen == ["accepted"] * 60
    assert await service.sees() == "unknown_key"
    # Once each: the start, the rotation, and the move.
    assert server.asked == [METADATA, "/keys", METADATA, "/keys", METADATA, "/moved"]
