"""What an application reads of a request is what its Connect token was signed for, on any server.

Targets that no client would send, over raw sockets, each with a token for the innocent request that
it resembles and one for the target as it is: either the request is refused, or what the framework
routes by and parses is what was signed. What was signed is read here by the standard library.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from asapfn import connect, sign
from asapfn.keys import import_secret
from tests.support.raw_requests import Answer, over_http1, over_http2, over_websocket
from tests.support.target_servers import COMMANDS, applications, serving
from tests.support.targets_service import BASE_URL, SECRET

PAGE = "/connect/page"
ISSUE = f"{PAGE}?issue=A-1"
# The target, and what the token that is sent with it was signed for.
ODD: list[tuple[str, str]] = [
    # A fragment, which no request has.
    (f"{ISSUE}#&issue=B-2", ISSUE),
    (f"{ISSUE}#", ISSUE),
    (f"{PAGE}?#&admin=1", PAGE),
    (f"{PAGE}?#admin=1", PAGE),
    (f"{PAGE}#?issue=B-2", PAGE),
    (f"{PAGE}#/../admin", PAGE),
    (f"{PAGE}#", PAGE),
    (f"/connect#{PAGE}?issue=B-2", "/connect"),
    (f"{PAGE}%23?issue=A-1", ISSUE),
    (f"{PAGE}%23admin", PAGE),
    (f"{ISSUE}%23&issue=B-2", ISSUE),
    (f"{ISSUE}%2523", ISSUE),
    (f"{PAGE}%3Fissue=A-1", ISSUE),
    # Another form of a target (RFC 9112, section 3.2).
    (f"http://app.example{ISSUE}", ISSUE),
    (f"https://app.example{ISSUE}", ISSUE),
    (f"HTTP://app.example{ISSUE}", ISSUE),
    (f"http://user@app.example:80{ISSUE}", ISSUE),
    (f"http://connect{ISSUE}", ISSUE),
    (f"http://app.example/other/..{ISSUE}", ISSUE),
    (f"x:{ISSUE}", ISSUE),
    ("http://app.example", "/connect"),
    ("app.example:443", "/connect"),
    ("*", "/connect"),
    ("", "/connect"),
    ("?issue=A-1", "/connect?issue=A-1"),
    ("connect/page?issue=A-1", ISSUE),
    ("page?issue=A-1", ISSUE),
    # Slashes and dots.
    (f"/{ISSUE}", ISSUE),
    ("//connect/page?issue=A-1", "/connect/page?issue=A-1"),
    ("//evil.example/connect/page?issue=A-1", ISSUE),
    ("//page/connect/admin?issue=A-1", "/connect/admin?issue=A-1"),
    ("/connect//page?issue=A-1", ISSUE),
    ("/connect/page//?issue=A-1", ISSUE),
    ("/connect/page/?issue=A-1", ISSUE),
    ("/connect/./page?issue=A-1", ISSUE),
    ("/connect/x/../page?issue=A-1", ISSUE),
    ("/connect/../connect/page?issue=A-1", ISSUE),
    ("/connect/../admin?issue=A-1", "/connect/admin?issue=A-1"),
    ("/connect/page/..?issue=A-1", ISSUE),
    ("/connect/%2e%2e/admin?issue=A-1", "/connect/admin?issue=A-1"),
    ("/connect/x/%2E./page?issue=A-1", ISSUE),
    ("/connect%2Fpage?issue=A-1", ISSUE),
    ("/connect/a%2Fb?issue=A-1", "/connect/a/b?issue=A-1"),
    ("/connect/a%2fb?issue=A-1", "/connect/a%2Fb?issue=A-1"),
    ("/connect/a%252Fb?issue=A-1", "/connect/a%2Fb?issue=A-1"),
    ("/%63onnect/page?issue=A-1", ISSUE),
    ("/connect/p%61ge?issue=A-1", ISSUE),
    # Outside of the base URL, and almost inside.
    ("/page?issue=A-1", ISSUE),
    ("/users?id=7", "/connect/users?id=7"),
    ("/connected?issue=A-1", "/connect/ed?issue=A-1"),
    ("/Connect/page?issue=A-1", ISSUE),
    ("/connect/connect/page?issue=A-1", ISSUE),
    ("/connect;/page?issue=A-1", ISSUE),
    ("/connect?issue=A-1", "/connect/?issue=A-1"),
    # Separators.
    (f"{PAGE};admin=1?issue=A-1", ISSUE),
    (f"{PAGE};?issue=A-1", ISSUE),
    (f"{ISSUE};issue=B-2", ISSUE),
    (f"{ISSUE};admin=1", ISSUE),
    (f"{ISSUE}?issue=B-2", ISSUE),
    (f"{ISSUE}&&", ISSUE),
    (f"{PAGE}?&issue=A-1&", ISSUE),
    (f"{PAGE}?issue=A-1%26issue=B-2", f"{ISSUE}&issue=B-2"),
    (f"{PAGE}?issue%3DA-1", ISSUE),
    (f"{PAGE}?issue[]=A-1", ISSUE),
    (f"{PAGE}&issue=A-1", ISSUE),
    (f"{PAGE}%26?issue=A-1", f"{PAGE}&?issue=A-1"),
    (f"{PAGE}?a=1&a=2", f"{PAGE}?a=1,2"),
    (f"{PAGE}?a=1%2C2", f"{PAGE}?a=1,2"),
    (f"{PAGE}?issue=A%2B1+2", f"{PAGE}?issue=A+1 2"),
    (f"{PAGE}?jwt#&issue=A-1", ISSUE),
    # What is no character of a URI.
    (f"{PAGE}\\..\\admin?issue=A-1", "/connect/admin?issue=A-1"),
    ("/connect\\page?issue=A-1", ISSUE),
    ("\\connect\\page?issue=A-1", ISSUE),
    (f"{PAGE}%5C?issue=A-1", ISSUE),
    ("/connect/caf\xc3\xa9?issue=A-1", "/connect/caf%C3%A9?issue=A-1"),
    ("/connect/caf\xe9?issue=A-1", "/connect/caf%E9?issue=A-1"),
    (f"{PAGE}?issue=\xc3\xa9", f"{PAGE}?issue=%C3%A9"),
    (f"{PAGE}?issue=\xe9", f"{PAGE}?issue=%E9"),
    (f"{PAGE}?issue=A-1\xa0&issue=B-2", ISSUE),
    (f"{PAGE}?issue=%E9", f"{PAGE}?issue=%C3%A9"),
    (f"{PAGE}?issue=%zz", f"{PAGE}?issue=%25zz"),
    (f"{PAGE}%zz?issue=A-1", f"{PAGE}%25zz?issue=A-1"),
    (f"{PAGE}%00?issue=A-1", ISSUE),
    (f"{PAGE}%20?issue=A-1", ISSUE),
    (f"{PAGE}%0A?issue=A-1", ISSUE),
    (f"{PAGE} ?issue=A-1", ISSUE),
    (f"{PAGE}?issue=A-1 &issue=B-2", ISSUE),
    (f"{PAGE}?issue=A 1", f"{PAGE}?issue=A%201"),
    (f" {ISSUE}", ISSUE),
    (f"{PAGE}\t?issue=A-1", ISSUE),
    (f"{PAGE}?issue=A\t1", f"{PAGE}?issue=A%091"),
    (f"{ISSUE}\t&issue=B-2", ISSUE),
    (f"{ISSUE}\x0b", ISSUE),
    (f"{ISSUE}\x7f", ISSUE),
    (f"{ISSUE}\x00&issue=B-2", ISSUE),
]
# Fields by which a proxy, or whoever passes for one, chooses what the application routes by.
FIELDS = [
    (name, value)
    for name in (
        *("SCRIPT_NAME", "Script-Name", "X-Script-Name", "X-Forwarded-Prefix", "Forwarded-Prefix"),
        *("Daphne-Root-Path", "Root-Path", "X-Forwarded-Path", "X-Forwarded-Uri"),
        *("X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-HTTP-Method-Override"),
        *("PATH_INFO", "Path-Info", "REQUEST_URI", "RAW_URI", "QUERY_STRING", "X-Http-Path"),
    )
    for value in (PAGE, "/connect")
]
# What clients do send, and must not be refused.
PLAIN = [
    ISSUE,
    PAGE,
    "/connect",
    "/connect/",
    f"{PAGE}?",
    f"{PAGE}?q=%23&r=%26&s=a%2Bb+c&t=%C3%A9&flag&empty=",
    f"{PAGE}?q=a;b&q=b&r=/x?y",
    "/connect/caf%C3%A9/a%20b;c=d,e~f!$'()*@:",
    "/connect/%61",
]


def read(target: str) -> tuple[str, list[list[str]]]:
    """The path and the parameters that whoever signs a request to a target signs."""
    # The standard library would remove some characters silently.
    target = target.partition("#")[0]
    if target.startswith(("http://", "https://", "HTTP://")):
        target = urlsplit(target)._replace(scheme="", netloc="").geturl()
    path, _, query = target.partition("?")
    parameters = parse_qsl(query, keep_blank_values=True)
    return unquote(path), sorted([name, value] for name, value in parameters)


def readings(server: str, app: str, target: str) -> list[tuple[str, list[list[str]]]]:
    """What an application may read of a target that was signed, by Atlassian's algorithm or else.

    `/page/` is `/page` to the algorithm. Litestar takes several slashes for one, whatever the
    server; cheroot leaves an encoded slash encoded.
    """
    path, query = read(target)
    paths = {path.removesuffix("/")}
    if app == "litestar":
        paths = {re.sub("//+", "/", path).removesuffix("/")}
    if server.endswith("cheroot"):
        whole = target.partition("?")[0].replace("%2f", "%2F").replace("%2F", "%252F")
        paths.add(unquote(whole).removesuffix("/"))
    return [(each, query) for each in paths]


def authorization(signed_for: str) -> dict[str, str]:
    claims = connect.claims("product", "GET", signed_for, base_url=BASE_URL)
    return {"Authorization": f"JWT {sign(claims, import_secret(SECRET))}"}


def tokens(target: str, innocent: str) -> Iterator[tuple[str, dict[str, str]]]:
    """For what a token was signed, and the header with it."""
    for signed_for in {innocent, target}:
        path = read(signed_for)[0]
        # A product signs requests to the app, and no others.
        if path == "/connect" or path.startswith("/connect/"):
            try:
                yield signed_for, authorization(signed_for)
            except ValueError:
                assert signed_for == target or "%E9" in signed_for or "%zz" in innocent


Exchange = Callable[[Path, str, Mapping[str, str]], Answer]


def odd(server: str, app: str) -> list[tuple[str, str]]:
    """The targets that are sent: all to one application of each server, a share to the others.

    Behind nginx too it is a share, as nginx drops targets but changes none. The servers take turns
    at four shares, so that every application is sent every target.
    """
    direct = server.removeprefix("nginx-")
    if server == "nginx-uwsgi-protocol" or (server, app) in FIRST:
        return ODD
    turn = [name for name in COMMANDS if app in applications(name)].index(direct)
    return ODD[turn % 4 :: 4]


def violations(folder: Path, server: str, app: str, exchange: Exchange) -> list[object]:
    """Requests that were let in, and read otherwise than they were signed."""
    found: list[object] = []
    path = folder / f"{server}.sock"
    for target, innocent in odd(server, app):
        if server == "hypercorn-trio" and exchange is over_http2 and not target.isascii():
            continue  # such a path by HTTP/2 ends hypercorn 0.18 on trio, the whole process
        for signed_for, header in tokens(target, innocent):
            status, body = exchange(path, target, {"X-App": app} | header)
            if status != 200:
                continue
            seen, query = json.loads(body)
            if (seen.removesuffix("/"), query) not in readings(server, app, signed_for):
                found.append((target, signed_for, body.decode()))
    return found


def refused_plain(folder: Path, server: str, app: str, exchange: Exchange) -> list[object]:
    """Requests as clients send them that were not let in, or read otherwise."""
    found: list[object] = []
    for target in PLAIN:
        if server == "daphne" and exchange is over_websocket and ";" in target:
            continue  # daphne drops what comes after it, from the raw path too
        headers = {"X-App": app} | authorization(target)
        status, body = exchange(folder / f"{server}.sock", target, headers)
        seen, query = json.loads(body) if status == 200 else ["", []]
        if (seen.removesuffix("/"), query) not in readings(server, app, target):
            found.append((target, status, body))
    return found


@pytest.fixture(scope="module")
def sockets() -> Iterator[Path]:
    # A Unix socket's path is bounded; pytest's own folders may be too deep.
    folder = Path(tempfile.mkdtemp(prefix="asapfn-"))
    try:
        with serving(folder, list(COMMANDS)):
            yield folder
    finally:
        shutil.rmtree(folder)


HTTP2 = ("hypercorn-asyncio", "hypercorn-trio", "granian")
WSGI = ("gunicorn-sync", "gunicorn-gthread", "uwsgi", "waitress", "cheroot")
DIRECT = [(server, app) for server in COMMANDS for app in applications(server)]
FIRST = [(server, applications(server)[0]) for server in COMMANDS]
WAYS: list[tuple[str, str, Exchange]] = [
    *[(server, app, over_http1) for server, app in DIRECT],
    *[(server, app, over_http2) for server, app in FIRST if server in HTTP2],
    *[(server, app, over_websocket) for server, app in FIRST if server not in WSGI],
    *[(f"nginx-{server}", app, over_http1) for server, app in FIRST],
    ("nginx-uwsgi-protocol", "flask", over_http1),
]
EACH_WAY = pytest.mark.parametrize(
    ("server", "app", "exchange"),
    WAYS,
    ids=[f"{server}-{app}-{exchange.__name__}" for server, app, exchange in WAYS],
)


@EACH_WAY
def test_what_the_application_reads_is_what_was_signed_or_the_request_is_refused(
    sockets: Path, server: str, app: str, exchange: Exchange
) -> None:
    assert violations(sockets, server, app, exchange) == []


@pytest.mark.parametrize(("server", "app"), [*DIRECT, ("nginx-daphne", "starlette")])
def test_no_header_field_chooses_what_the_application_reads(
    sockets: Path, server: str, app: str
) -> None:
    found = []
    for name, value in FIELDS:
        headers = {"X-App": app, name: value} | authorization(ISSUE)
        status, body = over_http1(sockets / f"{server}.sock", ISSUE, headers)
        if status == 200 and json.loads(body) != [PAGE, [["issue", "A-1"]]]:
            found.append((name, value, body))
    assert found == []


@pytest.mark.parametrize(("server", "app"), FIRST)
def test_two_authorization_headers_are_refused_but_under_cheroot_which_drops_the_first(
    sockets: Path, server: str, app: str
) -> None:
    good = authorization(ISSUE)["Authorization"]
    outcomes = []
    for first, second in ((good, good), ("JWT x.y.z", good), (good, "JWT x.y.z")):
        headers = {"X-App": app, "Authorization": f"{first}\r\nAuthorization: {second}"}
        status, _ = over_http1(sockets / f"{server}.sock", ISSUE, headers)
        outcomes.append(status == 200)
    assert outcomes == [server == "cheroot", server == "cheroot", False]


@EACH_WAY
def test_a_request_as_clients_send_it_is_accepted(
    sockets: Path, server: str, app: str, exchange: Exchange
) -> None:
    assert refused_plain(sockets, server, app, exchange) == []
