"""Connect's user impersonation: what an app hands in to get a token in a user's name.

It is the JWT bearer grant of OAuth 2.0 (RFC 7523). Everything here is pure; sending it is a POST of
`grant_type` and `assertion` to `{server}/oauth2/token`.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from asapfn._core.signing import sign
from asapfn.connect.hosts import find
from asapfn.connect.installation import Installation
from asapfn.connect.outgoing import require_lifetime
from asapfn.keys import import_secret

_SERVER: Final = "https://oauth-2-authorization-server"
_SERVERS: Final[Mapping[str, str]] = {
    "*.atlassian.net": f"{_SERVER}.services.atlassian.com",
    "*.jira.com": f"{_SERVER}.services.atlassian.com",
    "*.jira-dev.com": f"{_SERVER}.stg.services.atlassian.com",
    "*.atlassian-us-gov-mod.net": f"{_SERVER}.services.atlassian-us-gov-mod.com",
    "*.atlassian-stg-fedm.net": f"{_SERVER}.stg.services.atlassian-us-gov-mod.com",
}


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
    require_lifetime(lifetime)
    issued = int(now())
    claims = {
        "iss": f"urn:atlassian:connect:clientid:{installation.oauth_client_id}",
        "sub": f"urn:atlassian:connect:useraccountid:{account_id}",
        "tnt": installation.base_url,
        "aud": authorization_server(installation.base_url),
        "iat": issued,
        "exp": issued + lifetime,
    }
    return sign(claims, import_secret(installation.shared_secret))


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
