"""A client that proves who it is, to one service and to nobody else.

export ASAP_PRIVATE_KEY=data:... ASAP_ISSUER=orders ASAP_AUDIENCE=billing
python httpx_client.py https://billing.example /invoices
"""

import sys

import anyio
import httpx

from asapfn import asap
from asapfn.adapters.httpx import request_hook

sign = asap.signer_from_env()


def authorize(method: str, url: str) -> str:
    return f"Bearer {sign(None)}"


async def main(service: str, path: str) -> None:
    hook = request_hook(authorize, origins=service)
    async with httpx.AsyncClient(
        base_url=service, event_hooks={"request": [hook]}, follow_redirects=True, timeout=30
    ) as client:
        response = await client.get(path)
        print(response.status_code, response.text)


anyio.run(main, *sys.argv[1:])
