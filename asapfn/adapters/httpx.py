"""httpx, and its successor httpx2: keys are fetched through it, tokens are sent with it.

`fetcher` makes a client of the user's the only way out to the network: it asks exactly for the URL
it is given, once, with no credentials, and reads no more and no longer than it was told. `auth` and
`request_hook` put a token on the requests the user sends. All three are typed by what they use of
a client and a request, so that neither package need be imported here.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import anyio

from asapfn.adapters._cache_control import freshness
from asapfn.adapters._origins import origin_of, parse_origins
from asapfn.errors import Unavailable
from asapfn.types import Authorize, Document, Fetch, Names

__all__ = ["auth", "fetcher", "request_hook"]

# The fields of HTTP that hold credentials (RFC 9110, section 11; RFC 6265, section 5.4).
_CREDENTIALS: Final = ("Authorization", "Proxy-Authorization", "Cookie")
# Where a request remembers what the hook set: httpx hands extensions on to a redirected request.
_SET_BY_HOOK: Final = "asapfn.authorization"

# For connecting, reading, writing, and waiting for a connection of the pool.
_Timeouts = tuple[float, None, None, None]


class OutgoingRequest(Protocol):
    """What is used of a request of httpx or httpx2."""

    method: str
    url: Any

    @property
    def headers(self) -> MutableMapping[str, str]:
        """The header fields, by names whose case does not matter."""
        ...

    @property
    def extensions(self) -> MutableMapping[str, Any]:
        """What a request carries beside its message."""
        ...


class IncomingResponse(Protocol):
    """What is used of a response of httpx or httpx2."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields, by names whose case does not matter."""
        ...

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """The body in pieces, as it was sent."""
        ...

    async def aclose(self) -> None:
        """Let go of the connection."""
        ...


_Request = TypeVar("_Request", bound=OutgoingRequest)


class Client(Protocol[_Request]):
    """What is used of an `AsyncClient` of httpx or httpx2."""

    def build_request(
        self, method: str, url: str, *, headers: Mapping[str, str], timeout: _Timeouts
    ) -> _Request:
        """Make a request, with what the client adds to every one."""
        ...

    async def send(
        self, request: _Request, *, stream: bool, auth: None, follow_redirects: bool
    ) -> IncomingResponse:
        """Send it, and wait for the head of the answer."""
        ...


class RequestAuth(Protocol):
    """A function for the `auth=` of httpx's and httpx2's clients."""

    def __call__(self, request: _Request, /) -> _Request:
        """Put the header on a request."""
        ...


class RequestHook(Protocol):
    """An async function for the `event_hooks={"request": [...]}` of an `AsyncClient`."""

    async def __call__(self, request: OutgoingRequest, /) -> None:
        """Put the header on a request, if it may have it."""
        ...


def fetcher(client: Client[_Request], *, timeout: float = 5.0, max_bytes: int = 65_536) -> Fetch:
    """Fetch keys through a client of httpx or httpx2.

    Only https is spoken, no redirect is followed whatever the client is set to, and no credentials
    are sent: not the client's auth, its cookies, its `Authorization` header or its query
    parameters. What a server sets is kept in the client's jar, as httpx has no other way: give the
    fetcher a client of its own.

    Args:
        client: An open `AsyncClient`. It decides which certificates are trusted; it stays the
            caller's to close.
        timeout: Seconds for the whole of it, from the connection to the last byte; of TCP and TLS
            each may take half. The client's own time-outs do not apply.
        max_bytes: The most bytes a body may have.

    Returns:
        A `Fetch`: given a URL and what to `Accept`, it brings the answer, whatever its status. It
        raises `Unavailable` when there is no whole answer, it is too large or encoded, or the
        client raises anything, and `ValueError` for a URL that is not https, names no host or
        holds a user.

    Raises:
        TypeError: If the client is not async.
        ValueError: If a limit is not positive.
    """
    if not inspect.iscoroutinefunction(client.send):
        raise TypeError("fetcher needs an AsyncClient: this client's send is not async")
    if not timeout > 0 or not max_bytes > 0:
        raise ValueError("timeout and max_bytes must be positive")
    # httpcore loses a socket that is cancelled in its TLS handshake, but not one that times out
    # there: so connecting, which may take this twice, is over before the deadline.
    timeouts = (timeout / 2, None, None, None)

    async def fetch(url: str, accept: str) -> Document:
        source = _source(url)
        wanted = {"Accept": accept, "Accept-Encoding": "identity"}
        try:
            with anyio.move_on_after(timeout):
                request = client.build_request("GET", url, headers=wanted, timeout=timeouts)
                # The client's base URL and parameters have no say in where a key is.
                request.url = type(request.url)(url)
                for name in _CREDENTIALS:
                    request.headers.pop(name, None)
                response = await client.send(
                    request, stream=True, auth=None, follow_redirects=False
                )
                return await _document(response, source, max_bytes)
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable(source, type(error).__name__) from error
        raise Unavailable(source, f"no whole answer within {timeout} seconds")

    return fetch


def auth(authorize: Authorize) -> RequestAuth:
    """Put an `Authorization` header on the requests of a client, or on one.

    httpx asks for it once a request, and itself takes the header off when a redirect leads to
    another origin. It keeps it where a redirect stays within the origin, or leads from port 80 of
    a host to port 443 of the same. Every origin that the client is sent to gets a token, but of
    `connect.authorizer`, which raises ValueError: where those are not known beforehand, use
    `request_hook`.

    Args:
        authorize: Makes the header from the method and the URL as it is sent.

    Returns:
        A function for `auth=` of `Client` and `AsyncClient`, or of one of their requests.
    """

    def authenticate(request: _Request, /) -> _Request:
        header: object = authorize(request.method, _sent_url(request))
        if not isinstance(header, str):
            if inspect.iscoroutine(header):
                header.close()
            raise TypeError("auth takes a plain function: give an async one to request_hook")
        request.headers["Authorization"] = header
        return request

    return authenticate


def request_hook(
    authorize: Authorize | Callable[[str, str], Awaitable[str]], *, origins: Names
) -> RequestHook:
    """Put an `Authorization` header on an `AsyncClient`'s requests to some origins.

    httpx runs the hook on every request and again after each redirect. A request to another origin
    gets no header, and loses the one the hook gave it; a header that the user set on it stays.

    Args:
        authorize: Makes the header from the method and the URL as it is sent; it may be async.
        origins: Where a token may go: `scheme://host[:port]`, one or several. Case does not
            matter and a default port may be left out. Only where an origin says http is a token
            sent in the clear.

    Returns:
        A hook for `AsyncClient(event_hooks={"request": [hook]})`.

    Raises:
        TypeError: If an origin is not a str.
        ValueError: If there is no origin, or one has a path, a user, no scheme, or a scheme other
            than http and https.
    """
    allowed = parse_origins(origins)

    async def hook(request: OutgoingRequest, /) -> None:
        ours = request.extensions.pop(_SET_BY_HOOK, None)
        if origin_of(_sent_origin(request)) in allowed:
            header = authorize(request.method, _sent_url(request))
            header = header if isinstance(header, str) else await header
            request.headers["Authorization"] = request.extensions[_SET_BY_HOOK] = header
        elif ours is not None and request.headers.get("Authorization") == ours:
            # httpx leaves the header on when a redirect upgrades http to https.
            del request.headers["Authorization"]

    return hook


async def _document(response: IncomingResponse, source: str, max_bytes: int) -> Document:
    headers = response.headers
    try:
        encoding = headers.get("Content-Encoding", "identity")
        if encoding.strip().lower() not in ("", "identity"):
            raise Unavailable(source, "the answer is encoded, though identity was asked for")
        length = headers.get("Content-Length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > max_bytes):
            raise Unavailable(source, f"the answer is larger than {max_bytes} bytes")
        body = await _body(response, source, max_bytes)
    finally:
        await response.aclose()
    kept = freshness(headers.get("Cache-Control", ""), headers.get("Age", ""))
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Document(response.status_code, media_type, body, *kept)


async def _body(response: IncomingResponse, source: str, max_bytes: int) -> bytes:
    body = bytearray()
    # Leaving the loop early would leave httpx's generators unfinished, which trio warns of: what is
    # too large is cut off by cancelling the next read instead.
    with anyio.CancelScope() as reading:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > max_bytes:
                body.clear()
                reading.cancel()
    if reading.cancel_called:
        raise Unavailable(source, f"the answer is larger than {max_bytes} bytes")
    return bytes(body)


def _source(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        # Its message would quote the host, with a password before it.
        raise ValueError("keys are fetched by https only: this URL names no host") from None
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("keys are fetched by https only: give a URL of https://host/path")
    if "@" in parts.netloc:
        raise ValueError("a URL that keys are fetched from holds no user or password")
    return f"https://{parts.netloc}{parts.path}"


def _sent_origin(request: OutgoingRequest) -> str:
    # netloc holds no user or password.
    return f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"


def _sent_url(request: OutgoingRequest) -> str:
    return _sent_origin(request) + str(request.url.raw_path.decode("ascii"))
