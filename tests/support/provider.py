"""An OpenID provider in memory, and what `discovered` makes of it; a clock to turn, and events."""

import json
from collections.abc import Callable
from typing import Any

from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_jwks
from asapfn.resolvers import discovered
from asapfn.resolvers.cache import _caches
from asapfn.types import Document, Key, Resolver, Unverified
from tests.support.keyring import key_for
from tests.support.keysources import Clock, Events

ISSUER = "https://issuer.example/tenant"
METADATA = "https://issuer.example/tenant/.well-known/openid-configuration"
KEYS = "https://issuer.example/tenant/keys.json"
MOVED = "https://keys.example/new.json"
RSA, EC = key_for("RS256"), key_for("ES256")

Answer = Document | Unavailable


def json_document(content: Any, *ages: float, status: int = 200) -> Document:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Document(status, "application/json", body, *ages)


def metadata(*ages: float, issuer: Any = ISSUER, jwks_uri: Any = KEYS, **more: Any) -> Document:
    return json_document({"issuer": issuer, "jwks_uri": jwks_uri} | more, *ages)


def key_set(*keys: Key, ages: tuple[float, ...] = ()) -> Document:
    return json_document(export_jwks(keys), *ages)


def of_issuer(kid: str | None, issuer: str | None = ISSUER, algorithm: str = "RS256") -> Unverified:
    """A token to find the key of."""
    header = {"alg": algorithm} | ({} if kid is None else {"kid": kid})
    claims = {} if issuer is None else {"iss": issuer}
    return Unverified(header, claims, b"header.claims", b"signature")


class Provider:
    """What is at each URL, and what was asked for, of which nothing else is there."""

    def __init__(self, *keys: Key, **options: Any) -> None:
        self.clock, self.events = Clock(), Events()
        self.asked: list[str] = []
        self.there: dict[str, Answer | Callable[[], Answer]] = {
            METADATA: metadata(),
            KEYS: key_set(*(keys or (RSA, EC))),
        }
        asked: dict[str, Any] = {"clock": self.clock, "observe": self.events} | options
        self.resolve = discovered(asked.pop("issuer", ISSUER), self, **asked)
        never_early(self.resolve)

    async def __call__(self, url: str, accept: str) -> Document:
        self.asked.append(url)
        answer = self.there.get(url, Document(404, "text/plain", b"no such page"))
        answer = answer() if callable(answer) else answer
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    def asked_since(self) -> list[str]:
        """What was asked for since this was last called."""
        asked, self.asked = self.asked, []
        return asked

    async def sees(
        self, kid: str | None = RSA.kid, issuer: str | None = ISSUER, algorithm: str = "RS256"
    ) -> str:
        """What becomes of a token: `found`, `unknown_key` or another reason, or `unavailable`."""
        try:
            key = await self.resolve(of_issuer(kid, issuer, algorithm))
        except TokenRejected as error:
            return error.reason
        except Unavailable:
            return "unavailable"
        return "unknown_key" if key is None else "found"


def never_early(resolver: Resolver) -> None:
    """Let a resolver's caches refresh and retry as late as they may."""
    for cache in _caches(resolver):
        cache.chance = lambda: 0.0
