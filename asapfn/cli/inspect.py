"""`asapfn inspect`: what a token says. Nothing is verified, and nothing of it may be believed."""

import argparse
import sys
import time
from typing import Any

from asapfn._core import compact
from asapfn._core.verification import peek
from asapfn.cli.inputs import GIVE_TOKEN, authorization, read_token
from asapfn.cli.parsing import Commands, add_command
from asapfn.cli.style import fitted
from asapfn.cli.text import as_json, safe
from asapfn.cli.verify import add_token_argument, show_members, verdict_as_members, verdict_in_words
from asapfn.errors import TokenRejected
from asapfn.hints import hint


def add_to(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: What it is added to.
    """
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
    """Run the command.

    Args:
        options: The command line.

    Returns:
        0 if it is a token, 1 if it is not one that anybody here would read.

    Raises:
        ValueError: If there is no token.
        OSError: If its file cannot be read.
    """
    given = read_token(options)
    if given is None:
        raise ValueError(GIVE_TOKEN)
    headers = authorization(given, "Bearer")
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
    out, now = sys.stdout, time.time()
    out.write(fitted(out, "yellow", "NOT VERIFIED: ", "anybody can have written this"))
    for title, members in (("header", header), ("claims", claims)):
        if members is None:
            out.write(fitted(out, "bold", f"{title}  ", "cannot be read"))
        else:
            show_members(title, members, now)
    if refusal is not None:
        out.write(fitted(out, "red", "rejected  ", verdict_in_words(refusal)[1]))
        out.write(fitted(out, "bold", "hint      ", safe(hint(refusal, text))))
