"""`policy` and `verifier`: what is demanded of tokens as data, and verifying many of them by it."""

import math
import time
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from asapfn._core.algorithms import ALGORITHMS, ASYMMETRIC
from asapfn._core.signing import sign
from asapfn._core.verification import peek, policy, verifier, verify
from asapfn.errors import TokenRejected
from asapfn.explaining import explain
from asapfn.types import Key, Policy, Token, Unverified
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.verifying import (
    CLAIMS,
    KEY,
    NOW,
    RESOLVER,
    answer,
    clock,
    nobody_asks,
    nobody_checks,
)

pytestmark = pytest.mark.no_event_loop

# Policies


def test_a_policy_says_what_verify_says_and_is_data() -> None:
    made = policy(RESOLVER, nobody_checks, audience="service", now=clock)
    assert made == Policy(
        RESOLVER, frozenset(["service"]), True, ASYMMETRIC, checks=(nobody_checks,), now=clock
    )
    assert policy(RESOLVER, audience=["a", "b"]).audience == {"a", "b"}
    nothing = policy(RESOLVER)
    assert (nothing.audience, nothing.audience_required) == (frozenset(), False)
    assert nothing.now is time.time


def test_a_longest_life_requires_both_times_of_it_once() -> None:
    assert policy(RESOLVER, max_lifetime=60).required == ("exp", "iat")
    asked = policy(RESOLVER, max_lifetime=60, required=["jti", "iat"])
    assert asked.required == ("jti", "iat", "exp")


def test_all_algorithms_may_be_named_at_once() -> None:
    everything = ASYMMETRIC | {"HS256", "HS384", "HS512"}
    assert policy(RESOLVER, algorithms=ALGORITHMS).algorithms == everything
    assert verifier(policy(RESOLVER, algorithms=everything))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"algorithms": "ES256"}, TypeError, "algorithms is a collection of names, not one str"),
        ({"algorithms": ["ES256", "none"]}, ValueError, "unknown algorithm: use those of"),
        ({"required": "exp"}, TypeError, "required is a collection of names, not one str"),
        ({"audience": []}, ValueError, "audience is empty"),
        ({"audience": 7}, TypeError, "audience must be a str or a collection of str"),
        ({"typ": 5}, TypeError, "the names in a policy are str"),
        ({"typ": b"JWT"}, TypeError, "the names in a policy are str"),
        ({"required": ["exp", None]}, TypeError, "the names in a policy are str"),
        ({"max_lifetime": "60"}, TypeError, "max_lifetime is a number of seconds, not str"),
        ({"leeway": "5"}, TypeError, "leeway is a number of seconds, not str"),
        ({"leeway": timedelta(5)}, TypeError, "leeway is a number of seconds, not timedelta"),
        ({"max_lifetime": timedelta(60)}, TypeError, "max_lifetime is .*, not timedelta"),
        ({"now": 5}, TypeError, "a clock is a function .*, not int"),
        ({"guards": ["iss"]}, TypeError, "a guard or check is a function .*, not str"),
        *(
            ({"leeway": leeway}, ValueError, "leeway is a finite number of seconds, from 0")
            for leeway in (-1, math.inf, math.nan)
        ),
    ],
)
def test_a_policy_that_cannot_be_applied_is_refused_when_it_is_made(
    options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        policy(nobody_asks, **options)


@pytest.mark.parametrize(
    "change", [{"leeway": math.nan}, {"leeway": -1}, {"algorithms": frozenset(["none"])}]
)
def test_a_policy_that_was_changed_is_validated_by_its_verifier(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"leeway|unknown algorithm"):
        verifier(policy(nobody_asks)._replace(**change))


@pytest.mark.parametrize("audience", ["service", "", ["service"], ("service",)])
def test_an_audience_that_was_changed_to_no_set_is_refused_at_once(audience: Any) -> None:
    """Each token then failed with an AttributeError, which is neither a rejection nor an outage."""
    with pytest.raises(TypeError, match="audience is a frozenset of names, or None"):
        verifier(policy(nobody_asks, audience="service")._replace(audience=audience))


@pytest.mark.parametrize(
    "change",
    [
        {"audience": frozenset(["service", None])},
        {"typ": 5},
        {"required": [1]},
        {"required": "exp"},
        {"leeway": None},
        {"checks": ["iss"]},
        {"max_lifetime": "60"},
        {"now": 5},
    ],
)
async def test_what_would_fail_with_the_first_token_is_refused_at_once(
    change: dict[str, Any],
) -> None:
    """A token for somebody else was a TypeError where one of two audiences was None."""
    changed = policy(nobody_asks, audience="service")._replace(**change)
    with pytest.raises(TypeError, match=r"str|function|seconds"):
        verifier(changed)
    with pytest.raises(TypeError, match=r"str|function|seconds"):
        await explain(forge(CLAIMS, KEY), changed)


@pytest.mark.parametrize("kind", [int, float, Fraction, Decimal])
async def test_seconds_may_be_any_number(kind: Any) -> None:
    """A Decimal as leeway was a TypeError for each token; one as max_lifetime is of a database."""
    rules = policy(RESOLVER, audience="service", now=clock)
    changed = rules._replace(leeway=kind(5), max_lifetime=kind(60))
    late = CLAIMS | {"iat": NOW - 30, "exp": NOW - 4}
    assert await verifier(changed)(forge(late, KEY))
    for claims, reason in (
        (CLAIMS | {"iat": NOW, "exp": NOW + 61}, "lifetime_too_long"),
        (late | {"exp": NOW - 5}, "expired"),
    ):
        for outcome in (verifier(changed)(forge(claims, KEY)), verify_all(claims, kind)):
            with pytest.raises(TokenRejected) as raised:
                await outcome
            assert raised.value.reason == reason
        verdict = (await explain(forge(claims, KEY), changed)).verdict
        assert isinstance(verdict, TokenRejected)
        assert verdict.reason == reason


async def verify_all(claims: dict[str, Any], kind: Any) -> Token:
    options = {"audience": "service", "leeway": kind(5), "max_lifetime": kind(60), "now": clock}
    return await verify(forge(claims, KEY), RESOLVER, **options)


async def test_a_longest_life_that_was_added_later_requires_both_times_too() -> None:
    changed = policy(nobody_asks, audience="service", now=clock)._replace(max_lifetime=60)
    for name in ("exp", "iat"):
        claims = {n: value for n, value in CLAIMS.items() if n != name}
        with pytest.raises(TokenRejected) as raised:
            await verifier(changed)(forge(claims, KEY))
        assert (raised.value.reason, raised.value.claim) == ("missing_claim", name)


@pytest.mark.parametrize("field", ["guards", "checks", "required"])
async def test_an_iterator_in_a_policy_is_not_used_up_by_the_first_token(field: str) -> None:
    def refuse(given: object) -> None:
        raise TokenRejected("issuer_not_allowed")

    each: Any = iter(["absent"] if field == "required" else [refuse])
    changed = policy(RESOLVER, audience="service", now=clock)._replace(**{field: each})
    verify_token = verifier(changed)
    for _ in range(3):
        with pytest.raises(TokenRejected):
            await verify_token(forge(CLAIMS, KEY))


async def test_an_audience_may_be_optional_or_any() -> None:
    asked = policy(RESOLVER, audience="service", audience_required=False, now=clock)
    absent = {name: value for name, value in CLAIMS.items() if name != "aud"}
    for given, changed, reason in (
        (absent, asked, None),
        (CLAIMS | {"aud": "another"}, asked, "wrong_audience"),
        (CLAIMS | {"aud": "another"}, asked._replace(audience=None), None),
        (CLAIMS | {"aud": []}, asked._replace(audience=None), "wrong_audience"),
        (CLAIMS | {"aud": ""}, asked._replace(audience=None), "wrong_audience"),
        (CLAIMS | {"aud": [""]}, asked._replace(audience=None), "wrong_audience"),
        (CLAIMS | {"aud": ["", "another"]}, asked._replace(audience=None), None),
        (absent, asked._replace(audience=None, audience_required=True), "missing_claim"),
    ):
        try:
            await verifier(changed)(forge(given, KEY))
        except TokenRejected as error:
            assert error.reason == reason
        else:
            assert reason is None


# Verifiers


async def test_a_verifier_accepts_its_own_algorithms_alone() -> None:
    asked = policy(nobody_asks, algorithms=("RS256", "PS256"))
    for algorithm in sorted(set(ALGORITHMS) - {"RS256", "PS256"}):
        with pytest.raises(TokenRejected) as raised:
            await verifier(asked)(sign(CLAIMS, key_for(algorithm)))
        assert (raised.value.reason, raised.value.claim) == ("unsupported_algorithm", "alg")


async def test_a_verifier_gives_each_caller_a_header_of_its_own() -> None:
    verify_token = verifier(policy(RESOLVER, audience="service", now=clock))
    header: Any = (await verify_token(sign(CLAIMS, KEY))).header
    header["kid"] = "another"
    assert (await verify_token(sign(CLAIMS, KEY).encode())).header["kid"] == KEY.kid


async def test_a_verifier_needs_no_checks_no_longest_life_and_no_typ() -> None:
    verify_token = verifier(policy(RESOLVER, audience="service", now=clock))
    century = CLAIMS | {"exp": NOW + 3_000_000_000}
    for header in ({"typ": "other"}, {"typ": None}):
        verified = await verify_token(forge(century, KEY, **header))
        assert type(verified) is Token
        assert (verified.claims, verified.usable_until) == (century, century["exp"])


async def test_guards_are_called_in_order_after_the_claims_and_before_the_key() -> None:
    seen: list[tuple[str, Any]] = []

    def first(unverified: Unverified) -> None:
        seen.append(("first", unverified))

    def second(unverified: Unverified) -> None:
        seen.append(("second", unverified))
        raise TokenRejected("issuer_not_allowed")

    asked = policy(nobody_asks, audience="service", guards=[first, second], now=clock)
    text = sign(CLAIMS, KEY)
    with pytest.raises(TokenRejected, match="issuer_not_allowed"):
        await verifier(asked)(text)
    assert seen == [("first", peek(text)), ("second", peek(text))]
    with pytest.raises(TokenRejected, match="expired"):
        await verifier(asked._replace(now=lambda: NOW + 60))(text)
    assert len(seen) == 2


@pytest.mark.parametrize("value", [False, True, 0, "no"])
async def test_a_guard_that_returns_a_value_is_a_programming_error(value: Any) -> None:
    def predicate(unverified: Unverified) -> Any:
        return value

    asked = policy(nobody_asks, audience="service", guards=[predicate], now=clock)
    with pytest.raises(TypeError, match="a guard returns None, and raises to reject"):
        await verifier(asked)(sign(CLAIMS, KEY))


async def test_checks_for_one_token_come_after_those_for_all_and_for_no_other_token() -> None:
    seen: list[tuple[str, Token]] = []

    def always(token: Token) -> None:
        seen.append(("always", token))

    async def later(token: Token) -> None:
        seen.append(("later", token))

    def once(token: Token) -> None:
        seen.append(("once", token))

    verify_token = verifier(policy(RESOLVER, always, later, audience="service", now=clock))
    first = await verify_token(sign(CLAIMS, KEY), once, later)
    assert [name for name, _ in seen] == ["always", "later", "once", "later"]
    second = await verify_token(sign(CLAIMS, KEY))
    assert [name for name, _ in seen[4:]] == ["always", "later"]
    assert all(token is first for _, token in seen[:4])
    assert all(token is second for _, token in seen[4:])


async def test_a_check_for_one_token_rejects_it() -> None:
    def refuse(token: Token) -> None:
        raise TokenRejected("replayed")

    verify_token = verifier(policy(RESOLVER, audience="service", now=clock))
    with pytest.raises(TokenRejected, match="replayed"):
        await verify_token(sign(CLAIMS, KEY), refuse, nobody_checks)


# The clock


async def test_the_clock_is_the_systems_unless_another_is_given() -> None:
    now = time.time()
    verified = await verify(sign({"exp": now + 60}, KEY), answer(KEY))
    assert now <= verified.verified_at <= time.time()
    with pytest.raises(TokenRejected, match="expired"):
        await verify(sign({"exp": now - 1}, KEY), nobody_asks)


@pytest.mark.parametrize(
    ("arrives", "taken"), [(NOW + 59.5, True), (NOW + 60.0, False), (math.nan, False)]
)
async def test_it_is_verified_when_its_key_is_there_and_no_clock_fails_open(
    arrives: float, taken: bool
) -> None:
    moment, token = float(NOW), sign(CLAIMS, KEY)

    async def slow(unverified: Unverified) -> Key | None:
        nonlocal moment
        moment = arrives
        return KEY

    def tell() -> float:
        return moment

    if taken:
        verified = await verify(token, slow, audience="service", now=tell)
        assert (verified.verified_at, verified.usable_until) == (arrives, NOW + 60)
    else:
        with pytest.raises(TokenRejected) as raised:
            await verify(token, slow, nobody_checks, audience="service", now=tell)
        assert (raised.value.reason, raised.value.claim) == ("expired", "exp")
