"""`verify`: types of claims, the exact boundaries of times, audiences and `typ`."""

import math
from enum import Enum
from typing import Any

import pytest

from tests.support.forging import forge, forge_bytes
from tests.support.verifying import CLAIMS, KEY, NOW, nobody_asks, reason_of

pytestmark = pytest.mark.no_event_loop

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


@pytest.mark.parametrize(
    ("most", "least"), [(2**63 - 1, 1 - 2**63), (2.0**63 - 1024, 1024 - 2.0**63)]
)
async def test_the_farthest_times_that_can_be_compared_are_taken(most: float, least: float) -> None:
    for name in ("iat", "nbf"):
        assert await reason_of(forge(CLAIMS | {"exp": most, name: least}, KEY)) is None
        token = forge({"aud": "service", name: most}, KEY)
        assert await reason_of(token, required=()) == ("not_yet_valid", name)
    assert await reason_of(forge({"aud": "service", "exp": least}, KEY)) == ("expired", "exp")


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


@pytest.mark.parametrize(
    ("claims", "options", "told"),
    [
        ({"exp": 0}, {}, None),
        ({"exp": 0}, {"now": lambda: 0}, ("expired", "exp")),
        ({"exp": 0}, {"now": lambda: 0, "leeway": 0.5}, None),
        ({"exp": 1, "iat": 0}, {}, ("not_yet_valid", "iat")),
        ({"exp": 1, "nbf": 0}, {}, ("not_yet_valid", "nbf")),
        ({"exp": 1, "iat": 0, "nbf": 0}, {"now": lambda: 0}, None),
        ({"exp": 0, "iat": 0}, {}, ("invalid_claim", "exp")),
        ({"exp": -1, "iat": 0}, {}, ("invalid_claim", "exp")),
        ({"exp": 0, "nbf": 0}, {}, ("invalid_claim", "nbf")),
        ({"exp": -1, "nbf": 0}, {}, ("invalid_claim", "nbf")),
        ({"exp": 0, "iat": -9}, {"max_lifetime": 8}, ("lifetime_too_long", "exp")),
        ({"exp": 0, "iat": -9}, {"max_lifetime": 0}, ("lifetime_too_long", "exp")),
        ({"exp": 0}, {"max_lifetime": 0}, ("missing_claim", "iat")),
    ],
)
async def test_the_epoch_and_no_life_at_all_are_times_like_others(
    claims: dict[str, int], options: dict[str, Any], told: Any
) -> None:
    token = forge(claims | {"aud": "service"}, KEY)
    asked: dict[str, Any] = {"now": lambda: -2, "leeway": 0} | options
    assert await reason_of(token, **asked) == told


async def test_a_clock_that_is_no_number_lets_nothing_pass() -> None:
    def now() -> float:
        return math.nan

    assert (await reason_of(forge(CLAIMS, KEY), nobody_asks, now=now))[0] == "expired"
    for name in ("iat", "nbf"):
        token = forge({"aud": "service", name: 0}, KEY)
        told = await reason_of(token, nobody_asks, required=(), now=now)
        assert told == ("not_yet_valid", name)


@pytest.mark.parametrize("leeway", [-0.1, -math.inf, math.inf, math.nan])
async def test_a_leeway_that_is_no_time_between_clocks_is_refused(leeway: float) -> None:
    with pytest.raises(ValueError, match=r"leeway is a finite number of seconds, from 0"):
        await reason_of(forge(CLAIMS, KEY), nobody_asks, leeway=leeway)


async def test_a_longest_life_that_is_no_number_lets_nothing_pass() -> None:
    told = await reason_of(forge(CLAIMS, KEY), nobody_asks, max_lifetime=math.nan)
    assert told == ("lifetime_too_long", "exp")


async def test_exp_is_required_unless_it_is_said_what_is() -> None:
    token = forge({"aud": "service"}, KEY)
    assert await reason_of(token, nobody_asks) == ("missing_claim", "exp")
    assert await reason_of(token, required=()) is None


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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("application/at+jwt", "at+jwt"),
        ("at+jwt", "application/at+jwt"),
        ("APPLICATION/AT+JWT", "at+jwt"),
        ("application/a/b", "application/a/b"),
        ("a/b", "a/b"),
        ("text/at+jwt", "text/at+jwt"),
        ("\u212a", "\u212a"),
    ],
)
async def test_a_typ_without_a_slash_is_meant_as_one_of_application(
    given: str, expected: str
) -> None:
    """RFC 7515, section 4.1.9: it is compared as if application/ stood before it."""
    assert await reason_of(forge(CLAIMS, KEY, typ=given), typ=expected) is None


async def test_a_typ_that_is_expected_may_be_a_member_of_an_enum() -> None:
    """By an f-string it was its name, so that each token with this typ was rejected."""

    class Typ(str, Enum):  # noqa: UP042 (a StrEnum's f-string has the text)
        ACCESS = "at+jwt"

    assert await reason_of(forge(CLAIMS, KEY, typ="at+jwt"), typ=Typ.ACCESS) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("application/a/b", "a/b"),
        ("a/b", "application/a/b"),
        ("application/application/jwt", "application/jwt"),
        ("application/application/jwt", "jwt"),
        ("text/jwt", "jwt"),
        ("/jwt", "jwt"),
        # Unicode's Kelvin sign becomes k, and its long s, s, in another case.
        ("\u212a", "k"),
        ("jw\u017f", "jws"),
        ("K", "\u212a"),
    ],
)
async def test_typs_that_are_two_media_types_are_two(given: str, expected: str) -> None:
    token = forge(CLAIMS, KEY, typ=given)
    assert await reason_of(token, nobody_asks, typ=expected) == ("invalid_claim", "typ")


async def test_a_typ_that_is_asked_for_must_be_there_and_the_same() -> None:
    for given_typ in ("JWT", "", "at+jwt+x", "text/at+jwt"):
        token = forge(CLAIMS, KEY, typ=given_typ)
        assert await reason_of(token, nobody_asks, typ="at+jwt") == ("invalid_claim", "typ")
    without = forge(CLAIMS, KEY, typ=None)
    assert await reason_of(without, nobody_asks, typ="at+jwt") == ("missing_claim", "typ")
    assert await reason_of(without) is None
