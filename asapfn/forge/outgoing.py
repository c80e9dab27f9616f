"""The calls back of a remote: the access tokens that come with a call, and where they may go."""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from asapfn._core.credentials import header_values
from asapfn._core.destinations import is_within, split
from asapfn.errors import TokenRejected
from asapfn.forge.invocation import Invocation, split_base_url
from asapfn.types import Authorize, Request

_SYSTEM: Final = "x-forge-oauth-system"
_USER: Final = "x-forge-oauth-user"
_LONGEST: Final = 65_536
# RFC 6750, section 2.1. It holds no comma, with which WSGI joins headers that are sent twice.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_URL: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """The access tokens that came with an invocation. They print without themselves.

    It is no tuple, which `json.dumps` and `%` would write out. Do not give it to what writes out
    dataclasses, such as `dataclasses.asdict` and orjson.

    Attributes:
        system: To call Atlassian as the app; None where the manifest does not ask for it.
        user: To call Atlassian as the user who called; None where the manifest does not ask for
            it, and for calls without a user.
    """

    system: str | None = field(repr=False)
    user: str | None = field(repr=False)

    def __repr__(self) -> str:
        each = (self.system, self.user)
        system, user = ("None" if token is None else "..." for token in each)
        return f"AccessTokens(system={system}, user={user})"


def access_tokens(request: Request) -> AccessTokens:
    """Give the access tokens of a request, once its invocation token has been verified.

    Nothing is verified here: the tokens are opaque to all but Atlassian (Forge, "Forge Remote
    essentials"). Never log them, and send them by `authorizer`.

    Args:
        request: The request, such as `asgi.request(scope)`.

    Returns:
        The tokens, each None where its header, `x-forge-oauth-system` or `x-forge-oauth-user`, is
        absent or empty.

    Raises:
        TokenRejected: `ambiguous_token` for a header that is there more than once; `malformed` for
            what is no such token (RFC 6750, section 2.1), or longer than 65,536 characters.
    """
    return AccessTokens(_header(request, _SYSTEM), _header(request, _USER))


def _header(request: Request, name: str) -> str | None:
    values = header_values(request, name)
    if len(values) > 1:
        raise TokenRejected("ambiguous_token", f"more than one {name} header")
    if not values or not values[0]:
        return None
    if len(values[0]) > _LONGEST or not _TOKEN.fullmatch(values[0]):
        detail = f"{name}: expected one token of at most {_LONGEST} letters, digits and -._~+/="
        raise TokenRejected("malformed", detail)
    return values[0]


def authorizer(access_token: str | None, invocation: Invocation) -> Authorize:
    """Make what gives calls back to Atlassian their `Authorization` header.

    Whoever has an access token can use it. So it is given for URLs below the invocation's
    `api_base_url` and for no others: not for another host or port, another site or product, nor for
    a path that might lead out of it.

    Args:
        access_token: `access_tokens(request).system`, or `.user`.
        invocation: What the request's own token says: `invocation(token)`.

    Returns:
        A function of a method and a URL, as they are sent, that gives `Bearer <access token>`. It
        raises ValueError for a URL that is not certainly below `api_base_url`, such as one without
        a host, with a user, with a segment `..` in any encoding, or with what is not printable
        ASCII. A client that follows redirects may keep the header on its own: with
        `adapters.httpx.request_hook` it asks here again.

    Raises:
        ValueError: If there is no access token, or it cannot be one; or `api_base_url` is not an
            https URL of a host and a path.
    """
    if not access_token:
        raise ValueError(
            "there is no access token: the manifest asks for it by auth.appSystemToken or"
            " auth.appUserToken of the endpoint or remote"
        )
    if not _TOKEN.fullmatch(access_token):
        raise ValueError("an access token is made of letters, digits and -._~+/=")
    parts = split_base_url(invocation.api_base_url)
    if parts is None:
        raise ValueError("api_base_url is an https URL of a host and a path, no more")
    origin, base = ("https", parts[0], 443), _encoded(parts[1])

    def authorize(method: str, url: str) -> str:
        where = _encoded(url)
        if not _URL.fullmatch(url) or split(where)[0] is None or not is_within(where, origin, base):
            raise ValueError("the URL is not below api_base_url: no access token is sent there")
        return f"Bearer {access_token}"

    return authorize


def _encoded(url: str) -> str:
    """A URL with its braces, which Bitbucket's ids may have, as clients send them."""
    return re.sub(r"[{}]|%7[bd]", lambda match: f"%{ord(unquote(match[0])):X}", url)
