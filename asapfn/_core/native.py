"""From bytes to cryptography's keys, within bounds that are checked before cryptography reads.

OpenSSL checks what it reads as thoroughly as it can, with the interpreter's lock held: whether a
Diffie-Hellman modulus is prime costs it 20 seconds. So public keys are parsed here, and given
to cryptography as the numbers and points that they are; it reads no DER of them. A private key is
its owner's, and is read by cryptography once its size is known.
"""

from collections.abc import Sequence
from typing import Any, Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from asapfn._core import der

LEAST_RSA_BITS: Final = 2048
# OpenSSL verifies with no larger modulus; with this one, in 3 ms.
MOST_RSA_BITS: Final = 16_384
MOST_EXPONENT: Final = 2**32
# The check that a prime is one takes time by the third power of its size; of two of these, 4 s.
MOST_PRIME_BITS: Final = 4096

# The content of the AlgorithmIdentifiers that are known: RFC 3279, sections 2.3.1 and 2.3.5, with
# RFC 5480's curves, and RFC 8410. No curve is given by its parameters.
_RSA: Final = bytes.fromhex("06092a864886f70d0101010500")
_ED25519: Final = bytes.fromhex("06032b6570")
_CURVES: Final = {
    bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06072a8648ce3d020106052b81040022"): ec.SECP384R1(),
    bytes.fromhex("06072a8648ce3d020106052b81040023"): ec.SECP521R1(),
}
_KNOWN: Final = {_RSA, _ED25519, *_CURVES}


def require_rsa_bounds(modulus: int, exponent: int) -> None:
    """Refuse, by a ValueError, RSA numbers that are too weak, or too large to wait for."""
    bits = modulus.bit_length()
    if bits < LEAST_RSA_BITS:
        raise ValueError(
            f"an RSA key of less than {LEAST_RSA_BITS} bits is too weak: this one has {bits}"
        )
    if bits > MOST_RSA_BITS or modulus < 0:
        raise ValueError(
            f"expected a positive RSA modulus of at most {MOST_RSA_BITS} bits; it has {bits}"
        )
    if not modulus & exponent & 1 or not 1 < exponent <= MOST_EXPONENT:
        raise ValueError(
            f"expected an odd RSA modulus, and an odd exponent from 3 to 2^32;"
            f" the exponent has {exponent.bit_length()} bits"
        )


def require_private_rsa_bounds(
    modulus: int, exponent: int, primes: Sequence[int], others: Sequence[int]
) -> None:
    """Refuse, by a ValueError, numbers of a private RSA key that are too large to wait for."""
    require_rsa_bounds(modulus, exponent)
    largest = max(prime.bit_length() for prime in primes)
    if modulus.bit_length() > 2 * MOST_PRIME_BITS or largest > MOST_PRIME_BITS:
        raise ValueError(
            f"expected a private RSA key of at most {2 * MOST_PRIME_BITS} bits, of two primes of"
            f" half of that; it has {modulus.bit_length()}, and a prime of {largest}"
        )
    if not all(0 <= number < modulus for number in (*primes, *others)):
        raise ValueError("expected private RSA numbers that are positive and below the modulus")


def rsa_public_key(modulus: int, exponent: int) -> rsa.RSAPublicKey:
    """Make an RSA key of its numbers; a ValueError outside of the bounds."""
    require_rsa_bounds(modulus, exponent)
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def read_public_key(data: bytes) -> Any:
    """Read a public key from DER, without giving any DER to cryptography.

    The DER is SubjectPublicKeyInfo (RFC 5280, section 4.1) or PKCS#1 (RFC 8017, appendix A.1.1), of
    RSA within the bounds, EC on P-256, P-384 or P-521, or Ed25519; a ValueError for all else.
    """
    members = der.sequence(data)
    if der.tags(members) == (der.INTEGER, der.INTEGER):
        return _rsa_of(members)
    if der.tags(members) != (der.SEQUENCE, der.BIT_STRING) or members[1].content[:1] != b"\0":
        raise ValueError("expected SubjectPublicKeyInfo or PKCS#1")
    identifier, bits = members[0].content, members[1].content[1:]
    _require_known(identifier)
    if identifier == _RSA:
        return _rsa_of(der.sequence(bits))
    if identifier == _ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(bits)
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[identifier], bits)


def read_private_key(data: bytes) -> Any:
    """Read a private key that is not encrypted from DER; a ValueError if it is none that is known.

    The DER is PKCS#8 (RFC 5958), PKCS#1 (RFC 8017, appendix A.1.2) or SEC1 (RFC 5915).
    """
    _require_bounded(der.sequence(data))
    try:
        return serialization.load_der_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError, Warning) as error:
        fault = type(error).__name__
    raise ValueError(f"its numbers do not belong together, or it is damaged ({fault})")


def _require_bounded(members: list[der.Element]) -> None:
    tags = der.tags(members)
    if tags[:3] == (der.INTEGER, der.SEQUENCE, der.OCTET_STRING):
        _require_known(members[1].content)
        if members[1].content != _RSA:
            return
        members = der.sequence(members[2].content)
    elif tags[:2] == (der.INTEGER, der.OCTET_STRING):
        return
    if der.tags(members) != (der.INTEGER,) * 9:
        raise ValueError("expected a private key in PKCS#8, PKCS#1 or SEC1, not encrypted")
    _, modulus, exponent, d, p, q, *others = map(der.integer, members)
    require_private_rsa_bounds(modulus, exponent, (p, q), (d, *others))


def _require_known(identifier: bytes) -> None:
    if identifier in _KNOWN:
        return
    name = der.element(identifier)
    raise ValueError(
        "expected the algorithm rsaEncryption, id-ecPublicKey with the named curve P-256, P-384 or"
        f" P-521, or Ed25519; saw {der.dotted(name.content)} with {len(identifier) - name.end}"
        " bytes of parameters"
    )


def _rsa_of(members: list[der.Element]) -> rsa.RSAPublicKey:
    if len(members) != 2:
        raise ValueError(f"expected an RSA key of 2 numbers; it has {len(members)}")
    return rsa_public_key(*map(der.integer, members))
