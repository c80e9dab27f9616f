"""From raw key material to a key: what is weak or is not what it claims to be stops here."""

from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.jwk import ECKey, KeyParameters, OctKey, OKPKey, RSAKey

from asapfn._core.algorithms import ALGORITHMS, default_algorithm, mismatch
from asapfn._core.native import require_rsa_bounds
from asapfn._core.recognition import is_key
from asapfn.types import Key

# Marks of a ROCA-weak modulus (CVE-2017-15361): modulo each of these primes it is a power of 65537,
# which it is if it gives 1 when raised to the order of 65537, stated beside the prime.
_ROCA: Final = (
    (11, 2), (13, 6), (17, 8), (19, 9), (37, 3), (53, 26), (61, 20), (71, 35), (73, 24), (79, 13),
    (97, 6), (103, 51), (107, 53), (109, 54), (127, 42), (151, 50), (157, 78),
)  # fmt: skip


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


def _parameters(kid: str | None, algorithm: str | None) -> KeyParameters:
    parameters: KeyParameters = {}
    if kid is not None:
        parameters["kid"] = kid
    if algorithm is not None:
        parameters["alg"] = algorithm
    return parameters


def _refuse_mismatch(key: Key, algorithm: str | None) -> None:
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm: use one of {', '.join(ALGORITHMS)}")
    if wrong := mismatch(algorithm or default_algorithm(key), key):
        raise ValueError(wrong)
