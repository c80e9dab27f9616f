"""Attacks by what a token says, truly signed by somebody who has a key."""

import math
from typing import Any

import pytest

from asapfn import asap, verify
from asapfn.resolvers import keys_by_id, only_issuers
from tests.support.forging import forge
from tests.support.verifying import CLAIMS, KEY, NOW, clock, nobody_asks
from tests.support.victim import GOOD, service, told

TEN_YEARS = 10 * 365 * 86_400


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", [None, "", "0", str(NOW + 60), True, False, [NOW], {"$gt": 0}, {}], ids=str
)
async def test_a_time_of_the_wrong_type_is_not_absent(name: str, value: Any) -> None:
    """CVE-2026-25537 (jsonwebtoken for Rust): an `exp` or `nbf` in words was as good as none."""
    token = forge(CLAIMS | {name: value}, KEY)
    assert await service(token, nobody_asks) == "invalid_claim"
    # Also where none is required.
    lax = verify(token, nobody_asks, audience="service", required=(), now=clock)
    assert await told(lax) == "invalid_claim"


@pytest.mark.parametrize("issuer", ["issue", "ssue", "i", "", "issuer2", "Issuer", "issuer "])
async def test_an_issuer_is_matched_whole(issuer: str) -> None:
    """GHSA-75c5-xw7c-p5pm (PyJWT, CVE-2024-53861): `in` on a str takes a part for the whole."""
    token = forge(CLAIMS | {"iss": issuer}, KEY, kid=f"{issuer}/ES256.pem")
    assert await service(token, nobody_asks, issuers="issuer") == "issuer_not_allowed"
    policy = only_issuers(keys_by_id({f"{issuer}/ES256.pem": KEY}), "issuer")
    assert await told(verify(token, policy, audience="service", now=clock)) == "issuer_not_allowed"
    assert await service(GOOD, issuers="issuer") is None


@pytest.mark.parametrize(
    "audience",
    ["servic", "s", "", "service2", "Service", "service ", ["another"], [], ["service2", "s"]],
    ids=str,
)
async def test_a_token_for_another_audience_is_not_ours(audience: Any) -> None:
    """RFC 8725, section 3.9: a token that was given to another service, and sent on by it."""
    assert await service(forge(CLAIMS | {"aud": audience}, KEY), nobody_asks) == "wrong_audience"


async def test_a_token_with_an_audience_is_not_for_a_service_that_names_none() -> None:
    """RFC 7519, section 4.1.3: whoever is not named must refuse, be it from forgetfulness."""
    assert await told(verify(GOOD, nobody_asks, now=clock)) == "wrong_audience"


async def test_a_bare_str_is_one_name_or_is_told_at_once() -> None:
    """GHSA-75c5-xw7c-p5pm's root: a str is a collection too, of its letters and its parts."""
    for claims, options in (
        (CLAIMS | {"aud": "s"}, {}),
        (CLAIMS | {"aud": list("service")}, {}),
        (CLAIMS | {"iss": "i"}, {"issuers": "issuer"}),
    ):
        refused = await service(forge(claims, KEY, kid="i/ES256.pem"), nobody_asks, **options)
        assert refused in ("wrong_audience", "issuer_not_allowed")
    bare: list[dict[str, Any]] = [{"algorithms": "ES256"}, {"required": "exp"}]
    for wrong in bare:
        with pytest.raises(TypeError, match="not one str"):
            await verify(GOOD, nobody_asks, audience="service", now=clock, **wrong)
    for name in ("audience", "issuers"):
        with pytest.raises(ValueError, match="empty"):
            await service(GOOD, nobody_asks, **{name: []})


async def test_an_hour_is_not_stretched_by_an_iat_that_is_to_come() -> None:
    """ASAP, "Lifetime": an `iat` ten years ahead, an hour before an `exp` ten years ahead."""
    ahead = NOW + TEN_YEARS
    stretched = forge(CLAIMS | {"iat": ahead, "exp": ahead + 3600}, KEY)
    assert await service(stretched, nobody_asks) == "not_yet_valid"
    inverted = forge(CLAIMS | {"iat": ahead}, KEY)
    assert await service(inverted, nobody_asks) == "invalid_claim"
    honest = forge(CLAIMS | {"exp": ahead}, KEY)
    assert await service(honest, nobody_asks) == "lifetime_too_long"
    # One second beyond what clocks may differ by is ahead already.
    assert await service(forge(CLAIMS | {"iat": NOW + 10}, KEY)) is None
    assert await service(forge(CLAIMS | {"iat": NOW + 11}, KEY), nobody_asks) == "not_yet_valid"


@pytest.mark.parametrize(
    "endless",
    [1e300, 2**63, -(2**63), 10**400],
    ids=lambda n: f"{n:.3g}" if isinstance(n, float) else f"{len(str(n))} digits",
)
async def test_no_token_lives_for_ever(endless: float) -> None:
    """CVE-2026-25537's kind: a time that overflows, or that no clock will ever reach."""
    for name in ("exp", "iat", "nbf"):
        token = forge(CLAIMS | {name: endless}, KEY)
        assert await service(token, nobody_asks) == "invalid_claim"
    for leeway in (math.inf, math.nan, -1.0):
        with pytest.raises(ValueError, match="leeway"):
            asap.verifier(nobody_asks, "service", issuers=None, leeway=leeway)


async def test_a_subject_is_not_another_than_the_issuer() -> None:
    """ASAP, "Subject": a service that may call us does not speak for one that may do more."""
    assert await service(forge(CLAIMS | {"sub": "admin"}, KEY)) == "subject_mismatch"
    assert await service(forge(CLAIMS | {"sub": "issuer"}, KEY)) is None
