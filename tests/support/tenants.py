"""Tenants of a Connect app: their secrets, and their requests."""

import time
from typing import Any

import pytest

from asapfn._core.canonical import qsh
from asapfn._core.signing import sign
from asapfn.errors import TokenRejected
from asapfn.keys import import_secret
from asapfn.resolvers import shared_secrets
from asapfn.types import Authenticate, Request

SECRETS = {
    "acme": "acme's secret, which is long enough to sign",
    "umbrella": "umbrella's secret, long enough to sign too",
    "short": "too short",
}
BASE = "https://app.example/connect"


async def look_up(issuer: str) -> str | None:
    return SECRETS.get(issuer)


resolver = shared_secrets(look_up)


def token_for(
    method: str = "GET", url: str = "/page?a=1", secret: str = SECRETS["acme"], **more: Any
) -> str:
    now = int(time.time())
    claims = {"iss": "acme", "iat": now, "exp": now + 180, "qsh": qsh(method, url)} | more
    return sign({k: v for k, v in claims.items() if v is not None}, import_secret(secret))


def request(target: str | None, token: str | None = None, *more: str, method: str = "GET") -> Any:
    values = more if token is None else (f"JWT {token}", *more)
    return Request(method, target, tuple(("authorization", value) for value in values))


async def rejection(authenticate: Authenticate, request: Request) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        await authenticate(request)
    return caught.value
