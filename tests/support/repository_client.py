"""A client of a key repository in memory: its resolver, its clock and its events."""

from collections.abc import Callable
from typing import Any

from asapfn.errors import Unavailable
from asapfn.keys import export_public_jwk
from asapfn.resolvers import pem_repository
from asapfn.types import Caching, Document
from tests.support.keyring import key_for
from tests.support.keysources import (
    KID,
    Clock,
    Events,
    Repository,
    asking,
    cache_of,
    good,
    published,
)

URL = "https://keys.example/"


class Client:
    """A resolver for a key repository in memory, the clock, the events, and the repository."""

    def __init__(self, answer: Callable[[str], Document] = good, **caching: Any) -> None:
        self.clock, self.events, self.repository = Clock(), Events(), Repository(answer)
        self.resolve = pem_repository(
            URL,
            self.repository,
            caching=Caching(**caching),
            clock=self.clock,
            observe=self.events,
        )
        self.cache = cache_of(self.resolve)
        self.cache.chance = lambda: 0.0

    @property
    def requests(self) -> int:
        return len(self.repository.asked)

    async def sees(self, kid: str = KID) -> str:
        """What a caller sees: `key`, `other key`, `unknown` or `unavailable`."""
        try:
            key = await self.resolve(asking(kid))
        except Unavailable:
            return "unavailable"
        if key is None:
            return "unknown"
        mine = export_public_jwk(key)["n"] == export_public_jwk(key_for("RS256"))["n"]
        return "key" if mine else "other key"


def says(*ages: float | None) -> Callable[[str], Document]:
    return lambda url: published(key_for("RS256"), *ages)
