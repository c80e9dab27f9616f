"""One request through a client of httpx or httpx2, which may be cancelled at any time.

httpcore, which both packages send through, loses the pool's place of a request that is cancelled
between being given a connection and connecting, or between the TLS handshake and the request
(encode/httpcore#1093), and on asyncio the socket of a TLS handshake that is cancelled. So a request
is sent in a task of its own, where only this module's cancel scope can cancel it (a native
`asyncio.Task.cancel` passes every scope), and that scope is shielded but for the steps in which
httpcore cleans up after a cancellation: it reports where they begin and end through the `trace`
extension. A socket that was opened for a handshake that did not end is closed here.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakKeyDictionary

import anyio

# How long a cancelled request may wait for a step in which it can be torn down. It matters only
# where it waits in the pool of a client that others use too, or in the client's own hooks.
_GRACE: Final = 1.0

_PHASES: Final = {
    "connect_tcp": "connecting",
    "start_tls": "in the TLS handshake",
    "send_request_headers": "sending the request",
    "receive_response_headers": "waiting for the answer",
}

_T = TypeVar("_T")


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


SomeRequest = TypeVar("SomeRequest", bound=OutgoingRequest)


class Client(Protocol[SomeRequest]):
    """What is used of an `AsyncClient` of httpx or httpx2."""

    def build_request(
        self, method: str, url: str, *, headers: Mapping[str, str], timeout: None
    ) -> SomeRequest:
        """Make a request, with what the client adds to every one."""
        ...

    async def send(
        self, request: SomeRequest, *, stream: bool, auth: None, follow_redirects: bool
    ) -> IncomingResponse:
        """Send it, and wait for the head of the answer."""
        ...


@dataclass(slots=True)
class Progress:
    """How far a request is.

    Attributes:
        origin: What it is sent to.
        sockets: The TLS streams that were opened, for this request and others, and their origins.
        phase: What it waits for, for the message of a deadline that passed.
        sending: The scope of the client's `send`, shielded where a cancellation would do harm.
        stream: A connection whose TLS handshake has not ended.
        has_head: Whether the head of the answer is there.
        shared: The origin of an HTTP/2 request, which shares its connection with others.
    """

    origin: str = ""
    sockets: WeakKeyDictionary[Any, str] = field(default_factory=WeakKeyDictionary)
    phase: str = "waiting for a place among the fetches under way"
    sending: anyio.CancelScope = field(init=False)
    stream: Any = None
    has_head: bool = False
    shared: Any = None


async def send(
    client: Client[SomeRequest], request: SomeRequest, progress: Progress
) -> IncomingResponse:
    """Send a request, and wait for the head of the answer.

    Args:
        client: Sends it.
        request: The request; it must not be sent twice.
        progress: What is reported on the way.

    Returns:
        The response, which the caller closes.
    """

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        protocol, _, step = event.partition(".")
        if protocol == "http2" and "request" in info:
            progress.shared = info["request"].url.origin
        _trace(progress, step, info)

    progress.phase = "waiting in the client's pool"
    request.extensions["trace"] = trace
    response = None
    try:
        with progress.sending:
            response = await client.send(request, stream=True, auth=None, follow_redirects=False)
            progress.has_head = True
    finally:
        if response is None and progress.stream is not None:
            with anyio.CancelScope(shield=True):
                await progress.stream.aclose()
    while response is None:
        # `sending` was cancelled, so the caller was: this is cancelled at once.
        await anyio.sleep_forever()
    progress.phase = "reading the body"
    return response


@asynccontextmanager
async def closing_if_cut_off(client: object, progress: Progress) -> AsyncIterator[None]:
    """Close the connection of an HTTP/2 request that does not come to its end.

    httpcore counts a stream that was cancelled as open for ever: with 100 of them a connection
    accepts no request any more. It is refused before anything is sent, so that a closed socket
    is not noticed: the pool keeps such a connection until the connection itself is closed.

    Args:
        client: The client that sends the request.
        progress: What is reported of the request.
    """
    try:
        yield
    except BaseException:
        if progress.shared is not None:
            with anyio.CancelScope(shield=True):
                for connection in _connections(client):
                    shared = connection.can_handle_request(progress.shared)
                    if shared and "HTTP/2" in connection.info():
                        await connection.aclose()
                # The sockets of connections that the pool has lost are known only here.
                for stream, origin in list(progress.sockets.items()):
                    if origin == progress.origin:
                        await stream.aclose()
        raise


async def in_own_task(work: Callable[[], Awaitable[_T]], progress: Progress) -> _T:
    """Run a request in a task that ends before this function does, whatever happens to its caller.

    Args:
        work: The request.
        progress: How far it is.

    Returns:
        What `work` returns.

    Raises:
        RuntimeError: If the event loop cancelled the task alone, as it does where it is closed.
    """
    progress.sending = anyio.CancelScope(shield=True)
    results: list[_T] = []
    errors: list[Exception] = []
    ended = anyio.Event()

    async def run() -> None:
        try:
            results.append(await work())
        except Exception as error:
            errors.append(error)
        finally:
            ended.set()

    request = run()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.create_task(request)
            try:
                await ended.wait()
            except BaseException:
                progress.sending.deadline = anyio.current_time() + _GRACE
                raise
    finally:
        if getcoroutinestate(request) == CORO_CREATED:
            # asyncio cancelled the task before its first step, and anyio left this in it.
            request.close()
    if errors:
        # Left in the list it would be part of a cycle, through the frame that its traceback holds.
        raise errors.pop()
    if not results:
        raise RuntimeError("the event loop cancelled the request")
    return results[0]


def pool_size(client: object) -> int:
    """The places of the smallest pool of a client; a very large number where it does not say.

    Args:
        client: An `AsyncClient`, or what is used like one.
    """
    sizes = [getattr(pool, "_max_connections", sys.maxsize) for pool in _pools(client)]
    return max(1, min(sizes))


def _pools(client: object) -> list[object]:
    """The pools of a client, for direct requests and for those through each proxy."""
    transports = [getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()]
    return [getattr(transport, "_pool", None) for transport in transports]


def _connections(client: object) -> list[Any]:
    """All connections of a client."""
    return [each for pool in _pools(client) for each in getattr(pool, "connections", ())]


def _trace(progress: Progress, event: str, info: Mapping[str, Any]) -> None:
    """Shield a request but for the steps that can be cancelled, and keep what must be closed."""
    if progress.has_head:
        return
    step, _, state = event.partition(".")
    if event == "connect_tcp.complete":
        progress.stream = info["return_value"]
    elif event == "start_tls.complete":
        progress.stream = None
        progress.sockets[info["return_value"]] = progress.origin
    elif event == "receive_response_headers.complete":
        # The client would put cookies into its jar, and parse every one of them.
        fields = info["return_value"][-1]
        fields[:] = [each for each in fields if each[0].lower() != b"set-cookie"]
    if state == "started":
        progress.phase = _PHASES.get(step, progress.phase)
    progress.sending.shield = state != "started"
