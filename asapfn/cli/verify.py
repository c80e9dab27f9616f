"""`asapfn verify`: is this token accepted?"""

import argparse
import math
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from asapfn._core.verification import verifier
from asapfn.cli.inputs import read_token
from asapfn.cli.parsing import Commands, add_for_profiles, option
from asapfn.cli.profiles import PROFILES, find_token
from asapfn.cli.sources import network, why
from asapfn.cli.style import show
from asapfn.cli.text import as_json, date, members_as_pairs
from asapfn.errors import DESCRIPTIONS, TokenRejected, Unavailable
from asapfn.types import Token

Verdict = Token | TokenRejected | Unavailable

_STYLES: Final = {"accepted": "green", "rejected": "red", "unavailable": "yellow"}


def add_to(commands: Commands) -> None:
    """Add the command."""
    what = "Verify a token as a service would. The exit code says whether it is accepted."
    parsers = add_for_profiles(
        commands, "verify", "verify a token", (what, "Verify"), run, PROFILES
    )
    for parser in parsers.values():
        add_token_argument(parser)


def add_token_argument(parser: argparse.ArgumentParser) -> None:
    """Add the token to a command."""
    what = (
        "the token, - for standard input, or @FILE; after its scheme, or in a request's head, too"
    )
    option(parser, "token", "TOKEN", what, nargs="?")


async def run(options: argparse.Namespace) -> int:
    """Run the command: 0 if the token is accepted, 1 if it is rejected, 3 if unavailable."""
    verdict, note = await _verdict(options, read_token(options))
    if options.json:
        sys.stdout.write(as_json(verdict_as_members(verdict)))
    else:
        _show(verdict, note)
    return exit_code(verdict)


async def _verdict(options: argparse.Namespace, text: str) -> tuple[Verdict, str]:
    async with network(options.cacert) as fetch:
        question = await PROFILES[options.profile].make(options, fetch, time.time)
        try:
            return await verifier(question.policy)(find_token(options, text)), question.note
        except (TokenRejected, Unavailable) as error:
            return error, ""


def exit_code(verdict: Verdict) -> int:
    """The exit code for a verdict."""
    if isinstance(verdict, Token):
        return 0
    return 1 if isinstance(verdict, TokenRejected) else 3


def verdict_as_members(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON has it."""
    if isinstance(verdict, Token):
        until = verdict.usable_until if verdict.usable_until < math.inf else None
        return {
            "outcome": "accepted",
            "header": dict(verdict.header),
            "claims": verdict.claims,
            "usable_until": until,
        }
    if isinstance(verdict, Unavailable):
        return {
            "outcome": "unavailable",
            "source": verdict.source,
            "detail": why(verdict),
            "status": verdict.status,
        }
    return {
        "outcome": "rejected",
        "reason": verdict.reason,
        "detail": verdict.detail,
        "claim": verdict.claim,
        "status": verdict.status,
    }


def verdict_in_words(verdict: Verdict) -> tuple[str, str]:
    """A verdict for a person: the one word, and the rest."""
    if isinstance(verdict, Token):
        until = verdict.usable_until
        return "accepted", f"until {date(until)}" if until < math.inf else "for ever: it has no exp"
    if isinstance(verdict, Unavailable):
        return "unavailable", f"{verdict.source}: {why(verdict)}"
    about = f" ({verdict.claim})" if verdict.claim else ""
    detail = f": {verdict.detail}" if verdict.detail else ""
    return "rejected", f"{verdict.reason}{about}. {DESCRIPTIONS[verdict.reason]}{detail}."


def show_verdict(verdict: Verdict) -> None:
    """Print a verdict for a person."""
    word, rest = verdict_in_words(verdict)
    show(f"{word}  ", rest, _STYLES[word])


def _show(verdict: Verdict, note: str) -> None:
    show_verdict(verdict)
    if note:
        show("note      ", note, "bold")
    if isinstance(verdict, Token):
        show_members("header", verdict.header, verdict.verified_at)
        show_members("claims", verdict.claims, verdict.verified_at)
    else:
        show("", "asapfn explain, with the same arguments, shows each rule")


def show_members(title: str, members: Mapping[str, Any], now: float) -> None:
    """Print a header or claims, a line for each member."""
    show(title, style="bold")
    for head, text in members_as_pairs(members, now):
        show(head, text)
