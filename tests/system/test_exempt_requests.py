"""No spelling of a request gets past `unless`: what goes through without a token is what it names.

Requests that no client would send, over raw sockets, each without a token. Whatever the framework
answers was let through, so the method and the path that it goes by must be exempt, however often a
server behind it would decode them, and whether or not it would resolve their dots and slashes.
"""

import json
import posixpath
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from tests.support.exempt_service import ASGI_APPS, RULES, WSGI_APPS
from tests.support.raw_requests import over_http1
from tests.support.target_servers import serving_each

_UVICORN = (
    *("-m", "uvicorn", "--factory", "exempt_service:asgi", "--uds={socket}"),
    "--log-level=critical",
)
_GUNICORN = (
    *("-m", "gunicorn", "exempt_service:wsgi()", "--bind=unix:{socket}", "--no-control-socket"),
    "--log-level=critical",
)
SERVERS: dict[str, tuple[str, ...]] = {
    "uvicorn-h11": (*_UVICORN, "--http=h11"),
    "uvicorn-httptools": (*_UVICORN, "--http=httptools"),
    # It puts the path before that of each request, as a proxy that removed it expects.
    "uvicorn-root-path": (*_UVICORN, "--http=h11", "--root-path=/svc"),
    "gunicorn": _GUNICORN,
    # It removes the path from that of each request.
    "gunicorn-script-name": (*_GUNICORN, "--env=SCRIPT_NAME=/svc"),
    "aiohttp": ("exempt_service.py", "{socket}"),
}

# About the path `/admin/x`, which none of the rules exempts, and others like it.
PATHS = [
    "/admin/x",
    "//admin/x",
    "///admin/x",
    "/./admin/x",
    "/../admin/x",
    "/x/../admin/x",
    "/x//../admin/x",
    "/%61dmin/x",
    "/%2561dmin/x",
    "/%2Fadmin/x",
    "%2Fadmin/x",
    "/%2e/admin/x",
    "/%2E%2E/admin/x",
    "/x%2F..%2Fadmin/x",
    "/x%2f%2e%2e%2fadmin/x",
    "/x/%252e%252e/admin/x",
    "/\\admin/x",
    "\\admin\\x",
    "/%5Cadmin/x",
    "/x/..%5Cadmin/x",
    "/;/admin/x",
    "/health;/../admin/x",
    "/health#/admin/x",
    "/health?/../admin/x",
    "/health%3F/../admin/x",
    "/health%23/../admin/x",
    "/health/../admin/x",
    "/health/..;/admin/x",
    "/health%2F..%2Fadmin/x",
    "/health%00/admin/x",
    "/health%0A",
    "/health%0a/../admin/x",
    "/health%20",
    "/health/",
    "/health//",
    "//health",
    "/HEALTH",
    "/health%2F",
    "/healthy",
    "/%68ealth",
    "/public/../admin/x",
    "/public/./a",
    "/public//admin/x",
    "/public/%2e%2e/admin/x",
    "/public/%2E%2E%2Fadmin/x",
    "/public/..%2fadmin/x",
    "/public/..%255cadmin/x",
    "/public/..\\admin/x",
    "/public/..;/admin/x",
    "/public;/../admin/x",
    "/public%2F..%2F..%2Fadmin/x",
    "/public/%c0%ae%c0%ae/admin/x",
    "/public/%ef%bc%8e%ef%bc%8e/x",
    "/public/\xe2\x80\xa5/admin/x",
    "/public/%FF",
    "/public/..",
    "/public/.",
    "/public",
    "http://service.example/health",
    "http://service.example/admin/x",
    "http://health/admin/x",
    "HTTP://service.example//admin/x",
    "http:///admin/x",
    "http://service.example/public/../admin/x",
    "https://service.example/health/../admin/x",
    "service.example:443",
    "*",
    "health",
    "admin/x",
    "?/health",
    "/?/health",
    # About a mount: `/svc` is the server's, `/mount` the application's.
    "/svc/health/../admin/x",
    "/svc//admin/x",
    "/svcadmin/x",
    "/svc/svc/admin/x",
    "/health/svc/admin/x",
    "/public/svc/admin/x",
    "/svc/health/svc/admin/x",
    "/svc/public/svc/admin/x",
    "/svc%2Fadmin/x",
    "/mount/../admin/x",
    "/mount//admin/x",
    "/mountadmin/x",
    "/mount/mount/admin/x",
    "/mount/health/mount/admin/x",
    "/mount/public/mount/admin/x",
    "/svc/mount/svc/mount/admin/x",
    "/x/mount/public/mount/admin/x",
]
METHODS = ["GET", "POST", "OPTIONS", "get", "post", "Post", "pOST", "options", "P\xd6ST"]
FIELDS = [
    ("SCRIPT_NAME", "/health"),
    ("Script-Name", "/admin"),
    ("X-Script-Name", "/health"),
    ("X-Forwarded-Prefix", "/health"),
    ("X-Original-URL", "/health"),
    ("X-Rewrite-URL", "/health"),
    ("Root-Path", "/health"),
    ("PATH_INFO", "/health"),
    ("Path-Info", "/health"),
]


class Server(NamedTuple):
    """A server that runs: its name, its socket, and the mount that it removes from a path."""

    name: str
    path: Path
    mount: str


@pytest.fixture(scope="module")
def sockets() -> Iterator[Path]:
    # A Unix socket's path is bounded; pytest's own folders may be too deep.
    folder = Path(tempfile.mkdtemp(prefix="asapfn-"))
    try:
        with serving_each(folder, SERVERS):
            yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, sockets: Path) -> Server:
    name = request.param
    return Server(name, sockets / f"{name}.sock", "/svc" * (name == "gunicorn-script-name"))


def applications(server: str) -> list[str]:
    if server == "aiohttp":
        return ["aiohttp"]
    apps = WSGI_APPS if server.startswith("gunicorn") else ASGI_APPS
    return [*apps, *[f"mounted {name}" for name in apps]]


def readings(path: str) -> Iterator[str]:
    """A path, as what is behind the framework may read it too."""
    yield path
    for _ in range(3):
        path = unquote(path)
        yield path
        slashed = path.replace("\\", "/")
        resolved = posixpath.normpath(re.sub(r";[^/]*", "", slashed))
        yield re.sub("^//+", "/", resolved) + "/" * path.endswith("/")


def is_exempt(rule: str, method: str, path: str) -> bool:
    """Whether a request is exempt by every reading of it."""
    return all(RULES[rule](method.upper(), each) for each in readings(path) if each != "/")


def through(server: Server, app: str, rule: str, method: str, target: str) -> Any:
    """What the framework says that it was asked, if it was."""
    headers = {"X-App": app, "X-Unless": rule}
    status, body = over_http1(server.path, target, headers, method)
    return json.loads(body) if status == 200 else None


def test_no_spelling_of_a_path_gets_past(server: Server) -> None:
    found, let_through = [], 0
    for number, target in enumerate(PATHS):
        for app in applications(server.name):
            # Each framework is sent each target, by one rule after the other.
            for rule in list(RULES)[number % 2 : 5 : 2]:
                seen = through(server, app, rule, "GET", target)
                let_through += seen is not None
                if seen is not None and not is_exempt(rule, *seen):
                    found.append((app, rule, target, seen))
    assert found == []
    assert let_through > 0


def test_no_spelling_of_a_method_gets_past(server: Server) -> None:
    found = []
    for app in applications(server.name):
        path = f"{server.mount}{'/mount' * app.startswith('mounted')}/admin/x"
        for method in METHODS:
            for rule in ("preflight", "all but POST", "health"):
                seen = through(server, app, rule, method, path)
                if seen is not None and not RULES[rule](seen[0].upper(), "/admin/x"):
                    found.append((app, rule, method, seen))
    assert found == []


def test_no_header_field_chooses_what_is_exempt(server: Server) -> None:
    found = []
    for app in applications(server.name):
        for name, value in FIELDS:
            for target in ("/admin/x", "/health/admin/x", "/admin/health"):
                headers = {"X-App": app, "X-Unless": "health", name: value}
                status, body = over_http1(server.path, target, headers)
                if status == 200:
                    found.append((app, name, value, target, body))
    assert found == []


def test_a_websocket_is_never_exempt(server: Server) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    for app in applications(server.name):
        target = f"{server.mount}{'/mount' * app.startswith('mounted')}/health"
        headers = {"X-App": app, "X-Unless": "health"} | upgrade
        # Django knows no websockets.
        broken = app.endswith("middleware") and server.name.startswith("uvicorn")
        assert over_http1(server.path, target, headers)[0] == (500 if broken else 401)


def test_what_is_named_needs_no_token_and_all_else_does(server: Server) -> None:
    for app in applications(server.name):
        below = f"{server.mount}{'/mount' * app.startswith('mounted')}"
        for rule, method, path, expected in (
            ("health", "GET", "/health", 200),
            ("health", "HEAD", "/health", 200),
            ("health", "GET", "/health?verbose=1%2F..", 200),
            ("health", "GET", "/%68ealth", 200),
            ("health", "POST", "/health", 401),
            ("health", "GET", "/admin/x", 401),
            ("public", "GET", "/public/caf%C3%A9/a%20b.css", 200),
            ("public", "POST", "/public/a", 200),
            ("public", "GET", "/publicly", 401),
            ("preflight", "OPTIONS", "/admin/x", 200),
            ("preflight", "GET", "/admin/x", 401),
            ("nothing", "GET", "/health", 401),
        ):
            headers = {"X-App": app, "X-Unless": rule}
            status, body = over_http1(server.path, f"{below}{path}", headers, method)
            assert status == expected, (app, rule, method, path, body)
            if method == "GET" and status == 200:
                wanted = unquote(path.partition("?")[0])
                assert json.loads(body) == [method, wanted], (app, path)
