"""What a verified token must also satisfy, as functions to hand to `verify`.

Each of these makes a check: a function of the verified token that raises when it is not satisfied.
Checks run in the order they are given; one with an effect, `first_use`, goes last, so that a token
which fails another check is not used up.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

from asapfn.canonical import qsh
from asapfn.errors import TokenRejected
from asapfn.types import FirstUse, Token

CONTEXT_QSH = "context-qsh"
_KEPT_LONGER: Final = 60.0


def subject_is_issuer() -> Callable[[Token], None]:
    """Require that the token speaks of nobody but its issuer.

    Returns:
        A check that rejects with `subject_mismatch` when `sub` is there and is not `iss`. An absent
        `sub` means the issuer (ASAP specification, "Claims").
    """

    def check(token: Token) -> None:
        if "sub" in token.claims and token.claims["sub"] != token.claims.get("iss"):
            raise TokenRejected("subject_mismatch", claim="sub")

    return check


def claim_equals(name: str, value: Any) -> Callable[[Token], None]:
    """Require that a claim has a value.

    Args:
        name: The claim.
        value: What it must equal, of the same type: True is not 1.

    Returns:
        A check that rejects with `missing_claim` or `invalid_claim`.
    """

    def check(token: Token) -> None:
        if name not in token.claims:
            raise TokenRejected("missing_claim", name, claim=name)
        given = token.claims[name]
        if type(given) is not type(value) or given != value:
            raise TokenRejected("invalid_claim", f"{name} is another", claim=name)

    return check


def request_matches(
    method: str, url: str, *, base_url: str = "", form: str | bytes | None = None
) -> Callable[[Token], None]:
    """Require that the token was made for this request: the computed `qsh` of Connect.

    Args:
        method: The HTTP method.
        url: The request's URL or target, as it was sent.
        base_url: The app's base URL, whose path is not part of the canonical request.
        form: A form body, which stands in for an empty query of a POST or PUT.

    Returns:
        A check that rejects with `missing_claim` when there is no `qsh`, and with
        `request_mismatch` when it differs. The comparison takes constant time.

    Raises:
        ValueError: If the URL is malformed.
    """
    return _qsh_equals(qsh(method, url, base_url=base_url, form=form))


def context_only() -> Callable[[Token], None]:
    """Require Connect's fixed `qsh`, that of context tokens.

    An endpoint takes one kind of token, computed or fixed: one that takes either was the
    vulnerability of 2021.

    Returns:
        A check that rejects with `missing_claim` or `request_mismatch`.
    """
    return _qsh_equals(CONTEXT_QSH)


def first_use(store: FirstUse) -> Callable[[Token], Awaitable[None]]:
    """Require that the token was not used before. Give this check last.

    A token is known by its `iss` and `jti` together and is remembered for a minute longer than it
    could be accepted, leeway included (ASAP specification, "Replay"): a clock that is set back by
    up to a minute, or another machine's that is as much behind, lets no used token pass.

    Args:
        store: Answers True exactly once for an id, such as `replay.in_memory()`. An id is
            81 characters, `<issuer>:<token>`: 16 hexadecimal digits that all ids of an issuer
            share, the first of its SHA-256, and the 64 of a SHA-256 over issuer and `jti`.

    Returns:
        A check that rejects with `replayed`, or with `missing_claim` when `iss`, `jti` or `exp` is
        not there. It raises `Unavailable` when the store cannot tell.
    """

    async def check(token: Token) -> None:
        for name in ("iss", "jti", "exp"):
            if name not in token.claims:
                raise TokenRejected("missing_claim", name, claim=name)
        token_id = _token_id(token.claims["iss"], token.claims["jti"])
        life = token.usable_until - token.verified_at + _KEPT_LONGER
        if await store(token_id, life) is not True:
            raise TokenRejected("replayed", claim="jti")

    return check


def _token_id(issuer: str, jti: str) -> str:
    whose = hashlib.sha256(issuer.encode()).hexdigest()[:16]
    # The length says where the issuer ends; the hash bounds what a store has to keep.
    return f"{whose}:{hashlib.sha256(f'{len(issuer)}:{issuer}{jti}'.encode()).hexdigest()}"


def _qsh_equals(expected: str) -> Callable[[Token], None]:
    def check(token: Token) -> None:
        given = token.claims.get("qsh")
        if given is None:
            raise TokenRejected("missing_claim", "qsh", claim="qsh")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
            raise TokenRejected("request_mismatch", claim="qsh")

    return check
