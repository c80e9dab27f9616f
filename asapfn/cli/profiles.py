"""What `verify` and `explain` know of each profile: its flags, and the policy that they ask for."""

import argparse
import math
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from asapfn import asap, connect, forge, jitsi, oidc
from asapfn._core.credentials import credentials
from asapfn._core.verification import peek
from asapfn.asap.environment import leeway_from_env
from asapfn.checks import claim_equals, context_token, has_scopes, not_replayed, request_matches
from asapfn.cli import sources
from asapfn.cli.inputs import GIVE_TOKEN, authorization, read_bytes
from asapfn.cli.parsing import option, seconds, switch
from asapfn.connect.incoming import token_of
from asapfn.errors import TokenRejected
from asapfn.replay import in_memory
from asapfn.types import Check, Clock, Fetch, Policy, ReplayStore, Request, Token

_ANY_WORKLOAD: Final = (
    "without --claim NAME=VALUE, a token of any project or workload of this provider is accepted"
)
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#\\]*")


class Question(NamedTuple):
    """What is asked about a request.

    Attributes:
        request: The request that the token came with.
        token_of: Finds the one token in it; TokenRejected if there is none, or more than one.
        policy: What is demanded of the token.
        checks: Checks for this token alone.
        source: Where keys are looked up, in words.
        url: The URL of the request, as it was given.
        base_url: Where a token is for one request, the app's base URL; else None.
        note: What an acceptance does not say, if anything.
    """

    request: Request
    token_of: Callable[[Request], str]
    policy: Policy
    checks: tuple[Check, ...]
    source: str
    url: str = ""
    base_url: str | None = None
    note: str = ""


class Profile(NamedTuple):
    """What the command line knows of a profile.

    Attributes:
        title: What such a token is.
        add_arguments: Adds the profile's flags to a command.
        ask: Makes the question of a command line; ValueError if something is missing or wrong.
        example: Arguments that show how it is used.
    """

    title: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    ask: Callable[[argparse.Namespace, str | None, Fetch, Clock], Awaitable[Question]]
    example: str


def _add_asap(parser: argparse.ArgumentParser) -> None:
    group = _token_group(parser)
    _add_names(group, "--audience", "this service's name (ASAP_SERVER_AUDIENCE)")
    _add_names(
        group, "--issuer", "an allowed issuer; without it, every issuer that has a key is allowed"
    )
    switch(group, "--any-subject", "allow a sub that is not the issuer")
    _add_seconds(group, "--leeway", None, "ASAP_SERVER_LEEWAY_SECONDS, else 10")
    _add_seconds(group, "--max-lifetime", 3600.0)
    option(group, "--used", "WHERE", "tokens that were used before, one a line")
    scope = "a scope that the endpoint demands; repeatable"
    option(group, "--scope", "SCOPE", scope, action="append", default=[])


async def _ask_asap(
    options: argparse.Namespace, text: str | None, fetch: Fetch, now: Clock
) -> Question:
    names = os.environ.get("ASAP_SERVER_AUDIENCE", "").split(",")
    audience = options.audience or [name.strip() for name in names if name.strip()]
    if not audience:
        raise ValueError("give the name of this service: --audience, or ASAP_SERVER_AUDIENCE")
    leeway = leeway_from_env(os.environ) if options.leeway is None else options.leeway
    request = _request(text, "Bearer")
    keys = sources.source(options, fetch, "asap")
    policy = asap.policy(
        keys.resolve,
        audience,
        issuers=options.issuer,
        subject_is_issuer=not options.any_subject,
        leeway=leeway,
        max_lifetime=options.max_lifetime,
        replay=None if options.used is None else await _used_before(options.used),
        now=now,
    )
    scopes = (has_scopes(*options.scope),) if options.scope else ()
    return Question(request, _bearer_token, policy, scopes, keys.name)


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
    group = _token_group(parser, secret=True)
    option(group, "--method", "METHOD", "default GET", default="GET")
    option(group, "--url", "URL", "of the request, as it was sent; the token may be in it, as jwt=")
    option(group, "--base-url", "URL", "the app's own base URL", default="")
    switch(group, "--context", "a context token, for no request in particular")
    switch(group, "--decoded-path", "accept a hash over the decoded path too")
    _add_names(group, "--audience", "the app's name")
    _add_seconds(group, "--leeway", 30.0)


async def _ask_connect(
    options: argparse.Namespace, text: str | None, fetch: Fetch, now: Clock
) -> Question:
    url: str | None = options.url
    if url is None and not options.context:
        raise ValueError("give the request of the token: --method and --url; or --context")
    target = None if url is None else target_of(url)
    request = _request(text, "JWT", options.method, target)
    keys = sources.source(options, fetch, "connect")
    policy = connect.policy(
        keys.resolve, audience=options.audience or (), leeway=options.leeway, now=now
    )
    if options.context:
        return Question(request, _connect_token, policy, (context_token(),), keys.name)
    check = request_matches(
        options.method,
        target or "",
        base_url=options.base_url,
        decoded_path=options.decoded_path,
    )
    return Question(
        request, _connect_token, policy, (check,), keys.name, url or "", options.base_url
    )


def target_of(url: str) -> str:
    """The target of the request that a client sends for a URL; what is none stays as it is."""
    origin = _ORIGIN.match(url)
    if origin is None:
        return url
    target = url[origin.end() :].partition("#")[0]
    return target if target.startswith("/") else f"/{target}"


def _add_forge(parser: argparse.ArgumentParser) -> None:
    group = _token_group(parser)
    option(group, "--app-id", "ARI", "ari:cloud:ecosystem::app/<uuid>", required=True)
    _add_names(group, "--environment-type", "where the app is deployed to, such as PRODUCTION")
    _add_names(group, "--api-host", "a host of app.apiBaseUrl, if not api.atlassian.com")
    switch(group, "--staging", "use the published keys of Atlassian's own staging")
    _add_seconds(group, "--leeway", 10.0)


async def _ask_forge(
    options: argparse.Namespace, text: str | None, fetch: Fetch, now: Clock
) -> Question:
    request = _request(text, "Bearer")
    keys = sources.source(options, fetch, "forge")
    policy = forge.policy(
        keys.resolve,
        options.app_id,
        environment_types=options.environment_type,
        api_hosts=options.api_host or forge.API_HOSTS,
        leeway=options.leeway,
        now=now,
    )
    return Question(request, _bearer_token, policy, (), keys.name)


def _add_jitsi(parser: argparse.ArgumentParser) -> None:
    group = _token_group(parser)
    _add_names(group, "--issuer", "allowed; * for any", required=True)
    _add_names(group, "--audience", "allowed; * for any", required=True)
    group.add_argument("--no-room", action="store_true", help="allow a token without a room")
    _add_seconds(group, "--leeway", 10.0)


async def _ask_jitsi(
    options: argparse.Namespace, text: str | None, fetch: Fetch, now: Clock
) -> Question:
    request = _request(text, "Bearer")
    keys = sources.source(options, fetch, "jitsi")
    policy = jitsi.policy(
        keys.resolve,
        issuers=_unless_any(options.issuer),
        audience=_unless_any(options.audience),
        require_room=not options.no_room,
        leeway=options.leeway,
        now=now,
    )
    return Question(request, _bearer_token, policy, (), keys.name)


def _add_oidc(parser: argparse.ArgumentParser) -> None:
    group = _token_group(parser)
    option(group, "--issuer", "URL", "the provider that is allowed", required=True)
    option(group, "--metadata-url", "URL", "of its metadata, if not below the issuer")
    _add_names(group, "--audience", "this service's name", required=True)
    _add_names(group, "--trusted-audience", "another name that aud may have")
    _add_names(group, "--authorized-party", "a client that azp may name; none for any")
    _add_seconds(group, "--max-lifetime", None, "any")
    _add_seconds(group, "--leeway", 10.0)
    claim = "a claim that the token must have, its value this text; repeatable"
    option(group, "--claim", "NAME=VALUE", claim, action="append", default=[])


async def _ask_oidc(
    options: argparse.Namespace, text: str | None, fetch: Fetch, now: Clock
) -> Question:
    request = _request(text, "Bearer")
    claims = tuple(_claim_check(each) for each in options.claim)
    keys = sources.source(options, fetch, "oidc")
    policy = oidc.policy(
        keys.resolve,
        issuer=options.issuer,
        audience=options.audience,
        trusted_audiences=options.trusted_audience or (),
        authorized_parties=options.authorized_party,
        max_lifetime=options.max_lifetime,
        leeway=options.leeway,
        now=now,
    )
    note = "" if claims else _ANY_WORKLOAD
    return Question(request, _bearer_token, policy, claims, keys.name, note=note)


def _claim_check(given: str) -> Check:
    name, equals, value = given.partition("=")
    if not name or not equals:
        raise ValueError("--claim is given as NAME=VALUE")
    return claim_equals(name, value)


def _unless_any(names: list[str]) -> list[str] | None:
    """The names, or None where one of them is the star that stands for any."""
    return None if "*" in names else names


def _request(
    text: str | None, scheme: str, method: str = "GET", target: str | None = None
) -> Request:
    if text is None and target is None:
        raise ValueError(GIVE_TOKEN)
    return Request(method, target, authorization(text or "", scheme))


def _bearer_token(request: Request) -> str:
    return credentials(request, "Bearer")


def _connect_token(request: Request) -> str:
    return token_of(request, "/" if request.target is None else request.target)


def _token_group(
    parser: argparse.ArgumentParser, *, secret: bool = False
) -> argparse._ArgumentGroup:
    sources.add_arguments(parser, secret=secret)
    return parser.add_argument_group("what the token must be")


def _add_names(
    group: argparse._ArgumentGroup, flag: str, what: str, *, required: bool = False
) -> None:
    option(group, flag, "NAME", f"{what}; repeatable", action="append", required=required)


def _add_seconds(
    group: argparse._ArgumentGroup, flag: str, default: float | None, otherwise: str = ""
) -> None:
    shown = otherwise if default is None else f"{default:g}"
    option(group, flag, "SECONDS", f"default {shown}", type=seconds, default=default)


PROFILES: Final[Mapping[str, Profile]] = {
    "asap": Profile(
        "an ASAP token, from service to service",
        _add_asap,
        _ask_asap,
        "--audience billing --repository https://keys.example/ @token.txt",
    ),
    "connect": Profile(
        "a Connect token, between a product and an app",
        _add_connect,
        _ask_connect,
        "--method GET --url 'https://app.example/issue?id=7' --secret-from secret.txt @token.txt",
    ),
    "forge": Profile(
        "an invocation token, from Forge to an app's remote",
        _add_forge,
        _ask_forge,
        "--app-id ari:cloud:ecosystem::app/8db33309 @token.txt",
    ),
    "jitsi": Profile(
        "a token of Jitsi's dialect of ASAP",
        _add_jitsi,
        _ask_jitsi,
        "--issuer meet --audience jitsi --repository https://keys.example/ @token.txt",
    ),
    "oidc": Profile(
        "an ID token, from an OpenID provider to a workload",
        _add_oidc,
        _ask_oidc,
        "--issuer https://gitlab.com --audience https://billing.example --claim project_id=22"
        " @token.txt",
    ),
}
