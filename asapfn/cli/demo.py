"""`asapfn demo`: tokens end to end in one process, every part the one that services use.

First ASAP: `orders` calls `billing`, which fetches the key from `keys`. Then Connect: a product
calls an app with a token for one request. The network is httpx speaking ASGI in memory, so that the
demo needs no port and sends nothing out.
"""

import argparse
import secrets
import sys
from typing import Final, NamedTuple

import httpx

from asapfn import Authenticate, Key, TokenRejected, Unavailable, asap, bearer, connect, sign
from asapfn._core import compact
from asapfn.adapters.asgi import ASGIApp, Receive, Scope, Send, key_repository, request
from asapfn.adapters.httpx import auth, fetcher
from asapfn.cli.parsing import Commands, add_command
from asapfn.cli.style import painter
from asapfn.cli.text import as_json
from asapfn.errors import DESCRIPTIONS, challenge
from asapfn.keys import generate, import_secret
from asapfn.replay import in_memory
from asapfn.resolvers import shared_secrets

_BILLING: Final = "https://billing.example/invoices"
_APP: Final = "https://app.example/panel"


class Call(NamedTuple):
    """A call that was made, and how it was answered: by a greeting, or by a refusal's reason."""

    what: str
    status: int
    text: str


def add_to(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: What it is added to.
    """
    add_command(
        commands,
        "demo",
        "show services at work, in this process",
        "Services in one process: one publishes a key and signs, another fetches the key over HTTP"
        " and verifies. Then what is refused, and why. Nothing is sent out.",
        ("asapfn demo",),
        run,
    )


async def run(options: argparse.Namespace) -> int:
    """Run the demo.

    Args:
        options: The command line.

    Returns:
        0 if the good tokens were accepted, the others refused, and one key fetched; else 1.
    """
    fetched: list[str] = []
    service_calls, product_calls = await _service(fetched), await _product()
    calls = [*service_calls, *product_calls]
    as_meant = [call.status == (200 if " calls " in call.what else 401) for call in calls]
    good = all(as_meant) and len(fetched) == 1
    if options.json:
        each = [call._asdict() for call in calls]
        sys.stdout.write(as_json({"good": good, "calls": each, "fetched": fetched}))
        return 0 if good else 1
    paint, out = painter(sys.stdout), sys.stdout.write
    out(paint("bold", "ASAP: service to service\n"))
    out("  orders signs for the audience billing; billing fetches the public key, once:\n")
    out(f"  {fetched[0]}\n")
    _show(service_calls)
    out(paint("bold", "Connect: a token for one request\n"))
    out("  jira signs by the secret that it shares with the app, for this request alone:\n")
    out(f"  GET {_APP}?issue=7\n")
    _show(product_calls)
    out(paint("dim", f"keys fetched: {len(fetched)}\n"))
    return 0 if good else 1


def _show(calls: list[Call]) -> None:
    paint = painter(sys.stdout)
    for what, status, text in calls:
        colour = "green" if status == 200 else "red"
        sys.stdout.write(f"    {what:<28}{paint(colour, str(status))} {text}\n")


async def _service(fetched: list[str]) -> list[Call]:
    ours = generate("ES256", kid="orders/2026-11.pem")
    theirs = generate("ES256", kid="mallory/1.pem")

    async def note(request: httpx.Request) -> None:
        fetched.append(f"{request.method} {request.url}")

    published = httpx.ASGITransport(key_repository([ours, theirs]))
    async with httpx.AsyncClient(transport=published, event_hooks={"request": [note]}) as keys:
        repository = asap.repository("https://keys.example/", fetcher(keys))
        verify = asap.verifier(repository, "billing", issuers="orders", replay=in_memory())
        billing = httpx.ASGITransport(service(bearer(verify)))
        async with httpx.AsyncClient(transport=billing) as client:
            # What a service writes: an authorizer, and httpx's auth= with it.
            authorize = asap.authorizer(asap.signer("orders", ours), "billing")
            answer = await client.get(_BILLING, auth=auth(authorize))
            calls = [Call("orders calls billing", answer.status_code, answer.text)]
            used = answer.request.headers["Authorization"]
            for what, value in _refused(ours, theirs, used).items():
                answer = await client.get(_BILLING, headers={"Authorization": value})
                calls.append(Call(what, answer.status_code, answer.text))
    return calls


async def _product() -> list[Call]:
    secret = secrets.token_urlsafe(48)

    async def secret_of(tenant: str) -> str | None:
        return secret if tenant == "jira" else None

    authenticate = connect.authenticator(shared_secrets(secret_of), base_url="https://app.example")
    app = httpx.ASGITransport(service(authenticate))
    async with httpx.AsyncClient(transport=app) as client:
        key = import_secret(secret)
        authorize = connect.authorizer("jira", key, base_url="https://app.example")
        answer = await client.get(_APP, params={"issue": 7}, auth=auth(authorize))
        calls = [Call("jira calls the app", answer.status_code, answer.text)]
        used = {"Authorization": answer.request.headers["Authorization"]}
        for what, method, url in (
            ("for another query", "GET", f"{_APP}?issue=8"),
            ("for another method", "DELETE", f"{_APP}?issue=7"),
        ):
            answer = await client.request(method, url, headers=used)
            calls.append(Call(what, answer.status_code, answer.text))
        unknown = connect.authorizer("unknown", key, base_url="https://app.example")
        answer = await client.get(_APP, auth=auth(unknown))
        calls.append(Call("by an unknown app", answer.status_code, answer.text))
    return calls


def _refused(ours: Key, theirs: Key, used: str) -> dict[str, str]:
    """`Authorization` headers that must not be accepted, by what is wrong with them."""
    claims = asap.claims("orders", "billing")
    late = claims | {"iat": claims["iat"] - 3600, "exp": claims["iat"] - 1800}
    head, payload, signature = sign(claims, ours).split(".")
    _, longer, _ = sign(claims | {"exp": claims["exp"] + 1800}, ours).split(".")
    nobodys = compact.encode_segment({"alg": "none", "kid": ours.kid}).decode()
    return {
        "expired": f"Bearer {sign(late, ours)}",
        "for another audience": f"Bearer {sign(claims | {'aud': 'shipping'}, ours)}",
        "tampered with": f"Bearer {head}.{longer}.{signature}",
        "signed with mallory's key": f"Bearer {sign(claims, theirs)}",
        "unsigned": f"Bearer {nobodys}.{payload}.",
        "used before": used,
        "no token": "",
    }


def service(authenticate: Authenticate) -> ASGIApp:
    """Make a service that greets its callers, or answers what is wrong with their token.

    Args:
        authenticate: Says who sent a request.

    Returns:
        An ASGI application.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = []
        try:
            token = await authenticate(request(scope))
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
