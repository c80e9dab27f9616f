"""What a token must satisfy before its key is looked up, as functions for `policy(guards=...)`.

A guard sees what the token says of itself, which anybody can write: it can reject, never accept. It
costs nothing and asks nobody, so what it rejects causes no look-up.
"""

from collections.abc import Callable
from functools import lru_cache

from asapfn.errors import TokenRejected, one_of, shown
from asapfn.keys import LONGEST_KEY_ID, describe_key_id, is_key_id
from asapfn.types import Names, Token, Unverified, as_names


def issuer_is_one_of(issuers: Names) -> Callable[[Unverified | Token], None]:
    """Require one of certain issuers.

    It is a guard, and also a check: `also(authenticate, issuer_is_one_of("shipping"))` is for an
    endpoint that not every caller of the service may call.

    Args:
        issuers: The issuers; a str is one.

    Returns:
        A guard and check that rejects with `missing_claim` without an `iss`, and with
        `issuer_not_allowed` for any other issuer.

    Raises:
        TypeError: If an issuer is not a str.
        ValueError: If there is no issuer.
    """
    allowed = as_names(issuers, "issuers")
    expected = one_of(allowed)

    def issuer_is_allowed(unverified: Unverified | Token) -> None:
        if unverified.claims.get("iss") not in allowed:
            detail = f"expected {expected}, got {shown(issuer_of(unverified))}"
            raise TokenRejected("issuer_not_allowed", detail, claim="iss")

    issuer_is_allowed.__doc__ = f"iss is {expected}"
    return issuer_is_allowed


def key_belongs_to_issuer(unverified: Unverified, /, *, direct: bool = False) -> None:
    """The kid begins with iss and a slash.

    The owner of `a/b/k` may by this rule speak as `a/b` and as `a`, unless `direct`.

    Args:
        unverified: The token.
        direct: Whether what follows the issuer's name must be a single part.

    Raises:
        TokenRejected: `missing_claim` without `iss` or `kid`, `invalid_claim` for an ill-formed
            key id, `key_not_owned` for a key id of another issuer (ASAP specification, "Key
            identifier").
    """
    header, claims, _, _ = unverified
    if not _belongs(header.get("kid"), claims.get("iss"), direct):
        kid, issuer = key_id_of(unverified), issuer_of(unverified)
        detail = f"expected {shown(f'{issuer}/...')}, got {shown(kid)}"
        raise TokenRejected("key_not_owned", detail, claim="kid")


# Remembered within bounds, since it is asked for every token.
@lru_cache(maxsize=64)
def _belongs(kid: str | None, issuer: str | None, direct: bool) -> bool:
    if kid is None or issuer is None or not is_key_id(kid):
        return False
    return kid.startswith(f"{issuer}/") and not (direct and "/" in kid[len(issuer) + 1 :])


def has_key_id(unverified: Unverified, /) -> None:
    """The header has a kid.

    Args:
        unverified: The token.

    Raises:
        TokenRejected: `missing_claim`.
    """
    if "kid" not in unverified.header:
        raise TokenRejected("missing_claim", "the header has no kid", claim="kid")


def issuer_of(unverified: Unverified | Token) -> str:
    """The token's issuer; TokenRejected `missing_claim` without one."""
    issuer: str | None = unverified.claims.get("iss")
    if issuer is None:
        raise TokenRejected("missing_claim", "the token has no iss", claim="iss")
    return issuer


def key_id_of(unverified: Unverified) -> str:
    """The token's key id; TokenRejected `missing_claim` without one, `invalid_claim` if ill-formed.

    The form is ASAP's (ASAP specification, "Key identifier").
    """
    has_key_id(unverified)
    kid: str = unverified.header["kid"]
    if not is_key_id(kid):
        detail = f"the kid is not well formed: {describe_key_id(kid)}"
        raise TokenRejected("invalid_claim", detail, claim="kid")
    return kid


def any_key_id_of(unverified: Unverified) -> str:
    """The token's key id; TokenRejected `missing_claim` without one, `invalid_claim` by its length.

    For sources to which it is a text like any other: nothing of it reaches a path.
    """
    has_key_id(unverified)
    kid: str = unverified.header["kid"]
    if not 1 <= len(kid) <= LONGEST_KEY_ID:
        detail = f"expected a kid of from 1 to {LONGEST_KEY_ID} characters; it has {len(kid)}"
        raise TokenRejected("invalid_claim", detail, claim="kid")
    return kid
