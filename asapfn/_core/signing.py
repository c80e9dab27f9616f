"""Sign claims into a token; and make the claims that several profiles have."""

import functools
import secrets
import sys
from collections.abc import Mapping
from typing import Any, Final, cast

from asapfn._core import compact
from asapfn._core.algorithms import default_algorithm, make_signature
from asapfn.types import Key, Names, as_names

# RFC 7519, section 4.1.
REGISTERED: Final = frozenset(("iss", "sub", "aud", "exp", "nbf", "iat", "jti"))
# Claims that each profile reads as a name, where they are there.
_NAMES: Final = ("iss", "sub", "jti", "room")
_LONGEST_FINITE: Final = sys.float_info.max
# No verifier reads a later time (`verification.decode_claims`).
_MAX_TIME: Final = 2**63


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


def random_id() -> str:
    """An id that is unique, by 128 random bits."""
    return secrets.token_hex(16)


def aud_of(audience: Names) -> str | list[str]:
    """The `aud` for an audience: one name as it is, or several in a list that is sorted."""
    return audience if isinstance(audience, str) else sorted(as_names(audience, "audience"))


def more_claims(additional: Mapping[str, Any] | None, ours: frozenset[str]) -> dict[str, Any]:
    """The additional claims; a ValueError if one is among those that are set already."""
    if additional is None:
        return {}
    more = dict(additional)
    if not ours.isdisjoint(more):
        raise ValueError(f"additional claims must not be among {', '.join(sorted(ours))}")
    return more


def require_lifetime(
    seconds: float, what: str = "lifetime", longest: float = _LONGEST_FINITE
) -> None:
    """Raise ValueError for seconds that are not more than 0, too many, infinite or no number."""
    if not 0 < seconds <= longest:
        most = "" if longest == _LONGEST_FINITE else f" and at most {longest}"
        raise ValueError(f"{what} is a finite number of seconds, more than 0{most}, not {seconds}")


def times(issued: float, lifetime: float, longest: float = _LONGEST_FINITE) -> dict[str, float]:
    """The `iat`, in whole seconds, and the `exp` of a token; ValueError as `require_lifetime`."""
    require_lifetime(lifetime, "lifetime", longest)
    issued = int(issued)
    expires = issued + lifetime
    # Else the token would be valid at no time: a float is less exact the larger it is.
    if not issued < expires < _MAX_TIME:
        raise ValueError(f"lifetime is too short or too long beside iat {issued}: {lifetime}")
    return {"iat": issued, "exp": expires}


def require_names(claims: Mapping[str, Any]) -> None:
    """Raise TypeError for a claim that is to be a name, and is no str."""
    for name in _NAMES:
        if not isinstance(claims.get(name, ""), str):
            raise TypeError(f"{name} is a str, not {type(claims[name]).__name__}")
