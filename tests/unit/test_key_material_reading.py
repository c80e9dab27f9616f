"""From bytes to cryptography's keys: what is good is read as cryptography does, within bounds."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from asapfn._core import der
from asapfn._core.key_material import (
    MOST_EXPONENT,
    MOST_RSA_BITS,
    read_private_key,
    read_public_key,
    require_private_rsa_bounds,
    rsa_public_key,
)
from asapfn.keys import import_pem, import_published_pem
from tests.support.hostile import (
    P224,
    RSA,
    X25519,
    integer,
    oid,
    pkcs8,
    private_keys,
    public_keys,
    rsa_numbers,
    sequence,
    spki,
    tlv,
)
from tests.support.keyforms import CLEAR, DER, KINDS, PEM, PKCS8, SPKI, native

X962 = serialization.Encoding.X962
COMPRESSED = serialization.PublicFormat.CompressedPoint


def numbers(key: Any) -> Any:
    return key.public_bytes(DER, SPKI)


@pytest.mark.parametrize("name", KINDS)
def test_a_key_is_the_one_that_cryptography_reads(name: str) -> None:
    private, public = native(name)
    spki_der = public.public_bytes(DER, SPKI)
    assert numbers(read_public_key(spki_der)) == spki_der
    pkcs8 = private.private_bytes(DER, PKCS8, CLEAR)
    assert read_private_key(pkcs8).private_bytes(DER, PKCS8, CLEAR) == pkcs8


@pytest.mark.parametrize("name", ["ES256", "ES384", "ES512"])
def test_a_point_may_be_compressed(name: str) -> None:
    public = native(name).public
    written = public.public_bytes(DER, SPKI)
    identifier = der.sequence(written)[0].content
    compressed = spki(identifier, public.public_bytes(X962, COMPRESSED))
    assert len(compressed) < len(written)
    assert numbers(read_public_key(compressed)) == written


def test_pkcs1_is_read() -> None:
    public = native("RS256").public
    pkcs1 = public.public_bytes(DER, serialization.PublicFormat.PKCS1)
    assert numbers(read_public_key(pkcs1)) == numbers(public)


@pytest.mark.parametrize("name", public_keys())
def test_a_hostile_public_key_is_refused_with_what_was_expected(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected|less than 2048 bits|point|32 bytes|EC key"):
        read_public_key(public_keys()[name])


@pytest.mark.parametrize("name", private_keys())
def test_a_hostile_private_key_is_refused_with_what_was_expected(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected|do not belong together"):
        read_private_key(private_keys()[name][1])


def test_the_algorithm_that_was_seen_is_named() -> None:
    for identifier, seen in (
        (oid(X25519), r"saw 1\.3\.101\.110 with 0 bytes"),
        (oid("2a8648ce3d0201") + oid(P224), r"saw 1\.2\.840\.10045\.2\.1 with 7 bytes"),
        (oid(RSA), r"saw 1\.2\.840\.113549\.1\.1\.1 with 0 bytes"),
    ):
        with pytest.raises(ValueError, match=seen):
            read_public_key(spki(identifier, bytes(32)))


def test_an_rsa_key_of_another_number_of_numbers_is_refused() -> None:
    rsa_identifier = oid(RSA) + b"\x05\x00"
    for count in (0, 1, 3):
        with pytest.raises(ValueError, match=f"an RSA key of 2 numbers; it has {count}"):
            read_public_key(spki(rsa_identifier, sequence(integer(3) * count)))


def test_bits_that_are_no_bytes_are_refused() -> None:
    whole = spki(oid(RSA) + b"\x05\x00", rsa_numbers((1 << 2048) - 1, 3))
    assert read_public_key(whole)
    for bits in (tlv(0x03), tlv(0x03, b"\1" + rsa_numbers((1 << 2048) - 1, 3))):
        with pytest.raises(ValueError, match="expected SubjectPublicKeyInfo or PKCS#1"):
            read_public_key(sequence(sequence(oid(RSA) + b"\x05\x00"), bits))


def test_the_bounds_of_an_rsa_key_are_as_documented() -> None:
    for bits, exponent in ((2048, 3), (MOST_RSA_BITS, MOST_EXPONENT - 1)):
        public = rsa_public_key((1 << bits) - 1, exponent).public_numbers()
        assert public == rsa.RSAPublicNumbers(exponent, (1 << bits) - 1)
    assert (MOST_RSA_BITS, MOST_EXPONENT) == (16_384, 2**32)
    for modulus, exponent, message in (
        ((1 << 2047) - 1, 3, "this one has 2047"),
        ((1 << 16_385) - 1, 3, "it has 16385"),
        ((1 << 2048) - 1, 2**32 + 1, "the exponent has 33 bits"),
        ((1 << 2048) - 1, 1, "the exponent has 1 bits"),
        ((1 << 2048) - 1, 4, "the exponent has 3 bits"),
        ((1 << 2048) - 2, 3, "an odd RSA modulus"),
    ):
        with pytest.raises(ValueError, match=message):
            rsa_public_key(modulus, exponent)


def test_the_bounds_of_a_private_rsa_key_are_as_documented() -> None:
    large = (1 << 8192) - 1
    require_private_rsa_bounds(large, 3, ((1 << 4096) - 1, 5), (large - 1,))
    for modulus, prime, other, message in (
        ((1 << 8193) - 1, 5, 5, "it has 8193, and a prime of 3"),
        (large, 1 << 4096, 5, "it has 8192, and a prime of 4097"),
        (large, 5, large, "positive and below the modulus"),
        (large, -5, 5, "positive and below the modulus"),
    ):
        with pytest.raises(ValueError, match=message):
            require_private_rsa_bounds(modulus, 3, (prime, 5), (other,))


def test_a_private_rsa_key_is_bounded_in_each_of_its_forms() -> None:
    large = sequence(integer(0), integer((1 << 8192) + 1), integer(3), integer(5) * 6)
    for written in (large, pkcs8(oid(RSA) + b"\x05\x00", large)):
        with pytest.raises(ValueError, match="at most 8192 bits, of two primes of half of that"):
            read_private_key(written)


@pytest.mark.parametrize("name", KINDS)
def test_a_private_key_may_have_attributes(name: str) -> None:
    """RFC 5958, section 2: [0] at the end of a OneAsymmetricKey."""
    private = native(name).private
    written = private.private_bytes(DER, PKCS8, CLEAR)
    longer = sequence(der.element(written).content, tlv(0xA0))
    assert read_private_key(longer).private_bytes(DER, PKCS8, CLEAR) == written


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_value_error(data: bytes) -> None:
    for read in (read_public_key, read_private_key):
        for whole in (data, sequence(data), spki(oid(RSA) + b"\x05\x00", data)):
            with pytest.raises(ValueError, match=r"expected|nothing|32 bytes|EC key|point|weak"):
                read(whole)


def test_a_published_key_is_public_and_nothing_else_is_looked_at() -> None:
    private, public = native("ES256")
    key = import_published_pem(public.public_bytes(PEM, SPKI), kid="a/b")
    assert (key.kid, key.is_private) == ("a/b", False)
    with pytest.raises(ValueError, match="a private key is published: replace it at once"):
        import_published_pem(private.private_bytes(PEM, PKCS8, CLEAR))
    for read in (import_pem, import_published_pem):
        with pytest.raises(ValueError, match="A B is not accepted: expected"):
            read("-----BEGIN A B-----\nAAAA\n-----END A B-----")
