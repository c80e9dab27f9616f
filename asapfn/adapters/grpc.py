"""gRPC, by `grpc.aio`: a server's interceptor that verifies tokens, and a client's credentials.

The decision and the reports are those of `asgi.protect`; a refusal is a status of gRPC with a fixed
text. `grpc.aio` is of asyncio alone, so on trio there is no server and no client to use them with.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, Final

from asapfn._core.reporting import LOGGER
from asapfn.adapters._incoming import RETRY_AFTER, Options, decide
from asapfn.errors import DESCRIPTIONS, TokenRejected, Unavailable
from asapfn.types import Authenticate, Authorize, ObserveRequest, Request, Token, Unless

try:
    import grpc
    from grpc import aio
except ModuleNotFoundError as _missing:
    raise ImportError('asapfn.adapters.grpc needs gRPC: pip install "asapfn[grpc]"') from _missing

__all__ = ["call_credentials", "interceptor", "token"]

_TOKEN: Final[ContextVar[Token | None]] = ContextVar("asapfn.token", default=None)
_END: Final = object()
_STATUS: Final = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    503: grpc.StatusCode.UNAVAILABLE,
}
# By whether requests and responses are streams: the attribute of a method that has its function,
# and what makes a method from such a function.
_KINDS: Final[dict[tuple[bool, bool], tuple[str, Callable[..., Any]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}

# gRPC's RpcMethodHandler, which is generic only in its stubs.
_Method = Any


def interceptor(
    authenticate: Authenticate,
    *,
    unless: Unless | None = None,
    observe: ObserveRequest | None = None,
) -> aio.ServerInterceptor:
    """Let only calls with a good token reach a server's methods.

        server = grpc.aio.server(interceptors=[interceptor(bearer(verify))])

    A method, async or not, gets the verified token by `token()`. Other calls are ended before a
    message is read, whether the server has the method or not: 401 is UNAUTHENTICATED, 403 is
    PERMISSION_DENIED and 503 UNAVAILABLE, with the reason and its description as details, such as
    `expired: The token has expired`. With UNAVAILABLE a client that retries is asked to wait, by
    `grpc-retry-pushback-ms`.

    `authenticate` gets a `Request` of what gRPC sends over HTTP/2: its method is POST, its target
    the full name of the method, `/billing.Invoices/List`, and its headers are the metadata without
    the binary entries, whose keys end in `-bin`. To demand more of the callers of one method, let
    a function choose by the target.

    gRPC's own limit comes first: of metadata of more than 8 KiB (`grpc.max_metadata_size`) it
    refuses some, and of more than 16 KiB all.

    Args:
        authenticate: Says who made a call, such as `bearer(verify)`.
        unless: Names the calls that need no token, by POST and the full name of their method, such
            as `lambda _, name: name == "/grpc.health.v1.Health/Check"`; see `types.Unless`. They
            are not reported.
        observe: Called with a `Verdict` for each other call. Refusals and outages are logged in any
            case, to the logger `asapfn`.

    Returns:
        An interceptor for `grpc.aio.server`; `grpc.server` cannot run it. Put it first: what comes
        before it sees calls of anybody. What `authenticate`, `unless` or `observe` raise beside a
        refusal is logged as an error, and the call ended with INTERNAL and none of its text, which
        gRPC would send.
    """
    options = Options("Bearer", observe=observe, unless=unless)

    class TokenInterceptor(aio.ServerInterceptor):
        """What gRPC calls, which asks for a class of its own."""

        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> _Method:
            try:
                asked = _request(handler_call_details)
                outcome = await decide(authenticate, options, {}, asked, asked.target)
            except Exception:
                LOGGER.exception("asapfn: a call of gRPC could not be decided about")
                return _ending(grpc.StatusCode.INTERNAL, "internal error")
            if isinstance(outcome, (TokenRejected, Unavailable)):
                return _refusing(outcome)
            # gRPC runs the method in the task in which it runs this.
            _TOKEN.set(outcome)
            return _in_this_context(await continuation(handler_call_details))

    return TokenInterceptor()


def token() -> Token:
    """The verified token of the call that gRPC serves.

    Returns:
        The token.

    Raises:
        RuntimeError: If there is none: the server has no `interceptor`, its `unless` exempts this
            method, or this is no method of a server.
    """
    verified = _TOKEN.get()
    if verified is None:
        raise RuntimeError(
            "there is no verified token: expected this to run in a method of a server that has"
            " asapfn.adapters.grpc.interceptor(...), and not to be exempt by its unless="
        )
    return verified


def call_credentials(authorize: Authorize) -> grpc.CallCredentials:
    """Put a token on a client's calls.

        tls = grpc.ssl_channel_credentials()
        mine = call_credentials(asap.authorizer(sign, "billing"))
        channel = grpc.aio.secure_channel(
            "billing.example", grpc.composite_channel_credentials(tls, mine)
        )

    They are for a channel, or for one call (`credentials=`), of `grpc.aio` and of `grpc` alike.
    gRPC sends them over TLS alone.

    Args:
        authorize: Makes the `authorization` entry of each call, from POST and the URL of its
            method, such as `https://billing.example/billing.Invoices/List`; the port is there
            where it is not 443. gRPC calls it in threads of its own. What it raises fails the
            call.

    Returns:
        The credentials.
    """

    def plugin(
        context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback
    ) -> None:
        header: object = authorize("POST", f"{context.service_url}/{context.method_name}")
        if not isinstance(header, str):
            raise TypeError(f"authorize returned {type(header).__name__}, not a str")
        callback((("authorization", header),), None)

    # gRPC's types want an instance of a class, and its documentation a function.
    made: Any = plugin
    return grpc.metadata_call_credentials(made, name="asapfn")


def _request(details: grpc.HandlerCallDetails) -> Request:
    """A call as authentication sees it."""
    entries: Any = details.invocation_metadata
    headers = tuple((key, value) for key, value in entries if isinstance(value, str))
    return Request("POST", details.method, headers)


def _refusing(error: TokenRejected | Unavailable) -> _Method:
    """A method that ends each call with a refusal, made from fixed texts alone."""
    status = _STATUS[error.status]
    if isinstance(error, TokenRejected):
        return _ending(status, f"{error.reason}: {DESCRIPTIONS[error.reason]}")
    pause = ("grpc-retry-pushback-ms", str(RETRY_AFTER * 1000))
    return _ending(status, "unavailable: Try again later", pause)


def _ending(status: grpc.StatusCode, text: str, *trailing: tuple[str, str]) -> _Method:
    """A method that ends each call, whatever its kind."""

    async def end(requests: object, context: Any) -> None:
        await context.abort(status, text, trailing)

    # For methods of the other kinds, gRPC reads a message before it calls them.
    return grpc.stream_stream_rpc_method_handler(end)


def _in_this_context(method: _Method | None) -> _Method | None:
    """The method; if gRPC runs its function in a thread, it gets this task's context there."""
    if method is None:
        return None  # the server has no such method
    name, make = _KINDS[method.request_streaming, method.response_streaming]
    function = getattr(method, name)
    if iscoroutinefunction(function) or isasyncgenfunction(function):
        return method
    context = copy_context()

    def stream(*arguments: Any) -> Iterator[Any]:
        responses = iter(context.run(function, *arguments))
        while (response := context.run(next, responses, _END)) is not _END:
            yield response

    in_context = stream if method.response_streaming else partial(context.run, function)
    return make(in_context, method.request_deserializer, method.response_serializer)
