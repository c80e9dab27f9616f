"""FastAPI: a dependency that gives an endpoint its verified caller.

It stands over a security scheme, so that the OpenAPI document shows which endpoints need a token;
the decision, the refusals and the reports are those of `asgi.protect`.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal, get_args, overload

from asapfn.adapters._incoming import Options, admit_to, carry, checked, conclude, refusal
from asapfn.adapters.asgi import ASGIApp, Receive, Scope, Send, refuse, request
from asapfn.errors import Reason, TokenRejected, Unavailable
from asapfn.types import Authenticate, Check, ObserveRequest, Token

try:
    from fastapi import Depends
    from fastapi.openapi.models import HTTPBase, HTTPBearer
    from fastapi.requests import HTTPConnection
    from fastapi.security.base import SecurityBase
    from starlette.exceptions import HTTPException
except ModuleNotFoundError as _missing:
    raise ImportError(
        'asapfn.adapters.fastapi needs FastAPI: pip install "asapfn[fastapi]"'
    ) from _missing

__all__ = ["REFUSALS", "requires"]

_HANDLERS: Final = "starlette.exception_handlers"


class _Refused(HTTPException):
    """A refusal on its way from a dependency to the client."""

    def __init__(self, error: TokenRejected | Unavailable, scheme: str) -> None:
        self.answer = refusal(error, scheme)
        reason = error.reason if isinstance(error, TokenRejected) else "unavailable"
        super().__init__(self.answer.status, reason, dict(self.answer.headers[2:]))


class _DocumentedScheme(SecurityBase):
    """A security scheme for the OpenAPI document alone: FastAPI's own ones fail for websockets."""

    def __init__(self, model: HTTPBase, name: str) -> None:
        self.model = model
        self.scheme_name = name

    async def __call__(self) -> None:
        """Do nothing: the dependency that `requires` makes decides who calls."""


@overload
def requires(
    authenticate: Authenticate,
    *checks: Check,
    scheme: str = "Bearer",
    name: str | None = None,
    description: str = ...,
    optional: Literal[False] = False,
    enforce: Literal[True] = True,
    observe: ObserveRequest | None = None,
) -> Callable[..., Awaitable[Token]]: ...


@overload
def requires(
    authenticate: Authenticate,
    *checks: Check,
    scheme: str = "Bearer",
    name: str | None = None,
    description: str = ...,
    optional: bool = False,
    enforce: bool = True,
    observe: ObserveRequest | None = None,
) -> Callable[..., Awaitable[Token | None]]: ...


def requires(
    authenticate: Authenticate,
    *checks: Check,
    scheme: str = "Bearer",
    name: str | None = None,
    description: str = "A signed token of the calling service",
    optional: bool = False,
    enforce: bool = True,
    observe: ObserveRequest | None = None,
) -> Callable[..., Awaitable[Token | None]]:
    """Make a dependency that lets only requests with a good token reach an endpoint.

    It is for endpoints, routers and applications, of http and of websockets:

        Caller = Annotated[Token, Depends(requires(bearer(verify)))]

        @app.get("/invoices")
        async def invoices(caller: Caller) -> str:
            return f"Hello, {caller.claims['iss']}."

    Other requests are answered as `asgi.protect` answers them, whatever handler the application has
    for HTTPException; a handler of the status, such as 401, comes first. Where no parameter has the
    token, `asgi.token(request.scope)` gives it. FastAPI reads a body, and answers 422 where it is
    no JSON, before any dependency runs; to refuse before that, use `asgi.protect`.

    Args:
        authenticate: Says who sent a request, such as `bearer(verify)`. A request is authenticated
            once by the same function, however many dependencies use it, and `asgi.protect`.
        *checks: What the verified token must also satisfy here, in this order (`asapfn.checks`).
        scheme: The authentication scheme that refusals and the OpenAPI document name.
        name: The name of the security scheme in the OpenAPI document; None for `scheme`.
        description: Its description there.
        optional: Whether requests without a token reach the endpoint too, which is then given None.
            A bad token is refused all the same, and so is one that a check rejects.
        enforce: False lets EVERY request through, so it is NOT PROTECTING anything: the endpoint is
            given None where `requires` would have refused, and each such refusal is reported. It is
            for the phase-in of a service that has been called without tokens.
        observe: Called with a `Verdict` for each request but those without a token that are let
            through. Refusals and outages are logged in any case, to the logger `asapfn`.

    Returns:
        A dependency, for `Depends`; in a test `app.dependency_overrides` replaces it.

    Raises:
        TypeError: If `enforce` or `optional` is no bool.
        ValueError: If `scheme` is not one word.
    """
    options = checked(Options(scheme, optional, enforce, observe))
    model = HTTPBase(scheme=scheme, description=description)
    if scheme.lower() == "bearer":
        model = HTTPBearer(bearerFormat="JWT", description=description)
    shown = _DocumentedScheme(model, name or scheme)

    async def caller(
        connection: HTTPConnection, _shown: Annotated[Any, Depends(shown)] = None
    ) -> Token | None:
        scope = connection.scope
        began = time.monotonic()
        asked = request(scope)
        admitted = await admit_to(authenticate, checks, scope, asked, optional)
        outcome = conclude(admitted, began, options)
        if outcome is None or isinstance(outcome, Token):
            held = carry(scope, asked, outcome)
            return outcome if enforce else held
        # Where Starlette looks for a handler once the error has left the endpoint.
        if _HANDLERS in scope:
            scope[_HANDLERS][0].setdefault(_Refused, _as_protect)
        raise _Refused(outcome, scheme)

    return caller


async def _as_protect(connection: HTTPConnection, refused: _Refused) -> ASGIApp:
    """The answer to a refused request, as an application, which is what a Response is."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(refused.answer, scope, receive, send)

    return answer


def _response(status: int, description: str, field: str) -> dict[str, Any]:
    """What the OpenAPI document says of a refusal."""
    reasons = [reason for reason in get_args(Reason) if TokenRejected(reason).status == status]
    text = {"type": "string"}
    properties = {
        "title": text,
        "status": {"type": "integer", "enum": [status]},
        "reason": text | {"enum": reasons or ["unavailable"]},
    }
    problem = {"type": "object", "required": list(properties), "properties": properties}
    return {
        "description": description,
        "headers": {field: {"schema": text}},
        "content": {"application/problem+json": {"schema": problem}},
    }


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: _response(401, "The token is missing or not accepted", "WWW-Authenticate"),
    403: _response(403, "Not allowed to the caller", "WWW-Authenticate"),
    503: _response(503, "Try again later", "Retry-After"),
}
"""The refusals for the OpenAPI document: `APIRouter(responses=REFUSALS)`, or one endpoint's."""
