"""`asapfn explain`: why a token is refused, and how to mend it.

The verdict is the one that `verify` gives. Beside it every rule is gone through in order, with the
values it saw; of a `qsh`, from which request it could have come.
"""

import argparse
import math
import sys
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

import anyio
import httpx

from asapfn.adapters.httpx import fetcher
from asapfn.canonical import canonical_request, qsh
from asapfn.cli.cases import PROFILES, Case, judge
from asapfn.cli.cases.case import Clock
from asapfn.cli.inputs import authorization, read_bytes, read_text
from asapfn.cli.mend import mend
from asapfn.cli.parsing import Commands, add_command, add_group
from asapfn.cli.steps import Step, Trail, follow
from asapfn.cli.style import Paint, painter
from asapfn.cli.text import as_json, claim_line, date, safe
from asapfn.cli.variants import Variant, find_variant
from asapfn.cli.verify import (
    add_token_argument,
    exit_code,
    verdict_as_members,
    verdict_in_words,
)
from asapfn.errors import TokenRejected, Unavailable
from asapfn.types import Token
from asapfn.verification import peek


class Explanation(NamedTuple):
    """All that was found out about a token.

    Attributes:
        verdict: What the profile's verifier said.
        trail: The rules gone through.
        failed: The rule that the verdict rests on, if it is a refusal.
        advice: What to do about it.
        expected: Of a `qsh` that differs, the canonical request that was expected.
        variant: What its hash is of, if that was found.
        now: The time as of which it was judged.
    """

    verdict: Token | TokenRejected | Unavailable
    trail: Trail
    failed: Step | None
    advice: str
    expected: str
    variant: Variant | None
    now: float


def add_to(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: What it is added to.
    """
    examples = [f"asapfn explain {name} {each.example}" for name, each in PROFILES.items()]
    profiles = add_group(
        commands,
        "explain",
        "show why a token is refused, and how to mend it",
        "Go through every rule in order, with what it saw, and say which one failed and how to"
        " mend it. The exit code is that of verify.",
        examples,
    )
    for (name, profile), example in zip(PROFILES.items(), examples, strict=True):
        parser = add_command(
            profiles, name, profile.title, f"Explain {profile.title}.", (example,), run
        )
        add_token_argument(parser)
        parser.add_argument(
            "--at",
            metavar="TIME",
            help="judge it as of then: seconds since the epoch, a date such as"
            " 2026-11-24T14:46:03Z, or iat, when it was signed",
        )
        profile.add_arguments(parser)
        if name == "connect":
            parser.add_argument(
                "--form-from", metavar="WHERE", help="the form body that the request had, if any"
            )


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: The command line.

    Returns:
        0 if the token is accepted, 1 if it is rejected, 3 if nobody could tell.

    Raises:
        ValueError: If something is missing or cannot be used.
    """
    text = None if options.token is None else read_text(options.token)
    explanation = anyio.run(_explain, options, text, _clock(options, text))
    if options.json:
        sys.stdout.write(as_json(_as_members(explanation)))
    else:
        _show(explanation, PROFILES[options.profile].title)
    return exit_code(explanation.verdict)


async def _explain(options: argparse.Namespace, text: str | None, now: Clock) -> Explanation:
    async with httpx.AsyncClient() as client:
        case = await PROFILES[options.profile].case(options, text, fetcher(client), now)
        verdict = await judge(case)
        trail = await follow(case, verdict)
    failed = next((step for step in trail.steps if step.outcome == "FAIL"), None)
    advice, expected, variant = "", "", None
    if not isinstance(verdict, Token):
        wanted = (*(options.audience or ()), *(options.issuer or ()))
        advice = mend(verdict, trail.text, trail.unverified, trail.key, wanted)
    if trail.unverified is not None and case.compared is not None:
        expected, variant = _compared(case, trail.unverified.claims.get("qsh"), form)
    return Explanation(verdict, trail, failed, advice, expected, variant, now())
