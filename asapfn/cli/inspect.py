"""`asapfn inspect`: what a token says. Nothing is verified, and nothing of it may be believed."""

import argparse
import sys
import time
from typing import Any

from asapfn._core import compact
from asapfn._core.verification import peek
from asapfn.cli.inputs import authorization, read_token
from asapfn.cli.parsing import Commands, add_command
from asapfn.cli.style import show
from asapfn.cli.text import as_json
from asapfn.cli.verify import add_token_argument, show_members, show_verdict, verdict_as_members
from asapfn.errors import TokenRejected
from asapfn.hints import hint


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "inspect",
        "show what a token says, unverified",
        "Show a token's header and claims, its times in words. Nothing is verified.",
        ("asapfn inspect @token.txt", "pbpaste | asapfn inspect -"),
        run,
    )
    add_token_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command: 0 if it is a token, 1 if it is none that a verifier would read."""
    headers = authorization(read_token(options), "Bearer")
    if not headers:
        raise ValueError("there is no token: it is empty")
    text = headers[0][1].partition(" ")[2].strip()
    refusal = None
    try:
        peek(text)
    except TokenRejected as error:
        refusal = error
    head, _, rest = text.encode("ascii", "replace").partition(b".")
    header, claims = _members(head), _members(rest.partition(b".")[0])
    if options.json:
        answer: dict[str, Any] = {"verified": False, "header": header, "claims": claims}
        if refusal is not None:
            answer |= verdict_as_members(refusal)
        sys.stdout.write(as_json(answer))
    else:
        _show(text, header, claims, refusal)
    return 0 if refusal is None else 1


def _members(segment: bytes) -> dict[str, Any] | None:
    try:
        return compact.decode_object(compact.decode_base64url(segment))
    except ValueError:
        return None


def _show(
    text: str,
    header: dict[str, Any] | None,
    claims: dict[str, Any] | None,
    refusal: TokenRejected | None,
) -> None:
    show("NOT VERIFIED: ", "anybody can have written this", "yellow")
    for title, members in (("header", header), ("claims", claims)):
        if members is None:
            show(f"{title}  ", "cannot be read", "bold")
        else:
            show_members(title, members, time.time())
    if refusal is not None:
        show_verdict(refusal)
        show("hint      ", hint(refusal, text), "bold")
