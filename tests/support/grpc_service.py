"""A gRPC service behind tokens, and clients of it: good ones, and one that speaks bare HTTP/2.

Each of the four kinds of method is there as async functions and as plain ones, which gRPC runs in
threads: it answers each message with its caller's issuer.
"""

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
from grpc import aio

from asapfn.adapters.grpc import token
from tests.support.servers import authority, trusting

SERVICE = "test.Who"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
# What reached a method.
REACHED: list[str] = []


def _who(message: str) -> str:
    REACHED.append(message)
    return f"{message}: {token().claims['iss']}"


async def unary_unary(request: str, context: Any) -> str:
    return _who(request)


async def unary_stream(request: str, context: Any) -> AsyncIterator[str]:
    for part in request.split():
        yield _who(part)


async def stream_unary(requests: Any, context: Any) -> str:
    return " ".join([_who(request) async for request in requests])


async def stream_stream(requests: Any, context: Any) -> AsyncIterator[str]:
    async for request in requests:
        yield _who(request)


def plain_unary_unary(request: str, context: Any) -> str:
    return _who(request)


def plain_unary_stream(request: str, context: Any) -> Iterator[str]:
    for part in request.split():
        yield _who(part)


def plain_stream_unary(requests: Iterator[str], context: Any) -> str:
    return " ".join(map(_who, requests))


def plain_stream_stream(requests: Iterator[str], context: Any) -> Iterator[str]:
    yield from map(_who, requests)


async def written_unary_stream(request: str, context: Any) -> None:
    """Answer by `context.write`, gRPC's other way for an async method."""
    for part in request.split():
        await context.write(_who(part))


def _methods() -> dict[str, Any]:
    methods = {}
    for kind in KINDS:
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        for name in (kind, f"plain_{kind}", f"written_{kind}"):
            if function := globals().get(name):
                methods[name] = make(function, bytes.decode)
    return methods


@contextlib.asynccontextmanager
async def grpc_server(
    *interceptors: Any, methods: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[str]:
    """Serve the methods over TLS.

    Args:
        interceptors: The server's.
        methods: Other methods.
        options: gRPC's own, such as `max_metadata_size`.

    Yields:
        Where it is, such as `localhost:43567`.
    """
    named = [(f"grpc.{name}", value) for name, value in options.items()]
    server = aio.server(interceptors=interceptors, options=named)
    handler = grpc.method_handlers_generic_handler(SERVICE, methods or _methods())
    server.add_generic_rpc_handlers((handler,))
    port = server.add_secure_port("127.0.0.1:0", server_credentials())
    await server.start()
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop(0)


def server_credentials() -> Any:
    issued = authority().issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])


def channel_credentials(*more: Any) -> Any:
    tls = grpc.ssl_channel_credentials(authority().cert_pem.bytes())
    return grpc.composite_channel_credentials(tls, *more) if more else tls


def channel(where: str, *more: Any) -> Any:
    """A channel of `grpc.aio`, over TLS, with call credentials."""
    return aio.secure_channel(where, channel_credentials(*more))


def begin(
    channel: Any,
    name: str,
    messages: str,
    metadata: Sequence[tuple[str, Any]] = (),
    silent: bool = False,
    **more: Any,
) -> Any:
    """Begin a call of a method of any kind; a silent stream sends no message and does not end."""
    kind = "_".join(name.split("_")[-2:])
    streams = kind.startswith("stream")
    asked: Any = iter(messages.split()) if streams else messages
    method = getattr(channel, kind)(
        f"/{SERVICE}/{name}", request_serializer=str.encode, response_deserializer=bytes.decode
    )
    asked = () if streams and silent else (asked,)
    return method(*asked, metadata=tuple(metadata), timeout=60, **more)


async def call(channel: Any, name: str, *arguments: Any, **more: Any) -> list[str]:
    """Call a method of any kind, and have its answers."""
    answer = begin(channel, name, *arguments, **more)
    return [each async for each in answer] if name.endswith("stream") else [await answer]


def by_http2(
    where: str, name: str, headers: Sequence[tuple[bytes, bytes]], body: bytes | None = None
) -> dict[str, str]:
    """Call a method by HTTP/2 alone, with header fields that no client of gRPC would send.

    Args:
        where: The server.
        name: The method.
        headers: The fields after those that gRPC needs.
        body: A message with its prefix; None to send none, and to leave the stream open.

    Returns:
        All header fields and trailers of the answer; empty where the server closes the stream or
        the connection without one.
    """
    host, port = where.split(":")
    tls = trusting()
    tls.set_alpn_protocols(["h2"])
    settings = h2.config.H2Configuration(
        header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(settings)
    connection.initiate_connection()
    fields = {
        ":method": "POST",
        ":scheme": "https",
        ":authority": where,
        ":path": f"/{SERVICE}/{name}",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    first = [(name.encode(), value.encode()) for name, value in fields.items()]
    connection.send_headers(1, [*first, *headers])
    if body is not None:
        connection.send_data(1, body, end_stream=True)
    answer: dict[str, str] = {}
    with (
        socket.create_connection((host, int(port)), timeout=60) as plain,
        tls.wrap_socket(plain, server_hostname=host) as peer,
    ):
        peer.sendall(connection.data_to_send())
        while received := peer.recv(65_536):
            for event in connection.receive_data(received):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    answer.update(event.headers)
                if isinstance(
                    event,
                    (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated),
                ):
                    return answer
            peer.sendall(connection.data_to_send())
    return answer
