"""Tokens of any bytes, truly signed: what no signer makes, but a verifier may be sent."""

import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from asapfn._core.algorithms import make_signature
from asapfn._core.compact import encode_base64url
from asapfn.types import Key


def forge(claims: Any, key: Key, *, signed_as: str | None = None, **header: Any) -> str:
    """Sign anything.

    Args:
        claims: The payload's bytes, or what JSON is made of.
        key: The key.
        signed_as: The algorithm to sign by, by default the key's own.
        **header: Members of the header; None leaves one out.

    Returns:
        The token.
    """
    members = {"alg": key.alg, "kid": key.kid, "typ": "JWT"} | header
    given = {name: value for name, value in members.items() if value is not None}
    return forge_bytes(json.dumps(given).encode(), claims, key, signed_as=signed_as)


def forge_bytes(header: bytes, claims: Any, key: Key, *, signed_as: str | None = None) -> str:
    """`forge`, with the header's bytes given."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signing_input = encode_base64url(header) + b"." + encode_base64url(payload)
    signature = make_signature(signed_as or key.alg or "", key, signing_input)
    return (signing_input + b"." + encode_base64url(signature)).decode("ascii")


def forge_by(signer: Callable[[bytes], bytes], claims: Any, **header: Any) -> str:
    """`forge`, signed by a function of what is signed."""
    parts = (json.dumps(each).encode() for each in (header, claims))
    signing_input = b".".join(map(encode_base64url, parts))
    return (signing_input + b"." + encode_base64url(signer(signing_input))).decode("ascii")


def pss(data: bytes, key: Any, algorithm: str, salt: int) -> bytes:
    """An RSASSA-PSS signature with a salt of so many bytes; Go's default is the longest."""
    digest = {"PS256": hashes.SHA256(), "PS384": hashes.SHA384(), "PS512": hashes.SHA512()}
    hashed = digest[algorithm]
    signature: bytes = key.private_key.sign(data, padding.PSS(padding.MGF1(hashed), salt), hashed)
    return signature
