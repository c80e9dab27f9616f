"""`verify` and `peek`: whatever the bytes, a rejection, which tells nothing of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn._core.algorithms import ALGORITHMS
from asapfn._core.signing import sign
from asapfn._core.verification import peek, verify
from asapfn.errors import TokenRejected, challenge
from asapfn.resolvers import keys_by_id
from tests.support.forging import forge, forge_bytes
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, KEY, NOW, answer, assert_tells_nothing, clock

pytestmark = pytest.mark.no_event_loop

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
        assert_tells_nothing(error, token)
    else:
        assert algorithm == verified.header["alg"] == "ES256"
        assert verified.verified_at == NOW < verified.usable_until


@given(token=st.binary() | st.text() | _signed | _mutated())
def test_peek_reads_or_rejects(token: str | bytes) -> None:
    try:
        unverified = peek(token)
    except TokenRejected as error:
        assert_tells_nothing(error, token)
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
async def test_no_message_tells_more_of_the_token_than_the_value_at_fault(
    token: str, options: Any
) -> None:
    asked: dict[str, Any] = {"audience": "service", "now": clock} | options
    with pytest.raises(TokenRejected) as raised:
        await verify(token, keys_by_id([KEY]), **asked)
    error = raised.value
    assert_tells_nothing(error, token)
    told = str(error) + repr(error)
    at_fault = error.reason in ("unsupported_algorithm", "wrong_audience", "unknown_key")
    at_fault |= error.reason == "invalid_claim"
    assert (CANARY in told) == at_fault
    assert CANARY not in challenge(error)
    material = KEY.as_dict(private=True)
    assert not any(str(material[member]) in told for member in ("d", "x", "y"))
