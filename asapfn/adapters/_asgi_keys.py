"""ASGI: public keys are served by it.

Everything is decided when the application is made: each answer lies ready in a table by its path,
and serving one is a look-up. Nothing private can be asked for, because nothing private is kept.
"""

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from joserfc.jwk import OctKey

from asapfn.adapters._asgi_types import ASGIApp, Receive, Scope, Send
from asapfn.keys import export_jwks, export_public_pem, is_key_id
from asapfn.types import Key

_JWKS: Final = ".well-known/jwks.json"
# A key that is published a little later must not stay unknown for long.
_UNKNOWN: Final = "public, max-age=20"


class _Answer(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


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
    caching = (
        f"public, max-age={max_age:d}, "
        f"stale-while-revalidate={max_age:d}, stale-if-error={max_age:d}"
    )
    answers: dict[str, _Answer] = {}
    for key in each:
        if isinstance(key, OctKey):
            raise ValueError("a shared secret cannot be published: give asymmetric keys only")
        kid = key.kid
        if kid is None or not is_key_id(kid) or kid == _JWKS:
            raise ValueError("each key needs a well-formed key id: give it kid= on import")
        if kid in answers:
            raise ValueError(f"two keys have the key id {kid!r}")
        pem = export_public_pem(key).encode("ascii")
        answers[kid] = _answer(200, "application/x-pem-file", caching, pem)
    jwks = json.dumps(export_jwks(each)).encode("ascii")
    answers[_JWKS] = _answer(200, "application/jwk-set+json", caching, jwks)
    unknown = _answer(404, "text/plain", _UNKNOWN, b"There is no such key.\n")
    allow = (b"allow", b"GET, HEAD")
    not_allowed = _answer(405, "text/plain", "no-store", b"Only GET and HEAD are allowed.\n", allow)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
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


def _answer(
    status: int, media_type: str, caching: str, body: bytes, *more: tuple[bytes, bytes]
) -> _Answer:
    headers = [
        (b"content-type", media_type.encode("ascii")),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", caching.encode("ascii")),
        *more,
    ]
    return _Answer(status, headers, body)


def _path(scope: Scope) -> str:
    # `path` holds `root_path` where the application is mounted (ASGI specification, "Connection
    # scope"); frameworks that are older than this rule leave it off.
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if path.startswith(f"{root}/") else path


async def _send(answer: _Answer, scope: Scope, send: Send) -> None:
    # A copy: middleware is free to add to the list it sees.
    head = {"type": "http.response.start", "status": answer.status, "headers": [*answer.headers]}
    await send(head)
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
