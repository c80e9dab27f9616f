"""What the claims that profiles make have in common."""

import secrets
import sys
from collections.abc import Mapping
from typing import Any, Final

from asapfn.types import Names, as_names

# RFC 7519, section 4.1.
REGISTERED: Final = frozenset(("iss", "sub", "aud", "exp", "nbf", "iat", "jti"))
_LONGEST_FINITE: Final = sys.float_info.max


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
    return {"iat": issued, "exp": issued + lifetime}
