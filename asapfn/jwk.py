"""JSON Web Keys in and out (RFC 7517, RFC 7518 section 6, RFC 8037).

Only members that are understood come in, and only public members that are understood go out.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, import_key

from asapfn import compact
from asapfn.material import LEAST_RSA_BITS, wrap_native, wrap_secret
from asapfn.types import Key

_PUBLIC: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "oct": ()}
_PRIVATE: Final = {
    "RSA": ("d", "p", "q", "dp", "dq", "qi"), "EC": ("d",), "OKP": ("d",), "oct": ("k",)
}  # fmt: skip


def import_jwk(mapping: Mapping[str, Any]) -> Key:
    """Read a JSON Web Key (RFC 7517), public, private or symmetric.

    Args:
        mapping: The JWK's members. Those not understood are left behind, as are `use` and
            `key_ops` once they are checked.

    Returns:
        The key, carrying its `kid` and `alg`.

    Raises:
        ValueError: If a member is missing or malformed, the key is weak or of a type that no
            algorithm here takes, does not fit its own `alg`, or its `use` or `key_ops` say that
            it is for something else than signatures.
        TypeError: If it is not a mapping.
    """
    if not isinstance(mapping, Mapping):
        raise TypeError("a JWK is a mapping of its members: parse its JSON first")
    kty = mapping.get("kty")
    if not isinstance(kty, str) or kty not in _PUBLIC:
        raise ValueError("the JWK's kty is none of RSA, EC, OKP, oct")
    names = [*_PUBLIC[kty], *(name for name in _PRIVATE[kty] if name in mapping or kty == "oct")]
    private = len(names) > len(_PUBLIC[kty])
    if private and kty != "oct" and "d" not in names:
        raise ValueError("the JWK has private members, but no d")
    kid, algorithm, operations = mapping.get("kid"), mapping.get("alg"), mapping.get("key_ops")
    for name in (*names, *({"kid", "alg"} & mapping.keys())):
        if not isinstance(mapping.get(name), str):
            raise ValueError(f"the JWK's {name} is missing or not a string")
    if mapping.get("use", "sig") != "sig" or "oth" in mapping:
        raise ValueError("the JWK is not for signatures, or has more than two primes")
    if "key_ops" in mapping and not (
        isinstance(operations, list) and ("sign" if private else "verify") in operations
    ):
        raise ValueError("the JWK's key_ops do not allow what the key is for")
    try:
        octets = {n: compact.decode_base64url(mapping[n].encode()) for n in names if n != "crv"}
        if kty == "oct":
            return wrap_secret(octets["k"], kid, algorithm)
        if kty == "RSA" and int.from_bytes(octets["n"]).bit_length() < LEAST_RSA_BITS:
            raise ValueError("too weak")  # joserfc would warn of it
        members: dict[str, Any] = {"kty": kty, **{name: mapping[name] for name in names}}
        native = import_key(members).raw_value
    except (ValueError, KeyError, JoseError, UnsupportedAlgorithm) as error:
        raise ValueError("the JWK's members make no key, or a weak one") from error
    key = wrap_native(native, kid, algorithm)
    if kty == "OKP" and key["x"] != mapping["x"]:
        raise ValueError("the JWK's public and private members do not belong together")
    return key


def export_public_jwk(key: Key) -> dict[str, Any]:
    """The public key as a JSON Web Key (RFC 7517).

    Args:
        key: A public or private key.

    Returns:
        The members of the public part, `kid` and `alg` where the key carries them, and `use`.

    Raises:
        ValueError: If the key is a shared secret.
    """
    if isinstance(key, OctKey):
        raise ValueError("a shared secret has no public part: it is never exported")
    names = ("kty", *_PUBLIC[key.key_type], "kid", "alg")
    return {name: key[name] for name in names if key.get(name) is not None} | {"use": "sig"}


def export_jwks(keys: Iterable[Key]) -> dict[str, Any]:
    """Public keys as a JSON Web Key Set (RFC 7517, section 5).

    Args:
        keys: Public or private keys.

    Returns:
        The set, as JSON values.

    Raises:
        ValueError: If a key is a shared secret, or two carry the same key id.
    """
    members = [export_public_jwk(key) for key in keys]
    kids = [member["kid"] for member in members if "kid" in member]
    if len(kids) != len(set(kids)):
        raise ValueError("two keys carry the same key id")
    return {"keys": members}
