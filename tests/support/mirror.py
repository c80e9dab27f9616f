"""A key repository whose behaviour a test chooses, and a service that depends on it."""

import socket
import threading
from typing import Any

import httpx

from asapfn import asap
from asapfn.adapters.httpx import fetcher
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_public_pem
from asapfn.resolvers import pem_repository
from asapfn.types import Caching, Key
from tests.support.keyring import key_for
from tests.support.keysources import PEM, Clock, Events, cache_of
from tests.support.servers import Behaviour, answers, response

KEY, OTHER = key_for("ES256"), key_for("ES384")
TIMEOUT = 1.0


def pem(key: Key) -> Behaviour:
    fields = (f"Content-Type: {PEM}", "Cache-Control: max-age=300")
    return answers(response("200 OK", export_public_pem(key).encode(), *fields))


GOOD = pem(KEY)
MISSING = answers(response("404 Not Found", b"", "Content-Type: text/plain"))


class Mirror:
    """A repository whose behaviour a test chooses; it counts what it is asked."""

    def __init__(self) -> None:
        self.behave: Behaviour = GOOD
        self.requests = 0
        self.url = ""

    def __call__(self, peer: socket.socket, request: bytes, stopping: threading.Event) -> None:
        self.requests += 1
        self.behave(peer, request, stopping)


class Service:
    """A service that verifies ASAP tokens by the keys of some repositories."""

    def __init__(self, client: httpx.AsyncClient, *urls: str, **caching: Any) -> None:
        self.clock, self.events = Clock(), Events()
        resolver = pem_repository(
            urls,
            fetcher(client, timeout=TIMEOUT),
            caching=Caching(**caching),
            clock=self.clock,
            observe=self.events,
        )
        cache_of(resolver).chance = lambda: 0.0
        self.verify = asap.verifier(resolver, "service", issuers="issuer")

    async def sees(self, key: Key = KEY) -> str:
        """What becomes of a token signed with a key: `accepted`, or the reason."""
        try:
            await self.verify(asap.signer("issuer", key)("service"))
        except TokenRejected as error:
            return error.reason
        except Unavailable:
            return "unavailable"
        return "accepted"
