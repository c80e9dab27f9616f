"""What becomes of an incoming request, whatever the framework.

An adapter hands a request to `decide`, which reports the outcome, and sends a `refusal` where that
is an error. An endpoint that demands more than the others, by checks of its own, has `admit_to`. A
refusal is made from fixed texts alone: a problem detail (RFC 9457) with the reason, and the header
that belongs to its status.
"""

import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from http import HTTPStatus
from types import MethodType
from typing import Any, Final, NamedTuple

from asapfn._core.credentials import TOKEN, header_values
from asapfn._core.one_step import in_event_loop
from asapfn._core.reporting import LOGGER, report
from asapfn._core.verification import finish
from asapfn.adapters._threads import Loop, run_in_thread
from asapfn.checks import require_target
from asapfn.errors import TokenRejected, Unavailable, challenge
from asapfn.types import Authenticate, Check, ObserveRequest, Request, Token, Unless, require_bool

# Seconds: as long as a source of keys is left alone after it failed (`Caching.min_age`).
RETRY_AFTER: Final = 5
# U+FFFD stands for bytes that were no UTF-8. A % in a decoded path may be decoded again.
_SPECIAL: Final = re.compile(r"[%\\;?#\ufffd]|//|/\.\.?(?:/|\Z)")
_ENCODED_SLASH: Final = re.compile("%(?:2[Ff]|5[Cc])")
# Keys in a scope or an environ: the tokens that were verified, and the request whose was refused.
_VERIFIED: Final = "asapfn.verified"
_REFUSED: Final = "asapfn.refused"

# What carries a request through an application: its scope or environ.
Carrier = MutableMapping[str, Any]
# The verified token; None where there is none and none is needed; else why there is none.
Outcome = Token | TokenRejected | Unavailable | None


class Options(NamedTuple):
    """The options that the adapters share, described at `asgi.protect`."""

    scheme: str
    optional: bool = False
    enforce: bool = True
    observe: ObserveRequest | None = None
    unless: Unless | None = None


class Answer(NamedTuple):
    """An answer of HTTP.

    Attributes:
        status: The status.
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
    if not re.fullmatch(TOKEN, options.scheme):
        raise ValueError("scheme is one word, such as Bearer or JWT")
    require_bool(options.enforce, "enforce")
    require_bool(options.optional, "optional")
    if not options.enforce:
        LOGGER.warning("asapfn: NOT PROTECTING: enforce=False lets every request through")
    return options


async def decide(
    authenticate: Authenticate,
    options: Options,
    carrier: Carrier,
    request: Request,
    path: str | None,
) -> Outcome:
    """Decide about a request and report the outcome, but of one that `unless` exempts.

    `path` is the decoded path that the application routes by; None where that is not certain.
    """
    if is_exempt(options.unless, request, path):
        return None
    began = time.monotonic()
    admitted = await admit_to(authenticate, (), carrier, request, options.optional)
    return conclude(admitted, began, options)


def decide_in_thread(
    loop: Loop,
    authenticate: Authenticate,
    options: Options,
    carrier: Carrier,
    request: Request,
    path: str | None,
) -> Outcome:
    """`decide`, in a thread without an event loop: what must wait runs in `loop`."""
    if is_exempt(options.unless, request, path):
        return None
    admitting = partial(admit_to, authenticate, (), carrier, request, options.optional)
    return conclude_in_thread(loop, admitting, options)


def conclude(outcome: Outcome, began: float, options: Options) -> Outcome:
    """Report an outcome and return it; None for an error that `enforce=False` does not enforce."""
    report(outcome, began, options.observe, options.enforce)
    return outcome if options.enforce or isinstance(outcome, Token) else None


def conclude_in_thread(
    loop: Loop, admitting: Callable[[], Awaitable[Outcome]], options: Options
) -> Outcome:
    """Admit a request in a thread without an event loop, and conclude."""
    began = time.monotonic()
    return conclude(run_in_thread(loop, admitting), began, options)


def is_exempt(unless: Unless | None, request: Request, path: str | None) -> bool:
    """Whether a request needs no token, as `unless` says, which is None where all need one.

    It is not asked where the method or the path may be read in another way, nor about the handshake
    of a websocket: these need a token. `path` is the decoded path that the application routes by;
    None where that is not certain. A TypeError if `unless` returns anything but a bool, such as a
    coroutine, which is true.
    """
    if unless is None or path is None or not _is_plain(request, path):
        return False
    answer: object = unless(request.method, path)
    if not isinstance(answer, bool):
        raise TypeError(f"unless returned {type(answer).__name__}, not True or False")
    return answer


def _is_plain(request: Request, path: str) -> bool:
    """Whether everybody reads this method and path alike.

    An application, its framework, and what it passes a path on to may each decode it, resolve its
    dots, join its slashes or cut it at a semicolon.
    """
    # Methods differ by case (RFC 9110, section 9.1), but not to Django and Flask.
    if request.mismatch or request.method.upper() != request.method:
        return False
    if path[:1] not in ("", "/") or not path.isprintable() or _SPECIAL.search(path):
        return False
    if request.target is not None:
        try:
            require_target(request.target)
        except TokenRejected:
            return False
        if _ENCODED_SLASH.search(request.target.partition("?")[0]):
            return False
    return not any("websocket" in value.lower() for value in header_values(request, "upgrade"))


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


async def admit_to(
    authenticate: Authenticate,
    checks: tuple[Check, ...],
    carrier: Carrier,
    request: Request,
    optional: bool,
) -> Outcome:
    """Authenticate a request, also to an endpoint, which has checks of its own.

    A request is authenticated once by the same function, also where an application, a router and an
    endpoint all require it: with a store of used tokens the second time would be a replay. So
    verified tokens are kept in the carrier. A token that is optional must satisfy the checks where
    it is there.
    """
    verified: tuple[tuple[Authenticate, Request, Token], ...] = carrier.get(_VERIFIED, ())
    admitted: Token | None = None
    # Compared are the function itself, since its id may be given to another later, and the request,
    # since an application may change it in the scope or environ.
    for by, asked, token in verified:
        if _is_same(by, authenticate) and asked == request:
            admitted = token
    if admitted is None:
        outcome = await admit(authenticate, request, optional)
        if not isinstance(outcome, Token):
            return outcome
        admitted = outcome
        # Not added to a list, which the carriers that this one was copied from would share.
        carrier[_VERIFIED] = (*verified, (authenticate, request, admitted))
    outcome = await apply_checks(admitted, checks) if checks else admitted
    # What is Unavailable without an event loop is decided again, in one (`run_in_thread`).
    if outcome is not admitted and (isinstance(outcome, TokenRejected) or in_event_loop()):
        carrier[_REFUSED] = request
    return outcome


def _is_same(one: Authenticate, other: Authenticate) -> bool:
    """Whether two are one function; a method is another object each time it is looked up."""
    if isinstance(one, MethodType) and isinstance(other, MethodType):
        return one.__self__ is other.__self__ and one.__func__ is other.__func__
    return one is other


async def apply_checks(token: Token, checks: tuple[Check, ...]) -> Outcome:
    """The token, if it satisfies checks; else why not."""
    try:
        for check in checks:
            await finish(check(token))
    except (TokenRejected, Unavailable) as error:
        return error
    return token


def carry(carrier: Carrier, request: Request, token: Token | None) -> Token | None:
    """Put a token where an endpoint finds it, unless a check there has refused it; what is there.

    A check that enforces nothing lets a request through to what may demand less of the same token.
    """
    carrier.pop("asapfn.token", None)
    if token is None or carrier.get(_REFUSED) == request:
        return None
    carrier["asapfn.token"] = token
    return token


def carried_token(token: object, where: str) -> Token:
    """The token that was put into a scope or an environ; a RuntimeError if there was none."""
    if isinstance(token, Token):
        return token
    raise RuntimeError(
        f"there is no verified token in this {where}: expected this route to be behind protect, and"
        " neither exempt by its unless= nor reached without a token by its optional=True or"
        " enforce=False"
    )


def refusal(error: TokenRejected | Unavailable, scheme: str) -> Answer:
    """The answer that goes with an error, where a scheme is expected.

    Its body's title is the status's own, as it must be where a problem has no `type` (RFC 9457,
    section 4.2.1); its reason is the error's, or `unavailable`.
    """
    if isinstance(error, Unavailable):
        reason, field = "unavailable", ("Retry-After", str(RETRY_AFTER))
    else:
        reason, field = error.reason, ("WWW-Authenticate", challenge(error, scheme))
    title = HTTPStatus(error.status).phrase
    body = json.dumps({"title": title, "status": error.status, "reason": reason}).encode("ascii")
    return answer_of(error.status, "application/problem+json", body, field)


def answer_of(status: int, media_type: str, body: bytes, *fields: tuple[str, str]) -> Answer:
    """An answer with a body, and with header fields beside those that describe the body."""
    described = (("Content-Type", media_type), ("Content-Length", str(len(body))))
    return Answer(status, described + fields, body)
