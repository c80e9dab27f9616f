"""Django: a middleware, what single views demand, and an authentication for Django REST framework.

All serve WSGI and ASGI, plain views and async ones. The decision, the refusals and the reports are
those of `wsgi.protect` and `asgi.protect`. Settings are arguments: name what you make here in a
module of your own, and that name in Django's settings.
"""

import time
from collections.abc import Callable, MutableMapping
from functools import partial, wraps
from http import HTTPStatus
from typing import Any, NamedTuple, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal

from asapfn.adapters import asgi, wsgi
from asapfn.adapters._incoming import (
    RETRY_AFTER,
    Options,
    Outcome,
    admit_to,
    apply_checks,
    carried_token,
    checked,
    conclude,
    conclude_in_thread,
    decide,
    decide_in_thread,
    refusal,
)
from asapfn.adapters._threads import Loop, run_in_thread
from asapfn.errors import DESCRIPTIONS, TokenRejected, Unavailable, challenge
from asapfn.types import Authenticate, Check, ObserveRequest, Request, Token, Unless

try:
    from asgiref.sync import iscoroutinefunction
    from django.core.exceptions import ImproperlyConfigured
    from django.http import HttpRequest, HttpResponse
    from django.utils.decorators import sync_and_async_middleware
except ModuleNotFoundError as _missing:
    raise ImportError(
        'asapfn.adapters.django needs Django: pip install "asapfn[django]"'
    ) from _missing

__all__ = ["Caller", "authentication", "middleware", "requires", "token"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
# What comes after a middleware, and a middleware itself.
_Handler = Callable[[HttpRequest], Any]


class Caller(NamedTuple):
    """The user of a request whose token was verified, in Django REST framework.

    Attributes:
        pk: The token's issuer, by which requests are throttled.
        is_authenticated: True.
    """

    pk: str
    is_authenticated: bool = True

    def __str__(self) -> str:
        return self.pk


def middleware(
    authenticate: Authenticate,
    *,
    portal: BlockingPortal | None = None,
    scheme: str = "Bearer",
    optional: bool = False,
    unless: Unless | None = None,
    enforce: bool = True,
    observe: ObserveRequest | None = None,
) -> Callable[[_Handler], _Handler]:
    """Make a middleware that lets only requests with a good token reach what comes after it.

    In a module of yours, such as `billing/callers.py`, and by its name in the settings:

        authenticated = middleware(bearer(verify), unless=lambda method, path: path == "/health")

        MIDDLEWARE = ["billing.callers.authenticated", ...]

    A view has the verified token at `request.asapfn_token`, or by `token(request)`. Other requests
    are answered as `wsgi.protect` answers them. A view that is called by POST, PUT or DELETE needs
    `csrf_exempt` where CsrfViewMiddleware is in use: a token is nothing that a browser sends alone.

    Args:
        authenticate: Says who sent a request, such as `bearer(verify)`.
        portal: See `wsgi.protect`; used where Django serves WSGI.
        scheme: The authentication scheme that refusals name.
        optional: Whether requests without a token reach the views too; `request.asapfn_token` is
            then None, and views that need one have `requires()`. A bad token is refused all the
            same.
        unless: Names the requests that reach the views without a token, by their method and
            `path_info`, by which Django routes; see `types.Unless`. They are not reported.
        enforce: False lets EVERY request through, so it is NOT PROTECTING anything: a view finds a
            token where it is good, else None, and each refusal that would have been is reported. It
            is for the phase-in of a service that has been called without tokens. A view that has
            `requires()` refuses all the same, unless that has `enforce=False` too.
        observe: Called with a `Verdict` for each request but those without a token that are let
            through. Refusals and outages are logged in any case, to the logger `asapfn`.

    Returns:
        A middleware factory, for sync and async requests.

    Raises:
        TypeError: If `enforce` or `optional` is no bool.
        ValueError: If `scheme` is not one word.
    """
    options = checked(Options(scheme, optional, enforce, observe, unless))
    loop = Loop(portal)

    def factory(get_response: _Handler) -> _Handler:
        def handle(request: Any) -> Any:
            asked, carrier, path = _asked(request), _carrier(request), request.path_info
            outcome = decide_in_thread(loop, authenticate, options, carrier, asked, path)
            refused = _refused(request, outcome, scheme)
            return get_response(request) if refused is None else refused

        async def handle_async(request: Any) -> Any:
            asked, carrier, path = _asked(request), _carrier(request), request.path_info
            outcome = await decide(authenticate, options, carrier, asked, path)
            refused = _refused(request, outcome, scheme)
            return await get_response(request) if refused is None else refused

        return handle_async if iscoroutinefunction(get_response) else handle

    made: Callable[[_Handler], _Handler] = sync_and_async_middleware(factory)
    return made


def _refused(request: Any, outcome: Outcome, scheme: str) -> HttpResponse | None:
    """The refusal of a request; None for one that goes on, with its token."""
    if isinstance(outcome, (TokenRejected, Unavailable)):
        status, headers, body = refusal(outcome, scheme)
        # Not every server leaves it out.
        body = b"" if request.method == "HEAD" else body
        return HttpResponse(body, status=status, headers=dict(headers))
    request.asapfn_token = outcome
    return None


def requires(
    *checks: Check,
    portal: BlockingPortal | None = None,
    scheme: str = "Bearer",
    optional: bool = False,
    enforce: bool = True,
    observe: ObserveRequest | None = None,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Make a decorator of views that need a token which satisfies checks, over the middleware.

        @requires(has_scopes("refunds"))
        def refunds(request):
            ...

    Without checks it is for views behind a middleware that is `optional` or has `unless`. It serves
    plain views and async ones. A class is decorated as a view: `requires()(Refunds.as_view())`.

    Args:
        *checks: What the verified token must also satisfy here, in this order (`asapfn.checks`).
        portal: See `middleware`.
        scheme: The authentication scheme that refusals name.
        optional: Whether requests without a token reach the view too. One that is there must
            satisfy the checks.
        enforce: False lets EVERY request through, so it is NOT PROTECTING anything: the view finds
            None for a token that does not satisfy the checks, and each refusal that would have been
            is reported. It is for the phase-in of a service.
        observe: Called with a `Verdict` for each request that is refused here. Refusals and outages
            are logged in any case, to the logger `asapfn`.

    Returns:
        A decorator. The view that it makes raises ImproperlyConfigured where the middleware is not
        installed.

    Raises:
        TypeError: If `enforce` or `optional` is no bool; or, on the first request, if it is used
            without its parentheses.
        ValueError: If `scheme` is not one word.
    """
    options = checked(Options(scheme, optional, enforce, observe))
    return partial(_required, checks, options, Loop(portal))


def _required(
    checks: tuple[Check, ...], options: Options, loop: Loop, view: Callable[..., Any]
) -> Any:
    """A view that is called where the request's token satisfies checks."""
    if not callable(view):
        raise TypeError("expected a view: requires() is used with its parentheses")

    @wraps(view)
    def protected(request: Any, *args: Any, **named: Any) -> Any:
        began = time.monotonic()
        outcome = run_in_thread(loop, partial(_allowed, request, checks, options.optional))
        refused = _refused_at(request, outcome, began, options)
        return view(request, *args, **named) if refused is None else refused

    @wraps(view)
    async def protected_async(request: Any, *args: Any, **named: Any) -> Any:
        began = time.monotonic()
        outcome = await _allowed(request, checks, options.optional)
        refused = _refused_at(request, outcome, began, options)
        return await view(request, *args, **named) if refused is None else refused

    return protected_async if iscoroutinefunction(view) else protected


async def _allowed(request: Any, checks: tuple[Check, ...], optional: bool) -> Outcome:
    """The token that the middleware verified, if it satisfies checks; else why not."""
    if not hasattr(request, "asapfn_token"):
        raise ImproperlyConfigured(
            "requires() needs asapfn's middleware before it: expected what"
            " asapfn.adapters.django.middleware(...) makes in MIDDLEWARE"
        )
    if request.asapfn_token is not None:
        return await apply_checks(token(request), checks)
    if optional:
        return None
    return TokenRejected("missing_token", "this view needs a token, and there is none")


def _refused_at(
    request: Any, outcome: Outcome, began: float, options: Options
) -> HttpResponse | None:
    """The refusal of a request to a view; only refusals are reported."""
    if isinstance(outcome, (TokenRejected, Unavailable)):
        outcome = conclude(outcome, began, options)
        return _refused(request, outcome, options.scheme)
    return None


def token(request: Any) -> Token:
    """The verified token of a request that came through the middleware.

    Args:
        request: The request.

    Returns:
        The token.

    Raises:
        RuntimeError: If there is none.
    """
    return carried_token(getattr(request, "asapfn_token", None), "request")


def authentication(
    authenticate: Authenticate,
    *checks: Check,
    portal: BlockingPortal | None = None,
    scheme: str = "Bearer",
    user: Callable[[Token], Any] | None = None,
    observe: ObserveRequest | None = None,
) -> Any:
    """Make an authentication class for Django REST framework.

        class Invoices(APIView):
            authentication_classes = [authentication(bearer(verify))]
            permission_classes = [IsAuthenticated]

    A view has the caller as `request.user` and the verified token as `request.auth`. Refusals are
    those of REST framework, in the form that the client accepts: 401 and 403 with
    `WWW-Authenticate`, 503 with `Retry-After`. As with its other authentications, a request without
    a token goes on without a user: `IsAuthenticated` refuses it. A bad token never goes on.

    Args:
        authenticate: Says who sent a request, such as `bearer(verify)`.
        *checks: What the verified token must also satisfy, in this order (`asapfn.checks`).
        portal: See `wsgi.protect`.
        scheme: The authentication scheme that refusals name.
        user: Makes `request.user` of the verified token; None for a `Caller`.
        observe: Called with a `Verdict` for each request with a token. Refusals and outages are
            logged in any case, to the logger `asapfn`.

    Returns:
        The class.

    Raises:
        ImportError: If Django REST framework is not installed.
        ValueError: If `scheme` is not one word.
    """
    options = checked(Options(scheme, optional=True, observe=observe))
    try:
        from rest_framework import exceptions
    except ModuleNotFoundError as error:
        raise ImportError(
            "authentication needs Django REST framework: pip install djangorestframework"
        ) from error
    loop = Loop(portal)

    class TokenAuthentication:
        """What Django REST framework calls, which needs no class of its own for it."""

        def authenticate(self, request: Any) -> tuple[Any, Token] | None:
            carrier, asked = _carrier(request._request), _asked(request._request)
            admitting = partial(admit_to, authenticate, checks, carrier, asked, options.optional)
            outcome = conclude_in_thread(loop, admitting, options)
            if outcome is None:
                return None
            if isinstance(outcome, Token):
                return (user or _caller)(outcome), outcome
            raise _rest_framework_error(exceptions, outcome, scheme, request._request)

        def authenticate_header(self, request: Any) -> str:
            return str(getattr(request._request, "_asapfn_challenge", scheme))

    return TokenAuthentication


def _caller(token: Token) -> Caller:
    return Caller(str(token.claims.get("iss", "")))


def _rest_framework_error(
    exceptions: Any, error: TokenRejected | Unavailable, scheme: str, request: Any
) -> Exception:
    """The error of REST framework that goes with a refusal, made from fixed texts alone."""
    made: Any
    if isinstance(error, Unavailable):
        made = exceptions.APIException("Try again later", "unavailable")
        made.status_code = error.status
        made.wait = RETRY_AFTER
    else:
        unknown = error.status == HTTPStatus.UNAUTHORIZED
        kind = exceptions.AuthenticationFailed if unknown else exceptions.PermissionDenied
        made = kind(DESCRIPTIONS[error.reason], error.reason)
        # A 401 has its header from `authenticate_header`, a 403 from here.
        request._asapfn_challenge = made.auth_header = challenge(error, scheme)
    refused: Exception = made
    return refused


def _asked(request: Any) -> Request:
    scope = getattr(request, "scope", None)
    if scope is not None:
        return asgi.request(scope)
    # Django has decoded these two in the environ itself, where a native string holds bytes.
    decoded = {"SCRIPT_NAME": request.META["SCRIPT_NAME"], "PATH_INFO": request.path_info}
    native = {name: text.encode("utf-8").decode("latin-1") for name, text in decoded.items()}
    return wsgi.request({**request.environ, **native})


def _carrier(request: Any) -> MutableMapping[str, Any]:
    scope: MutableMapping[str, Any] | None = getattr(request, "scope", None)
    environ: MutableMapping[str, Any] = request.environ if scope is None else scope
    return environ
