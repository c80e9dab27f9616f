"""WSGI: an application behind tokens.

A WSGI server's threads have no event loop, and with the key in the cache none is needed: the
verification is run in the thread that serves the request. What must wait, for a key or for a replay
store, runs in an event loop: that of a portal the caller gives, or else one in a thread of its own,
which is started in the process that first needs it and so survives no fork.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from anyio.from_thread import BlockingPortal

from asapfn.adapters import asgi, aws_lambda
from asapfn.adapters._environ import split_credentials, target_of
from asapfn.adapters._incoming import Options, carried_token, checked, decide_in_thread, refusal
from asapfn.adapters._threads import Loop
from asapfn.errors import TokenRejected, Unavailable
from asapfn.types import Authenticate, ObserveRequest, Request, Token, Unless

__all__ = ["protect", "request", "token"]

# Where adapters that make an environ from an event of AWS Lambda keep the event.
_EVENTS: Final = {"serverless.event": "serverless-wsgi", "apig_wsgi.full_event": "apig-wsgi"}


def protect(
    app: WSGIApplication,
    authenticate: Authenticate,
    *,
    portal: BlockingPortal | None = None,
    scheme: str = "Bearer",
    optional: bool = False,
    unless: Unless | None = None,
    enforce: bool = True,
    observe: ObserveRequest | None = None,
) -> WSGIApplication:
    """Let only requests with a good token reach an application.

    The application gets the verified token by `token(environ)`. Other requests are answered here:
    401 or 403 with `WWW-Authenticate`, 503 with `Retry-After`, as `application/problem+json`.

    Args:
        app: The application.
        authenticate: Says who sent a request, such as `bearer(verify)`. It is run as far as it goes
            without waiting, and again, from its beginning, in an event loop if it waits, or raises
            `Unavailable` or RuntimeError before, which it may for want of an event loop: so
            functions of your own in it that have an effect must wait for something first.
        portal: A running portal, of this process, for what waits; clients of yours that
            `authenticate` uses must have been opened there. It stays yours to stop. None has an
            event loop of asyncio started, in a thread of the process that first needs one.
        scheme: The authentication scheme that refusals name.
        optional: Whether requests without a token reach the application too; it then finds no
            `asapfn.token`. A bad token is refused all the same.
        unless: Names the requests that reach the application without a token, even if they have
            one: a function of the method and the decoded path that the application routes by, such
            as `lambda method, path: path == "/health"`. It is not asked about a request that may be
            read in two ways (see `types.Unless`). They are not reported.
        enforce: False lets EVERY request through, so it is NOT PROTECTING anything: the application
            finds a token where it is good, and each refusal that would have been is reported. It
            is for the phase-in of a service that has been called without tokens.
        observe: Called with a `Verdict` for each request but those without a token that are let
            through. Refusals and outages are logged in any case, to the logger `asapfn`.

    Returns:
        A WSGI application, safe to call from several threads. It raises RuntimeError when the
        portal that was given was started before this process was forked, or is needed and not
        running.

    Raises:
        TypeError: If `enforce` or `optional` is no bool.
        ValueError: If `scheme` is not one word.
    """
    options = checked(Options(scheme, optional, enforce, observe, unless))
    loop = Loop(portal)

    def protected(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked, path = request(environ), _routed_path(environ)
        outcome = decide_in_thread(loop, authenticate, options, environ, asked, path)
        if isinstance(outcome, (TokenRejected, Unavailable)):
            status, headers, body = refusal(outcome, scheme)
            start_response(f"{status} {HTTPStatus(status).phrase}", list(headers))
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        environ.pop("asapfn.token", None)
        if outcome is not None:
            environ["asapfn.token"] = outcome
        return app(environ, start_response)

    return protected


def token(environ: Mapping[str, object]) -> Token:
    """The verified token of a request that came through `protect`.

    Args:
        environ: The environ as the application gets it, such as `request.environ` in Flask.

    Returns:
        The token.

    Raises:
        RuntimeError: If there is none: the route is not behind `protect`, or is reached without a
            token by its `optional`, `unless` or `enforce`. To find out, `"asapfn.token" in
            environ`.
    """
    return carried_token(environ.get("asapfn.token"), "environ")


def request(environ: WSGIEnvironment) -> Request:
    """The request that a WSGI environ describes, as an `Authenticate` needs it.

    Args:
        environ: The environ (PEP 3333).

    Returns:
        The request. Its target is the path and query as they were sent, that of a mounted
        application's mount included, from `REQUEST_URI` or `RAW_URI`, or from the ASGI scope where
        a2wsgi made the environ of one, or from AWS Lambda's event where serverless-wsgi or
        apig-wsgi did. It is None where the server gives none of these, since
        `PATH_INFO` is decoded, and to encode it again would only guess. Its mismatch says where
        `SCRIPT_NAME`, `PATH_INFO` and `QUERY_STRING`, which applications read, are not those of the
        target. Two `Authorization` headers, which a server joins, are two again; cheroot drops the
        first of them.
    """
    headers = []
    for name, value in environ.items():
        if name == "HTTP_AUTHORIZATION":
            headers += [("authorization", each) for each in split_credentials(value)]
        elif name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            headers.append((name.removeprefix("HTTP_").replace("_", "-").lower(), value))
    target, mismatch = target_of(environ)
    server = ""
    if target is None:
        event = next((name for name in _EVENTS if name in environ), None)
        target, mismatch, server = (
            _of_scope(environ) if event is None else _of_event(event, environ)
        )
    return Request(environ["REQUEST_METHOD"], target, tuple(headers), mismatch, server)


def _of_event(name: str, environ: WSGIEnvironment) -> tuple[str | None, str, str]:
    """A request's target, mismatch and server, if an event of AWS Lambda became the environ."""
    # A native string of WSGI holds bytes; of a path that AWS decoded, apig-wsgi makes other text.
    path, query = (
        str(environ.get(each, "")).encode("latin-1", "replace").decode("utf-8", "surrogateescape")
        for each in ("PATH_INFO", "QUERY_STRING")
    )
    return aws_lambda.read_event(_EVENTS[name], environ[name], path, query)


def _of_scope(environ: WSGIEnvironment) -> tuple[str | None, str, str]:
    """A request's target, mismatch and server, if a2wsgi made the environ from an ASGI scope."""
    scope = environ.get("asgi.scope")
    if scope is None:
        return None, "", str(environ.get("SERVER_SOFTWARE", ""))
    outer = asgi.request(scope)
    if outer.target is None:
        return None, "", outer.server or "a2wsgi, of a scope without raw_path"
    return outer.target, outer.mismatch or _scope_mismatch(scope, environ), ""


def _scope_mismatch(scope: Mapping[str, Any], environ: WSGIEnvironment) -> str:
    """The mismatch of an environ that was made from an ASGI scope; empty if they agree."""
    mount, rest = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    path = scope["path"].encode("utf-8", "surrogateescape").decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    if query == environ.get("QUERY_STRING", "") and path in (mount + rest, rest):
        return ""
    return "SCRIPT_NAME, PATH_INFO and QUERY_STRING are not those of the ASGI scope"


def _routed_path(environ: WSGIEnvironment) -> str | None:
    """The path that the application routes by; None where it is no UTF-8."""
    try:
        return str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
