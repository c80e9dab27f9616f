"""A resource server: FastAPI behind ASAP tokens, and endpoints that say who may call them.

export ASAP_PUBLIC_KEY_REPOSITORY_URL=https://keys.example/ ASAP_SERVER_AUDIENCE=billing
uvicorn fastapi_server:app --workers 4
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request

from asapfn import asap, bearer
from asapfn.adapters.asgi import protect
from asapfn.adapters.httpx import fetcher

client = httpx.AsyncClient()
verify = asap.verifier_from_env(fetcher(client))


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with client:
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(protect, authenticate=bearer(verify))


def one_of(*issuers: str) -> Callable[[Request], str]:
    """Make a dependency that gives the caller's name, and refuses all but these."""

    def caller(request: Request) -> str:
        issuer = str(request.scope["asapfn.token"].claims["iss"])
        if issuer not in issuers:
            raise HTTPException(403, "this caller may not do that")
        return issuer

    return caller


@app.get("/invoices")
async def invoices(caller: Annotated[str, Depends(one_of("orders", "shipping"))]) -> str:
    return f"Hello, {caller}."


@app.post("/refunds")
async def refunds(caller: Annotated[str, Depends(one_of("orders"))]) -> str:
    return f"Refunded, {caller}."
