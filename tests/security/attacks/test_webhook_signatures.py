"""Attacks on a webhook's signature: its header, algorithm and secret, and its body in pieces."""

import hashlib
import hmac
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from asapfn import webhooks
from asapfn.adapters import asgi
from asapfn.errors import TokenRejected
from asapfn.types import Request
from tests.support.lifespan import lifespan
from tests.support.servers import asgi_server, trusting

SECRET = "the webhook's secret"
BODY = b'{"webhookEvent":"jira:issue_updated","issue":{"key":"A-1"}}'
MAX_BYTES = 1000


def signature(body: bytes = BODY, secret: str = SECRET, algorithm: str = "sha256") -> str:
    return f"{algorithm}={hmac.new(secret.encode(), body, algorithm).hexdigest()}"


def told(*headers: tuple[str, str], body: bytes = BODY, **options: Any) -> str | None:
    try:
        webhooks.hub_signature(body, Request("POST", "/", headers), SECRET, **options)
    except TokenRejected as error:
        return error.reason
    return None


GITHUB = "X-Hub-Signature-256"
GOOD = ("X-Hub-Signature", signature())


def test_the_control_is_accepted() -> None:
    assert told(GOOD) is None
    assert told((GITHUB, signature()), header=GITHUB) is None


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha224", "sha384", "sha512", "sha3_256"])
def test_signature_header_confusion_a_weaker_algorithm_is_never_chosen_by_the_sender(
    algorithm: str,
) -> None:
    """The true signature, by an algorithm that the header names and the receiver did not."""
    assert told(("X-Hub-Signature", signature(algorithm=algorithm))) == "unsupported_algorithm"
    # The digest of one algorithm under the name of the other.
    digest = signature(algorithm=algorithm).partition("=")[2]
    assert told(("X-Hub-Signature", f"sha256={digest}")) in ("malformed", "bad_signature")


def test_signature_header_confusion_no_other_header_stands_in() -> None:
    bad = signature(secret="mallory's")
    assert told((GITHUB, signature())) == "missing_token"
    assert told(("X-Hub-Signature", signature()), header=GITHUB) == "missing_token"
    assert told(("X_Hub_Signature", signature())) == "missing_token"
    assert told(("X-Hub-Signature ", signature())) == "missing_token"
    assert told(("Authorization", signature())) == "missing_token"
    # The true one beside: the header that counts decides.
    assert told((GITHUB, signature()), ("X-Hub-Signature", bad)) == "bad_signature"
    assert told((GITHUB, signature()), ("X-Hub-Signature", bad), header=GITHUB) is None
    sha1 = signature(algorithm="sha1")
    assert told((GITHUB, bad), ("X-Hub-Signature", sha1), header=GITHUB) == "bad_signature"


@pytest.mark.parametrize("first", [signature(), signature(secret="mallory's"), "sha1=00", ""])
def test_signature_header_confusion_of_two_headers_neither_is_chosen(first: str) -> None:
    for pair in ((first, signature()), (signature(), first)):
        headers = [("X-Hub-Signature", pair[0]), ("x-hub-signature", pair[1])]
        assert told(*headers) == "ambiguous_token"
        # As a proxy joins them (RFC 9110, section 5.3).
        assert told(("X-Hub-Signature", ", ".join(pair))) == "ambiguous_token"


def test_an_unsigned_or_unkeyed_digest_is_no_signature() -> None:
    plain = hashlib.sha256(BODY).hexdigest()
    for value in (plain, f"sha256={plain}", f"sha256={hashlib.sha256(b'').hexdigest()}"):
        assert told(("X-Hub-Signature", value)) in ("malformed", "bad_signature")
    # With an empty secret, as a variable that is not set gives it, anybody could sign.
    for secrets in ("", b"", [], [SECRET, ""]):
        with pytest.raises(ValueError, match="empty"):
            webhooks.hub_signature(
                BODY, Request("POST", "/", (("X-Hub-Signature", signature(secret="")),)), secrets
            )


@pytest.mark.parametrize(
    "body",
    [
        BODY + b" ",
        BODY.replace(b":", b": "),
        b'{"issue":{"key":"A-1"},"webhookEvent":"jira:issue_updated"}',
        BODY.replace(b"A-1", b"\\u0041-1"),
        b"\xef\xbb\xbf" + BODY,
    ],
)
def test_a_body_that_means_the_same_is_another_body(body: bytes) -> None:
    assert told(GOOD, body=body) == "bad_signature"


def test_every_secret_is_compared_wherever_the_right_one_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time says neither how much of a signature was right, nor which secret it was."""
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        compared.append(a)
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    secrets = ["a", "b", "c"]
    for right in (*secrets, "none of them"):
        compared.clear()
        headers = (("X-Hub-Signature", signature(secret=right)),)
        try:
            webhooks.hub_signature(BODY, Request("POST", "/", headers), secrets)
        except TokenRejected as error:
            assert (right, error.reason) == ("none of them", "bad_signature")
        assert len(compared) == 3


async def receiver(scope: Any, receive: Any, send: Any) -> None:
    """A webhook's endpoint in plain ASGI, as the documentation has it."""
    status = 204
    try:
        body = await asgi.read_body(receive, max_bytes=MAX_BYTES)
        webhooks.hub_signature(body, asgi.request(scope), SECRET)
    except TokenRejected as error:
        status = error.status
    except ValueError:
        status = 413
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def endpoint() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        await receiver(scope, receive, send)

    with asgi_server(app) as origin:
        yield origin


def deliver(origin: str, pieces: list[bytes], *headers: str, at_once: bool = False) -> int:
    """Send a body in chunks, each in a TLS record of its own unless at once; give the status."""
    place = urlsplit(origin)
    lines = ("POST /hook HTTP/1.1", "Host: x", "Connection: close", "Transfer-Encoding: chunked")
    sent = ["\r\n".join([*lines, *headers, "", ""]).encode()]
    sent += [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    sent += [b"0\r\n\r\n"]
    with (
        socket.create_connection((place.hostname, place.port or 0), timeout=30) as plain,
        trusting().wrap_socket(plain, server_hostname=place.hostname) as peer,
    ):
        for part in [b"".join(sent)] if at_once else sent:
            peer.sendall(part)
        return int(peer.recv(100).split()[1])


def test_a_body_in_pieces_is_signed_as_a_whole(endpoint: str) -> None:
    header = f"X-Hub-Signature: {signature()}"
    for size in (1, 7, len(BODY)):
        pieces = [BODY[at : at + size] for at in range(0, len(BODY), size)]
        assert deliver(endpoint, pieces, header) == 204
    assert deliver(endpoint, [BODY[:-1]], header) == 401
    assert deliver(endpoint, [BODY, b"x"], header) == 401
    assert deliver(endpoint, [], header) == 401
    assert deliver(endpoint, [BODY]) == 401
    assert deliver(endpoint, [BODY], header, header) == 401


def test_a_body_over_the_cap_is_refused_however_it_is_signed(endpoint: str) -> None:
    whole = b"x" * MAX_BYTES
    assert deliver(endpoint, [whole], f"X-Hub-Signature: {signature(whole)}") == 204
    more = whole + b"x"
    header = f"X-Hub-Signature: {signature(more)}"
    # In one record, since the server need not read what is behind its answer.
    assert deliver(endpoint, [more], header, at_once=True) == 413
    assert deliver(endpoint, [whole, b"x"], header, at_once=True) == 413
