"""`reader` and `judge`: what `verify` is made of, made once for many tokens; and its clock."""

import math
import time
from typing import Any

import pytest
from forging import forge
from keyring import key_for
from verifying import CLAIMS, KEY, NOW, RESOLVER, answer, clock, nobody_asks, nobody_checks

from asapfn.algorithms import ALGORITHMS
from asapfn.errors import TokenRejected
from asapfn.signing import sign
from asapfn.types import Key, Token, Unverified
from asapfn.verification import judge, peek, reader, verify

# What a judge has no default for.
ASKED: dict[str, Any] = {
    "audience": frozenset(["service"]),
    "required": ("exp",),
    "leeway": 0.0,
    "now": clock,
}

# Reader


def test_a_reader_reads_what_peek_reads() -> None:
    read = reader(ALGORITHMS)
    for algorithm in ALGORITHMS:
        for jti in ("one", "two"):
            token = sign(CLAIMS | {"jti": jti}, key_for(algorithm))
            assert read(token) == read(token.encode()) == peek(token)
            assert type(read(token)) is Unverified


def test_a_reader_takes_its_own_algorithms_alone() -> None:
    read = reader(("RS256", "PS256"))
    assert read(sign(CLAIMS, key_for("RS256"))).claims == CLAIMS
    for algorithm in ("ES256", "HS256"):
        with pytest.raises(TokenRejected) as raised:
            read(sign(CLAIMS, key_for(algorithm)))
        assert (raised.value.reason, raised.value.claim) == ("unsupported_algorithm", "alg")


def test_a_reader_gives_each_caller_a_header_of_its_own() -> None:
    read, token = reader(["ES256"]), sign(CLAIMS, KEY)
    header: Any = read(token).header
    header["kid"] = "another"
    assert read(token).header["kid"] == KEY.kid


def test_a_reader_is_made_for_known_algorithms_in_a_collection() -> None:
    with pytest.raises(TypeError, match="algorithms takes a collection of names, not one str"):
        reader("ES256")
    with pytest.raises(ValueError, match="unknown algorithm: use those of"):
        reader(["ES256", "none"])


# Judge


async def test_a_judge_needs_no_checks_no_longest_life_and_no_typ() -> None:
    settle = judge(RESOLVER, **ASKED)
    century = CLAIMS | {"exp": NOW + 3_000_000_000}
    for header in ({"typ": "other"}, {"typ": None}):
        verified = await settle(peek(forge(century, KEY, **header)))
        assert type(verified) is Token
        assert (verified.claims, verified.usable_until) == (century, century["exp"])


async def test_checks_for_one_token_come_after_those_for_all_and_for_no_other_token() -> None:
    seen: list[tuple[str, Token]] = []

    def always(token: Token) -> None:
        seen.append(("always", token))

    async def later(token: Token) -> None:
        seen.append(("later", token))

    def once(token: Token) -> None:
        seen.append(("once", token))

    settle, unverified = judge(RESOLVER, [always, later], **ASKED), peek(sign(CLAIMS, KEY))
    first = await settle(unverified, once, later)
    assert [name for name, _ in seen] == ["always", "later", "once", "later"]
    second = await settle(unverified)
    assert [name for name, _ in seen[4:]] == ["always", "later"]
    assert all(token is first for _, token in seen[:4])
    assert all(token is second for _, token in seen[4:])


async def test_a_check_for_one_token_refuses_it() -> None:
    def refuse(token: Token) -> None:
        raise TokenRejected("replayed")

    settle = judge(RESOLVER, **ASKED)
    with pytest.raises(TokenRejected, match="replayed"):
        await settle(peek(sign(CLAIMS, KEY)), refuse, nobody_checks)


@pytest.mark.parametrize("leeway", [-1, math.inf, math.nan])
def test_a_leeway_that_is_none_is_refused_when_the_judge_is_made(leeway: float) -> None:
    with pytest.raises(ValueError, match="leeway is a finite number of seconds, from 0"):
        judge(nobody_asks, **ASKED | {"leeway": leeway})


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
        assert (str(raised.value), raised.value.claim) == ("expired", "exp")
