"""Flask: what views and blueprints demand of their callers.

The decision, the refusals and the reports are those of `wsgi.protect`, and so is where it runs: in
the thread that serves the request, and in an event loop only where it must wait.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from anyio.from_thread import BlockingPortal

from asapfn.adapters import wsgi
from asapfn.adapters._incoming import Options, admit_to, carry, checked, conclude_in_thread, refusal
from asapfn.adapters._threads import Loop
from asapfn.types import Authenticate, Check, ObserveRequest, Token

try:
    # Not the proxies `request` and `current_app`: of a module that has them, help() raises.
    import flask
    from flask import Response
except ModuleNotFoundError as _missing:
    raise ImportError(
        'asapfn.adapters.flask needs Flask: pip install "asapfn[flask]"'
    ) from _missing

__all__ = ["Required", "requires", "token"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Required(Protocol):
    """What `requires` makes: a decorator of views, and a function for `before_request`."""

    @overload
    def __call__(self) -> Response | None: ...

    @overload
    def __call__(self, view: Callable[_P, _R], /) -> Callable[_P, _R | Response]: ...


def requires(
    authenticate: Authenticate,
    *checks: Check,
    portal: BlockingPortal | None = None,
    scheme: str = "Bearer",
    optional: bool = False,
    enforce: bool = True,
    observe: ObserveRequest | None = None,
) -> Required:
    """Let only requests with a good token reach a view, a blueprint or an application.

    For a view it is a decorator, below the one of the route; for the others a function that runs
    before each request:

        @app.get("/invoices")
        @requires(bearer(verify))
        def invoices():
            return f"Hello, {token().claims['iss']}."

        billing.before_request(requires(bearer(verify)))

    Other requests are answered as `wsgi.protect` answers them, and what runs after each request,
    such as Flask-CORS, sees that answer. Flask answers OPTIONS for a view by itself, without
    calling it; a blueprint's `before_request` comes before that, and before its static files.

    Args:
        authenticate: Says who sent a request, such as `bearer(verify)`. A request is authenticated
            once by the same function, though `wsgi.protect`, its blueprint and its view require it.
        *checks: What the verified token must also satisfy here, in this order (`asapfn.checks`).
        portal: See `wsgi.protect`.
        scheme: The authentication scheme that refusals name.
        optional: Whether requests without a token reach the view too; `"asapfn.token" in
            request.environ` says whether there is one. A bad token is refused all the same, and so
            is one that a check rejects.
        enforce: False lets EVERY request through, so it is NOT PROTECTING anything: the view finds
            a token where it is good, and each refusal that would have been is reported. It is for
            the phase-in of a service that has been called without tokens.
        observe: Called with a `Verdict` for each request but those without a token that are let
            through. Refusals and outages are logged in any case, to the logger `asapfn`.

    Returns:
        A decorator of views, plain ones and async ones, that is also a function for
        `before_request`.

    Raises:
        TypeError: If `enforce` or `optional` is no bool.
        ValueError: If `scheme` is not one word.
    """
    options = checked(Options(scheme, optional, enforce, observe))
    return partial(_required, partial(_refused, Loop(portal), authenticate, checks, options))


def _required(
    refused: Callable[[], Response | None], view: Callable[..., Any] | None = None, /
) -> Any:
    """The refusal of a request; or a view that is called where it is not refused."""
    if view is None:
        return refused()

    @wraps(view)
    def protected(*args: Any, **named: Any) -> Any:
        answer = refused()
        if answer is not None:
            return answer
        return flask.current_app.ensure_sync(view)(*args, **named)

    return protected


def _refused(
    loop: Loop, authenticate: Authenticate, checks: tuple[Check, ...], options: Options
) -> Response | None:
    """Verify the request's token; the refusal where it is not accepted."""
    environ = flask.request.environ
    asked = wsgi.request(environ)
    admitting = partial(admit_to, authenticate, checks, environ, asked, options.optional)
    outcome = conclude_in_thread(loop, admitting, options)
    carry(environ, asked, outcome if isinstance(outcome, Token) else None)
    if outcome is None or isinstance(outcome, Token):
        return None
    status, headers, body = refusal(outcome, options.scheme)
    return Response(body, status, list(headers))


def token() -> Token:
    """The verified token of the request that Flask serves.

    Returns:
        The token.

    Raises:
        RuntimeError: If there is none: nothing on the way to this view requires one; or outside of
            a request.
    """
    return wsgi.token(flask.request.environ)
