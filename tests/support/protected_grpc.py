"""The service of `protected`, by gRPC: any method, of the kind that the call's metadata names."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
from grpc import aio

from asapfn import Request, Token
from asapfn.adapters.grpc import interceptor, token
from asapfn.adapters.httpx import fetcher
from tests.support.protected import authenticators, shared_store


async def unary(request: Any, context: Any) -> bytes:
    return str(token().claims["iss"]).encode()


async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
    yield str(token().claims["iss"]).encode()


class AnyMethod(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        kind = dict(details.invocation_metadata)["kind"]
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(stream if kind.endswith("stream") else unary)


async def main(certificate: str) -> None:
    with open(certificate, "rb") as file:
        pem = file.read()
    async with httpx.AsyncClient() as client, shared_store() as shared:
        parts = authenticators(fetcher(client), shared)

        async def authenticate(request: Request) -> Token:
            prefix = "/" + str(request.target).split("/")[1]
            return await parts[prefix if prefix in parts else ""](request)

        server = aio.server(interceptors=[interceptor(authenticate)])
        server.add_generic_rpc_handlers((AnyMethod(),))
        credentials = grpc.ssl_server_credentials([(pem, pem)])
        print("port", server.add_secure_port("127.0.0.1:0", credentials), flush=True)
        await server.start()
        await server.wait_for_termination()


asyncio.run(main(sys.argv[1]))
