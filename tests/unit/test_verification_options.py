"""The options of `verify` are prepared once for the same values, and never taken for others."""

import enum
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from asapfn._core import verification
from asapfn._core.verification import verify
from asapfn.errors import TokenRejected
from asapfn.types import Key, Token, Unverified
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, KEY, NOW, RESOLVER, answer, clock, reason_of

pytestmark = pytest.mark.no_event_loop

TOKEN = forge(CLAIMS, KEY)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The options that were prepared, in order."""
    each: list[dict[str, Any]] = []
    really = verification.policy

    def policy(resolver: Any, **options: Any) -> Any:
        each.append(options)
        return really(resolver, **options)

    monkeypatch.setattr(verification, "policy", policy)
    verification._options.cache_clear()
    yield each
    verification._options.cache_clear()


async def test_they_are_prepared_once(prepared: list[dict[str, Any]]) -> None:
    for _ in range(3):
        await verify(TOKEN, RESOLVER, audience="service", now=clock)
        await verify(TOKEN, RESOLVER, audience=["service", "other"], required=["iss"], now=clock)
    assert len(prepared) == 2


async def test_they_are_bounded(prepared: list[dict[str, Any]]) -> None:
    for number in range(200):
        await verify(TOKEN, RESOLVER, audience=["service", str(number)], now=clock)
    assert verification._options.cache_info().currsize == 64


async def test_a_collection_that_was_changed_is_another() -> None:
    audience, algorithms, required = ["service"], {"ES256"}, ["iss"]
    options: dict[str, Any] = {
        "audience": audience,
        "algorithms": algorithms,
        "required": required,
    }
    assert await reason_of(TOKEN, **options) is None
    required.append("absent")
    assert await reason_of(TOKEN, **options) == ("missing_claim", "absent")
    required.pop()
    audience[0] = "another"
    assert await reason_of(TOKEN, **options) == ("wrong_audience", "aud")
    audience[0] = "service"
    algorithms.clear()
    assert await reason_of(TOKEN, **options) == ("unsupported_algorithm", "alg")
    algorithms.add("ES256")
    assert await reason_of(TOKEN, **options) is None


async def test_a_name_is_not_its_letters() -> None:
    token = forge(CLAIMS | {"aud": "ab"}, KEY)
    for audience, reason in (
        ("ab", None),
        (("a", "b"), ("wrong_audience", "aud")),
        (["ab"], None),
        ({"a", "b"}, ("wrong_audience", "aud")),
    ) * 2:
        assert await reason_of(token, audience=audience) == reason


async def test_an_iterator_and_a_mapping_of_names_are_read_whole() -> None:
    for _ in range(2):
        assert await reason_of(TOKEN, audience=iter(["x", "service"])) is None
        assert await reason_of(TOKEN, algorithms={"ES256": 1, "RS256": 2}) is None
        assert await reason_of(TOKEN, required=iter(["iss", "x"])) == ("missing_claim", "x")


class Name(enum.StrEnum):
    SERVICE = "service"
    ALGORITHM = "ES256"


async def test_a_member_of_an_enumeration_is_one_name() -> None:
    assert await reason_of(TOKEN, audience=Name.SERVICE, algorithms=[Name.ALGORITHM]) is None
    each_letter = forge(CLAIMS | {"aud": ["s"]}, KEY)
    assert await reason_of(each_letter, audience=Name.SERVICE) == ("wrong_audience", "aud")
    with pytest.raises(TypeError, match="not one str"):
        await reason_of(TOKEN, algorithms=Name.ALGORITHM)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"audience": 7}, TypeError, "audience must be a str or a collection of str"),
        ({"audience": [["service"]]}, TypeError, "unhashable"),
        ({"audience": ()}, ValueError, "audience is empty"),
        ({"algorithms": "ES256"}, TypeError, "not one str"),
        ({"algorithms": ("none",)}, ValueError, "unknown algorithm"),
        ({"leeway": float("nan")}, ValueError, "leeway"),
    ],
)
async def test_what_cannot_be_applied_is_an_error_each_time(
    options: dict[str, Any], error: type[Exception], match: str
) -> None:
    for _ in range(2):
        with pytest.raises(error, match=match):
            await verify(TOKEN, RESOLVER, now=clock, **options)


async def test_resolver_checks_and_clock_are_each_calls_own() -> None:
    seen: list[str] = []

    def first(token: Token) -> None:
        seen.append("first")

    def second(token: Token) -> None:
        seen.append("second")

    for check in (first, second):
        await verify(TOKEN, RESOLVER, check, audience="service", now=clock)
    await verify(TOKEN, RESOLVER, audience="service", now=clock)
    assert seen == ["first", "second"]
    with pytest.raises(TokenRejected, match="bad_signature"):
        await verify(TOKEN, answer(key_for("ES256", "other")), audience="service", now=clock)
    with pytest.raises(TokenRejected, match="expired"):
        await verify(TOKEN, RESOLVER, audience="service", now=lambda: NOW + 60.0)


async def test_nothing_of_a_call_is_held() -> None:
    class Resolver:
        async def __call__(self, unverified: Unverified) -> Key:
            return KEY

    resolver = Resolver()
    await verify(TOKEN, resolver, audience="service", now=clock)
    held = weakref.ref(resolver)
    del resolver
    gc.collect()
    assert held() is None
