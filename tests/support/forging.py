"""Tokens of any bytes, truly signed: what no signer makes, but a verifier may be sent."""

import json
from typing import Any

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
