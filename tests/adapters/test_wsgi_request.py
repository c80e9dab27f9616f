"""WSGI: the target as it was sent, and headers that servers joined."""

from typing import Any

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from asapfn import Request
from asapfn.adapters.wsgi import request
from tests.support.refusals import ask
from tests.support.wsgi_servers import app, wsgi_server


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
        ({"RAW_URI": "https://host:1/a%2Fb?c=/d"}, "https://host:1/a%2Fb?c=/d"),
        ({"RAW_URI": "https://host"}, "https://host"),
        ({"RAW_URI": ""}, ""),
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


@pytest.mark.parametrize(
    ("environ", "agrees"),
    [
        ({"PATH_INFO": "/a/b \xc3\xa9", "QUERY_STRING": "c=%2F"}, True),
        ({"SCRIPT_NAME": "/a", "PATH_INFO": "/b \xc3\xa9", "QUERY_STRING": "c=%2F"}, True),
        # A server that is set to a mount which a proxy takes off the path.
        ({"SCRIPT_NAME": "/x", "PATH_INFO": "/a/b \xc3\xa9", "QUERY_STRING": "c=%2F"}, True),
        ({"PATH_INFO": "/a%2Fb \xc3\xa9", "QUERY_STRING": "c=%2F"}, True),
        ({"PATH_INFO": "/a/b \xc3\xa9", "QUERY_STRING": "c=/"}, False),
        ({"PATH_INFO": "/a/b \xc3\xa9", "QUERY_STRING": "c=%2F&d"}, False),
        ({"PATH_INFO": "/a/b \xc3\xa9"}, False),
        ({"PATH_INFO": "/a/b \xe9", "QUERY_STRING": "c=%2F"}, False),
        ({"PATH_INFO": "/b \xc3\xa9", "QUERY_STRING": "c=%2F"}, False),
        ({"PATH_INFO": "/a%2fb \xc3\xa9", "QUERY_STRING": "c=%2F"}, False),
        ({"PATH_INFO": "", "QUERY_STRING": "c=%2F"}, False),
        ({"QUERY_STRING": "c=%2F"}, False),
        ({"SCRIPT_NAME": "/a", "PATH_INFO": "/admin", "QUERY_STRING": "c=%2F"}, False),
        # As gunicorn gives it, which takes the name from a header.
        (
            {
                "HTTP_SCRIPT_NAME": "/a",
                "SCRIPT_NAME": "/a",
                "PATH_INFO": "/b \xc3\xa9",
                "QUERY_STRING": "c=%2F",
            },
            False,
        ),
    ],
)
@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_what_the_application_reads_and_is_not_the_target_is_a_mismatch(
    name: str, environ: dict[str, str], agrees: bool
) -> None:
    target = "/a%2Fb%20%C3%A9?c=%2F"
    seen = request({"REQUEST_METHOD": "GET", name: target, **environ})
    assert seen.target == target
    assert (seen.mismatch == "") is agrees


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
