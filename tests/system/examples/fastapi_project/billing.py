"""Billing, with FastAPI: orders and shipping call it, and of them shipping refunds.

uvicorn --factory billing:serve
"""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel

from asapfn import Clock, Resolver, Token, asap, bearer
from asapfn.adapters.fastapi import REFUSALS, requires
from asapfn.adapters.httpx import fetcher
from asapfn.checks import claims_fit
from asapfn.guards import issuer_is_one_of


class Caller(BaseModel):
    """What billing reads of a token."""

    iss: str
    team: str = "no team"


def make_app(resolver: Resolver, *, now: Clock = time.time) -> FastAPI:
    """Make the application, for keys from anywhere."""
    verify = asap.verifier(resolver, "billing", issuers=["orders", "shipping"], now=now)
    authenticate = bearer(verify)
    verified = requires(authenticate, claims_fit(Caller.model_validate))
    refunding = Depends(requires(authenticate, issuer_is_one_of("shipping")))
    app, api = FastAPI(), APIRouter(responses=REFUSALS)

    def caller(token: Annotated[Token, Depends(verified)]) -> Caller:
        return Caller.model_validate(token.claims)

    @app.get("/health")
    async def health() -> str:
        return "well"

    @api.get("/invoices")
    async def invoices(caller: Annotated[Caller, Depends(caller)]) -> str:
        return f"Hello, {caller.iss} of {caller.team}."

    @api.post("/refunds", dependencies=[refunding])
    async def refunds() -> str:
        return "Refunded."

    app.include_router(api)
    return app


def serve() -> FastAPI:
    """Make the application as it runs, with the keys of the key repository."""
    return make_app(asap.repository("https://keys.example/", fetcher()))
