"""`asapfn explain`: why a token is rejected, and what to do about it.

It prints what `asapfn.explain` says; of a `qsh`, also from which request it could have come.
"""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from asapfn._core.canonical import canonical_request, qsh
from asapfn._core.variants import Variant, find_variant
from asapfn._core.verification import peek
from asapfn.checks import CONTEXT_QSH
from asapfn.cli.inputs import read_bytes, read_token
from asapfn.cli.options import Commands, Options, add_for_profiles, option
from asapfn.cli.output import Line, answer, claim_line, date, shown
from asapfn.cli.parsing import call
from asapfn.cli.sources import network
from asapfn.cli.verify import PROFILES, ask, described, find_token, verdict_lines
from asapfn.errors import TokenRejected
from asapfn.explaining import Explanation, Step, explain
from asapfn.hints import hint
from asapfn.types import Policy


def add_to(commands: Commands) -> None:
    """Add the command."""
    summary = "show why a token is rejected, and what to do about it"
    what = (
        "Go through every rule in order, with what it saw, and say which one failed and what to do"
        " about it. The exit code is that of verify."
    )
    parsers = add_for_profiles(commands, "explain", summary, (what, "Explain"), run, PROFILES)
    for parser in parsers.values():
        at = "the time to assume: iat, a date (2026-11-24T14:46:03Z), or seconds since the epoch"
        option(parser, "--at TIME", at)
    option(parsers["connect"], "--form-from WHERE", "the form body that the request had, if any")


async def run(options: Options) -> int:
    """Run the command; its exit code is that of `verify`."""
    text = read_token(options)
    assumed = None if options.at is None else _time(options, text)
    now = time.time if assumed is None else lambda: assumed
    async with network(options.cacert) as fetch:
        policy, source, note = await ask(options, fetch, now)
        found = await _explain(options, text, policy)
    at, verdict = now(), described(found.verdict)
    cause, request, compared = _compare(options, found.steps)
    advice = f"{cause}; {found.hint}" if cause and _is_mismatch(found.verdict) else found.hint
    steps = [_step_members(step) for step in found.steps]
    members = verdict.members | {"at": at, "keys": source, "rules": steps, "hint": advice}
    about = f"{PROFILES[options.profile].title}, as of {date(at)}, keys from {source}"
    lines = verdict_lines(verdict, note, advice)
    lines += [*compared, ("rules     ", about, "bold"), *_step_lines(found, at)]
    answer(options, members | request, lines)
    return verdict.exit_code


async def _explain(options: Options, text: str, policy: Policy) -> Explanation:
    """The library's explanation, after the rule that the request has one token."""
    try:
        token = find_token(options, text)
    except TokenRejected as error:
        return Explanation(error, (Step("one token", "fail", {}, "", error),), hint(error))
    found = await explain(token, policy)
    return found._replace(steps=(Step("one token", "pass", {}, ""), *found.steps))


def _compare(options: Options, steps: Iterable[Step]) -> tuple[str, dict[str, Any], list[Line]]:
    """Why a `qsh` is wrong, in words, and the requests that were compared: for JSON, as lines."""
    step = next((step for step in steps if _is_mismatch(step.error)), None)
    given = None if step is None else step.saw.get("qsh")
    if step is None or not isinstance(given, str):
        return "", {}, []
    if options.context:
        return "it is for one request, and no context token", {}, []
    if given == CONTEXT_QSH:
        return "it is a context token, for endpoints that accept those (--context)", {}, []
    form = options.form_from and read_bytes(options.form_from, "form").decode()
    try:
        expected, hashed = (call(of, options) for of in (canonical_request, qsh))
        variant: Variant | None = call(find_variant, options, given, form=form)
    except ValueError as error:
        return f"the URL is malformed: {error}", {}, []
    text, differences = variant or ("none of those that were tried", ())
    cause, token = "its hash is of none of the requests that were tried", None
    if variant is not None:
        token = {"canonical": text, "why": differences}
        cause = f"its hash is of this request in another form: {'; '.join(differences)}"
        if not differences:
            cause = f"its hash is the request's, but {step.error}"
    title = "the request whose hash was expected, and the one whose hash the token has"
    lines: list[Line] = [("request   ", title, "bold"), ("  expected  ", expected)]
    lines += [("  token's   ", text), *(("            ", why) for why in differences)]
    return cause, {"request": {"expected": expected, "qsh": hashed, "token": token}}, lines


def _is_mismatch(error: object) -> bool:
    return isinstance(error, TokenRejected) and error.reason == "request_mismatch"


def _time(options: Options, text: str) -> float:
    """The time of --at, in seconds since the epoch."""
    if options.at == "iat":
        with suppress(TokenRejected, KeyError):
            iat: float = peek(find_token(options, text)).claims["iat"]
            return iat
        raise ValueError("--at iat: there is no token whose iat can be read")
    with suppress(ValueError):
        if math.isfinite(seconds := float(options.at)):
            return seconds
    with suppress(ValueError):
        when = datetime.fromisoformat(options.at)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    raise ValueError("--at is seconds since the epoch, an ISO 8601 date, or iat")


def _step_members(step: Step) -> dict[str, Any]:
    members = step._asdict()
    error = members.pop("error")
    return members if error is None else members | {"error": described(error).members}


def _step_lines(found: Explanation, now: float) -> Iterator[Line]:
    for rule, outcome, saw, wants, error in found.steps:
        if outcome == "skip":
            continue
        style, word = ("red", "FAIL") if outcome == "fail" else ("green", "pass")
        # A single time is shown in words; several are shown as numbers, to be compared.
        words = claim_line if len(saw) == 1 else lambda name, value, now: shown(value)
        values = "; ".join(f"{name} {words(name, value, now)}" for name, value in saw.items())
        text = "  ".join(filter(None, (values, wants and f"({wants})")))
        yield f"  {word}  {rule:<21} ", text, style
        if error is not None and error is not found.verdict:
            yield "        ", described(error).text
    skipped = [step.rule for step in found.steps if step.outcome == "skip"]
    if skipped:
        yield "  skip  ", ", ".join(skipped), "dim"
