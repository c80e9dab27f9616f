"""A resource server: FastAPI, and endpoints that say who may call them.

export ASAP_PUBLIC_KEY_REPOSITORY_URL=https://keys.example/ ASAP_SERVER_AUDIENCE=billing
uvicorn fastapi_server:app --workers 4
"""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, WebSocket

from asapfn import Token, asap, bearer
from asapfn.adapters.fastapi import REFUSALS, requires
from asapfn.adapters.httpx import fetcher
from asapfn.guards import issuer_is_one_of

authenticate = bearer(asap.verifier_from_env(fetcher()))
Caller = Annotated[Token, Depends(requires(authenticate))]
Orders = Annotated[Token, Depends(requires(authenticate, issuer_is_one_of("orders")))]

app = FastAPI()
api = APIRouter(responses=REFUSALS)


@app.get("/health")
async def health() -> str:
    return "well"


@api.get("/invoices")
async def invoices(caller: Caller) -> str:
    return f"Hello, {caller.claims['iss']}."


@api.post("/refunds")
async def refunds(caller: Orders) -> str:
    return f"Refunded, {caller.claims['iss']}."


@api.websocket("/events")
async def events(websocket: WebSocket, caller: Caller) -> None:
    await websocket.accept()
    await websocket.send_text(f"Hello, {caller.claims['iss']}.")
    await websocket.close()


app.include_router(api)
