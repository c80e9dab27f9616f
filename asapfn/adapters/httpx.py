"""httpx, and its successor httpx2: keys are fetched through it, tokens are sent with it.

`fetcher` is the way to the network: it asks exactly for the URL it is given, once, with no
credentials but the caller's own `headers`, and reads no more and no longer than it may. It waits
for its turn by `_fetch_places`, asks by `_fetch_request` and reads by `_fetch_response`. `auth` and
`request_hook` put a token on the requests the user sends. All three are typed by what they use of
a client and a request, so that neither package need be imported here.
"""

import inspect
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import anyio
from anyio import to_thread
from anyio.lowlevel import current_token

from asapfn._core.credentials import TOKEN
from asapfn._core.destinations import Origin, origin_of, parse_origins
from asapfn.adapters._causes import described
from asapfn.adapters._fetch_places import Places, acquire, release
from asapfn.adapters._fetch_request import (
    Client,
    OutgoingRequest,
    Progress,
    SomeRequest,
    closing_if_cut_off,
    in_own_task,
    pool_size,
    send,
)
from asapfn.adapters._fetch_response import read
from asapfn.errors import Unavailable
from asapfn.types import Authorize, Document, Fetch, Names

__all__ = ["auth", "fetcher", "request_hook"]

# What of a client's own header fields goes with a fetch: any other may hold a credential.
_NEEDED: Final = frozenset(("host", "user-agent", "accept", "accept-encoding", "connection"))
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
# Shorter values of header fields count as no secret: by chance, they are in the texts of errors.
_LEAST_SECRET: Final = 4
# Where a request remembers what the hook set: httpx hands extensions on to a redirected request.
_SET_BY_HOOK: Final = "asapfn.authorization"
# All origins together have this many times the places of one, so that one that hangs leaves some.
_ORIGINS: Final = 4


class RequestAuth(Protocol):
    """A function for the `auth=` of httpx's and httpx2's clients."""

    def __call__(self, request: SomeRequest, /) -> SomeRequest:
        """Put the header on a request."""
        ...


class RequestHook(Protocol):
    """An async function for the `event_hooks={"request": [...]}` of an `AsyncClient`."""

    async def __call__(self, request: OutgoingRequest, /) -> None:
        """Put the header on a request, if it may have it."""
        ...


@dataclass(slots=True)
class _Fetcher:
    """A fetcher's options and its state.

    Attributes:
        client: The caller's; None to open one for each request.
        sockets: The TLS streams that were opened, and their origins.
        owner: The event loop that used the caller's client first. `setdefault` is atomic.
        trusted: The client package, and its trusted certificates, once they were needed.
    """

    client: Client[Any] | None = field(repr=False)
    places: Places
    timeout: float
    max_bytes: int
    headers: Mapping[str, str] = field(repr=False)
    origins: frozenset[Origin] | None
    sockets: WeakKeyDictionary[Any, str] = field(default_factory=WeakKeyDictionary)
    owner: dict[str, object] = field(default_factory=dict)
    trusted: tuple[Any, Any] | None = None


def fetcher(
    client: Client[SomeRequest] | None = None,
    *,
    timeout: float = 5.0,
    max_bytes: int = 65_536,
    headers: Mapping[str, str] | None = None,
    origins: Names | None = None,
    max_concurrent: int = 20,
) -> Fetch:
    """Fetch keys through httpx or httpx2.

    Only https is spoken, and no redirect is followed, whatever a client is set to. No credentials
    are sent but those in `headers`: not the client's auth, its cookies, its query parameters or its
    own header fields, of which `User-Agent` alone is sent. Nothing of an answer is kept: cookies
    are dropped before the client sees them (if it has a transport of another make, give the fetcher
    a client of its own).

    Without a client, each fetch opens a connection of its own, in the event loop that asks, and
    closes it. So one fetcher serves any number of event loops, threads and processes, before and
    after a fork. Which certificates are trusted, and through which proxy to go, is httpx's default
    and read from the environment (`SSL_CERT_FILE`, `HTTPS_PROXY`).

    A client of the caller's is for what that cannot do: connections that are kept, client
    certificates, another trust. Give the fetcher one of its own, for one event loop. With HTTP/2
    a request that is cancelled may fail those that share its connection. Through a proxy httpx
    loses a pool's place with each TLS handshake that fails or is cancelled: there, pass no client.

    Args:
        client: An open `AsyncClient`; it stays the caller's to close.
        timeout: Seconds for the whole of it, from waiting for a place to the last byte. The
            client's own time-outs do not apply.
        max_bytes: The most bytes a body may have. gzip and deflate are decoded within it.
        headers: Header fields for every request, such as `User-Agent`, or the credentials of a
            repository that asks for them. Without `origins` they are sent to every URL that is
            fetched: name those, or use a fetcher of its own for each repository that has
            credentials.
        origins: Where `headers` may go: `scheme://host[:port]`, one or several. Other URLs are
            fetched without them, such as where an OpenID provider's metadata points.
        max_concurrent: How many fetches of one origin run at once in an event loop, beside up to
            twice as many that hang; of all origins four times as many, and never more than a
            client's pool has places. The others wait within their `timeout`, and the newest goes
            first.

    Returns:
        A `Fetch`: given a URL and what to `Accept`, it brings the answer, whatever its status. It
        raises `Unavailable`, with the cause as its detail, when there is no whole answer, it is a
        redirect, too large or encoded in another way, or the client raises anything; and
        `ValueError` for a URL that is not https, names no host or holds a user.

    Raises:
        TypeError: If the client is not async, or an origin is not a str.
        ValueError: If a limit is not positive and finite, a header's name is no token, its value is
            not ASCII, holds a control character, or begins or ends with a space, or one of
            `origins` is no origin.
    """
    if client is not None and not inspect.iscoroutinefunction(client.send):
        raise TypeError("fetcher needs an AsyncClient: this client's send is not async")
    if isinstance(client, type):
        raise TypeError(f"fetcher needs an open client, not the class: {client.__name__}()")
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be positive and finite seconds, not {timeout!r}")
    if not max_bytes >= 1 or not max_concurrent >= 1:
        raise ValueError("max_bytes and max_concurrent must be positive")
    _require_headers(headers or {})
    places = pool_size(client)
    made = _Fetcher(
        client,
        Places(min(max_concurrent, places), min(_ORIGINS * max_concurrent, places), timeout),
        timeout,
        max_bytes,
        dict(headers or {}),
        None if origins is None else parse_origins(origins),
    )
    return partial(_fetch, made)


def _require_headers(headers: Mapping[str, str]) -> None:
    """Refuse what a client would refuse with each request, quoting it."""
    if not all(re.fullmatch(TOKEN, name) for name in headers):
        raise ValueError("a header's name is a token, such as X-Api-Key: no spaces, no colon")
    for value in headers.values():
        if _CONTROLS.search(value):
            raise ValueError(
                "headers must hold no control characters, such as the newline of a file"
            )
        if not value.isascii() or value != value.strip(" "):
            raise ValueError("a header's value is ASCII, and neither begins nor ends with a space")


async def _fetch(made: _Fetcher, url: str, accept: str, /) -> Document:
    """Fetch once, within the deadline."""
    source, origin, secrets = _source(url)
    progress = Progress(origin, made.sockets)

    async def ask() -> Document:
        async with _client(made) as client, closing_if_cut_off(client, progress):
            response = await send(client, _request(client, made, url, accept), progress)
            return await read(response, source, made.max_bytes)

    try:
        with anyio.move_on_after(made.timeout):
            place, answered = await acquire(made.places, origin), False
            try:
                document = await in_own_task(ask, progress)
                answered = True
                return document
            finally:
                release(made.places, place, answered=answered)
    except Unavailable:
        raise
    except Exception as error:
        values = (each for each in made.headers.values() if len(each) >= _LEAST_SECRET)
        detail = described(error, *secrets, *values)
    else:
        detail = f"no whole answer within {made.timeout:g} seconds: {progress.phase}"
    # Outside of the `except`: the client's errors hold the request, and so its credentials.
    raise Unavailable(source, detail)


@asynccontextmanager
async def _client(made: _Fetcher) -> AsyncIterator[Client[Any]]:
    """The caller's client, for the event loop that asks first; or a client for this request alone.

    Those for one request share nothing but the trusted certificates.
    """
    if made.client is not None:
        if made.owner.setdefault("loop", current_token()) != current_token():
            raise RuntimeError(
                "the client's connections belong to the event loop that used it first: "
                "use fetcher() without a client, or a client for each event loop"
            )
        yield made.client
        return
    if made.trusted is None:
        # No lock is held: a fork at the wrong time would leave it locked.
        made.trusted = await to_thread.run_sync(_package_and_trust)
    package, trust = made.trusted
    client = package.AsyncClient(verify=trust, timeout=None)
    try:
        yield client
    finally:
        with anyio.CancelScope(shield=True):
            await client.aclose()


def _package_and_trust() -> tuple[Any, Any]:
    """The client package that is installed, fully imported, and its trusted certificates."""
    try:
        package = import_module("httpx")
    except ImportError:
        package = import_module("httpx2")
    try:
        trust = package.create_ssl_context()
    except OSError as error:
        fault = f"SSL_CERT_FILE or SSL_CERT_DIR: {described(error)}"
    else:
        try:
            package.AsyncClient(verify=trust)
        except ImportError as error:
            fault = str(error)
        except Exception as error:
            # Not quoted: where it is malformed, a part of a password may be taken for the port.
            fault = f"HTTPS_PROXY or ALL_PROXY is not a proxy's URL: {type(error).__name__}"
        else:
            return package, trust
    raise RuntimeError(fault)


def _request(client: Client[Any], made: _Fetcher, url: str, accept: str) -> OutgoingRequest:
    wanted = {"Accept": accept, "Accept-Encoding": "identity"}
    request: OutgoingRequest = client.build_request("GET", url, headers=wanted, timeout=None)
    # The client's base URL and query parameters must not change the URL.
    request.url = type(request.url)(url)
    for name in [each for each in request.headers if each.lower() not in _NEEDED]:
        del request.headers[name]
    request.headers["Host"] = request.url.netloc.decode("ascii")
    if made.origins is None or origin_of(_sent_origin(request)) in made.origins:
        request.headers.update(made.headers)
    request.headers["Accept"] = accept
    return request


def auth(authorize: Authorize) -> RequestAuth:
    """Put an `Authorization` header on the requests of a client, or on one.

    httpx asks for it once a request, and itself removes the header when a redirect leads to
    another origin. It keeps it where a redirect stays within the origin, or leads from port 80 of
    a host to port 443 of the same. Every origin that the client is sent to gets a token, but of
    `connect.authorizer`, which raises ValueError: where those are not known beforehand, use
    `request_hook`.

    Args:
        authorize: Makes the header from the method and the URL as it is sent.

    Returns:
        A function for `auth=` of `Client` and `AsyncClient`, or of one of their requests.
    """

    def authenticate(request: SomeRequest, /) -> SomeRequest:
        header: object = authorize(request.method, _sent_url(request))
        if not isinstance(header, str):
            if inspect.iscoroutine(header):
                header.close()
            raise TypeError("auth needs a plain function: give an async one to request_hook")
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


def _source(url: str) -> tuple[str, str, tuple[str, str]]:
    """A URL's name in errors, its origin, and what of it is not to be quoted."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")  # raised below: this message would quote the host, and a password
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("keys are fetched by https only: give a URL of https://host/path")
    if "@" in parts.netloc:
        raise ValueError("a URL that keys are fetched from holds no user or password")
    named = f"https://{parts.netloc}{parts.path}"
    return named, parts.netloc.lower(), (parts.query, parts.fragment)


def _sent_origin(request: OutgoingRequest) -> str:
    # netloc holds no user or password.
    return f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"


def _sent_url(request: OutgoingRequest) -> str:
    return _sent_origin(request) + str(request.url.raw_path.decode("ascii"))
