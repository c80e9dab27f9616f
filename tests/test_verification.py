"""`verify`, `peek` and `bearer`: the order, every reason, the exact boundaries, and any bytes."""

import json
import math
from collections.abc import Awaitable, Generator
from typing import Any

import pytest
from forging import forge, forge_bytes
from hypothesis import given
from hypothesis import strategies as st
from keyring import key_for

from asapfn.algorithms import ALGORITHMS
from asapfn.authentication import bearer, credentials
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_private_pem, export_public_pem, import_pem
from asapfn.resolvers import keys_by_id
from asapfn.signing import sign
from asapfn.types import Key, Request, Resolver, Token, Unverified
from asapfn.verification import peek, verify

NOW = 1_700_000_000
KEY = key_for("ES256")
RESOLVER = keys_by_id([KEY])
CLAIMS = {"iss": "issuer", "aud": "service", "iat": NOW, "exp": NOW + 60, "jti": "one"}
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
    """One token with every fault; each is mended in turn, and the next one is what is told."""
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


# Types


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value",
    [
        "null",
        "true",
        "false",
        '""',
        f'"{NOW}"',
        "[]",
        f"[{NOW}]",
        "{}",
        "1" + "0" * 400,
        str(2**63),
        str(-(2**63)),
        "9.3e18",
        "1e308",
    ],
)
async def test_a_time_is_a_number_that_can_be_one(name: str, value: str) -> None:
    good = ",".join(f'"{n}":{v}' for n, v in (("exp", NOW + 60), ("iat", NOW)) if n != name)
    payload = f'{{"aud":"service",{good},"{name}":{value}}}'.encode()
    assert await reason_of(forge(payload, KEY), nobody_asks) == ("invalid_claim", name)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "other"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000])
async def test_a_number_that_is_none_is_malformed(name: str, value: str) -> None:
    payload = f'{{"aud":"service","{name}":{value}}}'.encode()
    assert (await reason_of(forge(payload, KEY), nobody_asks))[0] == "malformed"


@pytest.mark.parametrize("name", ["iss", "sub", "jti"])
@pytest.mark.parametrize("value", [None, True, 7, 1.5, [], ["issuer"], {"issuer": 1}])
async def test_a_name_is_a_string(name: str, value: Any) -> None:
    token = forge(CLAIMS | {name: value}, KEY)
    assert await reason_of(token, nobody_asks) == ("invalid_claim", name)


@pytest.mark.parametrize(
    "value", [None, True, 0, {}, {"service": 1}, [None], ["service", 1], ["service", ["service"]]]
)
async def test_an_audience_is_a_string_or_a_list_of_strings(value: Any) -> None:
    token = forge(CLAIMS | {"aud": value}, KEY)
    for audience in ("service", None):
        assert await reason_of(token, nobody_asks, audience=audience) == ("invalid_claim", "aud")


@pytest.mark.parametrize("name", ["kid", "typ"])
@pytest.mark.parametrize("value", ["null", "true", "7", "[]", "{}", '["JWT"]'])
async def test_a_header_of_a_wrong_type_is_malformed(name: str, value: str) -> None:
    header = f'{{"alg":"ES256","{name}":{value}}}'.encode()
    assert await reason_of(forge_bytes(header, CLAIMS, KEY), nobody_asks) == ("malformed", name)


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b'"x"', b"{", b'{"a":1,"a":2}', b"\xff"])
async def test_claims_that_are_no_strict_json_object_are_malformed(payload: bytes) -> None:
    assert await reason_of(forge(payload, KEY), nobody_asks) == ("malformed", None)


async def test_times_may_have_fractions() -> None:
    token = forge(CLAIMS | {"exp": NOW + 0.5, "iat": NOW - 0.5, "nbf": -1.5}, KEY)
    assert await reason_of(token) is None
    assert await reason_of(token, now=lambda: NOW + 0.5) == ("expired", "exp")


# Time


@pytest.mark.parametrize("leeway", [0, 10, 0.25])
async def test_it_is_expired_from_exp_plus_leeway_on(leeway: float) -> None:
    token, end = forge(CLAIMS, KEY), NOW + 60 + leeway
    assert await reason_of(token, leeway=leeway, now=lambda: end - 0.125) is None
    assert await reason_of(token, leeway=leeway, now=lambda: end) == ("expired", "exp")
    assert await reason_of(token, leeway=leeway, now=lambda: end + 1) == ("expired", "exp")


@pytest.mark.parametrize("leeway", [0, 10, 0.25])
@pytest.mark.parametrize("name", ["iat", "nbf"])
async def test_it_is_valid_from_nbf_and_iat_less_leeway_on(name: str, leeway: float) -> None:
    token, start = forge(CLAIMS | {name: NOW + 30}, KEY), NOW + 30 - leeway
    assert await reason_of(token, leeway=leeway, now=lambda: start) is None
    assert await reason_of(token, leeway=leeway, now=lambda: start - 0.125) == (
        "not_yet_valid",
        name,
    )


@pytest.mark.parametrize(
    ("times", "claim"),
    [
        ({"iat": NOW + 60}, "exp"),
        ({"iat": NOW + 61}, "exp"),
        ({"nbf": NOW + 60}, "nbf"),
        ({"nbf": NOW + 61}, "nbf"),
    ],
)
async def test_times_that_leave_no_life_are_invalid(times: dict[str, int], claim: str) -> None:
    token = forge(CLAIMS | times, KEY)
    assert await reason_of(token, nobody_asks, leeway=1000) == ("invalid_claim", claim)


async def test_a_life_of_just_the_most_is_taken_and_no_leeway_lengthens_it() -> None:
    assert await reason_of(forge(CLAIMS, KEY), max_lifetime=60) is None
    for over in (forge(CLAIMS | {"exp": NOW + 61}, KEY), forge(CLAIMS | {"iat": NOW - 0.5}, KEY)):
        told = await reason_of(over, nobody_asks, max_lifetime=60, leeway=10)
        assert told == ("lifetime_too_long", "exp")


@pytest.mark.parametrize("name", ["exp", "iat"])
async def test_a_longest_life_makes_exp_and_iat_required(name: str) -> None:
    token = forge({n: v for n, v in CLAIMS.items() if n != name}, KEY)
    assert await reason_of(token, nobody_asks, required=(), max_lifetime=60) == (
        "missing_claim",
        name,
    )
    assert await reason_of(token, required=()) is None


async def test_without_exp_the_other_times_still_count() -> None:
    for name in ("iat", "nbf"):
        token = forge({"aud": "service", name: NOW + 1}, KEY)
        assert await reason_of(token, nobody_asks, required=()) == ("not_yet_valid", name)


@pytest.mark.parametrize("options", [{"now": lambda: math.nan}, {"leeway": math.nan}])
async def test_a_clock_or_leeway_that_is_no_number_lets_nothing_pass(options: Any) -> None:
    assert (await reason_of(forge(CLAIMS, KEY), nobody_asks, **options))[0] == "expired"
    for name in ("iat", "nbf"):
        token = forge({"aud": "service", name: 0}, KEY)
        told = await reason_of(token, nobody_asks, required=(), **options)
        assert told == ("not_yet_valid", name)


async def test_a_longest_life_that_is_no_number_lets_nothing_pass() -> None:
    told = await reason_of(forge(CLAIMS, KEY), nobody_asks, max_lifetime=math.nan)
    assert told == ("lifetime_too_long", "exp")


@pytest.mark.parametrize("name", ["exp", "iss", "mine"])
async def test_what_is_required_must_be_there(name: str) -> None:
    claims = {n: v for n, v in CLAIMS.items() if n != name}
    assert await reason_of(forge(claims, KEY), nobody_asks, required=[name]) == (
        "missing_claim",
        name,
    )
    # There, be it null: what it must be is a check's to say.
    assert await reason_of(forge(CLAIMS | {"mine": None}, KEY), required=[name]) is None


# Audience and type


@pytest.mark.parametrize(
    "expected", ["service", ["service"], {"service", "alias"}, ("z", "service")]
)
@pytest.mark.parametrize("given", ["service", ["service"], ["another", "service"]])
async def test_one_name_in_common_is_enough(expected: Any, given: Any) -> None:
    assert await reason_of(forge(CLAIMS | {"aud": given}, KEY), audience=expected) is None


@pytest.mark.parametrize("expected", ["service", ["service", "alias"]])
@pytest.mark.parametrize(
    "given", ["", "s", "servic", "services", "Service", " service", "service ", [], ["", "s"], "a"]
)
async def test_a_name_is_compared_whole(expected: Any, given: Any) -> None:
    token = forge(CLAIMS | {"aud": given}, KEY)
    assert await reason_of(token, nobody_asks, audience=expected) == ("wrong_audience", "aud")


async def test_an_audience_is_required_when_one_is_expected_and_refused_when_none_is() -> None:
    without = forge({n: v for n, v in CLAIMS.items() if n != "aud"}, KEY)
    assert await reason_of(without, nobody_asks) == ("missing_claim", "aud")
    assert await reason_of(without, audience=None) is None
    named: tuple[str | list[str], ...] = ("service", "", [])
    for given_audience in named:
        token = forge(CLAIMS | {"aud": given_audience}, KEY)
        assert await reason_of(token, nobody_asks, audience=None) == ("wrong_audience", "aud")


@pytest.mark.parametrize("given", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
@pytest.mark.parametrize("expected", ["at+jwt", "application/at+jwt", "AT+JWT"])
async def test_a_typ_is_compared_without_case_and_prefix(given: str, expected: str) -> None:
    assert await reason_of(forge(CLAIMS, KEY, typ=given), typ=expected) is None


async def test_a_typ_that_is_asked_for_must_be_there_and_the_same() -> None:
    for given_typ in ("JWT", "", "at+jwt+x", "text/at+jwt"):
        token = forge(CLAIMS, KEY, typ=given_typ)
        assert await reason_of(token, nobody_asks, typ="at+jwt") == ("invalid_claim", "typ")
    without = forge(CLAIMS, KEY, typ=None)
    assert await reason_of(without, nobody_asks, typ="at+jwt") == ("missing_claim", "typ")
    assert await reason_of(without) is None


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


async def test_the_public_half_is_enough_and_a_strangers_is_not() -> None:
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


@pytest.mark.parametrize("what", ["algorithms", "required"])
async def test_a_bare_str_is_no_collection_of_names(what: str) -> None:
    options: Any = {what: "ES256"}
    with pytest.raises(TypeError, match=f"{what} takes a collection of names"):
        await verify("", nobody_asks, **options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"audience": []}, ValueError),
        ({"audience": [1]}, TypeError),
        ({"audience": b"service"}, TypeError),
        ({"audience": 7}, TypeError),
        ({"algorithms": ["none"]}, ValueError),
        ({"algorithms": ["ES256", "es256"]}, ValueError),
    ],
)
async def test_wrong_use_is_told_before_the_token_is_looked_at(options: Any, error: Any) -> None:
    with pytest.raises(error):
        await verify("", nobody_asks, **options)


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
    with pytest.raises(TypeError, match="the resolver returned"):
        await reason_of(sign(CLAIMS, KEY), answer(garbage))


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

    for check in (predicate, later):
        with pytest.raises(TypeError, match="a check returns None"):
            await verify(sign(CLAIMS, KEY), answer(KEY), check, audience="service", now=clock)


async def test_a_check_may_return_any_awaitable_of_none() -> None:
    class Later:
        def __await__(self) -> Generator[None, None, None]:
            yield from ()

    def check(token: Token) -> Awaitable[None]:
        return Later()

    token = sign(CLAIMS, KEY)
    assert await verify(token, answer(KEY), check, check, audience="service", now=clock)


# Any bytes

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_times = st.integers(NOW - 3, NOW + 3) | st.floats(NOW - 3, NOW + 3) | _json
_claims = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("exp", "iat", "nbf"), _times),
        **dict.fromkeys(("iss", "sub", "jti", "mine"), st.just("issuer") | _json),
        "aud": st.just("service") | st.just(["service"]) | _json,
    },
)
_header = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(sorted(ALGORITHMS)) | _json,
        "kid": st.just(KEY.kid) | _json,
        "typ": st.just("JWT") | _json,
        "crit": _json,
    },
)
_signed = st.builds(
    lambda header, claims: forge_bytes(json.dumps(header).encode(), claims, KEY).encode(),
    st.just({"alg": "ES256"}) | _header,
    _claims.map(lambda claims: json.dumps(claims).encode()) | st.binary(max_size=40),
)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(_signed))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        piece = draw(st.binary(max_size=2) | st.sampled_from([b".", b"=", b"A", b"\n", b"-_"]))
        data[at : at + draw(st.integers(0, 3))] = piece
    return bytes(data)


@given(
    token=st.binary() | st.text() | _signed | _mutated(),
    algorithm=st.just("ES256") | st.sampled_from(sorted(ALGORITHMS)),
    leeway=st.sampled_from([0, 1.5]),
    audience=st.sampled_from([None, "service", ["service", "other"]]),
    typ=st.sampled_from([None, "JWT"]),
)
async def test_whatever_the_bytes_nothing_but_a_rejection_comes_of_them(
    token: str | bytes, algorithm: str, leeway: float, audience: Any, typ: str | None
) -> None:
    try:
        verified = await verify(
            token,
            answer(key_for(algorithm)),
            audience=audience,
            algorithms=ALGORITHMS,
            required=(),
            leeway=leeway,
            max_lifetime=5 if leeway else None,
            typ=typ,
            now=clock,
        )
    except TokenRejected as error:
        _assert_tells_nothing(error, token)
    else:
        assert algorithm == verified.header["alg"] == "ES256"
        assert verified.verified_at == NOW < verified.usable_until


def _assert_tells_nothing(error: TokenRejected, token: str | bytes) -> None:
    assert error.status == 401
    text = token if isinstance(token, str) else token.decode("latin-1")
    for told in (str(error), repr(error)):
        for segment in text.split("."):
            assert len(segment) < 12 or segment not in told


@given(token=st.binary() | st.text() | _signed | _mutated())
def test_peek_reads_or_rejects(token: str | bytes) -> None:
    try:
        unverified = peek(token)
    except TokenRejected as error:
        _assert_tells_nothing(error, token)
    else:
        assert unverified.header["alg"] in ALGORITHMS
        assert isinstance(unverified.claims, dict)


def test_peek_takes_every_algorithm_and_verifies_nothing() -> None:
    for algorithm in ALGORITHMS:
        head, _, _ = sign(CLAIMS, key_for(algorithm)).rpartition(".")
        unverified = peek(f"{head}.AAAA")
        assert unverified.claims == CLAIMS
        assert unverified.header["alg"] == algorithm
        assert unverified.signing_input == head.encode()
        assert unverified.signature == b"\x00\x00\x00"


CANARY = "canary-in-the-token"
WITH_CANARY = CLAIMS | {"mine": CANARY}
TELLTALES: dict[str, tuple[str, dict[str, Any]]] = {
    "malformed": (forge(WITH_CANARY, KEY) + "=", {}),
    "broken JSON": (forge(f'{{"{CANARY}":'.encode(), KEY), {}),
    "repeated member": (forge(f'{{"{CANARY}":1,"{CANARY}":2}}'.encode(), KEY), {}),
    "unsupported_algorithm": (forge({}, KEY, alg=CANARY, signed_as="ES256"), {}),
    "kid": (forge(CLAIMS, KEY, kid=[CANARY]), {}),
    "missing_claim": (forge(WITH_CANARY, KEY), {"required": ["other"]}),
    "invalid_claim": (forge(CLAIMS | {"iss": [CANARY]}, KEY), {}),
    "aud": (forge(CLAIMS | {"aud": [CANARY, 1]}, KEY), {}),
    "expired": (forge(WITH_CANARY | {"iat": 1, "exp": 2}, KEY), {}),
    "wrong_audience": (forge(CLAIMS | {"aud": CANARY}, KEY), {}),
    "typ": (forge(CLAIMS, KEY, typ=CANARY), {"typ": "JWT"}),
    "unknown_key": (forge(WITH_CANARY, KEY, kid=CANARY), {}),
    "bad_signature": (forge(WITH_CANARY, key_for("ES256", "mallory"), kid=KEY.kid), {}),
}


@pytest.mark.parametrize(("token", "options"), TELLTALES.values(), ids=TELLTALES)
async def test_no_message_tells_of_the_token_or_the_key(token: str, options: Any) -> None:
    asked: dict[str, Any] = {"audience": "service", "now": clock} | options
    with pytest.raises(TokenRejected) as raised:
        await verify(token, keys_by_id([KEY]), **asked)
    _assert_tells_nothing(raised.value, token)
    told = str(raised.value) + repr(raised.value)
    assert CANARY not in told
    assert not any(str(value) in told for value in KEY.as_dict(private=True).values())


# bearer


def request(*headers: tuple[str, str]) -> Request:
    return Request("GET", None, (("Host", "localhost"), *headers))


def refusal(*values: str, scheme: str = "Bearer") -> str:
    with pytest.raises(TokenRejected) as raised:
        credentials(request(*(("Authorization", value) for value in values)), scheme)
    return raised.value.reason


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize(
    "value", ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c", " Bearer a.b.c "]
)
def test_header_and_scheme_are_compared_without_case(name: str, value: str) -> None:
    assert credentials(request((name, value)), "Bearer") == "a.b.c"


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "a.b.c",
        "Basic a.b.c",
        "JWT a.b.c",
        "Bearera.b.c",
        "Basic a b c",
        "Bearer\ta.b.c",
        "Bearer\u00a0a.b.c",
        "Bearer,a.b.c",
        "Bearer= a.b.c",
    ],
)
def test_without_our_scheme_there_is_no_token(value: str) -> None:
    assert refusal(value) == "missing_token"


def test_without_the_header_there_is_no_token() -> None:
    assert refusal() == "missing_token"
    with pytest.raises(TokenRejected) as raised:
        credentials(request(("X-Authorization", "Bearer a.b.c")), "Bearer")
    assert raised.value.reason == "missing_token"


@pytest.mark.parametrize(
    "values",
    [
        ["Bearer a.b.c", "Bearer a.b.c"],
        ["Bearer a.b.c", "Basic x"],
        ["Basic x", "Bearer a.b.c"],
        ["", "Bearer a.b.c"],
        ["Bearer a.b.c d.e.f"],
        ["Bearer a.b.c, Bearer d.e.f"],
        ["Bearer a.b.c ,"],
    ],
)
def test_a_second_token_is_ambiguous(values: list[str]) -> None:
    assert refusal(*values) == "ambiguous_token"


def test_another_scheme_is_looked_for_when_asked() -> None:
    assert credentials(request(("Authorization", "jwt a.b.c")), "JWT") == "a.b.c"
    assert refusal("Bearer a.b.c", scheme="JWT") == "missing_token"


async def test_bearer_hands_the_token_to_verify_and_lets_its_answer_through() -> None:
    token = sign(CLAIMS, KEY)

    async def verify_token(given_token: str) -> Token:
        return await verify(given_token, keys_by_id([KEY]), audience="service", now=clock)

    authenticate = bearer(verify_token)
    verified = await authenticate(request(("Authorization", f"Bearer {token}")))
    assert verified.claims == CLAIMS
    for value, reason in {
        f"Bearer {token},": "malformed",
        f"Bearer {token}\t": "malformed",
        f"Basic {token}": "missing_token",
        f"Bearer {token} {token}": "ambiguous_token",
    }.items():
        with pytest.raises(TokenRejected) as raised:
            await authenticate(request(("Authorization", value)))
        assert raised.value.reason == reason
        _assert_tells_nothing(raised.value, token)
