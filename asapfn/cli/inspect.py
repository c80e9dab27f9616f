"""`asapfn inspect`: what a token says. Nothing is verified, and nothing of it may be believed."""

import time
from typing import Any

from asapfn._core import compact
from asapfn._core.verification import peek
from asapfn.cli.inputs import add_token, authorization, read_token
from asapfn.cli.options import Commands, Options, add_command
from asapfn.cli.output import Line, answer, member_lines
from asapfn.cli.verify import described, verdict_lines
from asapfn.errors import TokenRejected
from asapfn.hints import hint


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "inspect",
        "show what a token says, unverified",
        "Show a token's header and claims, its times in words. Nothing is verified.",
        run,
        "asapfn inspect @token.txt",
        "pbpaste | asapfn inspect -",
    )
    add_token(parser)


async def run(options: Options) -> int:
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
    first, second = [*text.encode("ascii", "replace").split(b"."), b""][:2]
    parts = {"header": _members(first), "claims": _members(second)}
    members: dict[str, Any] = {"verified": False, **parts}
    lines: list[Line] = [("NOT VERIFIED: ", "anybody can have written this", "yellow")]
    for title, part in parts.items():
        unread = [(f"{title}  ", "cannot be read", "bold")]
        lines += unread if part is None else member_lines(title, part, time.time())
    if refusal is not None:
        verdict = described(refusal)
        members |= verdict.members
        lines += verdict_lines(verdict, hint=hint(refusal, text))
    answer(options, members, lines)
    return 0 if refusal is None else 1


def _members(segment: bytes) -> dict[str, Any] | None:
    try:
        return compact.decode_object(compact.decode_base64url(segment))
    except ValueError:
        return None
