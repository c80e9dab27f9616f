"""`asapfn explain`: why a token is rejected, and what to do about it.

It prints what `asapfn.explain` says; of a `qsh`, also from which request it could have come.
"""

import argparse
import hashlib
import math
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from asapfn._core.canonical import canonical_request
from asapfn._core.verification import peek
from asapfn.checks import CONTEXT_QSH
from asapfn.cli.inputs import read_bytes, read_token
from asapfn.cli.parsing import Commands, add_for_profiles, call, option
from asapfn.cli.profiles import PROFILES, Question, find_token
from asapfn.cli.sources import network
from asapfn.cli.style import show
from asapfn.cli.text import as_json, claim_line, date, shown
from asapfn.cli.variants import Variant, find_variant
from asapfn.cli.verify import (
    add_token_argument,
    exit_code,
    show_verdict,
    verdict_as_members,
    verdict_in_words,
)
from asapfn.errors import TokenRejected
from asapfn.explaining import Explanation, Step, explain
from asapfn.hints import hint
from asapfn.types import Clock, Token


class Report(NamedTuple):
    """All that was found out about a token.

    Attributes:
        found: The explanation, of the request too.
        question: What was asked.
        expected: The canonical request that the `qsh` should be the hash of, if it is not.
        variant: What it is the hash of instead, if that was found.
        now: As of when, in seconds since the epoch.
    """

    found: Explanation
    question: Question
    expected: str
    variant: Variant | None
    now: float


def add_to(commands: Commands) -> None:
    """Add the command."""
    summary = "show why a token is rejected, and what to do about it"
    what = (
        "Go through every rule in order, with what it saw, and say which one failed and what to do"
        " about it. The exit code is that of verify."
    )
    parsers = add_for_profiles(commands, "explain", summary, (what, "Explain"), run, PROFILES)
    for parser in parsers.values():
        add_token_argument(parser)
        at = "explain it as of seconds since the epoch, a date such as 2026-11-24T14:46:03Z, or iat"
        option(parser, "--at", "TIME", at)
    option(parsers["connect"], "--form-from", "WHERE", "the form body that the request had, if any")


async def run(options: argparse.Namespace) -> int:
    """Run the command; its exit code is that of `verify`."""
    text = read_token(options)
    now = _clock(options, text)
    async with network(options.cacert) as fetch:
        question = await PROFILES[options.profile].make(options, fetch, now)
        found = await _explain(options, text, question)
    report = _report(options, question, found, now())
    if options.json:
        sys.stdout.write(as_json(_as_members(report)))
    else:
        _show(report, PROFILES[options.profile].title)
    return exit_code(found.verdict)


async def _explain(options: argparse.Namespace, text: str, question: Question) -> Explanation:
    """The library's explanation, after the rule that the request has one token."""
    try:
        token = find_token(options, text)
    except TokenRejected as error:
        return Explanation(error, (Step("one token", "fail", {}, "", error),), hint(error))
    found = await explain(token, question.policy)
    return found._replace(steps=(Step("one token", "pass", {}, ""), *found.steps))


def _report(
    options: argparse.Namespace, question: Question, found: Explanation, now: float
) -> Report:
    """Look closer at a `qsh` that is wrong."""
    step = next((step for step in found.steps if _is_mismatch(step.error)), None)
    if step is None or not isinstance(step.saw.get("qsh"), str):
        return Report(found, question, "", None, now)
    cause, expected, variant = _compare(options, step)
    if _is_mismatch(found.verdict):
        found = found._replace(hint=f"{cause}; {found.hint}")
    return Report(found, question, expected, variant, now)


def _is_mismatch(error: object) -> bool:
    return isinstance(error, TokenRejected) and error.reason == "request_mismatch"


def _compare(options: argparse.Namespace, step: Step) -> tuple[str, str, Variant | None]:
    """Why a token's `qsh` is not the one that it should be."""
    given: str = step.saw["qsh"]
    if options.context:
        return "it is for one request, and no context token", "", None
    if given == CONTEXT_QSH:
        return "it is a context token, for endpoints that accept those (--context)", "", None
    form = options.form_from and read_bytes(options.form_from, "form").decode()
    try:
        expected = call(canonical_request, options)
        variant = call(find_variant, options, given, form=form)
    except ValueError as error:
        return f"the URL is malformed: {error}", "", None
    if variant is None:
        return "its hash is of none of the requests that were tried", expected, None
    if not variant.differences:
        return f"its hash is the request's, but {step.error}", expected, None
    why = "; ".join(variant.differences)
    return f"its hash is of this request in another form: {why}", expected, variant


def _clock(options: argparse.Namespace, text: str) -> Clock:
    if options.at is None:
        return time.time
    seconds = _issued(options, text) if options.at == "iat" else _seconds(options.at)
    return lambda: seconds


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if math.isfinite(seconds := float(text)):
            return seconds
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("--at is seconds since the epoch, an ISO 8601 date, or iat") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _issued(options: argparse.Namespace, text: str) -> float:
    try:
        issued: float = peek(find_token(options, text)).claims["iat"]
    except (TokenRejected, KeyError):
        raise ValueError("--at iat: there is no token whose iat can be read") from None
    return issued


def _as_members(report: Report) -> dict[str, Any]:
    steps = []
    for rule, outcome, saw, wants, error in report.found.steps:
        step = {"rule": rule, "outcome": outcome, "saw": saw, "wants": wants}
        if error is not None:
            step["error"] = verdict_as_members(error)
        steps.append(step)
    members = verdict_as_members(report.found.verdict)
    members |= {
        "at": report.now,
        "keys": report.question.source,
        "rules": steps,
        "hint": report.found.hint,
    }
    if report.expected:
        variant = report.variant
        given = variant and {"canonical": variant.canonical, "why": variant.differences}
        hashed = hashlib.sha256(report.expected.encode()).hexdigest()
        members["request"] = {"expected": report.expected, "qsh": hashed, "token": given}
    return members


def _show(report: Report, title: str) -> None:
    found = report.found
    show_verdict(found.verdict)
    if found.hint:
        show("hint      ", found.hint, "bold")
    if report.question.note and isinstance(found.verdict, Token):
        show("note      ", report.question.note, "bold")
    if report.expected:
        _show_request(report)
    about = f"{title}, as of {date(report.now)}, keys from {report.question.source}"
    show("rules     ", about, "bold")
    for step in found.steps:
        if step.outcome != "skip":
            _show_step(step, report)
    skipped = [step.rule for step in found.steps if step.outcome == "skip"]
    if skipped:
        show("  skip  ", ", ".join(skipped), "dim")


def _show_step(step: Step, report: Report) -> None:
    style, outcome = ("red", "FAIL") if step.outcome == "fail" else ("green", "pass")
    # One time is said in words; several are there to be compared with each other.
    words = claim_line if len(step.saw) == 1 else lambda name, value, now: shown(value)
    saw = "; ".join(f"{name} {words(name, value, report.now)}" for name, value in step.saw.items())
    wants = f"({step.wants})" if step.wants else ""
    show(f"  {outcome}  {step.rule:<21} ", "  ".join(filter(None, (saw, wants))), style)
    if step.error is not None and step.error is not report.found.verdict:
        show("        ", verdict_in_words(step.error)[1])


def _show_request(report: Report) -> None:
    title = "the request whose hash was expected, and the one whose hash the token has"
    show("request   ", title, "bold")
    show("  expected  ", report.expected)
    variant = report.variant
    show("  token's   ", variant.canonical if variant else "none of those that were tried")
    for why in variant.differences if variant else ():
        show("            ", why)
