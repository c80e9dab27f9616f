"""Read keys from bytes and numbers; refuse what is too large, weak, or not what it claims to be.

OpenSSL checks what it reads as thoroughly as it can, with the interpreter's lock held: whether a
Diffie-Hellman modulus is prime costs it 20 seconds. So public keys are parsed here, and given
to cryptography as the numbers and points that they are; it reads no DER of them. A private key is
its owner's, and is read by cryptography once its size is known.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from asapfn._core import der
from asapfn._core.algorithms import default_algorithm, mismatch, require_known
from asapfn._core.recognition import is_key
from asapfn.types import Key

_T = TypeVar("_T")

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

# What is raised of what cannot be read.
_NO_KEY: Final = (
    ValueError, TypeError, KeyError, UnsupportedAlgorithm, InternalError, JoseError, Warning
)  # fmt: skip

# Marks of a ROCA-weak modulus (CVE-2017-15361): modulo each of these primes it is a power of 65537,
# which it is if it gives 1 when raised to the order of 65537, stated beside the prime.
_ROCA: Final = (
    (11, 2), (13, 6), (17, 8), (19, 9), (37, 3), (53, 26), (61, 20), (71, 35), (73, 24), (79, 13),
    (97, 6), (103, 51), (107, 53), (109, 54), (127, 42), (151, 50), (157, 78),
)  # fmt: skip


def require_rsa_bounds(modulus: int, exponent: int) -> None:
    """Raise ValueError for RSA numbers that are too weak, or so large that they cost too much."""
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
    """Raise ValueError for private RSA numbers that are so large that they cost too much."""
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
    _require_known_identifier(identifier)
    if identifier == _RSA:
        return _rsa_of(der.sequence(bits))
    if identifier == _ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(bits)
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[identifier], bits)


def _rsa_of(members: list[der.Element]) -> rsa.RSAPublicKey:
    if len(members) != 2:
        raise ValueError(f"expected an RSA key of 2 numbers; it has {len(members)}")
    return rsa_public_key(*map(der.integer, members))


def _require_known_identifier(identifier: bytes) -> None:
    if identifier in _KNOWN:
        return
    name = der.element(identifier)
    raise ValueError(
        "expected the algorithm rsaEncryption, id-ecPublicKey with the named curve P-256, P-384 or"
        f" P-521, or Ed25519; saw {der.dotted(name.content)} with {len(identifier) - name.end}"
        " bytes of parameters"
    )


def read_private_key(data: bytes) -> Any:
    """Read a private key that is not encrypted from DER; a ValueError if it is none that is known.

    The DER is PKCS#8 (RFC 5958), PKCS#1 (RFC 8017, appendix A.1.2) or SEC1 (RFC 5915).
    """
    _require_bounded(der.sequence(data))
    wrong = "its numbers do not belong together, or it is damaged"
    return loaded(wrong, serialization.load_der_private_key, data, None)


def _require_bounded(members: list[der.Element]) -> None:
    tags = der.tags(members)
    if tags[:3] == (der.INTEGER, der.SEQUENCE, der.OCTET_STRING):
        _require_known_identifier(members[1].content)
        if members[1].content != _RSA:
            return
        members = der.sequence(members[2].content)
    elif tags[:2] == (der.INTEGER, der.OCTET_STRING):
        return
    if der.tags(members) != (der.INTEGER,) * 9:
        raise ValueError("expected a private key in PKCS#8, PKCS#1 or SEC1, not encrypted")
    _, modulus, exponent, d, p, q, *others = map(der.integer, members)
    require_private_rsa_bounds(modulus, exponent, (p, q), (d, *others))


def loaded(wrong: str, load: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of cryptography or joserfc; a ValueError, with `wrong`, if it fails.

    It names the type of their error. Their message and the error itself are left out, since they
    may hold what was read.
    """
    try:
        return load(*arguments)
    except _NO_KEY as error:
        fault = type(error).__name__
    raise ValueError(f"{wrong} ({fault})")


def explained(wrong: str, read: Callable[..., _T], *arguments: Any) -> _T:
    """Call a function of asapfn; its ValueError is raised again with `wrong` before the message."""
    try:
        return read(*arguments)
    except ValueError as error:
        fault = str(error)
    raise ValueError(f"{wrong}: {fault}")


def is_roca_weak(modulus: int) -> bool:
    """Whether an RSA modulus has the marks of CVE-2017-15361; one sound in 240 million has."""
    return all(pow(modulus, order, prime) == 1 for prime, order in _ROCA)


def wrap_secret(secret: bytes, kid: str | None, algorithm: str | None) -> OctKey:
    """Make a key of a shared secret, with its key id and the one algorithm it is for.

    A ValueError if it is too short, or is a key or certificate (see `recognition`): where a public
    key serves as a secret, anybody can sign (CVE-2022-29217).
    """
    if is_key(secret):
        raise ValueError("a key or certificate is no shared secret: anybody may know it")
    key = OctKey(secret, secret, _parameters(kid, algorithm))
    _refuse_mismatch(key, algorithm)
    return key


def wrap_native(native: Any, kid: str | None, algorithm: str | None) -> RSAKey | ECKey | OKPKey:
    """Make a key of cryptography's public or private key, with its key id and its one algorithm.

    A ValueError if it is of a type or curve that no algorithm here has, is weak, or does not fit
    the algorithm.
    """
    key: RSAKey | ECKey | OKPKey
    parameters = _parameters(kid, algorithm)
    if isinstance(native, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        key = RSAKey(native, native, parameters)
        numbers = key.public_key.public_numbers()
        require_rsa_bounds(numbers.n, numbers.e)
        if is_roca_weak(numbers.n):
            raise ValueError("the RSA key is ROCA-weak (CVE-2017-15361): replace it")
    elif isinstance(native, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        key = ECKey(native, native, parameters)
    elif isinstance(native, (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey)):
        key = OKPKey(native, native, parameters)
    else:
        raise ValueError("no algorithm here has a key of this type")
    _refuse_mismatch(key, algorithm)
    return key


def _parameters(kid: str | None, algorithm: str | None) -> Any:
    return {name: value for name, value in (("kid", kid), ("alg", algorithm)) if value is not None}


def _refuse_mismatch(key: Key, algorithm: str | None) -> None:
    if algorithm is not None:
        require_known(algorithm)
    if wrong := mismatch(algorithm or default_algorithm(key), key):
        raise ValueError(wrong)
