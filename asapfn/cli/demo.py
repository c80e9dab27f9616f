"""`asapfn demo`: ASAP end to end in one process, every part the one that services use.

Three parties: `orders` calls `billing`, which fetches the key from `keys`. The network is httpx
speaking ASGI in memory, so that the demo needs no port and sends nothing out.
"""

import sys
from typing import Final

import httpx

from asapfn import Authenticate, Key, Request, TokenRejected, Unavailable, bearer, compact, sign
from asapfn.adapters.asgi import ASGIApp, Receive, Scope, Send, key_repository
from asapfn.adapters.httpx import auth, fetcher
from asapfn.cli.style import painter
from asapfn.errors import DESCRIPTIONS, challenge
from asapfn.keys import generate
from asapfn.profiles import asap
from asapfn.replay import in_memory

_URL: Final = "https://billing.example/invoices"


async def run() -> int:
    """Run the demo.

    Returns:
        0 if the good token was accepted, the others refused, and one key fetched; else 1.
    """
    paint, out = painter(sys.stdout), sys.stdout.write
    ours = generate("ES256", kid="orders/2026-11.pem")
    theirs = generate("ES256", kid="mallory/1.pem")
    fetched: list[str] = []

    async def note(request: httpx.Request) -> None:
        fetched.append(f"{request.method} {request.url}")

    published = httpx.ASGITransport(key_repository([ours, theirs]))
    async with httpx.AsyncClient(transport=published, event_hooks={"request": [note]}) as keys:
        repository = asap.repository("https://keys.example/", fetcher(keys))
        verify = asap.verifier(repository, "billing", issuers="orders", replay=in_memory())
        billing = httpx.ASGITransport(service(bearer(verify)))
        async with httpx.AsyncClient(transport=billing) as client:
            # What a service writes: an authorizer, and httpx's auth= with it.
            authorize = asap.authorizer("orders", ours, "billing")
            answer = await client.get(_URL, auth=auth(authorize))
            out(paint("bold", "orders calls billing\n"))
            out(f"  orders    signs with {ours.kid} for the audience billing\n")
            out(f"  orders    GET {_URL}\n")
            out(f"  billing   {fetched[0]}\n")
            out(f"  billing   {paint('green', str(answer.status_code))} {answer.text}\n")
            good = answer.status_code == 200

            out(paint("bold", "what billing refuses\n"))
            used = answer.request.headers["Authorization"]
            for what, value in _refused(ours, theirs, used).items():
                answer = await client.get(_URL, headers={"Authorization": value})
                out(f"  {what:<28}{paint('red', str(answer.status_code))} {answer.text}\n")
                good = good and answer.status_code == 401
    out(paint("dim", f"keys fetched: {len(fetched)}\n"))
    return 0 if good and len(fetched) == 1 else 1


def _refused(ours: Key, theirs: Key, used: str) -> dict[str, str]:
    """`Authorization` headers that must not be accepted, by what is wrong with them."""
    claims = asap.claims("orders", "billing")
    late = claims | {"iat": claims["iat"] - 3600, "exp": claims["iat"] - 1800}
    head, _, signature = sign(claims, ours).split(".")
    _, longer, _ = sign(claims | {"exp": claims["exp"] + 1800}, ours).split(".")
    unsigned = compact.signing_input({"alg": "none", "kid": ours.kid}, claims).decode()
    return {
        "expired": f"Bearer {sign(late, ours)}",
        "for another audience": f"Bearer {sign(claims | {'aud': 'shipping'}, ours)}",
        "tampered with": f"Bearer {head}.{longer}.{signature}",
        "signed with mallory's key": f"Bearer {sign(claims, theirs)}",
        "unsigned": f"Bearer {unsigned}.",
        "used before": used,
        "no token": "",
    }


def service(authenticate: Authenticate) -> ASGIApp:
    """Make a service that greets its callers, or tells them what is wrong with their token.

    Args:
        authenticate: Says who sent a request.

    Returns:
        An ASGI application.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pairs = (
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )
        headers: list[tuple[bytes, bytes]] = []
        try:
            token = await authenticate(Request(scope["method"], None, tuple(pairs)))
        except TokenRejected as error:
            status, text = error.status, f"{error.reason:<24}{DESCRIPTIONS[error.reason]}"
            headers.append((b"www-authenticate", challenge(error).encode("ascii")))
        except Unavailable as error:
            status, text = error.status, "unavailable"
        else:
            status, text = 200, f"Hello, {token.claims['iss']}."
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    return app
