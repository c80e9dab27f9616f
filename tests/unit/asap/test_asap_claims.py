"""ASAP, the sending side: what a token claims."""

import functools
import math
import operator
import re
from collections.abc import Callable
from typing import Any

import pytest

from asapfn import asap, connect, jitsi, oauth
from asapfn._core.verification import peek
from asapfn.keys import import_secret
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id
from tests.support.keyring import key_for
from tests.support.verifying import NOW, clock

KEY = key_for("ES256")
SECRET = import_secret("a secret of at least 32 characters")


def claims_of(token: str) -> dict[str, Any]:
    return peek(token).claims


def test_claims_are_those_of_the_specification() -> None:
    made = asap.claims("issuer", "service", now=lambda: NOW + 0.9, new_jti=lambda: "one")
    assert made == {
        "iss": "issuer",
        "aud": "service",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "one",
    }


def test_claims_hold_what_else_was_asked_for() -> None:
    more = {"email": "a@example.com"}
    made = asap.claims(
        "issuer",
        {"service", "alias"},
        subject="user",
        lifetime=3600,
        additional=more,
        now=clock,
        new_jti=lambda: "one",
    )
    assert made == {
        "iss": "issuer",
        "sub": "user",
        "aud": ["alias", "service"],
        "iat": NOW,
        "exp": NOW + 3600,
        "jti": "one",
        "email": "a@example.com",
    }
    assert more == {"email": "a@example.com"}


def test_a_token_lives_for_a_minute_unless_it_is_said() -> None:
    _, _, header = asap.authorizer(asap.signer("issuer", KEY), "service")("GET", "/").rpartition(
        " "
    )
    for token in (header, asap.signer("issuer", KEY)("service")):
        claims = claims_of(token)
        assert claims["exp"] - claims["iat"] == 60
    brief = asap.claims("issuer", "service", lifetime=0.5, now=clock)
    assert brief["exp"] == NOW + 0.5


def test_claims_read_no_clock_and_no_chance_but_those_given() -> None:
    given: dict[str, Any] = {"now": lambda: 0.0, "new_jti": lambda: "one"}
    assert asap.claims("issuer", "service", **given) == asap.claims("issuer", "service", **given)


def test_each_id_is_another_of_128_random_bits() -> None:
    ids = [asap.claims("issuer", "service")["jti"] for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    # Each bit is set in some and not in others.
    bits = [int(each, 16) for each in ids]
    assert functools.reduce(operator.or_, bits) == 2**128 - 1
    assert functools.reduce(operator.and_, bits) == 0


@pytest.mark.parametrize("lifetime", [0, -1, 3600.5, 3601, float("nan"), float("inf")])
def test_a_lifetime_is_more_than_nothing_and_at_most_an_hour(lifetime: float) -> None:
    for make in (
        lambda: asap.claims("issuer", "service", lifetime=lifetime),
        lambda: asap.signer("issuer", KEY, lifetime=lifetime),
        lambda: asap.signer("issuer", lambda: KEY, lifetime=lifetime),
    ):
        with pytest.raises(ValueError, match="lifetime"):
            make()


FINITE = "is a finite number of seconds, more than 0"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: asap.claims("a", "b", lifetime=3601),
            f"lifetime {FINITE} and at most 3600, not 3601",
        ),
        (
            lambda: asap.policy(keys_by_id([]), "a", issuers=None, max_lifetime=-1),
            f"max_lifetime {FINITE} and at most 3600, not -1",
        ),
        (
            lambda: oauth.client_assertion("a", KEY, lifetime=0),
            f"lifetime {FINITE} and at most 3600, not 0",
        ),
        (lambda: jitsi.claims("a", "b", "c", lifetime=math.inf), f"lifetime {FINITE}, not inf"),
        (lambda: connect.claims("a", "GET", "/", lifetime=math.nan), f"lifetime {FINITE}, not nan"),
        (
            lambda: oauth.assertion_policy({}, "a", replay=in_memory(), max_lifetime=0),
            f"max_lifetime {FINITE}, not 0",
        ),
    ],
)
def test_a_lifetime_out_of_bounds_is_named_with_its_bounds(
    make: Callable[[], object], says: str
) -> None:
    with pytest.raises(ValueError, match=f"^{says}$"):
        make()


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp", "nbf", "jti"])
def test_additional_claims_do_not_replace_those_of_asap(name: str) -> None:
    with pytest.raises(ValueError, match="additional claims"):
        asap.claims("issuer", "service", additional={name: 1})
    with pytest.raises(ValueError, match="additional claims"):
        asap.signer("issuer", lambda: KEY, additional={name: 1})


@pytest.mark.parametrize(
    ("audience", "error"), [([], ValueError), ((), ValueError), ([1], TypeError), (7, TypeError)]
)
def test_an_audience_is_one_name_or_several(audience: Any, error: Any) -> None:
    for make in (
        lambda: asap.claims("issuer", audience),
        lambda: asap.authorizer(asap.signer("issuer", KEY), audience),
        lambda: asap.signer("issuer", KEY)(audience),
        lambda: asap.signer("issuer", KEY, reuse_fraction=0.5)(audience),
    ):
        with pytest.raises(error):
            make()
    with pytest.raises(error, match=r"\Aaudience "):
        asap.claims("issuer", audience)


@pytest.mark.parametrize("lifetime", [1e-9, 5e-324, 2**63, 1e300])
@pytest.mark.parametrize(
    "make",
    [
        lambda lifetime: asap.claims("a", "b", lifetime=lifetime),
        lambda lifetime: connect.claims("a", "GET", "/", lifetime=lifetime),
        lambda lifetime: jitsi.claims("a", "b", "c", lifetime=lifetime),
    ],
    ids=["asap", "connect", "jitsi"],
)
def test_no_claims_are_made_that_no_verifier_accepts_at_any_time(
    make: Callable[[float], object], lifetime: float
) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        make(lifetime)


@pytest.mark.parametrize("name", [5, True, b"a", ["a"], {}, 0, []])
@pytest.mark.parametrize(
    "make",
    [
        lambda name: asap.claims(name, "b"),
        lambda name: asap.claims("a", "b", subject=name),
        lambda name: asap.claims("a", "b", new_jti=lambda: name),
        lambda name: asap.signer("issuer", KEY, subject=name),
        lambda name: connect.claims(name, "GET", "/"),
        lambda name: connect.claims("a", "GET", "/", subject=name),
        lambda name: connect.authorizer(name, SECRET, base_url=""),
        lambda name: connect.authorizer("a", SECRET, base_url="", subject=name),
        lambda name: jitsi.claims(name, "b", "c"),
        lambda name: jitsi.claims("a", "b", name),
        lambda name: jitsi.claims("a", "b", "c", subject=name),
    ],
    ids=range(11),
)
def test_no_claims_are_made_whose_names_no_verifier_reads(
    make: Callable[[Any], object], name: object
) -> None:
    with pytest.raises(TypeError, match="is a str, not"):
        make(name)


@pytest.mark.parametrize(
    "make",
    [
        lambda name: asap.claims(name, "b"),
        lambda name: connect.claims(name, "GET", "/"),
        lambda name: jitsi.claims(name, "b", "c"),
    ],
    ids=["asap", "connect", "jitsi"],
)
def test_an_issuer_is_no_none(make: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="iss is a str, not NoneType"):
        make(None)
