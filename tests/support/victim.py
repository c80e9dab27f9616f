"""A service as an attacker meets it, and what an attacker can make without anybody's key."""

import hashlib
import hmac
import json
from collections.abc import Awaitable
from typing import Any

from asapfn import TokenRejected, asap
from asapfn._core.compact import encode_base64url
from asapfn.resolvers import keys_by_id
from asapfn.types import Resolver, Token
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, KEY, clock

MALLORY = key_for("ES256", "mallory")
GOOD = forge(CLAIMS, KEY)


async def told(verified: Awaitable[Token]) -> str | None:
    """The reason of a refusal; None for a token that is taken."""
    try:
        assert (await verified).claims
    except TokenRejected as error:
        return error.reason
    return None


async def service(token: Any, resolver: Resolver | None = None, **options: Any) -> str | None:
    """What an ASAP verifier says of a token."""
    settings: dict[str, Any] = {"audience": "service", "issuers": None, "now": clock} | options
    return await told(asap.verifier(resolver or keys_by_id([KEY]), **settings)(token))


def by_hmac(claims: Any, secret: bytes, **header: Any) -> str:
    """A token by HS256, whatever the secret: a public key, or nothing at all."""
    members = {"alg": "HS256", "typ": "JWT"} | header
    parts = [encode_base64url(json.dumps(part).encode()) for part in (members, claims)]
    signed = hmac.digest(secret, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, encode_base64url(signed)]).decode()
