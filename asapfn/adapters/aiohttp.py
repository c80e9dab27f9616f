"""aiohttp: tokens on its client's requests, and before its server's handlers.

Both are middleware, for aiohttp 3.14 and newer. A client's runs on each request that is sent,
those after a redirect included, so that it sees each URL as it goes out, normalized by yarl.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from asapfn._core.destinations import origin_of, parse_origins
from asapfn.adapters._incoming import Options, checked, decide, refusal
from asapfn.errors import TokenRejected, Unavailable
from asapfn.types import Authenticate, Authorize, Names, ObserveRequest, Request, Unless

try:
    from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse, web
    from aiohttp.typedefs import Handler, Middleware
except ModuleNotFoundError as _missing:
    raise ImportError(
        'asapfn.adapters.aiohttp needs aiohttp: pip install "asapfn[aiohttp]"'
    ) from _missing

__all__ = ["client_middleware", "server_middleware"]

# A websocket is opened by a request of HTTP to the same port (RFC 6455, section 3).
_HTTP: Final = {"ws": "http", "wss": "https"}
_NAME: Final = "asapfn.token"


class _Key(web.RequestKey[Any]):
    """The key of the token. aiohttp warns of text as a key; by this one text still finds it."""

    def __eq__(self, other: object) -> bool:
        return other == _NAME

    def __hash__(self) -> int:
        return hash(_NAME)


_TOKEN: Final = _Key(_NAME)
_CARRIER: Final = web.RequestKey[Any]("asapfn.carrier", dict)


def client_middleware(
    authorize: Authorize | Callable[[str, str], Awaitable[str]], *, origins: Names
) -> ClientMiddlewareType:
    """Put an `Authorization` header on a `ClientSession`'s requests to some origins.

    A request to another origin, as after a redirect, gets none; a header that the user set on it
    is left as it is.

    Args:
        authorize: Makes the header from the method and the URL as it is sent; it may be async.
        origins: Where a token may go: `scheme://host[:port]`, one or several. Case does not
            matter and a default port may be left out. Only where an origin says http is a token
            sent in the clear. Websockets count as http and https.

    Returns:
        A middleware for `ClientSession(middlewares=[...])`, or for one of its requests.

    Raises:
        TypeError: If an origin is not a str.
        ValueError: If there is no origin, or one has a path, a user, no scheme, or a scheme other
            than http and https.
    """
    allowed = parse_origins(origins)

    async def middleware(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        url = request.url
        scheme = _HTTP.get(url.scheme, url.scheme)
        origin = f"{scheme}://{url.host_port_subcomponent}"
        if origin_of(origin) in allowed:
            header = authorize(request.method, f"{origin}{url.raw_path_qs}")
            request.headers["Authorization"] = header if isinstance(header, str) else await header
        return await handler(request)

    return middleware


def server_middleware(
    authenticate: Authenticate,
    *,
    scheme: str = "Bearer",
    optional: bool = False,
    unless: Unless | None = None,
    enforce: bool = True,
    observe: ObserveRequest | None = None,
) -> Middleware:
    """Let only requests with a good token reach an application's handlers.

    The verified `Token` is at `request["asapfn.token"]`. Other requests are answered here: 401 or
    403 with `WWW-Authenticate`, 503 with `Retry-After`, as `application/problem+json`. A websocket
    is refused before it opens.

    Args:
        authenticate: Says who sent a request, such as `bearer(verify)`.
        scheme: The authentication scheme that refusals name.
        optional: Whether requests without a token reach the handlers too; they then find no
            `asapfn.token`. A bad token is refused all the same.
        unless: Names the requests that reach the application without a token, even if they have
            one: a function of the method and the decoded path that the application routes by, such
            as `lambda method, path: path == "/health"`. It is not asked about a request that may be
            read in two ways (see `types.Unless`), nor about a websocket. They are not reported.
        enforce: False lets EVERY request through, so it is NOT PROTECTING anything: a handler
            finds a token where it is good, and each refusal that would have been is reported. It
            is for the phase-in of a service that has been called without tokens.
        observe: Called with a `Verdict` for each request but those without a token that are let
            through. Refusals and outages are logged in any case, to the logger `asapfn`.

    Returns:
        A middleware for `web.Application(middlewares=[...])`.

    Raises:
        TypeError: If `enforce` or `optional` is no bool.
        ValueError: If `scheme` is not one word.
    """
    options = checked(Options(scheme, optional, enforce, observe, unless))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = _request(request)
        carrier = request.setdefault(_CARRIER, {})
        outcome = await decide(authenticate, options, carrier, asked, request.path)
        if isinstance(outcome, (TokenRejected, Unavailable)):
            status, headers, body = refusal(outcome, scheme)
            return web.Response(status=status, headers=headers, body=body)
        request.pop(_TOKEN, None)
        if outcome is not None:
            request[_TOKEN] = outcome
        return await handler(request)

    return middleware


def _request(request: web.Request) -> Request:
    path, _, query = request.raw_path.partition("?")
    url, mismatch = request.rel_url, ""
    if (path, query) != (url.raw_path, url.raw_query_string):
        mismatch = "the URL that the application reads, rel_url, is not the request target"
    return Request(request.method, request.raw_path, tuple(request.headers.items()), mismatch)
