"""A service that greets its callers, or says why it does not."""

from asapfn import Authenticate, TokenRejected, Unavailable
from asapfn.adapters.asgi import ASGIApp, Receive, Scope, Send, request
from asapfn.errors import DESCRIPTIONS, challenge


def service(authenticate: Authenticate) -> ASGIApp:
    """Make a service that greets its callers, or answers what is wrong with their token.

    Args:
        authenticate: Says who sent a request.
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
