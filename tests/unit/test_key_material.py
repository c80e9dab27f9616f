"""What is weak, or is not what it claims to be, does not become a key."""

import base64
import math
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x448, x25519
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from asapfn._core.key_material import _ROCA, is_roca_weak, wrap_native, wrap_secret
from tests.support.keyforms import known_to_others, native, weak_pair
from tests.support.keyring import key_for

KNOWN = known_to_others()
PRIMES = [n for n in range(3, 168) if all(n % d for d in range(2, n))]


def order_of_65537(prime: int) -> int:
    power, order = 65537 % prime, 1
    while power != 1:
        power, order = power * 65537 % prime, order + 1
    return order


def roca_prime(exponent: int, step: int) -> int:
    """A prime as the flawed library makes them: a multiple of M, and a power of 65537 modulo M."""
    modulus = 2 * math.prod(prime for prime, _ in _ROCA)
    return (3 * 2**1022 // modulus + step) * modulus + pow(65537, exponent, modulus)


P, Q = roca_prime(1, 160), roca_prime(2, 49)


def roca_key() -> rsa.RSAPrivateKey:
    d = pow(65537, -1, math.lcm(P - 1, Q - 1))
    return rsa.RSAPrivateNumbers(
        P, Q, d, d % (P - 1), d % (Q - 1), pow(Q, -1, P), rsa.RSAPublicNumbers(65537, P * Q)
    ).private_key()


# ROCA


def test_the_marks_are_the_primes_to_which_65537_is_no_generator() -> None:
    orders = [(prime, order_of_65537(prime)) for prime in PRIMES]
    assert tuple((p, order) for p, order in orders if order < p - 1) == _ROCA


def test_the_marks_say_what_being_a_power_of_65537_says() -> None:
    for prime, order in _ROCA:
        powers = {pow(65537, n, prime) for n in range(order)}
        assert powers == {n for n in range(1, prime) if pow(n, order, prime) == 1}


def test_a_sound_modulus_bears_the_marks_as_seldom_as_is_said() -> None:
    assert 230e6 < math.prod((prime - 1) / order for prime, order in _ROCA) < 250e6


def test_a_weak_modulus_is_known_and_a_sound_one_is_not() -> None:
    assert is_roca_weak(P * Q)
    assert (P * Q).bit_length() == 2048
    assert not is_roca_weak(native("RS256").public.public_numbers().n)
    assert not is_roca_weak(P * Q + 2)


def test_a_roca_weak_key_is_refused_public_and_private() -> None:
    key = roca_key()
    for one in (key, key.public_key()):
        with pytest.raises(ValueError, match=r"ROCA-weak \(CVE-2017-15361\)"):
            wrap_native(one, "issuer/key", "RS256")


# Native keys


@pytest.mark.parametrize("name", ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])
def test_a_key_carries_its_id_and_its_algorithm_and_no_more(name: str) -> None:
    for one in native(name):
        key = wrap_native(one, "issuer/key", name)
        assert (key.kid, key.alg) == ("issuer/key", name)
        assert key.is_private is (one is native(name).private)
        plain = wrap_native(one, None, None)
        assert (plain.kid, plain.alg) == (None, None)
        assert set(key.keys()) - set(plain.keys()) == {"kid", "alg"}


def test_an_rsa_key_of_less_than_2048_bits_is_refused_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one in (weak_pair(), weak_pair().public_key()):
            with pytest.raises(ValueError, match="less than 2048 bits"):
                wrap_native(one, None, None)


@pytest.mark.parametrize(
    "one",
    [
        x25519.X25519PrivateKey.generate(),
        x448.X448PrivateKey.generate().public_key(),
        ed448.Ed448PrivateKey.generate(),
        dsa.generate_private_key(1024).public_key(),
        b"bytes",
        None,
    ],
)
def test_a_key_of_a_type_that_no_algorithm_takes_is_refused(one: Any) -> None:
    with pytest.raises(ValueError, match="no algorithm here has a key of this type"):
        wrap_native(one, None, None)


@pytest.mark.parametrize("curve", [ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()])
def test_a_curve_that_no_algorithm_takes_is_refused(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    for one in (key, key.public_key()):
        with pytest.raises(ValueError, match="no algorithm here has a key of this curve"):
            wrap_native(one, None, None)
        with pytest.raises(ValueError, match="ES256 needs a key of the curve P-256"):
            wrap_native(one, None, "ES256")


@pytest.mark.parametrize("algorithm", ["none", "", "RSA-OAEP", "ES521", "rs256"])
def test_an_algorithm_that_does_not_exist_is_told(algorithm: str) -> None:
    with pytest.raises(ValueError, match="unknown algorithm: use one of RS256, "):
        wrap_native(native("RS256").public, None, algorithm)
    with pytest.raises(ValueError, match="unknown algorithm"):
        wrap_secret(b"s" * 64, None, algorithm)


def test_a_key_that_does_not_fit_its_algorithm_is_refused() -> None:
    for algorithm in ("HS256", "ES256", "EdDSA"):
        with pytest.raises(ValueError, match=f"{algorithm} needs a key of type"):
            wrap_native(native("RS256").public, None, algorithm)
    with pytest.raises(ValueError, match="ES384 needs a key of the curve P-384"):
        wrap_native(native("ES256").private, None, "ES384")
    with pytest.raises(ValueError, match="RS256 needs a key of type RSA, not oct"):
        wrap_secret(b"s" * 64, None, "RS256")


# Secrets


def test_a_key_or_certificate_in_any_form_is_no_secret() -> None:
    """Nor does the refusal quote anything of it."""
    refused = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for form, known in KNOWN.items():
            with pytest.raises(ValueError, match="secret") as caught:
                wrap_secret(known, None, None)
            refused[form] = caught.value.args
    said = "a key or certificate is no shared secret: anybody may know it"
    assert refused == dict.fromkeys(KNOWN, (said,))


def test_a_certificate_that_warns_as_it_is_read_is_no_secret() -> None:
    """cryptography warns of a serial number that is not positive, among others."""
    der = KNOWN["RS256 certificate DER"]
    assert der.count(b"\x02\x01\x01") == 1
    odd = der.replace(b"\x02\x01\x01", b"\x02\x01\x00")
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            with pytest.raises(ValueError, match="a key or certificate is no shared secret"):
                wrap_secret(odd, None, None)


@given(st.binary(min_size=32, max_size=300))
@example(b"0" * 32)
@example(b"0\x82\x01\x0a" + b"x" * 266)
@example(b"0\x80" + b"x" * 40)
@example(b"0\xff" + b"x" * 40)
@example(b"0\x84\xff\xff\xff\xff" + b"x" * 40)
@example(b"0\x1e" + bytes(30))
@example(base64.b64encode(b"0" * 33))
@example(b"-----begin public key-----" + b"x" * 32)
@example(b"my ssh-tunnel passphrase is a good one")
@example(b'{"key":"a JSON object can be a secret, if it must"}')
def test_any_other_bytes_are_a_secret_as_they_are(secret: bytes) -> None:
    key = wrap_secret(secret, "issuer/key", "HS256")
    assert isinstance(key, OctKey)
    assert key.raw_value == secret
    assert (key.kid, key.alg) == ("issuer/key", "HS256")


@pytest.mark.parametrize(
    ("algorithm", "least"), [(None, 32), ("HS256", 32), ("HS384", 48), ("HS512", 64)]
)
def test_a_secret_is_as_long_as_the_hash_or_refused(algorithm: str | None, least: int) -> None:
    assert wrap_secret(b"s" * least, None, algorithm).raw_value == b"s" * least
    for size in (0, 1, 2, least - 1):
        with pytest.raises(ValueError, match=f"needs a secret of at least {least} bytes"):
            wrap_secret(b"0" * size, None, algorithm)


def test_the_shared_keys_are_fit_for_what_they_are_for() -> None:
    for name in ("RS256", "HS512"):
        assert key_for(name) is key_for(name)
        assert key_for(name).kid == f"issuer/{name}.pem"
