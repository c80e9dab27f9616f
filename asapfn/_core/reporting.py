"""Report what became of each request: to the caller's function, and to the logger `asapfn`.

A refusal is logged as INFO and an outage as WARNING, whatever else is configured, so that its cause
can be found. Requests that are accepted go to the function alone.
"""

import logging
import time
from typing import Final

from asapfn.errors import TokenRejected, Unavailable, cause, escaped
from asapfn.types import Authenticate, ObserveRequest, Request, Token, Verdict

LOGGER: Final = logging.getLogger("asapfn")

# Enough for what was expected and what was seen, each of which is cut by itself.
_LONGEST_DETAIL: Final = 600


def observed(authenticate: Authenticate, observe: ObserveRequest) -> Authenticate:
    """Report what becomes of each request that `authenticate` decides about.

    `protect` and the middlewares have `observe=`, which does the same; this is for code that calls
    an `Authenticate` itself.

    Args:
        authenticate: Says who sent a request, such as `bearer(verify)`.
        observe: Called with a `Verdict` for each request. What it raises comes out of the call.

    Returns:
        A function that does what `authenticate` does. Refusals and outages are also logged, to the
        logger `asapfn`.
    """

    async def observed_authenticate(request: Request) -> Token:
        began = time.monotonic()
        try:
            token = await authenticate(request)
        except (TokenRejected, Unavailable) as error:
            report(error, began, observe)
            raise
        report(token, began, observe)
        return token

    return observed_authenticate


def report(
    outcome: Token | TokenRejected | Unavailable | None,
    began: float,
    observe: ObserveRequest | None,
    enforced: bool = True,
) -> None:
    """Report an outcome; None, a request without a token that is let through, is not reported.

    Where it is not enforced, the log says so: the request was let through.
    """
    if outcome is None or (observe is None and isinstance(outcome, Token)):
        return
    verdict = _verdict(outcome, time.monotonic() - began)
    if verdict.outcome != "accepted":
        _log(verdict, enforced)
    if observe is not None:
        observe(verdict)


def _verdict(outcome: Token | TokenRejected | Unavailable, seconds: float) -> Verdict:
    if isinstance(outcome, Token):
        issuer = escaped(str(outcome.claims.get("iss", "")))
        return Verdict("accepted", "", "", issuer, seconds)
    if isinstance(outcome, TokenRejected):
        return Verdict("rejected", outcome.reason, _cut(outcome.detail), "", seconds)
    detail = _cut(f"{outcome.source}: {outcome.detail or cause(outcome)}")
    return Verdict("unavailable", "unavailable", detail, "", seconds)


def _cut(detail: str) -> str:
    return escaped(detail, _LONGEST_DETAIL)


def _log(verdict: Verdict, enforced: bool) -> None:
    level = logging.WARNING if verdict.outcome == "unavailable" else logging.INFO
    if not LOGGER.isEnabledFor(level):
        return
    extra = {
        "asapfn_outcome": verdict.outcome,
        "asapfn_reason": verdict.reason,
        "asapfn_detail": verdict.detail,
        "asapfn_seconds": verdict.seconds,
        "asapfn_enforced": enforced,
    }
    outcome = verdict.outcome if enforced else f"NOT ENFORCED: {verdict.outcome}"
    reason = "" if verdict.outcome == "unavailable" else f" {verdict.reason}"
    message = "asapfn: %s%s: %s (%.3f s)"
    LOGGER.log(level, message, outcome, reason, verdict.detail, verdict.seconds, extra=extra)
