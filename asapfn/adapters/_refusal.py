"""Who is let in, and what the others are answered, whatever the framework.

An adapter hands a request to `admit`, reports the outcome, and sends a `refusal` where there is no
token. A refusal is made from fixed texts alone: a problem detail (RFC 9457) with the reason, and
the header that belongs to its status.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from asapfn._core.reporting import LOGGER
from asapfn.errors import TokenRejected, Unavailable, challenge
from asapfn.types import Authenticate, Request, Token, require_bool

# As long as a source of keys is left alone after it failed (`Caching.min_age`).
_RETRY_AFTER: Final = "5"
# A token, as the name of a scheme is one (RFC 9110, sections 5.6.2 and 11.1).
_SCHEME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Refusal(NamedTuple):
    """An answer that refuses a request.

    Attributes:
        status: The HTTP status: 401, 403 or 503.
        headers: Pairs of name and value.
        body: The body, to be left out of an answer to HEAD.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def require_scheme(scheme: str) -> None:
    """Refuse what is no name of an authentication scheme.

    Args:
        scheme: Such as `Bearer` or `JWT`.

    Raises:
        ValueError: If it is none.
    """
    if not _SCHEME.fullmatch(scheme):
        raise ValueError("scheme is one word, such as Bearer or JWT")


def require_enforcement(enforce: bool, optional: bool) -> None:
    """Refuse what is not plainly True or False, and warn where nothing will be enforced.

    Args:
        enforce: Whether refusals are enforced.
        optional: Whether a token may be missing.

    Raises:
        TypeError: If one is no bool: neither None, as of a setting that is missing, nor the text
            "false" of one must open a service.
    """
    require_bool(enforce, "enforce")
    require_bool(optional, "optional")
    if not enforce:
        LOGGER.warning("asapfn: NOT PROTECTING: enforce=False lets every request through")


def acted_on(
    outcome: Token | TokenRejected | Unavailable | None, enforce: bool
) -> Token | TokenRejected | Unavailable | None:
    """The outcome that a request is answered by: a refusal that is not enforced is no token."""
    return outcome if enforce or isinstance(outcome, Token) else None


async def admit(
    authenticate: Authenticate, request: Request, optional: bool
) -> Token | TokenRejected | Unavailable | None:
    """Decide about a request.

    Args:
        authenticate: Says who sent it.
        request: The request.
        optional: Whether a token may be missing. A bad one is refused all the same.

    Returns:
        The verified token; None where there is none and none is needed; else why it is refused.

    Raises:
        TypeError: If `authenticate` gives anything but a `Token`: a forgotten `return` must not
            let everybody in.
    """
    try:
        token: object = await authenticate(request)
    except TokenRejected as error:
        return None if optional and error.reason == "missing_token" else error
    except Unavailable as error:
        return error
    if not isinstance(token, Token):
        raise TypeError(f"authenticate returned {type(token).__name__}, not a Token")
    return token


def carried_token(carrier: Mapping[str, object], where: str) -> Token:
    """The token that `protect` put into a scope or an environ.

    Args:
        carrier: The scope or environ.
        where: What it is, for the message.

    Returns:
        The token.

    Raises:
        RuntimeError: If there is none.
    """
    token = carrier.get("asapfn.token")
    if isinstance(token, Token):
        return token
    raise RuntimeError(
        f"there is no verified token in this {where}: expected this route to be behind protect, and"
        " neither exempt by its unless= nor reached without a token by its optional=True or"
        " enforce=False"
    )


def refusal(error: TokenRejected | Unavailable, scheme: str) -> Refusal:
    """The answer that goes with an error.

    Args:
        error: Why the request is refused.
        scheme: The authentication scheme that is expected.

    Returns:
        The answer. Its body's title is the status's own, as it must be where a problem has no
        `type` (RFC 9457, section 4.2.1); its reason is the error's, or `unavailable`.
    """
    reason = "unavailable"
    field = ("Retry-After", _RETRY_AFTER)
    if isinstance(error, TokenRejected):
        reason = error.reason
        field = ("WWW-Authenticate", challenge(error, scheme))
    title = HTTPStatus(error.status).phrase
    body = json.dumps({"title": title, "status": error.status, "reason": reason}).encode("ascii")
    media_type, length = "application/problem+json", str(len(body))
    headers = (("Content-Type", media_type), ("Content-Length", length), field)
    return Refusal(error.status, headers, body)
