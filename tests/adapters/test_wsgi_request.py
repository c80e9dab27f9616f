"""WSGI: the target as it was sent, and headers that servers joined."""

from typing import Any

import pytest
from refusals import (
    ask,
)
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from wsgi_servers import app, wsgi_server

from asapfn import Request
from asapfn.adapters.wsgi import request


class Targets:
    """An application that keeps the requests it was asked."""

    def __init__(self) -> None:
        self.seen: list[Request] = []

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.seen.append(request(environ))
        start_response("204 No Content", [])
        return []


@pytest.mark.parametrize(
    "target", ["/", "/?", "/a%2Fb", "/a%2fb/%C3%A9?x=%2F&y=a+b&z=%20", "//a", "/a;b=c?d?e"]
)
def test_the_target_is_as_it_was_sent_also_where_the_application_is_mounted(target: str) -> None:
    targets = Targets()
    inner = DispatcherMiddleware(app, {"/inner": targets})
    with wsgi_server(DispatcherMiddleware(app, {"/outer": inner})) as origin:
        ask(f"{origin}/outer/inner{target}")
    assert [seen.target for seen in targets.seen] == [f"/outer/inner{target}"]


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"REQUEST_URI": "/a%2Fb?c=%2F"}, "/a%2Fb?c=%2F"),
        ({"RAW_URI": "/a%2Fb?c=%2F"}, "/a%2Fb?c=%2F"),
        ({"REQUEST_URI": "/a", "RAW_URI": "/a"}, "/a"),
        ({"RAW_URI": "https://host:1/a%2Fb?c=/d"}, "/a%2Fb?c=/d"),
        ({"RAW_URI": "https://host"}, ""),
        ({"RAW_URI": "//host/a"}, "//host/a"),
        ({"RAW_URI": "/a://b/c"}, "/a://b/c"),
        ({"RAW_URI": "*"}, "*"),
        ({"RAW_URI": "/\xc3\xa9"}, "/é"),
        ({"RAW_URI": "/\xe9"}, "/\udce9"),
        ({"PATH_INFO": "/a/b"}, None),
    ],
)
def test_the_target_is_what_the_server_was_sent_or_none(
    environ: dict[str, str], target: str | None
) -> None:
    assert request({"REQUEST_METHOD": "GET", **environ}).target == target


def test_headers_are_those_of_the_request_alone() -> None:
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_X_FORWARDED_FOR": "::1",
        "SERVER_NAME": "localhost",
        "wsgi.url_scheme": "https",
    }
    assert request(environ) == Request(
        "POST",
        None,
        (("content-type", "text/plain"), ("content-length", "3"), ("x-forwarded-for", "::1")),
    )


@pytest.mark.parametrize(
    ("joined", "values"),
    [
        ("Bearer a.b.c", ["Bearer a.b.c"]),
        ("Bearer a.b.c,Bearer d.e.f", ["Bearer a.b.c", "Bearer d.e.f"]),
        ("Basic abc=, Bearer d.e.f", ["Basic abc=", "Bearer d.e.f"]),
        (",Bearer a.b.c", ["", "Bearer a.b.c"]),
        ("Bearer a.b.c,", ["Bearer a.b.c", ""]),
        ('Digest username="a", realm="b",uri = "/"', ['Digest username="a", realm="b",uri = "/"']),
    ],
)
def test_joined_headers_are_taken_apart_where_other_credentials_begin(
    joined: str, values: list[str]
) -> None:
    seen = request({"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": joined})
    assert seen.headers == tuple(("authorization", value) for value in values)
