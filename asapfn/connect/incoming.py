"""Connect, the receiving side: where the token is, and which request it must be for.

An endpoint accepts one kind of token. Those of the product carry the hash of their request; context
tokens, which a page in the browser sends, carry a fixed text instead. Whoever accepts either lets a
context token, which scripts can read, pass for a request of the product: so there is one maker for
each kind and none for both.
"""

import re
import time
from functools import partial
from typing import Final
from urllib.parse import unquote_plus

from asapfn._core import verification
from asapfn._core.credentials import credentials
from asapfn.checks import context_token, received_base, require_request, require_target
from asapfn.errors import TokenRejected, one_of, shown
from asapfn.types import (
    Authenticate,
    Clock,
    Guard,
    Names,
    Policy,
    Request,
    Resolver,
    Token,
    Unverified,
    as_names,
    require_bool,
)

# The parameter `jwt`, of which a sender may percent-encode any letter.
_JWT: Final = re.compile(r"(?:\A|(?<=&))(?:j|%6[Aa])(?:w|%77)(?:t|%74)(?:=([^&]*))?(?=&|\Z)")


def policy(
    resolver: Resolver,
    *,
    audience: Names = (),
    leeway: float = 30.0,
    now: Clock = time.time,
) -> Policy:
    """What Connect demands of every token, whichever request it is for.

    Which request that must be is a check for each token, as `authenticator` makes it. The arguments
    are those of `authenticator`.

    Returns:
        The policy. It requires `iss`, `iat`, `exp` and `qsh`.

    Raises:
        TypeError: If a name is not a str.
        ValueError: If the leeway is negative or not finite.
    """
    asked = verification.policy(
        resolver,
        # Both at once: the key that the resolver finds decides which of the two it is, since each
        # needs a type of key of its own.
        algorithms=("HS256", "RS256"),
        required=("iss", "iat", "exp", "qsh"),
        leeway=leeway,
        guards=[_audience_is_ours(audience)],
        now=now,
    )
    # In a Policy, None accepts any audience that names something; the guard says which.
    return asked._replace(audience=None)


def _audience_is_ours(audience: Names) -> Guard:
    """The guard of `aud`: absent, one of ours, or the token's own issuer.

    Bitbucket's tokens have the tenant's client key in both. That is accepted of a token whose
    tenant shares its secret with this app alone, so not where a public key verifies it.
    """
    ours = as_names(audience, "audience") if audience else frozenset[str]()

    def audience_is_ours(unverified: Unverified) -> None:
        given = unverified.claims.get("aud")
        if given is None:
            return
        named = frozenset([given] if isinstance(given, str) else given)
        accepted = ours
        if unverified.header["alg"] == "HS256" and "iss" in unverified.claims:
            accepted = ours | {unverified.claims["iss"]}
        if accepted.isdisjoint(named):
            detail = f"expected {one_of(accepted) or 'no aud'}, got {shown(given)}"
            raise TokenRejected("wrong_audience", detail, claim="aud")

    audience_is_ours.__doc__ = f"aud is absent, {one_of(ours)}{', ' if ours else ''}or iss"
    return audience_is_ours


def authenticator(
    resolver: Resolver,
    *,
    base_url: str,
    audience: Names = (),
    proxy_strips_prefix: bool = False,
    decoded_path: bool = False,
    leeway: float = 30.0,
    now: Clock = time.time,
    remember: int = 1024,
) -> Authenticate:
    """Say who sent a request, by a token that was made for this very request.

    The token is in `Authorization: JWT <token>`, or in the query as `jwt`, or the same in both.
    What was hashed is the query: a request whose parameters are in a form body, with no query, is a
    `request_mismatch` here. For that compose `verify` with
    `checks.request_matches(..., form=body)`.

    Args:
        resolver: Finds the sender's key: `shared_secrets(...)` for HS256, a resolver of public
            keys for RS256. The latter must say whose key it is, as `by_issuer` does, where more
            than one sender has a key.
        base_url: The app's base URL; its path is no part of the `qsh`. A target that is not below
            it is refused.
        audience: Names of the app. A token need not have an `aud`, but one that has must name one
            of these, or with a shared secret its own issuer, as Bitbucket's tokens do.
        proxy_strips_prefix: Whether a proxy has removed the base URL's path from each target, and
            the server does not put it back, as uvicorn does with its `root_path`.
        decoded_path: Whether a `qsh` over the decoded path is accepted too, as Atlassian's
            server-side Java signs it. Two requests then share a `qsh`: `/a%2Fb` and `/a/b`.
        leeway: Seconds by which clocks may differ.
        now: The clock, seconds since the epoch.
        remember: The most tokens that are remembered, as for `asapfn.verifier`.

    Returns:
        A function from an incoming request to its verified token; its `iss` is the tenant's client
        key. It raises TokenRejected and Unavailable; `request_mismatch` also for a target that
        `request_matches` refuses, and one that the application reads otherwise than it was sent.
        It raises ValueError when the server gives no raw target.

    Raises:
        TypeError: If a name is not a str, or an option no bool.
        ValueError: If the base URL is malformed, the leeway negative or not finite, or `remember`
            negative or no int.
    """
    base = received_base(base_url, proxy_strips_prefix)
    require_bool(decoded_path, "decoded_path")
    asked = policy(resolver, audience=audience, leeway=leeway, now=now)
    verify_token = verification.verifier(asked, remember=remember)
    require = partial(require_request, decoded_path=True) if decoded_path else require_request

    async def authenticate(request: Request) -> Token:
        target = received_target(request)
        matches = partial(require, request.method, target, base, None)
        return await verify_token(token_of(request, target), matches)

    return authenticate


def context_authenticator(
    resolver: Resolver,
    *,
    audience: Names = (),
    leeway: float = 30.0,
    now: Clock = time.time,
    remember: int = 1024,
) -> Authenticate:
    """Say who sent a request, by a context token: its `qsh` is the fixed text `context-qsh`.

    Such a token is good for every request to every endpoint that accepts it, until it expires. Give
    this to the endpoints that the app's own pages call, and to no other. The arguments are those of
    `authenticator`.

    Returns:
        A function from an incoming request to its verified token. It raises TokenRejected and
        Unavailable; `request_mismatch` also for a target that `authenticator` refuses. Where the
        server gives no raw target, only the header is looked at.

    Raises:
        TypeError: If a name is not a str.
        ValueError: If the leeway is negative or not finite, or `remember` negative or no int.
    """
    asked = policy(resolver, audience=audience, leeway=leeway, now=now)
    verify_token = verification.verifier(asked, remember=remember)

    is_context_token = context_token()

    async def authenticate(request: Request) -> Token:
        target = "/" if request.target is None else received_target(request)
        return await verify_token(token_of(request, target), is_context_token)

    return authenticate


def received_target(request: Request) -> str:
    """The request's target, which a `qsh` was computed over.

    TokenRejected `request_mismatch` if it is not one that is read in one way alone, or the
    application reads something else; a ValueError if there is none: to encode the path again would
    only guess at what was sent.
    """
    if request.target is None:
        raise ValueError(
            "a qsh needs the request target as it was sent, which this server"
            f" ({request.server or 'its name is not known'}) does not say: use an ASGI server that"
            " sets `raw_path`, or set the WSGI server to pass RAW_URI or REQUEST_URI"
        )
    require_target(request.target)
    if request.mismatch:
        raise TokenRejected("request_mismatch", request.mismatch, claim="qsh")
    return request.target


def query_tokens(target: str) -> list[str]:
    """The values of the query's parameter `jwt`, in exactly that case, decoded.

    TokenRejected `request_mismatch` for a target that `require_target` refuses.
    """
    require_target(target)
    # Decoded as the canonical request does it, so that what is read as the token here is what is
    # left out of the hash there.
    query = target.partition("?")[2]
    return [unquote_plus(value) for value in _JWT.findall(query)] if query else []


def token_of(request: Request, target: str) -> str:
    """The one token of a request, in its header or in the query of its target."""
    # An empty parameter is none, and the same token in both places is one.
    tokens = set(filter(None, query_tokens(target)))
    try:
        tokens.add(credentials(request, "JWT"))
    except TokenRejected as error:
        if error.reason != "missing_token" or not tokens:
            raise
    if len(tokens) > 1:
        raise TokenRejected("ambiguous_token", "different ones in header and query together")
    return tokens.pop()
