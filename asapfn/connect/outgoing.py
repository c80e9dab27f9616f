"""Connect, the sending side: claims with the computed `qsh`, and the `Authorization` header.

To act for a user, an app first exchanges an assertion for a token, by the JWT bearer grant of OAuth
2.0 (RFC 7523): a POST of `grant_type` and `assertion` to `{server}/oauth2/token`.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from asapfn._core.algorithms import default_algorithm
from asapfn._core.canonical import base_path, qsh
from asapfn._core.destinations import is_within, split
from asapfn._core.signing import more_claims, require_names, sign, times
from asapfn.connect.hosts import find
from asapfn.connect.installation import Installation
from asapfn.keys import import_secret
from asapfn.types import Authorize, Key, Names, as_names

_OURS: Final = frozenset(("iss", "sub", "aud", "iat", "exp", "qsh"))
_SERVER: Final = "https://oauth-2-authorization-server"
_SERVERS: Final[Mapping[str, str]] = {
    "*.atlassian.net": f"{_SERVER}.services.atlassian.com",
    "*.jira.com": f"{_SERVER}.services.atlassian.com",
    "*.jira-dev.com": f"{_SERVER}.stg.services.atlassian.com",
    "*.atlassian-us-gov-mod.net": f"{_SERVER}.services.atlassian-us-gov-mod.com",
    "*.atlassian-stg-fedm.net": f"{_SERVER}.stg.services.atlassian-us-gov-mod.com",
}


def claims(
    issuer: str,
    method: str,
    url: str,
    *,
    base_url: str = "",
    audience: Names | None = None,
    subject: str | None = None,
    lifetime: float = 180,
    form: str | bytes | None = None,
    additional: Mapping[str, Any] | None = None,
    now: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """The claims of a Connect token for one request (Connect, "Understanding JWT").

    Args:
        issuer: Who signs: the app's key, or in a product its client key.
        method: The HTTP method.
        url: The URL the request goes to, as it is sent.
        base_url: The receiver's base URL; its path is no part of the `qsh`.
        audience: The receiver: the client key, for Jira and Confluence.
        subject: The `sub`: the client key, for Bitbucket.
        lifetime: Seconds until it expires.
        form: A form body, which stands in for an empty query of a POST or PUT.
        additional: More claims.
        now: The clock, seconds since the epoch.

    Returns:
        The claims, ready for `sign`. `aud` is always a list.

    Raises:
        TypeError: If a name or a URL is not a str.
        ValueError: If the URL or the base URL is malformed, the lifetime is out of bounds, or
            `additional` holds a claim that is set here.
    """
    more = more_claims(additional, _OURS)
    made: dict[str, Any] = {
        "iss": issuer,
        **times(now(), lifetime),
        "qsh": qsh(method, url, base_url=base_url, form=form),
    }
    if audience is not None:
        made["aud"] = sorted(as_names(audience, "audience"))
    if subject is not None:
        made["sub"] = subject
    require_names(made)
    return made | more


def authorizer(
    issuer: str,
    key: Key,
    *,
    base_url: str,
    audience: Names | None = None,
    subject: str | None = None,
    lifetime: float = 180,
    now: Callable[[], float] = time.time,
) -> Authorize:
    """Make what gives requests to one product their `Authorization` header.

    The host is no part of a `qsh`: whoever receives the token could use it at the product. So
    nothing is signed for a URL that is not below the product's base URL.

    Args:
        issuer: The app's key.
        key: The secret that is shared with the product, from `import_secret`, for HS256; or an RSA
            private key that carries its key id, for RS256.
        base_url: The product's base URL. If it is a path, or empty, only paths are signed.
        audience: The product's client key, for Jira and Confluence.
        subject: The product's client key, for Bitbucket.
        lifetime: Seconds until a token expires.
        now: The clock, seconds since the epoch.

    Returns:
        A function of a method and a URL, as they are sent, that gives `JWT <token>`. It raises
        ValueError for a URL that is malformed, or not below the base URL: of another origin,
        outside of its path, or by a segment `..` perhaps so. A URL may be from the path on
        (`/wiki/rest`), that of the base URL included. A request whose parameters are in a form
        body, with no query, needs `claims(..., form=...)` and `sign` instead.

    Raises:
        TypeError: If a name is not a str.
        ValueError: If the base URL is malformed, the lifetime is not positive, or the key cannot
            sign by HS256, or by RS256 with a key id.
    """
    if default_algorithm(key) not in ("HS256", "RS256"):
        raise ValueError("Connect signs with a shared secret (HS256) or an RSA key (RS256)")
    if default_algorithm(key) == "RS256" and key.kid is None:
        raise ValueError("an RSA key needs its key id: give it kid= on import")
    base = base_path(base_url)
    origin, rest = split(base_url)
    if origin is None and "://" in rest:
        raise ValueError("base_url is of http or https, names no user, and its host is in ASCII")

    claims_of = partial(
        claims, issuer, base_url=base_url, audience=audience, subject=subject, lifetime=lifetime
    )

    def signed(made: dict[str, Any], url: str) -> str:
        if not is_within(url, origin, base):
            raise ValueError("the URL is not below base_url: no token is made for it")
        return f"JWT {sign(made, key)}"

    def authorize(method: str, url: str) -> str:
        return signed(claims_of(method, url, now=now), url)

    # What is wrong is raised at once, without reading the caller's clock.
    signed(claims_of("GET", base or "/"), base or "/")
    return authorize


def impersonation_assertion(
    installation: Installation,
    account_id: str,
    *,
    lifetime: float = 60,
    now: Callable[[], float] = time.time,
) -> str:
    """Make the assertion that an app may act for a user (RFC 7523, section 3).

    Args:
        installation: The app's installation, with its secret and its OAuth client.
        account_id: The user's Atlassian account id.
        lifetime: Seconds until it expires.
        now: The clock, seconds since the epoch.

    Returns:
        The assertion: HS256 by the shared secret, for `authorization_server(...)`.

    Raises:
        ValueError: If the installation has no OAuth client, its secret is missing or too short,
            its product has no known server, the account id is empty, or the lifetime is not
            positive.

    Source: Atlassian Connect, "User impersonation for Connect apps".
    """
    if not installation.oauth_client_id or not account_id:
        raise ValueError("impersonation needs the installation's oauth_client_id and an account id")
    made = {
        "iss": f"urn:atlassian:connect:clientid:{installation.oauth_client_id}",
        "sub": f"urn:atlassian:connect:useraccountid:{account_id}",
        "tnt": installation.base_url,
        "aud": authorization_server(installation.base_url),
        **times(now(), lifetime),
    }
    return sign(made, import_secret(installation.shared_secret))


def authorization_server(product_url: str) -> str:
    """The server that gives out tokens in a user's name.

    Args:
        product_url: The product's base URL.

    Returns:
        The server's origin, which is also the assertion's `aud`; tokens are at `/oauth2/token`.

    Raises:
        ValueError: If the URL is not of a host of Atlassian's, over https.
    """
    server = find(_SERVERS, product_url)
    if server is None:
        raise ValueError("no authorization server is known for this product's host")
    return server
