"""`asapfn explain`: why a token is refused, and how to mend it.

The verdict is the one that `verify` gives. Beside it every rule is gone through in order, with the
values it saw; of a `qsh`, from which request it could have come.
"""

import argparse
import hashlib
import math
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from asapfn.canonical import canonical_request
from asapfn.checks import CONTEXT_QSH
from asapfn.cli.cases import PROFILES, Case, judge
from asapfn.cli.cases.case import Clock, target_of
from asapfn.cli.inputs import authorization, read_bytes, read_text
from asapfn.cli.mend import mend
from asapfn.cli.parsing import Commands
from asapfn.cli.sources import network
from asapfn.cli.steps import Step, Trail, follow
from asapfn.cli.style import Paint, painter
from asapfn.cli.text import as_json, claim_line, date, safe, shown
from asapfn.cli.variants import Variant, find_variant
from asapfn.cli.verify import (
    add_for_profiles,
    exit_code,
    verdict_as_members,
    verdict_in_words,
)
from asapfn.errors import TokenRejected, Unavailable
from asapfn.profiles.connect.incoming import query_tokens
from asapfn.types import Token
from asapfn.verification import peek


class Explanation(NamedTuple):
    """All that was found out about a token.

    Attributes:
        verdict: What the profile's verifier said.
        trail: The rules gone through.
        advice: What to do about a refusal.
        expected: The canonical request that the `qsh` should be the hash of, if it is not.
        given: What it is the hash of instead, if that was found.
        now: The time as of which it was judged.
    """

    verdict: Token | TokenRejected | Unavailable
    trail: Trail
    advice: str
    expected: str
    given: Variant | None
    now: float


def add_to(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: What it is added to.
    """
    parsers = add_for_profiles(
        commands,
        "explain",
        "show why a token is refused, and how to mend it",
        "Go through every rule in order, with what it saw, and say which one failed and how to"
        " mend it. The exit code is that of verify.",
        run,
    )
    for parser in parsers.values():
        parser.add_argument(
            "--at",
            metavar="TIME",
            help="judge it as of then: seconds since the epoch, a date such as"
            " 2026-11-24T14:46:03Z, or iat, when it was signed",
        )
    parsers["connect"].add_argument(
        "--form-from", metavar="WHERE", help="the form body that the request had, if any"
    )


async def run(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: The command line.

    Returns:
        0 if the token is accepted, 1 if it is rejected, 3 if nobody could tell.

    Raises:
        ValueError: If something is missing or cannot be used.
    """
    text = None if options.token is None else read_text(options.token)
    explanation = await _explain(options, text, _clock(options, text))
    if options.json:
        sys.stdout.write(as_json(_as_members(explanation)))
    else:
        _show(explanation, PROFILES[options.profile].title)
    return exit_code(explanation.verdict)


async def _explain(options: argparse.Namespace, text: str | None, now: Clock) -> Explanation:
    async with network() as fetch:
        case = await PROFILES[options.profile].case(options, text, fetch, now)
        verdict = await judge(case)
        trail = await follow(case, verdict)
    advice, closer, expected, given = "", "", "", None
    if any(step.rule == "request" and step.outcome == "FAIL" for step in trail.steps):
        form = read_bytes(options.form_from, "form").decode() if options.form_from else None
        closer, expected, given = _compare(case, trail, form)
    if not isinstance(verdict, Token):
        cause = closer if failed_rule(trail) == "request" else ""
        advice = mend(verdict, trail.text, trail.unverified, trail.key, case.wanted, cause)
    return Explanation(verdict, trail, advice, expected, given, now())


def failed_rule(trail: Trail) -> str:
    """The rule that a refusal rests on: the first that failed.

    Args:
        trail: The rules gone through.

    Returns:
        Its name; empty where none failed.
    """
    return next((step.rule for step in trail.steps if step.outcome == "FAIL"), "")


def _compare(case: Case, trail: Trail, form: str | None) -> tuple[str, str, Variant | None]:
    """Why a token's `qsh` is not the one that it should be."""
    given = trail.unverified.claims.get("qsh") if trail.unverified else None
    if not isinstance(given, str):
        return "", "", None
    if case.base_url is None:
        return "it is for one request, and no context token", "", None
    if given == CONTEXT_QSH:
        return "it is a context token, for endpoints that take those (--context)", "", None
    method, target = case.request.method, case.request.target or ""
    try:
        expected = canonical_request(method, target, base_url=case.base_url)
        variant = find_variant(given, method, target, base_url=case.base_url, form=form)
    except ValueError as error:
        return f"the URL is malformed: {error}", "", None
    if variant is None:
        return "its hash is of none of the requests that were tried", expected, None
    if not variant.differences:
        refused = next(step.error for step in trail.steps if step.rule == "request")
        return f"its hash is the request's, but {refused}", expected, None
    why = "; ".join(variant.differences)
    return f"its hash is of this request in another form: {why}", expected, variant


def _clock(options: argparse.Namespace, text: str | None) -> Clock:
    if options.at is None:
        return time.time
    moment = _issued(options, text) if options.at == "iat" else _moment(options.at)
    return lambda: moment


def _moment(text: str) -> float:
    with suppress(ValueError):
        if math.isfinite(moment := float(text)):
            return moment
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("--at is seconds since the epoch, an ISO 8601 date, or iat") from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _issued(options: argparse.Namespace, text: str | None) -> float:
    try:
        tokens = query_tokens(target_of(getattr(options, "url", None) or "/"))
        tokens += [value.split(" ")[-1] for _, value in authorization(text or "", "Bearer")]
        issued: float = peek(tokens[0]).claims["iat"]
    except (TokenRejected, IndexError, KeyError):
        raise ValueError("--at iat: there is no token whose iat can be read") from None
    return issued


def _as_members(found: Explanation) -> dict[str, Any]:
    steps = []
    for rule, outcome, saw, wants, error in found.trail.steps:
        step = {"rule": rule, "outcome": outcome.lower(), "saw": saw, "wants": wants}
        if error is not None:
            step["error"] = verdict_as_members(error)
        steps.append(step)
    members = verdict_as_members(found.verdict)
    members |= {"at": found.now, "rules": steps, "mend": found.advice}
    if found.expected:
        given = found.given and {"canonical": found.given.canonical, "why": found.given.differences}
        hashed = hashlib.sha256(found.expected.encode()).hexdigest()
        members["request"] = {"expected": found.expected, "qsh": hashed, "token": given}
    return members


def _show(found: Explanation, title: str) -> None:
    paint = painter(sys.stdout)
    out = [paint("bold", f"{title}, as of {date(found.now)}")]
    for step in found.trail.steps:
        out += _step_lines(step, found.now, paint)
    if found.expected:
        out += _request_lines(found, paint)
    word, rest = verdict_in_words(found.verdict)
    style = {"accepted": "green", "rejected": "red", "unavailable": "yellow"}[word]
    out.append(f"{paint(style, word)}  {rest}")
    if found.advice:
        out.append(f"{paint('bold', 'to mend')}   {safe(found.advice)}")
    sys.stdout.write("\n".join(out) + "\n")


def _step_lines(step: Step, now: float, paint: Paint) -> list[str]:
    style = {"pass": "green", "FAIL": "red", "skip": "dim"}[step.outcome]
    # One time is told in words; several are there to be compared with each other.
    tell = claim_line if len(step.saw) == 1 else lambda name, value, now: shown(value)
    saw = "; ".join(f"{name} {tell(name, value, now)}" for name, value in step.saw.items())
    wants = paint("dim", f"({safe(step.wants)})") if step.wants else ""
    line = f"  {paint(style, step.outcome)}  {step.rule:<21} {saw}{'  ' * bool(saw)}{wants}"
    lines = [line.rstrip()]
    if step.error is not None:
        lines.append(f"        {paint(style, verdict_in_words(step.error)[1])}")
    return lines


def _request_lines(found: Explanation, paint: Paint) -> list[str]:
    lines = [
        paint("bold", "the request whose hash was expected, and the one whose hash the token has"),
        f"  expected  {safe(found.expected)}",
    ]
    if found.given is None:
        return [*lines, "  token's   none of those that were tried"]
    lines.append(f"  token's   {safe(found.given.canonical)}")
    return [*lines, *(f"            {safe(why)}" for why in found.given.differences)]
