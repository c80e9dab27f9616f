"""Which algorithms exist, and which key each of them needs.

joserfc implements the algorithms; this is the one place that touches them. They are looked up once,
past its registry (which warns about some), and each is bound to a type of key, a curve and a least
size. A key that does not fit is refused before joserfc sees it, since joserfc's own checks raise
whatever comes first or nothing at all.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol, cast

from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from asapfn.errors import TokenRejected
from asapfn.types import Key


class _Model(Protocol):
    """What is used of joserfc's algorithms, whose own type is not exported by every version."""

    def sign(self, msg: bytes, key: Any) -> bytes: ...
    def verify(self, msg: bytes, sig: bytes, key: Any) -> bool: ...


class Algorithm(NamedTuple):
    """An algorithm and the keys it needs.

    Attributes:
        key_type: joserfc's class of such keys.
        curve: The curve, as JWK names it (RFC 7518, section 6.2.1.1); empty for RSA and HMAC.
        least: The least size: RSA's modulus in bits, an HMAC secret in bytes; 0 for curves.
        model: joserfc's implementation.
    """

    key_type: type[RSAKey] | type[ECKey] | type[OKPKey] | type[OctKey]
    curve: str
    least: int
    model: _Model


_models = {model.name: model for model in JWS_ALGORITHMS}

# Least sizes: RFC 7518, sections 3.2 and 3.3. Fixed curves: section 3.4, RFC 8037 and RFC 9864.
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    name: Algorithm(key_type, curve, least, _models[name])
    for name, key_type, curve, least in (
        ("RS256", RSAKey, "", 2048),
        ("RS384", RSAKey, "", 2048),
        ("RS512", RSAKey, "", 2048),
        ("PS256", RSAKey, "", 2048),
        ("PS384", RSAKey, "", 2048),
        ("PS512", RSAKey, "", 2048),
        ("ES256", ECKey, "P-256", 0),
        ("ES384", ECKey, "P-384", 0),
        ("ES512", ECKey, "P-521", 0),
        ("EdDSA", OKPKey, "Ed25519", 0),
        ("Ed25519", OKPKey, "Ed25519", 0),
        ("HS256", OctKey, "", 32),
        ("HS384", OctKey, "", 48),
        ("HS512", OctKey, "", 64),
    )
}

SYMMETRIC: Final = frozenset(n for n, a in ALGORITHMS.items() if a.key_type is OctKey)
ASYMMETRIC: Final = frozenset(ALGORITHMS) - SYMMETRIC
ASAP: Final = ASYMMETRIC - {"EdDSA", "Ed25519"}

_MOST_REMEMBERED: Final = 256
_DEFAULTS: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


def curve_of(key: ECKey | OKPKey) -> str:
    """The curve of a key as JWK names it, or the empty string for one joserfc cannot name."""
    try:
        return key.curve_name
    except KeyError:
        return ""


def default_algorithm(key: Key) -> str:
    """The algorithm a key signs with when nobody says: its own, else its type's usual one.

    Args:
        key: Any key.

    Returns:
        The key's `alg` where it has one; else RS256, HS256, EdDSA or the curve's ES algorithm.

    Raises:
        ValueError: If the key's curve has no algorithm here.
    """
    if type(key) is RSAKey:
        usual = "RS256"
    elif type(key) is OctKey:
        usual = "HS256"
    elif (curve := curve_of(cast("ECKey | OKPKey", key))) in _DEFAULTS:
        usual = _DEFAULTS[curve]
    else:
        raise ValueError("no algorithm here has a key of this curve")
    return key.alg or usual


def mismatch(algorithm: str, key: Key) -> str:
    """Why a key cannot serve an algorithm.

    Args:
        algorithm: A name in `ALGORITHMS`.
        key: The key.

    Returns:
        What is wrong with the key, or the empty string when it fits.
    """
    key_type, curve, least, _ = ALGORITHMS[algorithm]
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
    elif curve_of(cast("ECKey | OKPKey", key)) != curve:
        return f"{algorithm} needs a key of the curve {curve}"
    # By `get`: the property `alg` makes a type for the type checker at each call.
    if key.get("alg") not in (None, algorithm):
        return f"the key is for another algorithm than {algorithm}"
    return ""


def make_signature(algorithm: str, key: Key, signing_input: bytes) -> bytes:
    """Sign.

    Args:
        algorithm: A name in `ALGORITHMS`.
        key: A private key or a shared secret that fits it.
        signing_input: What to sign.

    Returns:
        The signature as JWS carries it (RFC 7518, section 3).

    Raises:
        ValueError: If the algorithm is not known, or the key does not fit or is not private.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm: use one of {', '.join(ALGORITHMS)}")
    if wrong := mismatch(algorithm, key):
        raise ValueError(wrong)
    if not key.is_private:
        raise ValueError("a public key cannot sign: give the private key")
    try:
        return ALGORITHMS[algorithm].model.sign(signing_input, key)
    except JoseError as error:
        raise ValueError("the key's own `use` or `key_ops` forbids signing") from error


def verify_signature(algorithm: str, key: Key, signing_input: bytes, signature: bytes) -> bool:
    """Tell whether a signature holds.

    Args:
        algorithm: A name in `ALGORITHMS`.
        key: The key that should have made it; its public part is enough.
        signing_input: What was signed.
        signature: The signature as JWS carries it.

    Returns:
        True if it holds.

    Raises:
        TokenRejected: `unsuitable_key`: the key does not fit the algorithm.
    """
    return signature_verifier()(algorithm, key, signing_input, signature)


def signature_verifier() -> Callable[[str, Key, bytes, bytes], bool]:
    """Make a `verify_signature` that remembers, within bounds, which keys fit.

    Returns:
        The function.
    """
    fitting: dict[int, tuple[Key, str]] = {}

    def verify(algorithm: str, key: Key, signing_input: bytes, signature: bytes) -> bool:
        # By its identity, which is no other's as long as the key is held here.
        known = fitting.get(id(key))
        if known is None or known[1] != algorithm:
            if wrong := mismatch(algorithm, key):
                raise TokenRejected("unsuitable_key", wrong)
            if len(fitting) >= _MOST_REMEMBERED:
                fitting.clear()
            fitting[id(key)] = key, algorithm
        try:
            return ALGORITHMS[algorithm].model.verify(signing_input, signature, key)
        except JoseError as error:
            raise TokenRejected("unsuitable_key", "its `key_ops` forbids verifying") from error

    return verify
