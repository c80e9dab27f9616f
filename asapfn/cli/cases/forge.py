"""The case of a Forge invocation token."""

import argparse

from asapfn import compact
from asapfn.authentication import bearer
from asapfn.checks import claim_equals
from asapfn.cli import rules, sources
from asapfn.cli.cases.case import Case, Clock, request_of
from asapfn.errors import TokenRejected
from asapfn.profiles import forge
from asapfn.types import Fetch, Unverified


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a Forge token is judged by.

    Args:
        parser: The command.
    """
    sources.add_arguments(parser)
    group = parser.add_argument_group("what the token must be")
    group.add_argument(
        "--app-id", metavar="ARI", required=True, help="ari:cloud:ecosystem::app/<uuid>"
    )
    group.add_argument(
        "--environment",
        choices=("production", "staging"),
        default="production",
        help="whose published keys, where no other are given; default production",
    )
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
    app_id, leeway = options.app_id, options.leeway
    request = request_of(text, "Bearer")
    keys = sources.source(options, fetch, "forge")
    verify = forge.verifier(keys.resolve, app_id, leeway=leeway, now=now)
    alone = forge.verifier(rules.nobody, app_id, now=now)

    async def of_the_cloud(unverified: Unverified) -> None:
        # It is looked at before the claims and the key, so that nothing but it need be right.
        signature = compact.encode_base64url(unverified.signature)
        try:
            await alone((unverified.signing_input + b"." + signature).decode("ascii"))
        except TokenRejected as error:
            if error.claim == "icLabel":
                raise

    before = [
        rules.kid_is_there(),
        rules.Rule("not of Isolated Cloud", (), "no icLabel", of_the_cloud, always=True),
        *rules.claim_rules(
            required=("iss", "iat", "nbf", "exp", "jti"),
            audience=lambda claims: frozenset([app_id]),
            wanted=app_id,
            leeway=leeway,
            max_lifetime=None,
            now=now,
        ),
    ]
    issuer = "forge/invocation-token"
    after = [rules.check_rule("issuer", ("iss",), issuer, claim_equals("iss", issuer), now)]
    taken, authenticate = ("RS256",), bearer(verify)
    return Case(
        "Forge", "Bearer", request, authenticate, taken, keys, before, after, now, (app_id,)
    )
