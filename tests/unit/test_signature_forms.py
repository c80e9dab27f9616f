"""Signatures in a form that other libraries make: recognized once they do not hold, never accepted.

Go's crypto/rsa signs RSASSA-PSS with the longest salt unless it is told otherwise, and with it
SermoDigital/jose; most languages' ECDSA signs in DER.
"""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding

from asapfn import TokenRejected, policy, verify
from asapfn._core import verification
from asapfn._core.algorithms import ALGORITHMS
from asapfn.explaining import explain
from asapfn.keys import export_private_pem, import_pem
from asapfn.resolvers import keys_by_id
from asapfn.types import Key
from tests.support.forging import forge_by, pss
from tests.support.keyring import key_for
from tests.support.verifying import NOW, clock

pytestmark = pytest.mark.no_event_loop

CLAIMS = {"iss": "issuer", "exp": NOW + 60}
SIZES = {"PS256": 32, "PS384": 48, "PS512": 64}
RSA = import_pem(export_private_pem(key_for("RS256")), kid="k")
OTHER = import_pem(export_private_pem(key_for("RS256", "other")), kid="k")


async def rejected(text: str, key: Key) -> tuple[str, str]:
    """The detail and the hint of a refusal, in which `verify` and `explain` agree."""
    resolver = keys_by_id([key])
    with pytest.raises(TokenRejected) as refused:
        await verify(text, resolver, now=clock)
    assert refused.value.reason == "bad_signature"
    found = await explain(text, policy(resolver, now=clock))
    assert isinstance(found.verdict, TokenRejected)
    assert found.verdict.detail == refused.value.detail
    return refused.value.detail, found.hint


def salted(algorithm: str, length: int, key: Any = RSA) -> str:
    return forge_by(lambda data: pss(data, key, algorithm, length), CLAIMS, alg=algorithm, kid="k")


@pytest.mark.parametrize("issuer", [None, "is in DER" + "x" * 300])
async def test_no_name_that_is_cut_gives_the_hint_for_another_form(issuer: str | None) -> None:
    """A name that is cut has no quote at its end, behind which only the detail's own words are."""
    claims = {"exp": NOW + 60} | ({} if issuer is None else {"iss": issuer})
    kid = "k in DER" + "x" * 300

    async def found(unverified: object) -> Key:
        return RSA

    text = forge_by(lambda data: pss(data, RSA, "PS256", 0), claims, alg="PS256", kid=kid)
    explanation = await explain(text, policy(found, now=clock))
    assert explanation.hint.startswith("the salt of the signature is not as long as the hash")


@pytest.mark.parametrize("algorithm", SIZES)
@pytest.mark.parametrize("more", ["longest", "none", -1, 1])
async def test_a_salt_of_another_length_is_named_with_the_setting_to_change(
    algorithm: str, more: Any
) -> None:
    size = SIZES[algorithm]
    length = {"longest": padding.PSS.MAX_LENGTH, "none": 0}.get(more) if type(more) is str else None
    detail, hint = await rejected(salted(algorithm, size + more if length is None else length), RSA)
    assert detail.startswith(
        f'made with the {algorithm} key of kid "k" of iss "issuer", but its salt is not as'
    )
    assert "rsa.PSSSaltLengthEqualsHash in Go" in hint
    assert "another key" not in hint


@pytest.mark.parametrize("algorithm", SIZES)
async def test_a_salt_as_long_as_the_hash_is_accepted(algorithm: str) -> None:
    token = salted(algorithm, SIZES[algorithm])
    assert (await verify(token, keys_by_id([RSA]), now=clock)).claims == CLAIMS


@pytest.mark.parametrize("salt", [0, 32, padding.PSS.MAX_LENGTH])
async def test_another_keys_signature_has_no_form_of_this_ones(salt: int) -> None:
    detail, hint = await rejected(salted("PS256", salt, OTHER), RSA)
    assert detail == 'not made with the PS256 key of kid "k" of iss "issuer"'
    assert "another key signed" in hint


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1024])
@pytest.mark.parametrize("first", [b"\0", b"\x30", b"\xff"])
@pytest.mark.parametrize("algorithm", [*SIZES, "RS256"])
async def test_any_bytes_are_no_form_of_an_rsa_signature(
    size: int, first: bytes, algorithm: str
) -> None:
    text = forge_by(lambda data: (first * size)[:size], CLAIMS, alg=algorithm, kid="k")
    if not size:
        text += "AA"
    assert (await rejected(text, RSA))[
        0
    ] == f'not made with the {algorithm} key of kid "k" of iss "issuer"'


@pytest.mark.parametrize("first", [b"\0", b"\x30", b"\xff"])
@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS512", 64), ("EdDSA", 64)])
async def test_any_bytes_are_no_form_of_a_signature_that_has_one_form(
    algorithm: str, size: int, first: bytes
) -> None:
    """A MAC may begin as DER does: with 0x30, once in 256."""
    key = key_for(algorithm)
    text = forge_by(lambda data: first * size, CLAIMS, alg=algorithm, kid=key.kid)
    with pytest.raises(TokenRejected) as refused:
        await verify(text, keys_by_id([key]), algorithms=[algorithm], now=clock)
    assert refused.value.reason == "bad_signature"
    named = f'not made with the {algorithm} key of kid "{key.kid}" of iss "issuer"'
    assert refused.value.detail == named


async def test_a_signature_without_its_first_zero_has_the_right_salt() -> None:
    """OpenSSL takes it, RFC 8017 does not; what is wrong with it is not the salt."""

    def shortened(data: bytes) -> bytes:
        for _ in range(10_000):
            if (signature := pss(data, RSA, "PS256", 32))[0] == 0:
                return signature[1:]
        raise AssertionError("no signature of 10,000 begins with a zero")

    text = forge_by(shortened, CLAIMS, alg="PS256", kid="k")
    assert (await rejected(text, RSA))[
        0
    ] == 'not made with the PS256 key of kid "k" of iss "issuer"'


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
async def test_ecdsa_in_der_is_named_with_the_setting_to_change(algorithm: str) -> None:
    key = key_for(algorithm)
    native: ec.EllipticCurvePrivateKey = key.private_key
    for other in (key, key_for(algorithm, "other")):
        signer: Any = other.private_key
        text = forge_by(
            lambda data: signer.sign(data, *ALGORITHMS[algorithm].scheme),  # noqa: B023
            CLAIMS,
            alg=algorithm,
            kid=key.kid,
        )
        detail, hint = await rejected(text, key)
        assert detail.startswith("made with") is (signer is native)
        assert ("but in DER" in detail, "ieee-p1363" in hint) == (signer is native,) * 2


async def test_a_signature_that_holds_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any) -> str:
        raise AssertionError("the signature holds")

    monkeypatch.setattr(verification, "other_form", never)
    for token, key in (
        (salted("PS256", 32), RSA),
        (
            forge_by(
                lambda data: RSA.private_key.sign(data, *ALGORITHMS["RS256"].scheme),
                CLAIMS,
                alg="RS256",
                kid="k",
            ),
            RSA,
        ),
    ):
        assert await verify(token, keys_by_id([key]), now=clock)
