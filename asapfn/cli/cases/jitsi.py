"""The case of a Jitsi token."""

import argparse
from typing import Any

from asapfn.algorithms import ASYMMETRIC
from asapfn.authentication import bearer
from asapfn.cli import rules, sources
from asapfn.cli.cases.case import Case, Clock, request_of
from asapfn.errors import TokenRejected
from asapfn.profiles import jitsi
from asapfn.types import Fetch, Token


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a Jitsi token is judged by.

    Args:
        parser: The command.
    """
    sources.add_arguments(parser)
    group = parser.add_argument_group("what the token must be")
    group.add_argument(
        "--issuer", metavar="NAME", action="append", required=True, help="allowed; * for any"
    )
    group.add_argument(
        "--audience", metavar="NAME", action="append", required=True, help="allowed; * for any"
    )
    group.add_argument("--no-room", action="store_true", help="allow a token without a room")
    group.add_argument("--leeway", metavar="SECONDS", type=float, default=10.0, help="default 10")


async def case(options: argparse.Namespace, text: str | None, fetch: Fetch, now: Clock) -> Case:
    """Make the case that a command line describes.

    Args:
        options: The command line.
        text: What holds the token, if anything does.
        fetch: The way to the network.
        now: The clock.

    Raises:
        ValueError: If something is missing or cannot be used.
    """
    request = request_of(text, "Bearer")
    keys = sources.source(options, fetch, "jitsi")
    verify = jitsi.verifier(
        keys.resolve,
        issuers=options.issuer,
        audiences=options.audience,
        require_room=not options.no_room,
        leeway=options.leeway,
        now=now,
    )

    def audience(claims: dict[str, Any]) -> frozenset[str]:
        # Any: whatever the token names, provided that it names something.
        named = claims.get("aud") if "*" in options.audience else None
        return frozenset([named] if isinstance(named, str) else named or options.audience)

    before = [
        rules.kid_is_there(),
        *rules.claim_rules(
            required=("iss", "exp") if options.no_room else ("iss", "exp", "room"),
            audience=audience,
            wanted=" or ".join(options.audience),
            leeway=options.leeway,
            max_lifetime=None,
            now=now,
        ),
    ]
    if "*" not in options.issuer:
        before.append(rules.issuer_rule(options.issuer))

    def room_is_text(token: Token) -> None:
        if not isinstance(token.claims.get("room", ""), str):
            raise TokenRejected("invalid_claim", "room is not a string", claim="room")

    after = [rules.check_rule("room", ("room",), "a string", room_is_text, now)]
    wanted, authenticate = (*options.audience, *options.issuer), bearer(verify)
    return Case(
        "Jitsi", "Bearer", request, authenticate, ASYMMETRIC, keys, before, after, now, wanted
    )
