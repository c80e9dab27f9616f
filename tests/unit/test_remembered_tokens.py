"""What a verifier remembers of tokens: no signature twice for one key object, within bounds."""

import gc
import json
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from asapfn import asap, jitsi
from asapfn import forge as forge_profile
from asapfn._core import compact, verification
from asapfn._core.remembered_tokens import Memory, keep, keep_parts
from asapfn._core.verification import has_verified, policy, verifier, verify
from asapfn.errors import TokenRejected
from asapfn.keys import import_secret
from asapfn.types import Key, Token, Unverified, Verify
from tests.support.effort import tries
from tests.support.forging import forge, forge_bytes
from tests.support.verifying import CLAIMS, KEY, NOW, RESOLVER, answer, clock

pytestmark = pytest.mark.no_event_loop

NESTED = CLAIMS | {"aud": ["service", "other"], "context": {"a": [{"b": [1]}]}}


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """The keys that signatures were verified with, in order."""
    keys: list[Key] = []
    really = verification.verify_signature

    def verify_signature(algorithm: str, key: Key, *rest: bytes) -> bool:
        keys.append(key)
        return really(algorithm, key, *rest)

    monkeypatch.setattr(verification, "verify_signature", verify_signature)
    return keys


@pytest.fixture
def parsings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tokens that were parsed, in order."""
    tokens: list[Any] = []
    really = compact.parse

    def parse(token: Any, *rest: Any) -> Any:
        tokens.append(token)
        return really(token, *rest)

    monkeypatch.setattr(compact, "parse", parse)
    return tokens


def make(resolver: Any = RESOLVER, now: Any = clock, **options: Any) -> Verify:
    return verifier(policy(resolver, audience="service", now=now), **options)


def tokens(count: int, **claims: Any) -> list[str]:
    return [forge(CLAIMS | {"jti": str(n)} | claims, KEY) for n in range(count)]


# What is not done again


@pytest.mark.parametrize("claims", [CLAIMS, NESTED], ids=["flat", "nested"])
async def test_a_signature_is_verified_once_and_a_token_parsed_twice(
    signatures: list[Key], parsings: list[Any], claims: dict[str, Any]
) -> None:
    """Twice, since most tokens come once: what they consist of is kept when they come again."""
    verify_token, token = make(), forge(claims, KEY)
    for _ in range(4):
        verified = await verify_token(token)
        assert verified == (
            compact.read_header(token.split(".")[0].encode()),
            claims,
            NOW,
            NOW + 60,
        )
        assert type(verified) is Token
    assert (signatures, parsings) == ([KEY], [token, token])


async def test_text_and_bytes_are_one_token(signatures: list[Key]) -> None:
    verify_token, token = make(), forge(CLAIMS, KEY)
    for form in (token, token.encode(), token.encode(), token):
        assert (await verify_token(form)).claims == CLAIMS
    assert signatures == [KEY]


async def test_a_text_of_another_type_is_verified_each_time(signatures: list[Key]) -> None:
    class Text(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash(token)

    verify_token, token = make(), forge(CLAIMS, KEY)
    for text in (token, Text(token), Text(token)):
        assert (await verify_token(text)).claims == CLAIMS
    assert signatures == [KEY] * 3
    with pytest.raises(TokenRejected, match="malformed"):
        await verify_token(Text("x"))


@pytest.mark.parametrize("value", [None, 7, ["a"], bytearray(b"a.b.c")])
async def test_what_is_no_token_is_an_error_as_ever(value: Any) -> None:
    with pytest.raises(TypeError, match="a token is a str or bytes"):
        await make()(value)


async def test_every_verifier_remembers_for_itself(signatures: list[Key]) -> None:
    token = forge(CLAIMS, KEY)
    for verify_token in (make(), make()):
        await verify_token(token)
        await verify_token(token)
    assert signatures == [KEY, KEY]


async def test_verify_remembers_nothing(signatures: list[Key]) -> None:
    token = forge(CLAIMS, KEY)
    for _ in range(3):
        await verify(token, RESOLVER, audience="service", now=clock)
    assert signatures == [KEY] * 3


async def test_0_remembers_nothing(signatures: list[Key]) -> None:
    verify_token, token = make(remember=0), forge(CLAIMS, KEY)
    for _ in range(3):
        await verify_token(token)
    assert signatures == [KEY] * 3


PROFILES: dict[str, Callable[..., Verify]] = {
    "verifier": make,
    "asap": lambda **options: asap.verifier(RESOLVER, "service", issuers=None, **options),
    "jitsi": lambda **options: jitsi.verifier(RESOLVER, issuers=None, audience=None, **options),
    "forge": lambda **options: forge_profile.verifier(
        RESOLVER, "ari:cloud:ecosystem::app/1", **options
    ),
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("remember", [-1, 1.0, True, None, "7"])
def test_remember_is_a_number_of_tokens(profile: str, remember: Any) -> None:
    with pytest.raises(ValueError, match="remember is a number of tokens, an int from 0, not "):
        PROFILES[profile](remember=remember)
    assert PROFILES[profile](remember=0)


async def test_the_profiles_remember_as_many_as_they_are_asked_to(signatures: list[Key]) -> None:
    options: dict[str, Any] = {"issuers": None, "now": clock}
    token = forge(CLAIMS, KEY)
    for remember, times in ((1024, 1), (0, 3)):
        signatures.clear()
        verify_token = asap.verifier(RESOLVER, "service", remember=remember, **options)
        for _ in range(3):
            await verify_token(token)
        assert len(signatures) == times


async def test_a_set_of_algorithms_is_the_one_that_the_verifier_was_made_with() -> None:
    algorithms: Any = {"ES256"}
    asked = policy(RESOLVER, audience="service", now=clock)._replace(algorithms=algorithms)
    for remember in (0, 1024):
        algorithms.add("ES256")
        verify_token, token = verifier(asked, remember=remember), forge(CLAIMS, KEY)
        algorithms.clear()
        for _ in range(3):
            assert (await verify_token(token)).claims == CLAIMS


# Keys


async def test_an_equal_key_is_another_key(signatures: list[Key]) -> None:
    one, twin = import_secret("s" * 32), import_secret("s" * 32)
    assert one == twin
    current = [one]
    token = forge(CLAIMS, one, signed_as="HS256", alg="HS256")

    async def resolve(unverified: Unverified) -> Key:
        return current[0]

    verify_token = verifier(policy(resolve, audience="service", algorithms=["HS256"], now=clock))
    for current[0] in (one, one, twin, twin, one, one):
        await verify_token(token)
    assert [key is one for key in signatures] == [True, False, True]
    assert has_verified(twin)


async def test_a_key_is_marked_as_verified_also_where_its_signature_is_not_verified_again() -> None:
    key = import_secret("s" * 32)
    verify_token = verifier(
        policy(answer(key), algorithms=["HS256"], audience="service", now=clock)
    )
    token = forge(CLAIMS, key, alg="HS256", signed_as="HS256")
    for _ in range(3):
        await verify_token(token)
        assert has_verified(key)
        vars(key).pop("_asapfn_verified")


# What callers get


@pytest.mark.parametrize(
    "claims",
    [CLAIMS, NESTED, CLAIMS | {"aud": ["service"]}, CLAIMS | {"context": {"a": 1}}],
    ids=["flat", "nested", "one list", "one object"],
)
async def test_callers_guards_resolvers_and_checks_get_their_own(claims: dict[str, Any]) -> None:
    def spoil(given: Any) -> None:
        given.header["kid"] = "spoilt"
        given.claims.get("context", {}).clear()
        if isinstance(given.claims["aud"], list):
            given.claims["aud"].append("spoilt")
        given.claims["more"] = "spoilt"
        given.claims["jti"] = "spoilt"

    seen: list[Any] = []

    def guard(given: Any) -> None:
        seen.append((dict(given.header), json.dumps(given.claims)))
        spoil(given)

    async def resolve(unverified: Unverified) -> Key:
        spoil(unverified)
        return KEY

    asked = policy(resolve, spoil, audience="service", guards=[guard], now=clock)
    verify_token, token = verifier(asked), forge(claims, KEY)
    for _ in range(4):
        spoil(await verify_token(token))
    header = compact.read_header(token.split(".")[0].encode())
    assert seen == [(header, json.dumps(claims))] * 4


@pytest.mark.parametrize(
    "payload",
    [
        b' \r\n{"aud":"service","exp":2e9, "x" : "\xc3\xa9\\u00e9\\"[{"}\t',
        b'{"aud":"service","exp":2e9,"x":["\xf0\x9f\x94\x91",1.50,-0.0,1e5,null,true,{}]}',
        b'{"aud":"service","exp":2e9,"big":' + b"9" * 400 + b"}",
        b'{"aud":"service","exp":2e9' + b"".join(b',"%d":%d' % (n, n) for n in range(60)) + b"}",
        b'{"aud":"service","exp":2e9,"deep":' + b"[" * 31 + b"]" * 31 + b"}",
    ],
    ids=["flat", "nested", "long number", "many", "deep"],
)
async def test_claims_are_the_same_each_time(payload: bytes, signatures: list[Key]) -> None:
    verify_token, token = make(), forge(payload, KEY)
    each = [await verify_token(token) for _ in range(4)]
    expected = json.loads(payload)
    for verified in each:
        assert verified.claims == expected
        assert list(verified.claims) == list(expected)
        assert [*map(type, verified.claims.values())] == [*map(type, expected.values())]
    assert signatures == [KEY]


@pytest.mark.parametrize("more", [{"x": ["a"]}, {"x": "a" * 600}, {"x": 1}])
async def test_a_header_that_is_not_remembered_is_read_each_time(
    more: dict[str, Any], signatures: list[Key], parsings: list[Any]
) -> None:
    header = {"alg": "ES256", "kid": KEY.kid} | more
    token = forge_bytes(json.dumps(header).encode(), CLAIMS, KEY)
    verify_token = make()
    for _ in range(3):
        verified: Any = await verify_token(token)
        assert verified.header == header
        verified.header["x"] = "spoilt"
    assert (signatures, parsings) == ([KEY], [token] * 3)


# Bounds


async def test_the_oldest_makes_room(signatures: list[Key]) -> None:
    verify_token, (first, second, third) = make(remember=2), tokens(3)
    for token in (first, second, first, third, second, third):
        await verify_token(token)
    assert len(signatures) == 3
    await verify_token(first)  # had made room
    await verify_token(second)  # made room for it
    assert len(signatures) == 5


async def test_a_token_of_4096_characters_is_remembered_and_no_longer_one(
    signatures: list[Key],
) -> None:
    def of(size: int) -> str:
        for pad in range(size * 5 // 8, size):
            token = forge(CLAIMS | {"pad": "x" * pad}, KEY)
            if len(token) >= size:
                return token
        raise AssertionError

    verify_token = make()
    longest, longer = of(4095), of(4100)
    assert len(longest) <= 4096 < len(longer)
    for token in (longest, longest, longer, longer, longer.encode()):
        await verify_token(token)
    assert len(signatures) == 4


@pytest.mark.parametrize("step", [61.0, 90.0, 1e9])
async def test_what_has_expired_is_dropped_with_its_key_when_a_new_token_comes(step: float) -> None:
    now, secret = float(NOW), import_secret("s" * 32)
    current: Any = secret

    async def resolve(unverified: Unverified) -> Any:
        return current

    asked = policy(resolve, audience="service", algorithms=["HS256"], now=lambda: now)
    verify_token = verifier(asked)
    await verify_token(forge(CLAIMS, secret, alg="HS256", signed_as="HS256"))
    held = weakref.ref(secret)
    current = import_secret("t" * 32)
    del secret
    gc.collect()
    assert held() is not None
    now += step
    late = CLAIMS | {"exp": NOW + 2e9}
    await verify_token(forge(late, current, alg="HS256", signed_as="HS256"))
    gc.collect()
    assert held() is None


async def test_what_has_not_expired_stays_whatever_the_clock_does(signatures: list[Key]) -> None:
    at = [float(NOW)]
    verify_token = make(now=lambda: at[0])
    lasting, *others = tokens(7, exp=NOW + 10_000, iat=NOW - 9_999)
    await verify_token(lasting)
    for step, other in zip((0, 59, -1000, 5000, -9000, 0), others, strict=True):
        at[0] = float(NOW + step)
        await verify_token(other)
    signatures.clear()
    await verify_token(lasting)
    assert signatures == []


async def test_a_thousand_tokens_of_700_bytes_take_at_most_3_kib_each() -> None:
    verify_token = make()
    each = tokens(1000, pad="x" * 300)
    assert 690 <= len(each[0]) <= 710
    await verify_token(each[0])
    await verify_token(each[0])
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for token in each:
            text = token.encode().decode()  # as a request brings it, held by nobody else
            await verify_token(text)
            await verify_token(text)
        del text
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before <= 1000 * 3 * 1024


def test_what_expires_now_is_dropped_a_minute_after_the_last_sweep_and_no_sooner() -> None:
    memory = Memory(10)
    keep(memory, "past", KEY, NOW, NOW)
    keep(memory, "a", KEY, NOW + 60, NOW)
    keep(memory, "b", KEY, NOW + 30, NOW + 1)
    keep(memory, "c", KEY, NOW + 99, NOW + 59.9)
    assert list(memory.tokens) == ["past", "a", "b", "c"]
    keep(memory, "d", KEY, NOW + 99, NOW + 60)
    assert list(memory.tokens) == ["c", "d"]


@pytest.mark.parametrize("size", [1, 4096, 4097])
def test_a_token_is_kept_up_to_4096_characters(size: int) -> None:
    memory = Memory(1)
    keep(memory, "x" * size, KEY, NOW + 60, NOW)
    assert len(memory.tokens) == (size <= 4096)


def test_parts_of_a_token_that_made_room_meanwhile_are_not_kept() -> None:
    """As another thread may do between the look-up of a token and the keeping of its parts."""
    memory = Memory(1, {b"head": {"alg": "ES256"}})
    keep(memory, "one", KEY, NOW + 60, NOW)
    keep(memory, "two", KEY, NOW + 60, NOW)
    for text in ("one", "two"):
        keep_parts(memory, text, {"exp": 1}, b'{"exp":1}', b"head.body", b"signature")
    parts = {"alg": "ES256"}, {"exp": 1}, b"", b"head.body", b"signature"
    assert memory.tokens == {"two": (KEY, NOW + 60, parts)}


# Threads


def test_threads_and_event_loops_share_it(anyio_backend: str) -> None:
    verify_token = make(remember=8)
    each = tokens(24)
    forged = [token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB") for token in each]
    wrong: list[object] = []

    async def use(offset: int) -> None:
        for number in range(tries(400)):
            place = (number * offset) % 24
            verified = await verify_token(each[place])
            if verified.claims != CLAIMS | {"jti": str(place)}:
                wrong.append(verified)
            verified.claims.clear()
            try:
                wrong.append(await verify_token(forged[place]))
            except TokenRejected as error:
                if error.reason not in ("bad_signature", "malformed"):
                    wrong.append(error)

    def run(offset: int) -> None:
        try:
            anyio.run(use, offset, backend=anyio_backend)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(offset,)) for offset in (1, 5, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


async def test_a_verifier_prints_nothing_of_a_token() -> None:
    verify = make()
    token = forge(CLAIMS | {"jti": "printed"}, KEY)
    for _ in range(3):
        await verify(token)
    for segment in token.split("."):
        assert segment not in repr(verify)
