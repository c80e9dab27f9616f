"""`verify`: the exact messages for a token that is refused and for wrong use."""

from typing import Any

import pytest

from asapfn._core import compact
from asapfn._core.algorithms import ALGORITHMS
from asapfn._core.signing import sign
from asapfn._core.verification import policy, verifier, verify
from asapfn.errors import TokenRejected
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, KEY, NOW, answer, clock, nobody_asks

pytestmark = pytest.mark.no_event_loop

ONE_OF = f"unknown algorithm: use those of {', '.join(ALGORITHMS)}"
SERVICE_EXPECTED = 'wrong_audience: expected "service", got'
NONE_EXPECTED = "wrong_audience: expected no aud, got"

# The payload or the claims that differ; options; what is told; the claim.
REFUSALS: list[tuple[bytes | dict[str, Any], dict[str, Any], str, str | None]] = [
    (b"[]", {}, "malformed: claims: not a JSON object", None),
    (b"0{", {}, "malformed: claims: not a JSON object", None),
    (b'{"a":1,"a":2}', {}, "malformed: claims: a member occurs twice", None),
    ({"iss": 1}, {}, "invalid_claim: iss is not a string: 1", "iss"),
    ({"sub": 1}, {}, "invalid_claim: sub is not a string: 1", "sub"),
    ({"jti": 1}, {}, "invalid_claim: jti is not a string: 1", "jti"),
    ({"exp": "1"}, {}, 'invalid_claim: exp is not a time: "1"', "exp"),
    ({"iat": "1"}, {}, 'invalid_claim: iat is not a time: "1"', "iat"),
    ({"nbf": "1"}, {}, 'invalid_claim: nbf is not a time: "1"', "nbf"),
    ({"aud": 1}, {}, "invalid_claim: aud is not a string or strings: 1", "aud"),
    ({}, {"required": ["sub"]}, "missing_claim: the token has no sub", "sub"),
    ({"iat": NOW - 60, "exp": NOW}, {}, f"expired: exp is {NOW}, now {NOW}, leeway 0 s", "exp"),
    ({"iat": NOW + 60}, {}, f"invalid_claim: exp {NOW + 60} is not after iat {NOW + 60}", "exp"),
    ({"nbf": NOW + 60}, {}, f"invalid_claim: nbf {NOW + 60} is not before exp {NOW + 60}", "nbf"),
    ({}, {"max_lifetime": 59.5}, "lifetime_too_long: expected at most 59.5 s, got 60 s", "exp"),
    ({}, {"max_lifetime": 59.0}, "lifetime_too_long: expected at most 59 s, got 60 s", "exp"),
    ({"iat": NOW + 1}, {}, f"not_yet_valid: iat is {NOW + 1}, now {NOW}, leeway 0 s", "iat"),
    ({"nbf": NOW + 1}, {}, f"not_yet_valid: nbf is {NOW + 1}, now {NOW}, leeway 0 s", "nbf"),
    (b'{"exp":%d}' % (NOW + 60), {}, "missing_claim: the token has no aud", "aud"),
    ({}, {"audience": None}, f'{NONE_EXPECTED} "service"', "aud"),
    ({"aud": ["service"]}, {"audience": None}, f'{NONE_EXPECTED} ["service"]', "aud"),
    ({"aud": "another"}, {}, f'{SERVICE_EXPECTED} "another"', "aud"),
    ({"aud": ["\x1b"]}, {}, f'{SERVICE_EXPECTED} ["\\u001b"]', "aud"),
    ({}, {"typ": "at+jwt"}, 'invalid_claim: expected "at+jwt", got "JWT"', "typ"),
]


async def refusal(token: str, resolver: Any, **options: Any) -> TokenRejected:
    asked: dict[str, Any] = {"audience": "service", "now": clock} | options
    with pytest.raises(TokenRejected) as raised:
        await verify(token, resolver, **asked)
    return raised.value


@pytest.mark.parametrize(("given", "options", "told", "claim"), REFUSALS)
async def test_a_refusal_says_what_was_wrong_and_with_which_claim(
    given: bytes | dict[str, Any], options: dict[str, Any], told: str, claim: str | None
) -> None:
    token = forge(given if isinstance(given, bytes) else CLAIMS | given, KEY)
    error = await refusal(token, nobody_asks, **options)
    assert (str(error), error.claim) == (told, claim)
    # What it came of may quote the token, and is not chained to it.
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


async def test_a_header_without_the_typ_that_is_asked_for_says_so() -> None:
    error = await refusal(forge(CLAIMS, KEY, typ=None), nobody_asks, typ="JWT")
    assert (str(error), error.claim) == ("missing_claim: the header has no typ", "typ")


async def test_any_audience_is_still_one() -> None:
    asked = policy(nobody_asks, audience="service", now=clock)._replace(audience=None)
    with pytest.raises(TokenRejected) as raised:
        await verifier(asked)(forge(CLAIMS | {"aud": []}, KEY))
    assert str(raised.value) == "wrong_audience: expected an audience, got []"


async def test_a_token_that_expires_while_its_key_is_looked_up_says_so() -> None:
    times = iter([NOW, NOW + 60.5])
    error = await refusal(sign(CLAIMS, KEY), answer(KEY), now=lambda: next(times))
    told = f"expired: usable until {NOW + 60}.000, and the key was found at {NOW + 60}.500"
    assert (str(error), error.claim) == (told, "exp")


async def test_a_refusal_for_the_keys_sake_names_its_reason_and_no_claim() -> None:
    token = sign(CLAIMS, KEY)
    for resolver, told in (
        (answer(None), "unknown_key"),
        (answer(key_for("RS256")), "unsuitable_key"),
        (answer(key_for("ES256", "mallory")), "bad_signature"),
    ):
        error = await refusal(token, resolver)
        assert (error.reason, error.claim, error.status) == (told, None, 401)
        assert str(error).partition(": ")[0] == told


MISUSES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"algorithms": "ES256"}, TypeError, "algorithms is a collection of names, not one str"),
    ({"required": "exp"}, TypeError, "required is a collection of names, not one str"),
    ({"algorithms": ["ES256", "none"]}, ValueError, ONE_OF),
    ({"algorithms": ["ES256", "es256"]}, ValueError, ONE_OF),
    ({"audience": b"service"}, TypeError, "audience must be a str or a collection of str"),
    ({"audience": 7}, TypeError, "audience must be a str or a collection of str"),
    ({"audience": [1]}, TypeError, "audience must be a str or a collection of str"),
    ({"audience": []}, ValueError, "audience is empty: nothing would be accepted"),
    ({"leeway": -1}, ValueError, "leeway is a finite number of seconds, from 0"),
]


@pytest.mark.parametrize(("options", "kind", "told"), MISUSES)
async def test_wrong_use_is_told_before_the_token_is_looked_at(
    options: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as raised:
        await verify("", nobody_asks, **options)
    assert str(raised.value) == told


@pytest.mark.parametrize("fault", [KeyboardInterrupt, MemoryError, RecursionError])
async def test_what_is_no_fault_of_the_token_is_not_laid_to_it(
    fault: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    verify_token = verifier(policy(answer(KEY), audience="service", now=clock))
    # The header is remembered from here on: only the claims are decoded.
    await verify_token(sign(CLAIMS, KEY))

    def fail(data: bytes) -> dict[str, Any]:
        raise fault

    monkeypatch.setattr(compact, "decode_object", fail)
    with pytest.raises(fault):
        await verify_token(sign(CLAIMS | {"jti": "another"}, KEY))
