"""ASGI: an application behind tokens, its requests as authentication sees them, and public keys.

`protect` is plain ASGI, so that it serves every framework alike: it looks at the scope before the
application does, and adds the verified token to it. `key_repository` is an application by itself.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import unquote

from joserfc.jwk import OctKey

from asapfn.adapters import aws_lambda
from asapfn.adapters._environ import target_of
from asapfn.adapters._incoming import (
    Answer,
    Options,
    answer_of,
    carried_token,
    checked,
    decide,
    refusal,
)
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_jwks, export_public_pem, is_key_id
from asapfn.types import Authenticate, Key, ObserveRequest, Request, Token, Unless

__all__ = [
    "ASGIApp",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "key_repository",
    "protect",
    "read_body",
    "request",
    "token",
]

# The types of ASGI's single callable (ASGI specification, "Applications").
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_LONGEST_BODY: Final = 1_048_576
_JWKS: Final = ".well-known/jwks.json"


def protect(
    app: ASGIApp,
    authenticate: Authenticate,
    *,
    scheme: str = "Bearer",
    optional: bool = False,
    unless: Unless | None = None,
    enforce: bool = True,
    observe: ObserveRequest | None = None,
) -> ASGIApp:
    """Let only requests with a good token reach an application.

    The application gets the verified token by `token(scope)`. Other requests are answered here:
    401 or 403 with `WWW-Authenticate`, 503 with `Retry-After`, as `application/problem+json`. A
    websocket is refused before it opens. Lifespan messages are passed through.

    Args:
        app: The application. Frameworks that add middleware by a function of the application accept
            this one: `app.add_middleware(protect, authenticate=authenticate)` in Starlette and
            FastAPI.
        authenticate: Says who sent a request, such as `bearer(verify)`.
        scheme: The authentication scheme that refusals name.
        optional: Whether requests without a token reach the application too; it then finds no
            `asapfn.token`. A bad token is refused all the same.
        unless: Names the requests that reach the application without a token, even if they have
            one: a function of the method and the decoded path that the application routes by, such
            as `lambda method, path: path == "/health"`. It is not asked about a request that may be
            read in two ways (see `types.Unless`), nor about a websocket. They are not reported.
        enforce: False lets EVERY request through, so it is NOT PROTECTING anything: the application
            finds a token where it is good, and each refusal that would have been is reported. It
            is for the phase-in of a service that has been called without tokens.
        observe: Called with a `Verdict` for each request but those without a token that are let
            through. Refusals and outages are logged in any case, to the logger `asapfn`.

    Returns:
        An ASGI application. It raises ValueError for a protocol that is none of http, websocket and
        lifespan: what has no headers cannot show a token.

    Raises:
        TypeError: If `enforce` or `optional` is no bool.
        ValueError: If `scheme` is not one word.
    """
    options = checked(Options(scheme, optional, enforce, observe, unless))

    async def protected(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            raise ValueError(f"protect knows http and websocket, not {scope['type']!r}")
        path = _routed_path(scope) if scope["type"] == "http" else None
        # A copy: what is added here must not be seen outside (ASGI specification, "Middleware").
        inner = dict(scope)
        outcome = await decide(authenticate, options, inner, request(scope), path)
        if isinstance(outcome, (TokenRejected, Unavailable)):
            await refuse(refusal(outcome, scheme), scope, receive, send)
            return
        inner.pop("asapfn.token", None)
        if outcome is not None:
            inner["asapfn.token"] = outcome
        await app(inner, receive, send)

    return protected


def token(scope: Mapping[str, object]) -> Token:
    """The verified token of a request that came through `protect`.

    Args:
        scope: The scope as the application gets it, such as `request.scope` in Starlette.

    Returns:
        The token.

    Raises:
        RuntimeError: If there is none: the route is not behind `protect`, or is reached without a
            token by its `optional`, `unless` or `enforce`. To find out, `"asapfn.token" in scope`.
    """
    return carried_token(scope.get("asapfn.token"), "scope")


async def read_body(receive: Receive, max_bytes: int = _LONGEST_BODY) -> bytes:
    """Read a request's body, for an install callback or a webhook in plain ASGI.

    Args:
        receive: The application's `receive`.
        max_bytes: The most bytes that are read into memory.

    Returns:
        The body.

    Raises:
        ValueError: If it is over `max_bytes`; to be answered by 413. The rest is not read.
        ConnectionError: If the client left before it had sent all of it.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the client left before it had sent the whole body")
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise ValueError(f"the body is over {max_bytes} bytes")
        if not message.get("more_body", False):
            return bytes(body)


async def refuse(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal; a websocket is closed where the server cannot answer its handshake."""
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        kind = "websocket.http.response"
        if kind not in (scope.get("extensions") or {}):
            # The server makes it a 403 (ASGI specification, "Close - send event"); 1008 is
            # "policy violation" (RFC 6455, section 7.4.1).
            await send({"type": "websocket.close", "code": 1008})
            return
    await _send(answer, scope, send, kind)


async def _send(answer: Answer, scope: Scope, send: Send, kind: str = "http.response") -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    await send({"type": f"{kind}.start", "status": answer.status, "headers": headers})
    body = b"" if scope.get("method") == "HEAD" else answer.body
    await send({"type": f"{kind}.body", "body": body})


def request(scope: Scope) -> Request:
    """The request that an ASGI scope describes, as an `Authenticate` needs it.

    Args:
        scope: The scope of an http request, or of a websocket's handshake, which is a GET.

    Returns:
        The request. Its target is the path and query as the server received them, also within an
        application that is mounted in another; None where the server gives no `raw_path` (ASGI
        specification, "HTTP Connection Scope"), since to encode `path` again is a guess; but where
        Mangum made the scope of an AWS event or a2wsgi of an environ, it is from there. What a
        proxy removed from the path is there only if the server adds it again, as uvicorn adds the
        `root_path` it is set to. Its mismatch says where `path`, by which applications route, is
        not the decoded `raw_path`, or where the client may have chosen the `root_path`.
    """
    raw_path = scope.get("raw_path")
    query: bytes = scope.get("query_string") or b""
    target, mismatch, server = None, "", ""
    if raw_path is not None:
        # A byte that is no UTF-8 stays recognizable, and is refused where the target is read.
        target = (raw_path + b"?" * bool(query) + query).decode("utf-8", "surrogateescape")
        mismatch = _mismatch(raw_path.decode("latin-1"), scope)
    elif "aws.event" in scope:
        event, text = scope["aws.event"], query.decode("utf-8", "surrogateescape")
        target, mismatch, server = aws_lambda.read_event("Mangum", event, scope["path"], text)
    elif "wsgi_environ" in scope:
        target, mismatch, server = _of_environ(scope)
    headers = [(name.decode("latin-1"), v.decode("latin-1")) for name, v in scope["headers"]]
    return Request(scope.get("method", "GET"), target, tuple(headers), mismatch, server)


def _of_environ(scope: Scope) -> tuple[str | None, str, str]:
    """A request's target, mismatch and server, if a2wsgi made the scope from an environ."""
    environ = scope["wsgi_environ"]
    target, mismatch = target_of(environ)
    if target is None:
        return None, "", f"a2wsgi in {environ.get('SERVER_SOFTWARE', 'a WSGI server')}"
    return target, mismatch or _mismatch(target.partition("?")[0], scope), ""


def _mismatch(raw_path: str, scope: Scope) -> str:
    path, mount = scope.get("path"), scope.get("root_path", "")
    # Starlette keeps the server's own where it mounts an application. daphne, which gives no
    # spec_version, takes it from a header that any client can send.
    if scope.get("app_root_path", mount) and "spec_version" not in scope.get("asgi", {}):
        return (
            "there is a root_path, by which applications route, and this server may have it from a"
            " header of the request, as daphne does from Daphne-Root-Path"
        )
    sent = unquote(raw_path)
    # Where an application is mounted its `path` may lack the mount's, which is in `root_path`; and
    # a server may be set to a `root_path` that is in `path` alone.
    if path is None or sent in (path, mount + path) or mount + sent == path:
        return ""
    return "the path that the application routes by, scope['path'], is not the decoded raw_path"


def _routed_path(scope: Scope) -> str | None:
    """The path that the application routes by; None where frameworks differ about it."""
    path: str | None = scope.get("path")
    mount: str = scope.get("root_path", "")
    if path is None or mount not in path or not mount:
        return path
    # Django removes it as it is, Starlette only before a slash, Quart and Litestar anywhere.
    rest = path.removeprefix(mount)
    return rest if rest != path and rest[:1] in ("", "/") else None


def key_repository(keys: Iterable[Key], *, max_age: int = 300) -> ASGIApp:
    """Serve public keys: an ASAP key repository, and the same keys as a JWKS.

    Each key is at `/{kid}` as `application/x-pem-file` (ASAP specification, "Public key
    repository"), all are at `/.well-known/jwks.json` as `application/jwk-set+json` (RFC 7517,
    section 8.5.2). Both may be cached, and kept as long again while the repository is refreshed or
    is down. It may be mounted in another application; it answers GET and HEAD, over https or behind
    what terminates it.

    Args:
        keys: The keys, each with its key id. Of a private key only the public part is kept.
        max_age: Seconds a client may keep a key before it asks again.

    Returns:
        An ASGI application. It supports the lifespan protocol and refuses websockets.

    Raises:
        ValueError: If a key is a shared secret, a key id is missing, ill formed or given twice, or
            `max_age` is negative.
    """
    if max_age < 0:
        raise ValueError("max_age is negative: give seconds from 0")
    each = list(keys)
    stale = f"stale-while-revalidate={max_age:d}, stale-if-error={max_age:d}"
    caching = ("Cache-Control", f"public, max-age={max_age:d}, {stale}")
    # The answers are made now, by path. Nothing private is kept, so nobody can ask for it.
    answers: dict[str, Answer] = {}
    for key in each:
        if isinstance(key, OctKey):
            raise ValueError("a shared secret cannot be published: give asymmetric keys only")
        kid = key.kid
        if kid is None or not is_key_id(kid) or kid == _JWKS:
            raise ValueError("each key needs a well-formed key id: give it kid= on import")
        if kid in answers:
            raise ValueError(f"two keys have the key id {kid!r}")
        pem = export_public_pem(key).encode("ascii")
        answers[kid] = answer_of(200, "application/x-pem-file", pem, caching)
    jwks = json.dumps(export_jwks(each)).encode("ascii")
    answers[_JWKS] = answer_of(200, "application/jwk-set+json", jwks, caching)
    # A key that is published a little later must not stay unknown for long.
    unknown = answer_of(
        404, "text/plain", b"There is no such key.\n", ("Cache-Control", "public, max-age=20")
    )
    fields = ("Cache-Control", "no-store"), ("Allow", "GET, HEAD")
    not_allowed = answer_of(405, "text/plain", b"Only GET and HEAD are allowed.\n", *fields)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _answer_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] != "http":
            raise ValueError(f"a key repository serves http, not {scope['type']!r}")
        elif scope["method"] not in ("GET", "HEAD"):
            await _send(not_allowed, scope, send)
        else:
            await _send(answers.get(_path(scope).removeprefix("/"), unknown), scope, send)

    return app


def _path(scope: Scope) -> str:
    # `path` holds `root_path` where the application is mounted (ASGI specification, "Connection
    # scope"); frameworks that are older than this rule leave it off.
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if path.startswith(f"{root}/") else path


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
