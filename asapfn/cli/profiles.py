"""What `verify` and `explain` know of each profile: its flags, and the policy that they ask for.

A flag is named as a parameter of the profile's `policy`, to which its value is given.
"""

import argparse
import math
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from asapfn import asap, connect, forge, jitsi, oidc
from asapfn._core.credentials import credentials
from asapfn._core.verification import peek
from asapfn.asap.environment import comma_list, leeway_from_env
from asapfn.checks import claim_equals, context_token, has_scopes, not_replayed, request_matches
from asapfn.cli.inputs import authorization, read_bytes
from asapfn.cli.options import Profile, call, option, required, switch
from asapfn.cli.sources import add_arguments, source
from asapfn.connect.incoming import token_of
from asapfn.errors import TokenRejected
from asapfn.replay import in_memory
from asapfn.types import Check, Clock, Fetch, Policy, ReplayStore, Request, Token

_ANY_WORKLOAD: Final = (
    "without --claim NAME=VALUE, a token of any project or workload of this provider is accepted"
)
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#\\]*")


class Question(NamedTuple):
    """What is asked about a token.

    Attributes:
        policy: What is demanded of it.
        source: Where keys are looked up, in words.
        note: What an acceptance does not say, if anything.
    """

    policy: Policy
    source: str
    note: str = ""


def _question(
    policy: Callable[..., Policy],
    options: argparse.Namespace,
    fetch: Fetch,
    now: Clock,
    *checks: Check,
    **more: Any,
) -> Question:
    """Ask by a profile's policy, and by more checks after its own."""
    keys = source(options, fetch)
    made: Policy = call(policy, options, keys.resolve, now=now, **more)
    return Question(made._replace(checks=(*made.checks, *checks)), keys.name)


def find_token(options: argparse.Namespace, text: str) -> str:
    """The one token of the request; TokenRejected if there is none, or more than one."""
    if options.profile != "connect":
        return credentials(Request("GET", None, authorization(text, "Bearer")), "Bearer")
    target = "/" if options.url is None else target_of(options.url)
    return token_of(Request(options.method, target, authorization(text, "JWT")), target)


def target_of(url: str) -> str:
    """The target of the request that a client sends for a URL; what is none stays as it is."""
    origin = _ORIGIN.match(url)
    if origin is None:
        return url
    target = url[origin.end() :].partition("#")[0]
    return target if target.startswith("/") else f"/{target}"


def _add_asap(parser: argparse.ArgumentParser) -> None:
    group = add_arguments(parser)
    option(group, "--audience", "NAME...", "this service's name (ASAP_SERVER_AUDIENCE)")
    allowed = "an allowed issuer; without it, every issuer that has a key is allowed"
    option(group, "--issuer", "NAME...", allowed, dest="issuers")
    switch(group, "--any-subject", "allow a sub that is not the issuer")
    option(group, "--leeway", "SECONDS", "default ASAP_SERVER_LEEWAY_SECONDS, else 10")
    option(group, "--max-lifetime", "SECONDS", default=3600)
    option(group, "--used", "WHERE", "tokens that were used before, one a line")
    option(group, "--scope", "SCOPE...", "a scope that the endpoint demands")


async def _ask_asap(options: argparse.Namespace, fetch: Fetch, now: Clock) -> Question:
    names = options.audience or comma_list(os.environ.get("ASAP_SERVER_AUDIENCE", ""))
    flags = "--audience, or ASAP_SERVER_AUDIENCE"
    more = {
        "audience": required(names, f"the name of this service: {flags}"),
        "issuers": options.issuers,
        "subject_is_issuer": not options.any_subject,
        "replay": None if options.used is None else await _used_before(options.used),
    }
    if options.leeway is None:
        more["leeway"] = leeway_from_env(os.environ)
    checks = [has_scopes(*options.scope)] if options.scope else []
    return _question(asap.policy, options, fetch, now, *checks, **more)


async def _used_before(where: str) -> ReplayStore:
    store = in_memory()
    use = not_replayed(store)
    lines = read_bytes(where, "file of used tokens").decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            # The last word, as the line may be a whole header.
            seen = peek(line.split()[-1])
        except (TokenRejected, IndexError):
            raise ValueError(f"line {number} of the used tokens is no token") from None
        with suppress(TokenRejected):
            await use(Token(seen.header, seen.claims, 0.0, math.inf))
    return store


def _add_connect(parser: argparse.ArgumentParser) -> None:
    group = add_arguments(parser, secret=True)
    option(group, "--method", "METHOD", default="GET")
    option(group, "--url", "URL", "of the request, as it was sent; the token may be in it, as jwt=")
    option(group, "--base-url", "URL", "the app's own base URL", default="")
    switch(group, "--context", "a context token, for no request in particular")
    switch(group, "--decoded-path", "accept a hash over the decoded path too")
    option(group, "--audience", "NAME...", "the app's name")
    option(group, "--leeway", "SECONDS", default=30)


async def _ask_connect(options: argparse.Namespace, fetch: Fetch, now: Clock) -> Question:
    if options.context:
        return _question(connect.policy, options, fetch, now, context_token())
    if options.url is None:
        raise ValueError("give the request of the token: --method and --url; or --context")
    matches = call(request_matches, options, target=target_of(options.url))
    return _question(connect.policy, options, fetch, now, matches)


def _add_forge(parser: argparse.ArgumentParser) -> None:
    group = add_arguments(parser)
    app = "ari:cloud:ecosystem::app/<uuid>"
    option(group, "--app-id", "ARI", app, required=True, dest="app_ids")
    deployed = "where the app is deployed to, such as PRODUCTION"
    option(group, "--environment-type", "NAME...", deployed, dest="environment_types")
    hosts = "a host of app.apiBaseUrl, if not api.atlassian.com"
    option(group, "--api-host", "NAME...", hosts, dest="api_hosts")
    switch(group, "--staging", "use the published keys of Atlassian's own staging")
    option(group, "--leeway", "SECONDS", default=10)


async def _ask_forge(options: argparse.Namespace, fetch: Fetch, now: Clock) -> Question:
    return _question(forge.policy, options, fetch, now)


def _add_jitsi(parser: argparse.ArgumentParser) -> None:
    group = add_arguments(parser)
    option(group, "--issuer", "NAME...", "allowed; * for any", required=True)
    option(group, "--audience", "NAME...", "allowed; * for any", required=True)
    switch(group, "--no-room", "allow a token without a room")
    option(group, "--leeway", "SECONDS", default=10)


async def _ask_jitsi(options: argparse.Namespace, fetch: Fetch, now: Clock) -> Question:
    issuers, audience = (
        None if "*" in names else names for names in (options.issuer, options.audience)
    )
    more = {"issuers": issuers, "audience": audience, "require_room": not options.no_room}
    return _question(jitsi.policy, options, fetch, now, **more)


def _add_oidc(parser: argparse.ArgumentParser) -> None:
    group = add_arguments(parser)
    option(group, "--issuer", "URL", "the provider that is allowed", required=True)
    option(group, "--metadata-url", "URL", "of its metadata, if not below the issuer")
    option(group, "--audience", "NAME...", "this service's name", required=True)
    trusted = "another name that aud may have"
    option(group, "--trusted-audience", "NAME...", trusted, dest="trusted_audiences")
    client = "a client that azp may name; default any"
    option(group, "--authorized-party", "NAME...", client, dest="authorized_parties")
    option(group, "--max-lifetime", "SECONDS", "default any")
    option(group, "--leeway", "SECONDS", default=10)
    claim = "a claim that the token must have, its value this text"
    option(group, "--claim", "NAME=VALUE...", claim, default=[])


async def _ask_oidc(options: argparse.Namespace, fetch: Fetch, now: Clock) -> Question:
    checks = [claim_equals(*claim) for claim in options.claim]
    question = _question(oidc.policy, options, fetch, now, *checks)
    return question._replace(note="" if checks else _ANY_WORKLOAD)


PROFILES: Final[Mapping[str, Profile]] = {
    "asap": Profile(
        "an ASAP token, from service to service",
        "--audience billing --repository https://keys.example/ @token.txt",
        _add_asap,
        _ask_asap,
    ),
    "connect": Profile(
        "a Connect token, between a product and an app",
        "--method GET --url 'https://app.example/issue?id=7' --secret-from secret.txt @token.txt",
        _add_connect,
        _ask_connect,
    ),
    "forge": Profile(
        "an invocation token, from Forge to an app's remote",
        "--app-id ari:cloud:ecosystem::app/8db33309 @token.txt",
        _add_forge,
        _ask_forge,
    ),
    "jitsi": Profile(
        "a token of Jitsi's dialect of ASAP",
        "--issuer meet --audience jitsi --repository https://keys.example/ @token.txt",
        _add_jitsi,
        _ask_jitsi,
    ),
    "oidc": Profile(
        "an ID token, from an OpenID provider to a workload",
        "--issuer https://gitlab.com --audience https://billing.example --claim project_id=22"
        " @token.txt",
        _add_oidc,
        _ask_oidc,
    ),
}
