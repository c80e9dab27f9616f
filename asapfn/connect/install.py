"""Connect's signed install and uninstall: the call that brings an app its tenant's secret.

The token is signed by Atlassian with a key of the product's environment. Which environment that is
follows from the product's host, and the host is in the body, which is not signed. So the tables of
hosts alone decide which keys are trusted, and a host that is in no table is refused.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from asapfn._core.credentials import credentials
from asapfn._core.verification import verify
from asapfn.checks import claim_equals, request_matches
from asapfn.connect.hosts import PRODUCTION_HOSTS, Hosts, find, require_patterns
from asapfn.connect.incoming import authenticator, query_tokens, received_target
from asapfn.connect.installation import Installation, read_installation
from asapfn.errors import TokenRejected, shown
from asapfn.resolvers import first_of, pem_repository
from asapfn.types import (
    Caching,
    Clock,
    Fetch,
    Key,
    Names,
    Observe,
    Request,
    Resolver,
    Token,
    Unverified,
    as_names,
)

# Only an install brings a secret.
_WITHOUT_SECRET: Final = ("enabled", "disabled", "uninstalled")
_BITBUCKET: Final = (
    "Bitbucket signs none, or with the tenant's present secret: see connect.verify_reinstall"
)


def install_keys(
    fetch: Fetch,
    *,
    hosts: Hosts = PRODUCTION_HOSTS,
    caching: Caching = Caching(),
    observe: Observe | None = None,
) -> Callable[[str], Resolver]:
    """Find the keys that installs are signed with, by the product's URL.

    Args:
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        hosts: Patterns of hosts, in lower case, and the https URLs where their keys are; a port
            other than 443 is part of a pattern, and `*` is exactly one label. Production alone by
            default: a key of staging must never install into a production app. To trust more, say
            so: `{**PRODUCTION_HOSTS, **FEDRAMP_HOSTS}`.
        caching: How long and how much to remember, and how often to ask.
        observe: Called with every event but a plain hit, by each of a host's URLs for itself.

    Returns:
        A function from a product's base URL to the resolver of its environment, which is made once
        and shared; it raises TokenRejected `issuer_not_allowed` for a host in no table. The second
        URL is asked also where the first has no such key. Make one for the process.

    Raises:
        ValueError: If the table is empty, a pattern is none, or a URL is not plain https.
    """
    require_patterns(hosts)
    table = {
        pattern: (urls,) if isinstance(urls, str) else tuple(urls)
        for pattern, urls in hosts.items()
    }

    def repository(url: str) -> Resolver:
        return pem_repository(url, fetch, media_types=None, caching=caching, observe=observe)

    resolvers = {urls: first_of(*map(repository, urls)) for urls in set(table.values())}

    def keys_of(product_url: str) -> Resolver:
        urls = find(table, product_url)
        if urls is None:
            raise TokenRejected("issuer_not_allowed", "the product's host is in no table of ours")
        return resolvers[urls]

    return keys_of


async def verify_reinstall(
    request: Request,
    body: bytes,
    resolver: Resolver,
    *,
    base_url: str,
    audience: Names = (),
    proxy_strips_prefix: bool = False,
    max_bytes: int = 65_536,
    leeway: float = 30.0,
    now: Clock = time.time,
) -> Installation:
    """Verify a lifecycle callback that the tenant's present secret signs, as Bitbucket sends them.

    Bitbucket's first install of a tenant is not signed at all, which is a `missing_token` here:
    read that by `read_unsigned_install`. All later callbacks come through here.

    Args:
        request: As for `verify_install`.
        body: As for `verify_install`.
        resolver: Finds the tenant's present secret: `shared_secrets(...)`.
        base_url: As for `authenticator`, like the rest but `max_bytes`.
        audience: See `authenticator`.
        proxy_strips_prefix: See `authenticator`.
        max_bytes: The most bytes that the body may have.
        leeway: See `authenticator`.
        now: See `authenticator`.

    Returns:
        What the body says. Only now replace the secret by the one in it, if `event_type` is
        `installed`: callbacks of the other events bring none.

    Raises:
        TokenRejected: As `authenticator` does; `invalid_claim` where `iss` is not the body's
            `clientKey`; `ambiguous_token` for a token in the query; and for the body `malformed`
            and `unsuitable_key`.
        Unavailable: If the secret could not be looked up.
        TypeError: If the body is not bytes, a URL not a str, or `proxy_strips_prefix` no bool.
        ValueError: As `authenticator` does.

    Source: Bitbucket Cloud, "Connect for Bitbucket Cloud", "App lifecycle".
    """
    authenticate = authenticator(
        resolver,
        base_url=base_url,
        audience=audience,
        proxy_strips_prefix=proxy_strips_prefix,
        leeway=leeway,
        now=now,
        remember=0,
    )
    _require_header_alone(received_target(request))
    token = await authenticate(request)
    installation = read_installation(body, max_bytes, _WITHOUT_SECRET)
    claim_equals("iss", installation.client_key)(token)
    return installation


def read_unsigned_install(body: bytes, *, max_bytes: int = 65_536) -> Installation:
    """Read the first install of a tenant of Bitbucket's, which is not signed: IT VERIFIES NOTHING.

    Anybody can send such a body. Call this only where `verify_reinstall` raised `missing_token`,
    and keep the secret only for a `clientKey` that has none, in one step of the database: to
    replace one would give the tenant away. Believe nothing else in it until a request signed with
    that secret comes.

    Args:
        body: As for `verify_install`.
        max_bytes: The most bytes that the body may have.

    Returns:
        What the body says, its `event_type` always `installed`.

    Raises:
        TokenRejected: `malformed`, also for any other event, and `unsuitable_key`, as for
            `verify_install`.
        TypeError: If the body is not bytes.

    Source: Bitbucket Cloud, "Connect for Bitbucket Cloud", "App lifecycle".
    """
    installation = read_installation(body, max_bytes)
    if installation.event_type != "installed":
        detail = f"body: expected the eventType installed, got {shown(installation.event_type)}"
        raise TokenRejected("malformed", detail)
    return installation


async def verify_install(
    request: Request,
    body: bytes,
    keys: Callable[[str], Resolver],
    *,
    base_urls: Names,
    proxy_strips_prefix: bool = False,
    max_bytes: int = 65_536,
    leeway: float = 30.0,
    now: Clock = time.time,
) -> Installation:
    """Verify that an install or uninstall was sent by the product it is about.

    What the token proves is who sends, for which `clientKey`, and to which method, path and query.
    The rest of the body, `sharedSecret` and `baseUrl` among it, no signature covers: it rests on
    TLS. Replace a tenant's secret only by what this function has returned. The body is parsed only
    where the token is well formed, its claims are acceptable, and the body is small enough.

    Args:
        request: The request. The token is in its header, `Authorization: JWT <token>`.
        body: Its body, as it was sent.
        keys: From a product's URL to its resolver: `install_keys(...)`.
        base_urls: The app's base URL, or its base URLs. The token's `aud` must name one, a slash at
            the end aside, and its `qsh` is computed below that one.
        proxy_strips_prefix: As for `authenticator`.
        max_bytes: The most bytes that the body may have.
        leeway: Seconds by which clocks may differ.
        now: The clock, seconds since the epoch.

    Returns:
        What the body says. Answer 200 or 204.

    Raises:
        TokenRejected: As `verify` for RS256; `request_mismatch`, as by `authenticator`;
            `invalid_claim` where `iss` is not the body's `clientKey`; `issuer_not_allowed` for a
            product in no table; `ambiguous_token` for a token in the query; and for the body
            `malformed` and `unsuitable_key`.
        Unavailable: If the key hosts did not answer.
        TypeError: If the body is not bytes, a base URL not a str, or `proxy_strips_prefix` no bool.
        ValueError: If there is no base URL, one is malformed, the leeway is negative or not finite,
            or the server gives no raw target.

    Source: Atlassian Connect, "Security for Connect apps", "Validating installation lifecycle
    requests".
    """
    target = received_target(request)
    matches = partial(
        request_matches, request.method, target, proxy_strips_prefix=proxy_strips_prefix
    )
    # What an `aud` may name: each base URL, without and with a slash at its end.
    bases = _without_slash(base_urls)
    checks = {name: matches(base_url=base) for base in bases for name in (base, f"{base}/")}
    found: list[Installation] = []

    async def find_key(unverified: Unverified) -> Key | None:
        # The body is read here, so only once the token's claims are acceptable.
        found.append(read_installation(body, max_bytes))
        return await keys(found[0].base_url)(unverified)

    try:
        token = credentials(request, "JWT")
        _require_header_alone(target)
        await verify(
            token,
            find_key,
            partial(_require_client_key, found),
            partial(_one_passes, checks),
            audience=list(checks),
            algorithms=("RS256",),
            required=("iss", "exp", "qsh"),
            leeway=leeway,
            now=now,
        )
        return found[0]
    except TokenRejected as error:
        if error.reason not in ("missing_token", "unsupported_algorithm"):
            raise
        reason, detail = error.reason, error.detail
    raise TokenRejected(reason, f"{detail}; {_BITBUCKET}")


def _require_client_key(found: list[Installation], token: Token) -> None:
    claim_equals("iss", found[0].client_key)(token)


def _require_header_alone(target: str) -> None:
    # An empty parameter is no token.
    if any(query_tokens(target)):
        raise TokenRejected("ambiguous_token", "an install's token is in the header alone")


def _without_slash(base_urls: Names) -> set[str]:
    """The base URLs, without a slash at their end."""
    bases = {url.removesuffix("/") for url in as_names(base_urls, "base_urls")}
    if not all("://" in base for base in bases):
        raise ValueError("a base URL of the app is whole: https://host, perhaps with a path")
    return bases


def _one_passes(checks: Mapping[str, Callable[[Token], None]], token: Token) -> None:
    """Require that the check of one of the base URLs passes that the token's `aud` names."""
    named = as_names(token.claims["aud"], "aud")
    *others, last = [check for name, check in checks.items() if name in named]
    for check in others:
        with suppress(TokenRejected):
            check(token)
            return
    last(token)
