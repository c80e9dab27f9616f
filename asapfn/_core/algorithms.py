"""The algorithms: which key each of them needs, how to sign by it, and how to verify.

Keys are joserfc's, signatures cryptography's and the standard library's (HMAC). Each algorithm is
bound to a type of key, a curve and a least size, and a key that does not fit is refused before
cryptography sees it. What a key needs to sign or verify is found once, and kept on the key object
for as long as that lives.
"""

import hmac
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, Literal, NamedTuple, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from asapfn.errors import TokenRejected
from asapfn.types import Key


class Algorithm(NamedTuple):
    """An algorithm and the keys it needs.

    Attributes:
        key_type: joserfc's class of such keys.
        curve: The curve, as JWK names it (RFC 7518, section 6.2.1.1); empty for RSA and HMAC.
        least: The least size: RSA's modulus in bits, an HMAC secret in bytes; 0 for curves.
        scheme: What cryptography's key is given besides data and signature; for HMAC the hash.
        half: Of ECDSA's signatures, the bytes of each number; else 0.
    """

    key_type: type[RSAKey] | type[ECKey] | type[OKPKey] | type[OctKey]
    curve: str
    least: int
    scheme: tuple[Any, ...]
    half: int = 0


class _Bound(NamedTuple):
    """How a key signs, or verifies, by an algorithm.

    Attributes:
        algorithm: The algorithm.
        function: Signs, or raises InvalidSignature; `scheme` are its last arguments.
        scheme: The algorithm's.
        half: The algorithm's.
        size: The one length of a signature; 0 where `function` looks at it.
    """

    algorithm: str
    function: Callable[..., Any]
    scheme: tuple[Any, ...]
    half: int
    size: int


def _pss(algorithm: hashes.HashAlgorithm) -> tuple[Any, ...]:
    return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm


_PKCS1: Final = padding.PKCS1v15()
_SHA256, _SHA384, _SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()

# Least sizes: RFC 7518, sections 3.2 and 3.3. Fixed curves: section 3.4, RFC 8037 and RFC 9864.
# The salt of PSS is as long as the hash: section 3.5. The first of a type and curve is what a key
# signs with when nobody says.
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "RS256": Algorithm(RSAKey, "", 2048, (_PKCS1, _SHA256)),
    "RS384": Algorithm(RSAKey, "", 2048, (_PKCS1, _SHA384)),
    "RS512": Algorithm(RSAKey, "", 2048, (_PKCS1, _SHA512)),
    "PS256": Algorithm(RSAKey, "", 2048, _pss(_SHA256)),
    "PS384": Algorithm(RSAKey, "", 2048, _pss(_SHA384)),
    "PS512": Algorithm(RSAKey, "", 2048, _pss(_SHA512)),
    "ES256": Algorithm(ECKey, "P-256", 0, (ec.ECDSA(_SHA256),), 32),
    "ES384": Algorithm(ECKey, "P-384", 0, (ec.ECDSA(_SHA384),), 48),
    "ES512": Algorithm(ECKey, "P-521", 0, (ec.ECDSA(_SHA512),), 66),
    "EdDSA": Algorithm(OKPKey, "Ed25519", 0, ()),
    "Ed25519": Algorithm(OKPKey, "Ed25519", 0, ()),
    "HS256": Algorithm(OctKey, "", 32, ("sha256",)),
    "HS384": Algorithm(OctKey, "", 48, ("sha384",)),
    "HS512": Algorithm(OctKey, "", 64, ("sha512",)),
}

SYMMETRIC: Final = frozenset(n for n, a in ALGORITHMS.items() if a.key_type is OctKey)
ASYMMETRIC: Final = frozenset(ALGORITHMS) - SYMMETRIC
ASAP: Final = ASYMMETRIC - {"EdDSA", "Ed25519"}

# Where a key keeps what was found out about it.
_USUAL: Final = "_asapfn_usual"
_SIGNS: Final = "_asapfn_signs"
_VERIFIES: Final = "_asapfn_verifies"


def require_known(algorithm: str) -> None:
    """Refuse, by a ValueError, what is none of `ALGORITHMS`."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm: use one of {', '.join(ALGORITHMS)}")


def curve_of(key: Key) -> str:
    """The curve of a key as JWK names it; empty for one joserfc cannot name, and for no curve."""
    own: Any = key
    try:
        return str(own.curve_name)
    except (AttributeError, KeyError):
        return ""


def require_key(key: object) -> None:
    """TypeError for what is no key, such as the text of one, which is not quoted."""
    if not isinstance(key, Key):
        how = "import_pem, import_secret or generate"
        raise TypeError(
            f"what signs or verifies is a key of asapfn.keys ({how}), not {type(key).__name__}"
        )


def asymmetric(key: Key) -> RSAKey | ECKey | OKPKey:
    """The key; a ValueError for a shared secret, TypeError for what is no key."""
    if isinstance(key, OctKey):
        raise ValueError("a shared secret has no public part: it is never exported")
    require_key(key)
    return key


def default_algorithm(key: Key) -> str:
    """The algorithm that a key signs with when nobody says: its own, else its type's usual one.

    RS256, HS256, EdDSA, or the ES algorithm of its curve; a ValueError for any other curve.
    """
    require_key(key)
    usual: str | None = vars(key).get(_USUAL)
    if usual is None:
        usual = vars(key)[_USUAL] = _usual(key)
    # By `get`: the property `alg` makes a type for the type checker at each call.
    return cast("str | None", key.get("alg")) or usual


def _usual(key: Key) -> str:
    """The first algorithm of the key's type and curve."""
    kind = type(key), curve_of(key)
    for name, algorithm in ALGORITHMS.items():
        if kind == (algorithm.key_type, algorithm.curve):
            return name
    raise ValueError("no algorithm here has a key of this curve")


def mismatch(algorithm: str, key: Key) -> str:
    """Why a key cannot serve an algorithm, one of `ALGORITHMS`; the empty string when it fits."""
    key_type, curve, least, _, _ = ALGORITHMS[algorithm]
    # By its type's identity: joserfc's types are abstract, and slow to ask whose instance a key is.
    if type(key) is not key_type:
        return f"{algorithm} needs a key of type {key_type.key_type}, not {key.key_type}"
    native: Any = key.raw_value
    if key_type is RSAKey:
        if native.key_size < least:
            return f"{algorithm} needs an RSA key of at least {least} bits"
    elif key_type is OctKey:
        if len(native) < least:
            return f"{algorithm} needs a secret of at least {least} bytes"
    elif curve_of(key) != curve:
        return f"{algorithm} needs a key of the curve {curve}"
    if key.get("alg") not in (None, algorithm):
        return f"the key is for another algorithm than {algorithm}"
    return ""


def make_signature(algorithm: str, key: Key, signing_input: bytes) -> bytes:
    """Sign: the signature as JWS carries it (RFC 7518, section 3).

    A ValueError if the algorithm is not known, or the key does not fit it or cannot sign.
    """
    bound: _Bound | None = vars(key).get(_SIGNS)
    if bound is None or bound.algorithm != algorithm:
        bound = vars(key)[_SIGNS] = _signing(algorithm, key)
    _, function, scheme, half, _ = bound
    signature: bytes = function(signing_input, *scheme)
    if half:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(half) + s.to_bytes(half)
    return signature


def verify_signature(algorithm: str, key: Key, signing_input: bytes, signature: bytes) -> bool:
    """Whether a signature, as JWS carries it, was made with this key; its public part is enough.

    TokenRejected `unsuitable_key` if the key does not fit the algorithm, one of `ALGORITHMS`.
    """
    bound: _Bound | None = vars(key).get(_VERIFIES)
    if bound is None or bound[0] != algorithm:
        bound = vars(key)[_VERIFIES] = _verifying(algorithm, key)
    _, function, scheme, half, size = bound
    if size and len(signature) != size:
        return False
    if half:
        r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
        signature = encode_dss_signature(r, s)
    try:
        function(signature, signing_input, *scheme)
    except InvalidSignature:
        return False
    return True


def other_form(
    algorithm: str, key: Key, signing_input: bytes, signature: bytes
) -> Literal["", "DER", "salt"]:
    """The wrong form of a signature that does not hold, if this key made it in one of two.

    `DER`: ECDSA's, in DER; `salt`: RSASSA-PSS's, with a salt that is not as long as the hash. Some
    libraries sign so. Empty if the key, one that fits, did not make it in either form.
    """
    _, _, _, scheme, half = ALGORITHMS[algorithm]
    native: Any = key.public_key
    with suppress(InvalidSignature):
        if half and signature[:1] == b"\x30":
            native.verify(signature, signing_input, *scheme)
            return "DER"
        if algorithm.startswith("PS") and 8 * len(signature) >= native.key_size:
            any_salt = padding.PSS(padding.MGF1(scheme[1]), padding.PSS.AUTO)
            native.verify(signature, signing_input, any_salt, scheme[1])
            return "salt"
    return ""


def _signing(algorithm: str, key: Key) -> _Bound:
    """How a key signs; ValueError if it cannot."""
    require_known(algorithm)
    if wrong := mismatch(algorithm, key):
        raise ValueError(wrong)
    if not key.is_private:
        raise ValueError("a public key cannot sign: give the private key")
    try:
        key.check_key_op("sign")
    except JoseError as error:
        raise ValueError("the key's own `use` or `key_ops` forbids signing") from error
    native: Any = key.private_key
    sign = partial(hmac.digest, native) if type(key) is OctKey else native.sign
    return _Bound(algorithm, sign, *ALGORITHMS[algorithm][3:], 0)


def _verifying(algorithm: str, key: Key) -> _Bound:
    """How a key verifies; TokenRejected if it cannot."""
    if wrong := mismatch(algorithm, key):
        raise TokenRejected("unsuitable_key", wrong)
    try:
        key.check_key_op("verify")
    except JoseError as error:
        raise TokenRejected("unsuitable_key", "its `key_ops` forbids verifying") from error
    native: Any = key.public_key
    verify = partial(_verify_hmac, native) if type(key) is OctKey else native.verify
    scheme, half = ALGORITHMS[algorithm][3:]
    # OpenSSL accepts a PSS signature also without the zeros that it begins with; RFC 8017, section
    # 8.1.2, does not.
    size = (native.key_size + 7) // 8 if type(key) is RSAKey else 2 * half
    return _Bound(algorithm, verify, scheme, half, size)


def _verify_hmac(secret: bytes, signature: bytes, signing_input: bytes, digest: str) -> None:
    if not hmac.compare_digest(hmac.digest(secret, signing_input, digest), signature):
        raise InvalidSignature
