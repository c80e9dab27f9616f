import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asapfn import qsh
from asapfn._core.verification import peek
from asapfn.keys import export_private_pem
from tests.support.keyring import key_for
from tests.support.lifespan import lifespan
from tests.support.servers import Turns, asgi_server, hangs, raw_server
from tests.support.trust import trust

SECRET = b"a secret of the tenant's, long enough"


class Service:
    """Keeps what it was asked, and answers as it is set to."""

    def __init__(self):
        self.seen = []
        self.status, self.body, self.headers = 200, b'{"b":[1]}', []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        target = scope["raw_path"].decode() + "?" * bool(scope["query_string"])
        target += scope["query_string"].decode()
        self.seen.append((scope["method"], target, headers, body))
        moved = scope["path"] == "/moved"
        await send({"type": "http.response.start", "status": 302 if moved else self.status,
                    "headers": self.headers if moved or not self.headers else []})  # fmt: skip
        await send({"type": "http.response.body", "body": self.body})


@pytest.fixture(scope="module")
def running():
    turns = Turns()
    with asgi_server(turns) as origin:
        yield turns, origin


@pytest.fixture
def service(running):
    running[0].app = Service()
    return running[0].app


@pytest.fixture
def origin(running, service, monkeypatch, tmp_path):
    trust(monkeypatch, tmp_path)
    return running[1]


@pytest.fixture
def signed(tmp_path):
    """The flags of an ASAP token."""
    folder = tmp_path / "keys" / "issuer"
    folder.mkdir(parents=True)
    (folder / "k.pem").write_text(export_private_pem(key_for("ES256")))
    where = ("--key-directory", str(tmp_path / "keys"))
    return ("--issuer", "issuer", "--audience", "billing", *where)


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    return ("--issuer", "app", "--secret-from", str(path))


def test_the_body_goes_to_standard_output_and_the_status_to_the_other(
    asapfn, origin, signed, service
):
    ran = asapfn("request", "asap", "GET", f"{origin}/x?a=1", *signed, "-H", "Accept: a/b")
    assert (ran.code, ran.out, ran.err) == (0, '{"b":[1]}', "HTTP/1.1 200 OK\n")
    ((method, target, headers, body),) = service.seen
    assert (method, target, headers["accept"], body) == ("GET", "/x?a=1", "a/b", b"")
    scheme, token = headers["authorization"].split(" ")
    assert (scheme, peek(token).claims["aud"]) == ("Bearer", "billing")
    assert peek(token).header["kid"] == "issuer/k.pem"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (404, 1), (500, 3)])
@pytest.mark.parametrize("stream", ["a closed pipe", "/dev/full"])
def test_the_exit_code_and_the_body_are_the_same_where_no_status_can_be_written(
    stream, status, code, origin, signed, service
):
    service.status = status
    if stream == "/dev/full":
        writing = os.open(stream, os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "asapfn", "request", "asap", origin, *signed]
    ran = subprocess.run(command, stderr=writing, stdout=subprocess.PIPE, check=False, env=environ)
    os.close(writing)
    assert (ran.returncode, ran.stdout) == (code, b'{"b":[1]}')


def test_headers_are_shown_with_i(asapfn, origin, signed, service):
    ran = asapfn("request", "asap", "GET", origin, *signed, "-i")
    head, _, body = ran.out.partition("\n\n")
    assert head.splitlines()[0] == "HTTP/1.1 200 OK"
    assert "server: uvicorn" in head.splitlines()
    assert (body, ran.err) == ('{"b":[1]}', "")


def test_machines_get_it_all_in_json(asapfn, origin, signed):
    answer = json.loads(asapfn("request", "asap", "GET", origin, *signed, "--json").out)
    assert (answer["status"], answer["body"]) == (200, '{"b":[1]}')
    assert ["server", "uvicorn"] in answer["headers"]


@pytest.mark.parametrize(("status", "code"), [(204, 0), (304, 0), (401, 1), (404, 1), (503, 3)])
def test_the_exit_code_tells_the_status(status, code, asapfn, origin, signed, service):
    service.status, service.body = status, b""
    assert asapfn("request", "asap", "GET", origin, *signed).code == code


def test_data_is_sent_from_the_command_line_a_file_or_standard_input(
    asapfn, origin, signed, service, tmp_path
):
    (tmp_path / "data").write_bytes(b"\x00f")
    asapfn("request", "asap", "POST", origin, *signed, "-d", "a=1")
    asapfn("request", "asap", "PUT", origin, *signed, "-d", f"@{tmp_path}/data",
           "-H", "content-type: application/json")  # fmt: skip
    asapfn("request", "asap", "PATCH", origin, *signed, "-d", "@-", stdin=b"in")
    assert [(seen[0], seen[3]) for seen in service.seen] == [
        ("POST", b"a=1"), ("PUT", b"\x00f"), ("PATCH", b"in")
    ]  # fmt: skip
    kinds = [seen[2]["content-type"] for seen in service.seen]
    assert kinds[:2] == ["application/x-www-form-urlencoded", "application/json"]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (("{url}",), ("GET", "/x")),
        (("{url}", "-X", "DELETE"), ("DELETE", "/x")),
        (("-X", "PUT", "{url}"), ("PUT", "/x")),
        (("DELETE", "-i", "{url}"), ("DELETE", "/x")),
        (("-i", "{url}", "-d", "a=1"), ("POST", "/x")),
        (("{url}", "-d", "a=1", "-X", "PATCH"), ("PATCH", "/x")),
    ],
)
def test_the_method_is_given_as_curl_has_it_or_before_the_url(
    arguments, sent, asapfn, origin, signed, service
):
    given = [each.format(url=f"{origin}/x") for each in arguments]
    assert asapfn("request", "asap", *given, *signed).code == 0
    assert [seen[:2] for seen in service.seen] == [sent]


def test_two_methods_or_urls_are_wrong_use(asapfn, origin, signed, service):
    for words in (("GET", origin, "-X", "PUT"), ("GET", origin, origin)):
        ran = asapfn("request", "asap", *words, *signed)
        assert (ran.code, service.seen) == (2, [])
        assert "give one URL, and one method" in ran.err


def test_a_connect_token_is_for_the_request_as_it_is_sent(asapfn, origin, secret, service):
    common = ("request", "connect")
    base = ("--base-url", f"{origin}/wiki")
    assert asapfn(*common, "GET", f"{origin}/wiki/x?b=a b&a=1", *secret, *base).code == 0
    asapfn(*common, "POST", f"{origin}/form", *secret, "-d", "b=2&a=1")
    asapfn(*common, "POST", f"{origin}/json", *secret, "-d", "{}", "-H", "Content-Type: a/json")
    hashes = []
    for _, _, headers, _ in service.seen:
        scheme, token = headers["authorization"].split(" ")
        hashes.append(peek(token).claims["qsh"])
        assert scheme == "JWT"
    assert hashes == [
        qsh("GET", "/x?a=1&b=a%20b"), qsh("POST", "/form", form="a=1&b=2"), qsh("POST", "/json")
    ]  # fmt: skip


def test_redirects_are_followed_when_asked_and_the_token_stays_with_its_origin(
    asapfn, origin, signed, service
):
    other = Service()
    with asgi_server(other) as elsewhere:
        service.headers = [(b"location", f"{elsewhere}/there".encode())]
        ran = asapfn("request", "asap", "GET", f"{origin}/moved", *signed)
        assert (ran.code, ran.err, other.seen) == (0, "HTTP/1.1 302 Found\n", [])
        assert asapfn("request", "asap", "GET", f"{origin}/moved", *signed, "-L").code == 0
        ((_, target, headers, _),) = other.seen
        assert target == "/there"
        assert "authorization" not in headers
    service.headers = [(b"location", b"/here")]
    asapfn("request", "asap", "GET", f"{origin}/moved", *signed, "-L")
    assert service.seen[-1][1] == "/here"
    assert "authorization" in service.seen[-1][2]


def test_a_method_that_is_none_is_wrong_use(asapfn, signed):
    ran = asapfn("request", "asap", "G T", "http://localhost:1/", *signed)
    assert (ran.code, ran.err) == (2, "asapfn: the method is one word, such as GET\n")


def test_no_answer_is_unavailable(asapfn, origin, signed):
    ran = asapfn("request", "asap", "GET", "http://localhost:1/", *signed)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "asapfn: unavailable: http://localhost:1: ConnectError: Connection refused\n"


@pytest.mark.parametrize(
    ("url", "more", "told"),
    [
        ("localhost/x", (), "http://host/path or https://host/path"),
        ("ftp://localhost/x", (), "http://host/path"),
        ("http://a:b/", (), "the URL is malformed"),
        ("http://[/", (), "an origin is scheme://host[:port]"),
        ("http://localhost/", ("-H", "no colon"), "'NAME: VALUE'"),
        ("http://localhost/", ("-H", "a: b\r\nc: d"), "in one line"),
        ("http://localhost/", ("-H", "authorization: mine"), "leave it out"),
        ("http://localhost/", ("-d", "@/no/such/file"), "/no/such/file: No such file"),
    ],
)
def test_wrong_use_is_told_with_exit_code_2(url, more, told, asapfn, signed):
    ran = asapfn("request", "asap", "GET", url, *signed, *more)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


@pytest.mark.parametrize("seconds", ["0", "-1", "-0.5", "nan", "-inf"])
def test_a_timeout_of_no_time_is_wrong_use(seconds, asapfn, signed):
    ran = asapfn("request", "asap", "https://x.example/", *signed, f"--timeout={seconds}")
    error = "asapfn: --timeout is a number of seconds, more than 0\n"
    assert (ran.code, ran.out, ran.err) == (2, "", error)


def silent():
    """A listener that accepts connections, where nobody answers a handshake."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"https://127.0.0.1:{listener.getsockname()[1]}"


def test_no_answer_in_time_is_said_in_seconds(asapfn, signed, monkeypatch, tmp_path):
    trust(monkeypatch, tmp_path)
    listener, origin = silent()
    with listener:
        began = time.monotonic()
        ran = asapfn("request", "asap", origin, "--timeout", "0.3", *signed)
        assert time.monotonic() - began < 4.5  # not httpx's own 5 seconds
        text = "ConnectTimeout: no answer within 0.3 seconds"
        assert (ran.code, ran.err) == (3, f"asapfn: unavailable: {origin}: {text}\n")
    with raw_server(hangs()) as origin:
        ran = asapfn("request", "asap", origin, "--timeout", "2", *signed)
        text = "ReadTimeout: no answer within 2 seconds"
        assert (ran.code, ran.err) == (3, f"asapfn: unavailable: {origin}: {text}\n")
