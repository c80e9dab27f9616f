"""Who is let in, and what the others are answered, whatever the framework.

An adapter hands a request to `decide`, which reports the outcome, and sends a `refusal` where that
is an error. A refusal is made from fixed texts alone: a problem detail (RFC 9457) with the reason,
and the header that belongs to its status.
"""

import json
import re
import time
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

from asapfn._core.reporting import LOGGER, report
from asapfn.adapters._exempt import is_exempt
from asapfn.adapters._threads import Loop, decided
from asapfn.errors import TokenRejected, Unavailable, challenge
from asapfn.types import Authenticate, ObserveRequest, Request, Token, Unless, require_bool

# Seconds: as long as a source of keys is left alone after it failed (`Caching.min_age`).
RETRY_AFTER: Final = 5
# A token, as the name of a scheme is one (RFC 9110, sections 5.6.2 and 11.1).
_SCHEME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# The verified token; None where there is none and none is needed; else why there is none.
Outcome = Token | TokenRejected | Unavailable | None


class Options(NamedTuple):
    """The options that the adapters share, described at `asgi.protect`."""

    scheme: str
    optional: bool = False
    enforce: bool = True
    observe: ObserveRequest | None = None


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


def checked(options: Options) -> Options:
    """The options, and a warning where nothing will be enforced.

    A TypeError if `enforce` or `optional` is no bool: neither None, as of a setting that is
    missing, nor the text "false" of one must open a service. A ValueError for a malformed `scheme`.
    """
    if not _SCHEME.fullmatch(options.scheme):
        raise ValueError("scheme is one word, such as Bearer or JWT")
    require_bool(options.enforce, "enforce")
    require_bool(options.optional, "optional")
    if not options.enforce:
        LOGGER.warning("asapfn: NOT PROTECTING: enforce=False lets every request through")
    return options


async def decide(
    authenticate: Authenticate,
    unless: Unless | None,
    options: Options,
    request: Request,
    path: str | None,
) -> Outcome:
    """Decide about a request and report the outcome, but of one that `unless` exempts.

    `path` is the decoded path that the application routes by; None where that is not certain.
    """
    if is_exempt(unless, request, path):
        return None
    began = time.monotonic()
    return concluded(await admit(authenticate, request, options.optional), began, options)


def decide_in_thread(
    loop: Loop,
    authenticate: Authenticate,
    unless: Unless | None,
    options: Options,
    request: Request,
    path: str | None,
) -> Outcome:
    """`decide`, in a thread without an event loop: what must wait runs in `loop`."""
    if is_exempt(unless, request, path):
        return None
    began = time.monotonic()
    admitting = partial(admit, authenticate, request, options.optional)
    return concluded(decided(loop, admitting), began, options)


def concluded(outcome: Outcome, began: float, options: Options) -> Outcome:
    """Report an outcome; what the request is answered by: no error that is not enforced."""
    report(outcome, began, options.observe, options.enforce)
    return outcome if options.enforce or isinstance(outcome, Token) else None


async def admit(authenticate: Authenticate, request: Request, optional: bool) -> Outcome:
    """Authenticate a request. Where a token is optional, a bad one is refused all the same.

    A TypeError if `authenticate` gives anything but a `Token`: a forgotten `return` must not let
    everybody in.
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
    """The token that `protect` put into a scope or an environ; a RuntimeError if there is none."""
    token = carrier.get("asapfn.token")
    if isinstance(token, Token):
        return token
    raise RuntimeError(
        f"there is no verified token in this {where}: expected this route to be behind protect, and"
        " neither exempt by its unless= nor reached without a token by its optional=True or"
        " enforce=False"
    )


def refusal(error: TokenRejected | Unavailable, scheme: str) -> Refusal:
    """The answer that goes with an error, where a scheme is expected.

    Its body's title is the status's own, as it must be where a problem has no `type` (RFC 9457,
    section 4.2.1); its reason is the error's, or `unavailable`.
    """
    reason = "unavailable"
    field = ("Retry-After", str(RETRY_AFTER))
    if isinstance(error, TokenRejected):
        reason = error.reason
        field = ("WWW-Authenticate", challenge(error, scheme))
    title = HTTPStatus(error.status).phrase
    body = json.dumps({"title": title, "status": error.status, "reason": reason}).encode("ascii")
    media_type, length = "application/problem+json", str(len(body))
    headers = (("Content-Type", media_type), ("Content-Length", length), field)
    return Refusal(error.status, headers, body)
