"""`verify`: the order of its steps, keys, and wrong use."""

import math
from collections.abc import Awaitable, Generator
from typing import Any

import pytest

from asapfn._core.algorithms import ALGORITHMS
from asapfn._core.signing import sign
from asapfn._core.verification import peek, verify
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_private_pem, export_public_pem, import_pem
from asapfn.resolvers import keys_by_id
from asapfn.types import Key, Token, Unverified
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.verifying import (
    CLAIMS,
    KEY,
    NOW,
    answer,
    clock,
    nobody_asks,
    nobody_checks,
    reason_of,
)

pytestmark = pytest.mark.no_event_loop

HOPELESS: dict[str, Any] = {
    "no token": "",
    "arbitrary bytes": b"\x00\xff\x00",
    "too long": b"a" * 20_000,
    "unsigned": forge(CLAIMS, KEY, alg="none", signed_as="ES256"),
    "without a signature": forge(CLAIMS, KEY).rpartition(".")[0] + ".",
    "HMAC, not asked for": forge(CLAIMS, KEY, alg="HS256", signed_as="ES256"),
    "a kid that is no string": forge(CLAIMS, KEY, kid=7),
    "claims that are a list": forge([CLAIMS], KEY),
    "no exp": forge({"aud": "service"}, KEY),
    "exp in words": forge(CLAIMS | {"exp": "tomorrow"}, KEY),
    "expired": forge(CLAIMS | {"iat": NOW - 60, "exp": NOW}, KEY),
    "from the future": forge(CLAIMS | {"iat": NOW + 1}, KEY),
    "not yet valid": forge(CLAIMS | {"nbf": NOW + 1}, KEY),
    "too long a life": forge(CLAIMS | {"exp": NOW + 3601}, KEY),
    "for another": forge(CLAIMS | {"aud": "another"}, KEY),
    "of another type": forge(CLAIMS, KEY, typ="secevent+jwt"),
}


async def test_a_good_token_is_taken_as_it_is() -> None:
    token = sign(CLAIMS, KEY)
    verified = await verify(token, keys_by_id([KEY]), audience="service", leeway=10, now=clock)
    assert verified.header == {"alg": "ES256", "kid": KEY.kid, "typ": "JWT"}
    assert verified.claims == CLAIMS
    assert (verified.verified_at, verified.usable_until) == (NOW, NOW + 70)
    assert await verify(token.encode(), answer(KEY), audience="service", now=clock) == (
        verified._replace(usable_until=NOW + 60)
    )


async def test_a_token_without_exp_is_usable_for_ever_when_exp_is_not_required() -> None:
    verified = await verify(sign({}, KEY), answer(KEY), required=(), now=clock)
    assert verified.usable_until == math.inf


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_each_algorithm_is_verified_by_its_key_when_it_is_taken(algorithm: str) -> None:
    key = key_for(algorithm)
    token = sign(CLAIMS, key)
    assert await reason_of(token, answer(key), algorithms=[algorithm]) is None
    tampered = forge(CLAIMS | {"jti": "two"}, key).rpartition(".")[0] + token[token.rindex(".") :]
    assert await reason_of(tampered, answer(key), algorithms=[algorithm]) == ("bad_signature", None)
    others = ALGORITHMS.keys() - {algorithm}
    assert (await reason_of(token, nobody_asks, algorithms=others))[0] == "unsupported_algorithm"


async def test_the_default_takes_no_shared_secret() -> None:
    for algorithm in ("HS256", "HS384", "HS512"):
        token = sign(CLAIMS, key_for(algorithm))
        assert (await reason_of(token, nobody_asks))[0] == "unsupported_algorithm"


# Order


@pytest.mark.parametrize("token", HOPELESS.values(), ids=HOPELESS)
async def test_a_hopeless_token_never_costs_a_look_up(token: str | bytes) -> None:
    with pytest.raises(TokenRejected):
        await verify(
            token,
            nobody_asks,
            nobody_checks,
            audience="service",
            max_lifetime=3600,
            typ="JWT",
            now=clock,
        )


async def test_each_step_of_the_order_comes_before_the_next() -> None:
    """One token with every fault; each is removed in turn, and the next one is reported."""
    seen: list[str] = []
    header: dict[str, Any] = {"alg": "none", "typ": "other"}
    claims: Any = b"no JSON"
    found: Any = None
    signed_by: Key = key_for("RS256")

    async def resolve(unverified: Unverified) -> Any:
        seen.append("resolver")
        return found

    def first(token: Token) -> None:
        seen.append("first")

    async def second(token: Token) -> None:
        seen.append("second")
        raise TokenRejected("replayed")

    async def told(*more: Any) -> tuple[str, str | None]:
        token = forge(claims, signed_by, signed_as=signed_by.alg, **header)
        with pytest.raises(TokenRejected) as raised:
            await verify(
                token,
                resolve,
                *more,
                audience="service",
                required=("jti",),
                max_lifetime=60,
                typ="JWT",
                now=clock,
            )
        return raised.value.reason, raised.value.claim

    assert await told(nobody_checks) == ("unsupported_algorithm", "alg")
    header["alg"] = "RS256"
    header["kid"] = 7
    assert await told(nobody_checks) == ("malformed", "kid")
    header["kid"] = "any"
    assert await told(nobody_checks) == ("malformed", None)
    claims = {"iat": NOW, "exp": NOW, "aud": 1}
    assert await told(nobody_checks) == ("invalid_claim", "aud")
    claims["aud"] = "another"
    assert await told(nobody_checks) == ("missing_claim", "jti")
    claims["jti"] = "one"
    assert await told(nobody_checks) == ("expired", "exp")
    claims["exp"] = NOW + 61
    assert await told(nobody_checks) == ("lifetime_too_long", "exp")
    claims["exp"] = NOW + 60
    assert await told(nobody_checks) == ("wrong_audience", "aud")
    claims["aud"] = "service"
    assert await told(nobody_checks) == ("invalid_claim", "typ")
    header["typ"] = "JWT"
    assert seen == []
    assert await told(nobody_checks) == ("unknown_key", None)
    found = KEY
    assert await told(nobody_checks) == ("unsuitable_key", None)
    found = key_for("RS256", "mallory")
    assert await told(nobody_checks) == ("bad_signature", None)
    assert seen == ["resolver"] * 3
    found = key_for("RS256")
    assert await told(first, second, nobody_checks) == ("replayed", None)
    assert seen == [*["resolver"] * 4, "first", "second"]


async def test_the_resolver_is_shown_the_token_and_what_it_raises_goes_out_unchanged() -> None:
    shown: list[Unverified] = []
    refusals = (TokenRejected("key_not_owned"), Unavailable("directory"), LookupError("mine"))
    for refusal in refusals:

        async def resolve(unverified: Unverified, refusal: Exception = refusal) -> Key | None:
            shown.append(unverified)
            raise refusal

        with pytest.raises(type(refusal)) as raised:
            await verify(sign(CLAIMS, KEY), resolve, nobody_checks, audience="service", now=clock)
        assert raised.value is refusal
    assert [unverified.claims for unverified in shown] == [CLAIMS] * 3


async def test_what_a_check_raises_goes_out_unchanged() -> None:
    async def outage(token: Token) -> None:
        raise Unavailable("replay store")

    with pytest.raises(Unavailable, match="replay store"):
        await verify(sign(CLAIMS, KEY), answer(KEY), outage, audience="service", now=clock)


async def test_a_token_that_expires_while_its_key_is_looked_up_is_expired() -> None:
    """Else a store, whose memory of an id ends with the token, could be waited out."""
    time = float(NOW)

    async def slow(unverified: Unverified) -> Key | None:
        nonlocal time
        time = NOW + 60.0
        return KEY

    with pytest.raises(TokenRejected) as raised:
        await verify(sign(CLAIMS, KEY), slow, nobody_checks, audience="service", now=lambda: time)
    assert raised.value.reason == "expired"


# Keys


@pytest.mark.parametrize("algorithm", ["RS256", "ES384", "EdDSA", "HS256"])
async def test_a_key_that_does_not_fit_the_algorithm_is_unsuitable(algorithm: str) -> None:
    told = await reason_of(sign(CLAIMS, KEY), answer(key_for(algorithm)))
    assert told == ("unsuitable_key", None)


async def test_a_key_that_is_for_another_algorithm_is_unsuitable() -> None:
    key = key_for("RS256")
    token = sign(CLAIMS, import_pem(export_private_pem(key), kid=key.kid, algorithm="PS256"))
    assert await reason_of(token, answer(key)) == ("unsuitable_key", None)
    public = import_pem(export_public_pem(key), kid=key.kid)
    assert await reason_of(token, answer(public)) is None


async def test_the_public_half_is_enough_and_that_of_another_key_is_not() -> None:
    public = import_pem(export_public_pem(KEY))
    assert await reason_of(sign(CLAIMS, KEY), answer(public)) is None
    told = await reason_of(sign(CLAIMS, KEY), answer(key_for("ES256", "mallory")))
    assert told == ("bad_signature", None)


async def test_a_key_in_the_header_is_never_read() -> None:
    mallory = key_for("ES256", "mallory")
    jwk = {n: v for n, v in mallory.as_dict(private=False).items() if n in ("kty", "crv", "x", "y")}
    token = forge(CLAIMS, mallory, kid=KEY.kid, jwk=jwk, jku="https://mallory.example/")
    assert await reason_of(token) == ("bad_signature", None)


# Misuse


@pytest.mark.parametrize("token", [None, 7, bytearray(b"a.b.c"), ["a.b.c"]])
async def test_a_token_is_str_or_bytes(token: Any) -> None:
    with pytest.raises(TypeError, match="a token is a str or bytes"):
        await verify(token, nobody_asks)
    with pytest.raises(TypeError, match="a token is a str or bytes"):
        peek(token)


@pytest.mark.parametrize(
    "garbage", [False, True, 0, "a key", b"key", {"kty": "EC"}, object(), [KEY]]
)
async def test_a_resolver_that_returns_no_key_is_a_programming_error(garbage: Any) -> None:
    with pytest.raises(TypeError) as raised:
        await reason_of(sign(CLAIMS, KEY), answer(garbage))
    named = type(garbage).__name__
    assert str(raised.value) == f"the resolver returned {named}, not a key or None"


async def test_a_resolver_that_is_not_async_is_a_programming_error() -> None:
    def resolve(unverified: Unverified) -> Any:
        return KEY

    with pytest.raises(TypeError, match="await"):
        await reason_of(sign(CLAIMS, KEY), resolve)


@pytest.mark.parametrize("value", [False, True, 0, "", "no", object()])
async def test_a_check_that_returns_a_value_is_a_programming_error(value: Any) -> None:
    def predicate(token: Token) -> Any:
        return value

    async def later(token: Token) -> Any:
        return value

    told = "^a check returns None or an awaitable of None, and raises to reject$"
    for check in (predicate, later):
        with pytest.raises(TypeError, match=told):
            await verify(sign(CLAIMS, KEY), answer(KEY), check, audience="service", now=clock)


async def test_a_check_may_return_any_awaitable_of_none() -> None:
    class Later:
        def __await__(self) -> Generator[None, None, None]:
            yield from ()

    def check(token: Token) -> Awaitable[None]:
        return Later()

    token = sign(CLAIMS, KEY)
    assert await verify(token, answer(KEY), check, check, audience="service", now=clock)
