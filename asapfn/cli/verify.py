"""`asapfn verify`: is this token accepted? And what each profile demands, for `explain` too.

A flag is named as a parameter of the profile's `policy`, to which its value is given.
"""

import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from asapfn import asap, connect, forge, jitsi, oidc
from asapfn._core.credentials import credentials
from asapfn._core.verification import peek, verifier
from asapfn.asap.environment import leeway_from_env
from asapfn.checks import claim_equals, context_token, has_scopes, not_replayed, request_matches
from asapfn.cli.inputs import authorization, read_bytes, read_token
from asapfn.cli.options import Arguments, Commands, Options, Profile, add_for_profiles, option
from asapfn.cli.output import Line, answer, date, member_lines
from asapfn.cli.parsing import audience, call, required
from asapfn.cli.sources import add_arguments, network, source, why
from asapfn.connect.incoming import token_of
from asapfn.errors import DESCRIPTIONS, TokenRejected, Unavailable
from asapfn.replay import in_memory
from asapfn.types import Check, Clock, Fetch, Policy, ReplayStore, Request, Token

Verdict = Token | TokenRejected | Unavailable

_ANY_WORKLOAD: Final = (
    "without --claim NAME=VALUE, a token of any project or workload of this provider is accepted"
)
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#\\]*")


class Demands(NamedTuple):
    """What a command line demands of a token.

    Attributes:
        policy: Makes the profile's policy.
        checks: What comes after the policy's own checks.
        more: Arguments of `policy` that are no options.
        note: What an acceptance does not say, if anything.
    """

    policy: Callable[..., Policy]
    checks: Sequence[Check] = ()
    more: Mapping[str, Any] = {}
    note: str = ""


class Described(NamedTuple):
    """A verdict: for a shell, for a person, and for a machine."""

    exit_code: int
    word: str
    style: str
    text: str
    members: dict[str, Any]


def add_to(commands: Commands) -> None:
    """Add the command."""
    what = "Verify a token as a service would. The exit code says whether it is accepted."
    add_for_profiles(commands, "verify", "verify a token", (what, "Verify"), run, PROFILES)


async def run(options: Options) -> int:
    """Run the command: 0 if the token is accepted, 1 if it is rejected, 3 if unavailable."""
    text = read_token(options)
    verdict: Verdict
    async with network(options.cacert) as fetch:
        policy, _, note = await ask(options, fetch, time.time)
        try:
            verdict = await verifier(policy)(find_token(options, text))
        except (TokenRejected, Unavailable) as error:
            verdict = error
    found = described(verdict)
    lines = verdict_lines(found, note)
    if isinstance(verdict, Token):
        lines += member_lines("header", verdict.header, verdict.verified_at)
        lines += member_lines("claims", verdict.claims, verdict.verified_at)
    else:
        lines += [("", "asapfn explain, with the same arguments, shows each rule")]
    answer(options, found.members, lines)
    return found.exit_code


def described(verdict: Verdict) -> Described:
    """Describe a verdict."""
    members: dict[str, Any]
    if isinstance(verdict, Token):
        until = verdict.usable_until if verdict.usable_until < math.inf else None
        text = "for ever: it has no exp" if until is None else f"until {date(until)}"
        members = {"header": dict(verdict.header), "claims": verdict.claims, "usable_until": until}
        return Described(0, "accepted", "green", text, {"outcome": "accepted"} | members)
    if isinstance(verdict, Unavailable):
        cause = why(verdict)
        members = {"source": verdict.source, "detail": cause, "status": verdict.status}
        text = f"{verdict.source}: {cause}"
        return Described(3, "unavailable", "yellow", text, {"outcome": "unavailable"} | members)
    reason, detail, claim = verdict.reason, verdict.detail, verdict.claim
    about = f" ({claim})" if claim else ""
    text = f"{reason}{about}. {DESCRIPTIONS[reason]}{f': {detail}' if detail else ''}."
    members = {"reason": reason, "detail": detail, "claim": claim, "status": verdict.status}
    return Described(1, "rejected", "red", text, {"outcome": "rejected"} | members)


def verdict_lines(found: Described, note: str = "", hint: str = "") -> list[Line]:
    """A verdict for a person, and what goes with it: a note if it is accepted, or a hint."""
    more = (("hint      ", hint), ("note      ", note if found.exit_code == 0 else ""))
    lines: list[Line] = [(f"{found.word}  ", found.text, found.style)]
    return lines + [(head, text, "bold") for head, text in more if text]


async def ask(options: Options, fetch: Fetch, now: Clock) -> tuple[Policy, str, str]:
    """The policy that a token is put to, where keys are looked up, and a note on acceptance."""
    demands: Demands = await PROFILES[options.profile].make(options)
    resolver, place = source(options, fetch)
    policy: Policy = call(demands.policy, options, resolver, now=now, **demands.more)
    policy = policy._replace(checks=(*policy.checks, *demands.checks))
    return policy, place, demands.note


def find_token(options: Options, text: str) -> str:
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


def _add_asap(parser: Arguments) -> None:
    group = add_arguments(parser)
    option(group, "--audience NAME...", "this service's name (ASAP_SERVER_AUDIENCE)")
    allowed = "an allowed issuer; without it, every issuer that has a key is allowed"
    option(group, "--issuer NAME...", allowed, dest="issuers")
    option(group, "--any-subject", "allow a sub that is not the issuer")
    option(group, "--leeway SECONDS", "default ASAP_SERVER_LEEWAY_SECONDS, else 10")
    option(group, "--max-lifetime SECONDS", default=3600)
    option(group, "--used WHERE", "tokens that were used before, one a line")
    option(group, "--scope SCOPE...", "a scope that the endpoint demands")


async def _ask_asap(options: Options) -> Demands:
    more: dict[str, Any] = {
        "audience": audience(options, "the name of this service", "ASAP_SERVER_AUDIENCE"),
        "issuers": options.issuers,
        "subject_is_issuer": not options.any_subject,
    }
    if options.leeway is None:
        more["leeway"] = leeway_from_env(os.environ)
    if options.used is not None:
        more["replay"] = await _used_before(options.used)
    checks = [has_scopes(*options.scope)] if options.scope else []
    return Demands(asap.policy, checks, more)


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


def _add_connect(parser: Arguments) -> None:
    group = add_arguments(parser, secret=True)
    option(group, "--method METHOD", default="GET")
    option(group, "--url URL", "of the request, as it was sent; the token may be in it, as jwt=")
    option(group, "--base-url URL", "the app's own base URL", default="")
    option(group, "--context", "a context token, for no request in particular")
    option(group, "--decoded-path", "accept a hash over the decoded path too")
    option(group, "--audience NAME...", "the app's name")
    option(group, "--leeway SECONDS", default=30)


async def _ask_connect(options: Options) -> Demands:
    if options.context:
        return Demands(connect.policy, [context_token()])
    required(options.url, "the request of the token: --method and --url; or --context")
    matches = call(request_matches, options, target=target_of(options.url))
    return Demands(connect.policy, [matches])


def _add_forge(parser: Arguments) -> None:
    group = add_arguments(parser)
    option(group, "--app-id ARI", "ari:cloud:ecosystem::app/<uuid>", required=True, dest="app_ids")
    deployed = "where the app is deployed to, such as PRODUCTION"
    option(group, "--environment-type NAME...", deployed, dest="environment_types")
    hosts = "a host of app.apiBaseUrl, if not api.atlassian.com"
    option(group, "--api-host NAME...", hosts, dest="api_hosts")
    option(group, "--staging", "use the published keys of Atlassian's own staging")
    option(group, "--leeway SECONDS", default=10)


async def _ask_forge(options: Options) -> Demands:
    return Demands(forge.policy)


def _add_jitsi(parser: Arguments) -> None:
    group = add_arguments(parser)
    option(group, "--issuer NAME...", "allowed; * for any", required=True)
    option(group, "--audience NAME...", "allowed; * for any", required=True)
    option(group, "--no-room", "allow a token without a room")
    option(group, "--leeway SECONDS", default=10)


async def _ask_jitsi(options: Options) -> Demands:
    more = {"issuers": options.issuer, "audience": options.audience}
    more = {name: None if "*" in given else given for name, given in more.items()}
    return Demands(jitsi.policy, more=more | {"require_room": not options.no_room})


def _add_oidc(parser: Arguments) -> None:
    group = add_arguments(parser)
    option(group, "--issuer URL", "the provider that is allowed", required=True)
    option(group, "--metadata-url URL", "of its metadata, if not below the issuer")
    option(group, "--audience NAME...", "this service's name", required=True)
    trusted = "another name that aud may have"
    option(group, "--trusted-audience NAME...", trusted, dest="trusted_audiences")
    client = "a client that azp may name; default any"
    option(group, "--authorized-party NAME...", client, dest="authorized_parties")
    option(group, "--max-lifetime SECONDS", "default any")
    option(group, "--leeway SECONDS", default=10)
    claim = "a claim that the token must have, its value this text"
    option(group, "--claim NAME=VALUE...", claim, default=[])


async def _ask_oidc(options: Options) -> Demands:
    checks = [claim_equals(*claim) for claim in options.claim]
    return Demands(oidc.policy, checks, note="" if checks else _ANY_WORKLOAD)


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
