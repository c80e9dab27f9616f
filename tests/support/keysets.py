"""A key set in memory, its clock and its events, for the tests of `jwks`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from asapfn.errors import TokenRejected
from asapfn.keys import export_public_jwk, generate
from asapfn.resolvers import jwks
from asapfn.types import Document, Key, Resolver, Unverified
from tests.support.keyring import key_for
from tests.support.keysources import Clock, Events, Repository, cache_of

URL = "https://keys.example/jwks.json?product=app"
# What it is called in errors and events, where its query must not be.
SOURCE = "https://keys.example/jwks.json"
RSA, EC, PS = key_for("RS256"), key_for("ES256"), key_for("PS256")
NEW = generate("ES256", kid="new")


def serving(body: Any, *ages: float, status: int = 200) -> Callable[[str], Document]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda url: Document(status, "application/json", data, *ages)


def of(*keys: Key, **members: Any) -> dict[str, Any]:
    return {"keys": [export_public_jwk(key) | members for key in keys]}


def same(one: Key | None, other: Key) -> bool:
    return one is not None and export_public_jwk(one) == export_public_jwk(other)


class Client:
    """A resolver for a key set in memory, the clock, the events, and the source."""

    def __init__(self, body: Any, *ages: float, **options: Any) -> None:
        self.clock, self.events = Clock(), Events()
        self.source = Repository(serving(body, *ages))
        self.resolve = jwks(URL, self.source, clock=self.clock, observe=self.events, **options)
        cache_of(self.resolve).chance = lambda: 0.0

    @property
    def requests(self) -> int:
        return len(self.source.asked)

    async def why(self, unverified: Unverified) -> str:
        """Why a key that the set has cannot be used."""
        return await why(self.resolve, unverified)


async def why(resolve: Resolver, unverified: Unverified) -> str:
    with pytest.raises(TokenRejected) as refused:
        await resolve(unverified)
    assert (refused.value.reason, refused.value.claim) == ("unknown_key", "kid")
    return refused.value.detail
