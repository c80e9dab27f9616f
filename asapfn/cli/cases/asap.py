"""The case of an ASAP token."""

import argparse
import math
import os
from contextlib import suppress

from asapfn.algorithms import ASAP
from asapfn.authentication import bearer
from asapfn.checks import first_use, subject_is_issuer
from asapfn.cli import rules, sources
from asapfn.cli.cases.case import Case, Clock, request_of
from asapfn.cli.inputs import read_bytes
from asapfn.errors import TokenRejected
from asapfn.profiles import asap
from asapfn.profiles.asap.environment import leeway_from_env
from asapfn.replay import in_memory
from asapfn.types import Fetch, FirstUse, Token
from asapfn.verification import peek


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what an ASAP token is judged by.

    Args:
        parser: The command.
    """
    sources.add_arguments(parser)
    group = parser.add_argument_group("what the token must be")
    group.add_argument(
        "--audience",
        metavar="NAME",
        action="append",
        help="this service's name; again for another (ASAP_SERVER_AUDIENCE)",
    )
    group.add_argument(
        "--issuer",
        metavar="NAME",
        action="append",
        help="an issuer that is allowed; again for another; none for each that has a key",
    )
    group.add_argument(
        "--any-subject", action="store_true", help="allow a sub that is not the issuer"
    )
    group.add_argument(
        "--leeway",
        metavar="SECONDS",
        type=float,
        help="by which clocks may differ (ASAP_SERVER_LEEWAY_SECONDS, else 10)",
    )
    group.add_argument(
        "--max-lifetime", metavar="SECONDS", type=float, default=3600.0, help="default 3600"
    )
    group.add_argument(
        "--used",
        metavar="WHERE",
        help="a file with tokens that were used before, one a line: each is taken once",
    )


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
    audience = options.audience or _list(os.environ.get("ASAP_SERVER_AUDIENCE", ""))
    if not audience:
        raise ValueError("say whom the token is for: --audience, or ASAP_SERVER_AUDIENCE")
    leeway = leeway_from_env(os.environ) if options.leeway is None else options.leeway
    request = request_of(text, "Bearer")
    keys = sources.source(options, fetch, "asap")
    # One store for the verdict, and one for the rules, which look at the token again.
    stores = await _used_before(options.used)
    verify = asap.verifier(
        keys.resolve,
        audience,
        issuers=options.issuer,
        subject_is_issuer=not options.any_subject,
        leeway=leeway,
        max_lifetime=options.max_lifetime,
        replay=stores[0] if stores else None,
        now=now,
    )
    before = rules.claim_rules(
        required=("iss", "jti", "exp", "iat"),
        audience=lambda claims: frozenset(audience),
        wanted=" or ".join(audience),
        leeway=leeway,
        max_lifetime=options.max_lifetime,
        now=now,
    )
    if options.issuer:
        before.append(rules.issuer_rule(options.issuer))
    before += rules.kid_rules()
    after = []
    if not options.any_subject:
        check = subject_is_issuer()
        after.append(rules.check_rule("subject", ("sub", "iss"), "sub is iss", check, now))
    if stores:
        once = first_use(stores[1])
        after.append(rules.check_rule("first use", ("iss", "jti"), "used once", once, now))
    wanted = (*audience, *(options.issuer or ()))
    return Case("ASAP", "Bearer", request, bearer(verify), ASAP, keys, before, after, now, wanted)


def _list(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


async def _used_before(where: str | None) -> tuple[FirstUse, FirstUse] | None:
    if where is None:
        return None
    lines = read_bytes(where, "file of used tokens").decode("utf-8", "replace").splitlines()
    return await _store(lines), await _store(lines)


async def _store(lines: list[str]) -> FirstUse:
    store = in_memory()
    use = first_use(store)
    for number, line in enumerate(lines, 1):
        try:
            # The last word, as the line may be a whole header.
            seen = peek(line.split()[-1])
        except (TokenRejected, IndexError):
            raise ValueError(f"line {number} of the used tokens is no token") from None
        with suppress(TokenRejected):
            await use(Token(seen.header, seen.claims, 0.0, math.inf))
    return store
