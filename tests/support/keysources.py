"""What tests of resolvers share: a clock to turn, tokens to resolve, sources in memory."""

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel

from asapfn.errors import Unavailable
from asapfn.keys import export_public_pem
from asapfn.resolvers._single_flight import Flights
from asapfn.resolvers.cache import Cache, _caches
from asapfn.types import Document, Event, Key, Unverified
from tests.support.keyring import key_for

PEM = "application/x-pem-file"
KID = "issuer/RS256.pem"
ILL_FORMED = [
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    "../a",
    "a/..",
    "a/./b",
    "a\n",
    "a/é",
    "a%2fb",
    "a b",
    "a?b",
]


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += seconds


def asking(
    kid: str | None = KID, issuer: str | None = None, algorithm: str = "RS256"
) -> Unverified:
    """A token to find the key of; its issuer is the key id's, unless given."""
    header = {"alg": algorithm} | ({} if kid is None else {"kid": kid})
    if issuer is None and kid is not None:
        issuer = kid.rpartition("/")[0]
    claims = {} if issuer is None else {"iss": issuer}
    return Unverified(header, claims, b"header.claims", b"signature")


def published(key: Key, *ages: float | None) -> Document:
    """A repository's answer: the key, and `max_age` and the other two ages."""
    return Document(200, PEM, export_public_pem(key).encode(), *ages)


def good(url: str) -> Document:
    return published(key_for("RS256"), 300.0)


def missing(url: str) -> Document:
    return Document(404, "text/plain", b"")


def down(url: str) -> Document:
    raise Unavailable(url, "no connection")


class Repository:
    """A `Fetch` that answers as `answer` says, keeps what it was asked, and waits at its gate."""

    def __init__(self, answer: Callable[[str], Document] = good) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.closed: anyio.Event | None = None

    async def __call__(self, url: str, accept: str) -> Document:
        self.asked.append(url)
        if self.closed is not None:
            await self.closed.wait()
        return self.answer(url)

    def close_gate(self) -> Callable[[], None]:
        """Keep those who ask waiting, until the function that this gives is called."""
        self.closed = anyio.Event()
        return self.closed.set


class Source:
    """A question that takes some turns of the loop, and counts how many ask at a time."""

    def __init__(self, turns: int = 3) -> None:
        self.turns = turns
        self.asking = self.most = self.asked = self.answered = 0

    async def __call__(self) -> str:
        self.asked += 1
        self.asking += 1
        self.most = max(self.most, self.asking)
        try:
            await settle(self.turns)
        finally:
            self.asking -= 1
        self.answered += 1
        return f"answer {self.answered}"


async def settle(turns: int = 5) -> None:
    """Let the loop turn, so that the other tasks come to where they wait."""
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()


class Events(list[Event]):
    """An `Observe` that keeps the events."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def kinds(self) -> list[str]:
        """The kinds of the events since it was last asked."""
        kinds = [event.kind for event in self]
        self.clear()
        return kinds


def cache_of(resolver: Any) -> Cache[Any]:
    """The state of the cache that a resolver is made of."""
    (cache,) = _caches(resolver)
    return cache


def flights_of(resolver: Any) -> Flights[Any]:
    """The calls that a resolver's cache has in progress."""
    return cache_of(resolver).flights
