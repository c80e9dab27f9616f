"""JSON Web Keys in and out (RFC 7517, RFC 7518 section 6, RFC 8037).

Only members that are understood come in, and only public members that are understood go out.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from joserfc.jwk import import_key

from asapfn._core import compact
from asapfn._core.algorithms import asymmetric
from asapfn._core.key_material import (
    explained,
    loaded,
    require_private_rsa_bounds,
    rsa_public_key,
    wrap_native,
    wrap_secret,
)
from asapfn.errors import shown
from asapfn.types import Key, Names, as_names

_PUBLIC: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "oct": ()}
_PRIVATE: Final = {
    "RSA": ("d", "p", "q", "dp", "dq", "qi"), "EC": ("d",), "OKP": ("d",), "oct": ("k",)
}  # fmt: skip

_CURVES: Final = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def import_jwk(mapping: Mapping[str, Any], *, uses: Names = ("sig",)) -> Key:
    """Read a JSON Web Key (RFC 7517), public, private or symmetric.

    Args:
        mapping: The JWK's members. Those not understood are left behind, as are `use` and
            `key_ops` once they are checked. One whose value is None is absent.
        uses: The values of `use` that are accepted; a key without `use` always is.

    Returns:
        The key, carrying its `kid` and `alg`.

    Raises:
        ValueError: If a member is missing or malformed, the key is weak or of a type that no
            algorithm here has, does not fit its own `alg`, or its `use` or `key_ops` say that
            it is for something else than signatures; or if `uses` is empty or names `enc`.
        TypeError: If it is not a mapping, or one of `uses` is not a str.
    """
    if not isinstance(mapping, Mapping):
        raise TypeError("a JWK is a mapping of its members: parse its JSON first")
    mapping, accepted = without_nulls(mapping), signing_uses(uses)
    kty = mapping.get("kty")
    if not isinstance(kty, str) or kty not in _PUBLIC:
        raise ValueError("the JWK's kty is none of RSA, EC, OKP, oct")
    names = [*_PUBLIC[kty], *(name for name in _PRIVATE[kty] if name in mapping or kty == "oct")]
    private = len(names) > len(_PUBLIC[kty])
    if private and kty != "oct" and "d" not in names:
        raise ValueError("the JWK has private members, but no d")
    for name in (*names, *({"kid", "alg"} & mapping.keys())):
        if not isinstance(mapping.get(name), str):
            raise ValueError(f"the JWK's {name} is missing or not a string")
    use = mapping.get("use")
    if use is not None and not (isinstance(use, str) and use in accepted):
        named = isinstance(use, str) and use != "enc"
        how = "; to accept it, name it in uses=" if named else ""
        raise ValueError(f"the JWK is not for signatures: its use is {shown(use)}{how}")
    if "oth" in mapping:
        raise ValueError("the JWK has more than two primes")
    if "key_ops" in mapping:
        _require_operation("sign" if private else "verify", mapping["key_ops"])
    return explained("the JWK's members make no key, or a weak one", _made, mapping, names, private)


def _made(mapping: Mapping[str, Any], names: list[str], private: bool) -> Key:
    """The key of members that are strings."""
    kid, algorithm = mapping.get("kid"), mapping.get("alg")
    octets = {name: _octets(name, mapping[name]) for name in names if name != "crv"}
    if mapping["kty"] == "oct":
        return wrap_secret(octets["k"], kid, algorithm)
    native = _private(mapping, names, octets) if private else _public(mapping, octets)
    return wrap_native(native, kid, algorithm)


def _require_operation(operation: str, operations: Any) -> None:
    if not isinstance(operations, list) or operation not in operations:
        raise ValueError("the JWK's key_ops do not allow what the key is for")
    # RFC 7517, section 4.3.
    if len({each for each in operations if isinstance(each, str)}) != len(operations):
        raise ValueError("the JWK's key_ops are not strings that differ")


def signing_uses(uses: Names) -> frozenset[str]:
    """The values of `use` that are accepted; a ValueError for the one that is for encryption."""
    accepted = as_names(uses, "uses")
    if "enc" in accepted:
        raise ValueError("uses must not name enc: such a key is for encryption (RFC 7517, 4.2)")
    return accepted


def without_nulls(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are set: many serializers write null for those that are not."""
    return {name: value for name, value in mapping.items() if value is not None}


def _octets(name: str, text: str) -> bytes:
    try:
        return compact.decode_base64url(text.encode("ascii"))
    except ValueError:
        pass
    raise ValueError(f"{name} is not unpadded base64url in its one spelling")


def _public(mapping: Mapping[str, Any], octets: Mapping[str, bytes]) -> Any:
    """The public key of cryptography, to which joserfc would give numbers of any size."""
    if mapping["kty"] == "RSA":
        return rsa_public_key(int.from_bytes(octets["n"]), int.from_bytes(octets["e"]))
    curve = mapping["crv"]
    if mapping["kty"] == "OKP" and curve == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(octets["x"])
    if mapping["kty"] == "OKP" or curve not in _CURVES:
        raise ValueError("no algorithm here has a key of this curve")
    x, y = int.from_bytes(octets["x"]), int.from_bytes(octets["y"])
    return ec.EllipticCurvePublicNumbers(x, y, _CURVES[curve]).public_key()


def _private(mapping: Mapping[str, Any], names: list[str], octets: Mapping[str, bytes]) -> Any:
    if mapping["kty"] == "RSA":
        n, e, d, p, q = (int.from_bytes(octets.get(name, b"")) for name in "nedpq")
        require_private_rsa_bounds(n, e, (p, q), (d,))
        # Without p and q, cryptography searches for them: for a wrong d, in 500 attempts.
        if not p and pow(pow(2, e, n), d, n) != 2:
            raise ValueError("its private members do not belong to its public ones")
    members = {name: mapping[name] for name in ("kty", *names)}
    native = loaded("its members do not belong together", import_key, members).raw_value
    if mapping["kty"] == "OKP" and native.public_key().public_bytes_raw() != octets["x"]:
        raise ValueError("its public and private members do not belong together")
    return native


def export_public_jwk(key: Key) -> dict[str, Any]:
    """The public key as a JSON Web Key (RFC 7517).

    Args:
        key: A public or private key.

    Returns:
        The members of the public part, `kid` and `alg` where the key carries them, and `use`.

    Raises:
        ValueError: If the key is a shared secret.
    """
    names = ("kty", *_PUBLIC[asymmetric(key).key_type], "kid", "alg")
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
