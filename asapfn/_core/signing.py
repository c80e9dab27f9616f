"""Signing: claims and a key in, a token out; no clock and no chance but the signature's own."""

import functools
from collections.abc import Mapping
from typing import Any, cast

from asapfn._core import compact
from asapfn._core.algorithms import default_algorithm, make_signature
from asapfn.types import Key


def sign(
    claims: Mapping[str, Any],
    key: Key,
    *,
    kid: str | None = None,
    algorithm: str | None = None,
    typ: str = "JWT",
) -> str:
    """Sign claims into a token, a JWS in compact serialization (RFC 7515, section 7.1).

    Args:
        claims: The claims, as JSON values. They are signed as they are: nothing is added.
        key: A private key or a shared secret, from `asapfn.keys`.
        kid: The key id to name in the header; by default the key's own, if it has one.
        algorithm: The algorithm; by default the key's own, else its type's usual one: RS256,
            HS256, EdDSA, or the ES algorithm of its curve.
        typ: The header's `typ` (RFC 7519, section 5.1).

    Returns:
        The token.

    Raises:
        ValueError: If the algorithm is not known, the key does not fit it or cannot sign, a
            number is not finite, or the token would be longer than any verifier here accepts.
        TypeError: If a value is not JSON's.
    """
    algorithm = algorithm or default_algorithm(key)
    if kid is None:
        kid = cast("str | None", key.get("kid"))
    signing_input = _header_segment(algorithm, kid, typ) + b"." + compact.encode_segment(claims)
    signature = make_signature(algorithm, key, signing_input)
    token = signing_input + b"." + compact.encode_base64url(signature)
    if len(token) > compact.MAX_BYTES:
        raise ValueError(f"the token would be longer than {compact.MAX_BYTES} bytes")
    return token.decode("ascii")


@functools.lru_cache(maxsize=256)
def _header_segment(algorithm: str, kid: str | None, typ: str) -> bytes:
    named = {} if kid is None else {"kid": kid}
    return compact.encode_segment({"alg": algorithm, **named, "typ": typ})
