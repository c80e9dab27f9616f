"""`asapfn verify`: is this token accepted?"""

import argparse
import time
from collections.abc import Mapping
from math import inf
from typing import Any, Final, NamedTuple

from asapfn._core.verification import verifier
from asapfn.cli.inputs import read_token
from asapfn.cli.options import Commands, add_for_profiles
from asapfn.cli.output import Line, answer, date, member_lines
from asapfn.cli.profiles import PROFILES, find_token
from asapfn.cli.sources import network, why
from asapfn.errors import DESCRIPTIONS, TokenRejected, Unavailable
from asapfn.types import Token

Verdict = Token | TokenRejected | Unavailable


class _Outcome(NamedTuple):
    word: str
    exit_code: int
    style: str
    members: tuple[str, ...]


_OUTCOMES: Final[Mapping[type[Verdict], _Outcome]] = {
    Token: _Outcome("accepted", 0, "green", ("header", "claims", "usable_until")),
    TokenRejected: _Outcome("rejected", 1, "red", ("reason", "detail", "claim", "status")),
    Unavailable: _Outcome("unavailable", 3, "yellow", ("source", "detail", "status")),
}


def add_to(commands: Commands) -> None:
    """Add the command."""
    what = "Verify a token as a service would. The exit code says whether it is accepted."
    add_for_profiles(commands, "verify", "verify a token", (what, "Verify"), run, PROFILES)


async def run(options: argparse.Namespace) -> int:
    """Run the command: 0 if the token is accepted, 1 if it is rejected, 3 if unavailable."""
    text = read_token(options)
    verdict: Verdict
    async with network(options.cacert) as fetch:
        question = await PROFILES[options.profile].make(options, fetch, time.time)
        try:
            verdict = await verifier(question.policy)(find_token(options, text))
        except (TokenRejected, Unavailable) as error:
            verdict = error
    lines = verdict_lines(verdict, question.note)
    if isinstance(verdict, Token):
        lines += member_lines("header", verdict.header, verdict.verified_at)
        lines += member_lines("claims", verdict.claims, verdict.verified_at)
    else:
        lines += [("", "asapfn explain, with the same arguments, shows each rule")]
    answer(options, verdict_members(verdict), lines)
    return exit_code(verdict)


def exit_code(verdict: Verdict) -> int:
    """The exit code for a verdict."""
    return _OUTCOMES[type(verdict)].exit_code


def verdict_members(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON has it."""
    outcome = _OUTCOMES[type(verdict)]
    members: dict[str, Any] = {"outcome": outcome.word}
    members |= {name: getattr(verdict, name) for name in outcome.members}
    if isinstance(verdict, Token):
        until = verdict.usable_until
        members |= {"header": dict(verdict.header), "usable_until": until if until < inf else None}
    if isinstance(verdict, Unavailable):
        members["detail"] = why(verdict)
    return members


def verdict_lines(verdict: Verdict, note: str = "", hint: str = "") -> list[Line]:
    """A verdict for a person, and what goes with it: a note if it is accepted, or a hint."""
    outcome = _OUTCOMES[type(verdict)]
    note = note if isinstance(verdict, Token) else ""
    lines: list[Line] = [(f"{outcome.word}  ", in_words(verdict), outcome.style)]
    more = (("hint      ", hint, "bold"), ("note      ", note, "bold"))
    return lines + [line for line in more if line[1]]


def in_words(verdict: Verdict) -> str:
    """What a verdict says beside its one word."""
    if isinstance(verdict, Token):
        until = verdict.usable_until
        return f"until {date(until)}" if until < inf else "for ever: it has no exp"
    if isinstance(verdict, Unavailable):
        return f"{verdict.source}: {why(verdict)}"
    about = f" ({verdict.claim})" if verdict.claim else ""
    detail = f": {verdict.detail}" if verdict.detail else ""
    return f"{verdict.reason}{about}. {DESCRIPTIONS[verdict.reason]}{detail}."
