"""A service of gRPC, and a client of it: `client` as the first argument makes one call.

export ASAP_PUBLIC_KEY_REPOSITORY_URL=https://keys.example/ ASAP_SERVER_AUDIENCE=billing
python grpc_service.py localhost:8443 certificate.pem

export ASAP_PRIVATE_KEY=data:... ASAP_ISSUER=orders ASAP_AUDIENCE=billing
python grpc_service.py client localhost:8443 authority.pem
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from asapfn import Request, Token, also, asap, bearer
from asapfn.adapters.grpc import call_credentials, interceptor, token
from asapfn.adapters.httpx import fetcher
from asapfn.guards import issuer_is_one_of


async def list_invoices(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for number in (1, 2):
        yield f"invoice {number} of {token().claims['iss']}".encode()


async def refund(request: bytes, context: Any) -> bytes:
    return f"Refunded, {token().claims['iss']}.".encode()


async def health(request: bytes, context: Any) -> bytes:
    return b"well"


# What protoc makes of a .proto file does the same, with messages in place of bytes.
METHODS = {
    "List": grpc.unary_stream_rpc_method_handler(list_invoices),
    "Refund": grpc.unary_unary_rpc_method_handler(refund),
    "Health": grpc.unary_unary_rpc_method_handler(health),
}


async def serve(bind: str, certificate: str) -> None:
    by_anyone = bearer(asap.verifier_from_env(fetcher()))
    by_orders = also(by_anyone, issuer_is_one_of("orders"))

    async def authenticate(request: Request) -> Token:
        """Let any known caller list invoices, and orders alone do all else."""
        listing = request.target == "/billing.Invoices/List"
        return await (by_anyone if listing else by_orders)(request)

    guarded = interceptor(
        authenticate, unless=lambda _, method: method == "/billing.Invoices/Health"
    )
    server = aio.server(interceptors=[guarded])
    handler = grpc.method_handlers_generic_handler("billing.Invoices", METHODS)
    server.add_generic_rpc_handlers((handler,))
    pem = Path(certificate).read_bytes()
    tls = grpc.ssl_server_credentials([(pem, pem)])
    port = server.add_secure_port(bind, tls)
    await server.start()
    print("port", port, flush=True)
    await server.wait_for_termination()


async def call(service: str, authority: str) -> None:
    sign = asap.signer_from_env()
    mine = call_credentials(lambda method, url: f"Bearer {sign(None)}")
    tls = grpc.ssl_channel_credentials(Path(authority).read_bytes())
    credentials = grpc.composite_channel_credentials(tls, mine)
    async with aio.secure_channel(service, credentials) as channel:
        async for invoice in channel.unary_stream("/billing.Invoices/List")(b""):
            print(invoice.decode())


if sys.argv[1] == "client":
    asyncio.run(call(*sys.argv[2:]))
else:
    asyncio.run(serve(*sys.argv[1:]))
