"""What tests of `verify` share: claims, their key, and what `verify` says of a token."""

from typing import Any

from asapfn._core.verification import verify
from asapfn.errors import TokenRejected
from asapfn.resolvers import keys_by_id
from asapfn.types import Key, Resolver, Token, Unverified
from tests.support.keyring import key_for

NOW = 1_700_000_000
KEY = key_for("ES256")
RESOLVER = keys_by_id([KEY])
CLAIMS = {"iss": "issuer", "aud": "service", "iat": NOW, "exp": NOW + 60, "jti": "one"}


def clock() -> float:
    return NOW


def answer(key: Any) -> Resolver:
    async def resolve(unverified: Unverified) -> Any:
        return key

    return resolve


async def nobody_asks(unverified: Unverified) -> Key | None:
    raise AssertionError("the resolver was asked")


def nobody_checks(token: Token) -> None:
    raise AssertionError("a check saw the token")


async def reason_of(token: str | bytes, resolver: Resolver = RESOLVER, **options: Any) -> Any:
    """What `verify` says: None for a token that it takes, else the reason and the claim."""
    asked: dict[str, Any] = {"audience": "service", "now": clock} | options
    try:
        verified = await verify(token, resolver, **asked)
    except TokenRejected as error:
        return error.reason, error.claim
    assert isinstance(verified, Token)
    return None


def assert_tells_nothing(error: TokenRejected, token: str | bytes) -> None:
    assert error.status == 401
    text = token if isinstance(token, str) else token.decode("latin-1")
    for told in (str(error), repr(error)):
        for segment in text.split("."):
            assert len(segment) < 12 or segment not in told
