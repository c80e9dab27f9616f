"""The case of a Connect token."""

import argparse

from asapfn.checks import context_only, request_matches
from asapfn.cli import rules, sources
from asapfn.cli.cases.case import Case, Clock, request_of, target_of
from asapfn.profiles import connect
from asapfn.types import Fetch, Request, Token


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a Connect token is judged by.

    Args:
        parser: The command.
    """
    sources.add_arguments(parser, secret=True)
    group = parser.add_argument_group("what the token must be")
    group.add_argument("--method", metavar="METHOD", default="GET", help="default GET")
    group.add_argument(
        "--url", metavar="URL", help="of the request, as it was sent; its jwt= may be the token"
    )
    group.add_argument("--base-url", metavar="URL", default="", help="the app's own base URL")
    group.add_argument(
        "--context", action="store_true", help="a context token, for no request in particular"
    )
    group.add_argument(
        "--audience", metavar="NAME", action="append", help="the app's name; again for another"
    )
    group.add_argument("--leeway", metavar="SECONDS", type=float, default=30.0, help="default 30")


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
    audience, leeway, base_url = options.audience or (), options.leeway, options.base_url
    url: str | None = options.url
    if url is None and not options.context:
        raise ValueError("say which request the token is for, by --method and --url; or --context")
    request = request_of(text, "JWT", options.method, url)
    keys = sources.source(options, fetch, "connect")
    if options.context:
        check, wants = context_only(), "context-qsh"
        authenticate = connect.context_authenticator(
            keys.resolve, audience=audience, leeway=leeway, now=now
        )
    else:
        wants = "the request's hash"
        check = request_matches(options.method, target_of(url or ""), base_url=base_url)
        authenticate = connect.authenticator(
            keys.resolve, base_url=base_url, audience=audience, leeway=leeway, now=now
        )

    async def as_received(request: Request) -> Token:
        target = None if request.target is None else target_of(request.target)
        return await authenticate(request._replace(target=target))

    before = rules.claim_rules(
        required=("iss", "iat", "exp", "qsh"),
        audience=lambda claims: frozenset(audience) if "aud" in claims else None,
        wanted=" or ".join([*audience, "absent"]),
        leeway=leeway,
        max_lifetime=None,
        now=now,
    )
    after = [rules.check_rule("request", ("qsh",), wants, check, now)]
    base = None if options.context else base_url
    taken, wanted = ("HS256", "RS256"), tuple(audience)
    return Case(
        "Connect", "JWT", request, as_received, taken, keys, before, after, now, wanted, base
    )
