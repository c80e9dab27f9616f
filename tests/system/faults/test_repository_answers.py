"""What a resolver makes of each answer of a key repository, through real sockets and TLS."""

import contextlib
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import trustme

from asapfn import asap
from asapfn._core.verification import peek
from asapfn.adapters.httpx import fetcher
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_private_pem, export_public_pem
from asapfn.resolvers import pem_repository
from asapfn.types import Caching, Key, Resolver, Token
from tests.support.keyring import key_for
from tests.support.keysources import Events
from tests.support.servers import (
    Behaviour,
    answers,
    drips,
    hangs,
    raw_server,
    resets,
    response,
    serving,
    trusting,
)

OURS = key_for("ES256")
PEM = "Content-Type: application/x-pem-file"
PUBLIC = export_public_pem(OURS).encode()

Verify = Callable[[str], Awaitable[Token]]


async def reason_of(verify: Verify, token: str) -> tuple[str, int]:
    with pytest.raises(TokenRejected) as raised:
        await verify(token)
    return raised.value.reason, raised.value.status


def key(status: str = "200 OK", body: bytes = PUBLIC, *headers: str) -> Behaviour:
    return answers(response(status, body, *(headers or (PEM,))))


def elsewhere(status: str) -> Behaviour:
    """A redirect to where the key is; it must not be followed."""
    return key(status, PUBLIC, PEM, "Location: /issuer/ES256.pem")


FOUND: dict[str, Behaviour] = {
    "200": key(),
    "parameters of the media type": key("200 OK", PUBLIC, f"{PEM}; charset=us-ascii"),
    "a media type in capitals": key("200 OK", PUBLIC, PEM.upper()),
    "text around the key": key("200 OK", b"The key:\r\n" + PUBLIC.replace(b"\n", b"\r\n")),
}
NO_SUCH_KEY: dict[str, Behaviour] = {
    "204": answers(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
    "403": key("403 Forbidden", b"<html>", "Content-Type: text/html"),
    "404": key("404 Not Found", b"", "Content-Type: text/plain"),
    "404 with a key": key("404 Not Found"),
}
OUTAGES: dict[str, Behaviour] = {
    "201": key("201 Created"),
    "206": key("206 Partial Content"),
    "301": elsewhere("301 Moved Permanently"),
    "302": elsewhere("302 Found"),
    "307": elsewhere("307 Temporary Redirect"),
    "400": key("400 Bad Request"),
    "401": key("401 Unauthorized"),
    "410": key("410 Gone"),
    "429": key("429 Too Many Requests"),
    "500": key("500 Internal Server Error"),
    "503": key("503 Service Unavailable"),
    "another media type": key("200 OK", PUBLIC, "Content-Type: text/plain"),
    "no media type": answers(response("200 OK", PUBLIC)),
    "no body": key("200 OK", b""),
    "no key": key("200 OK", b"<html>"),
    "half a key": key("200 OK", PUBLIC[:-40]),
    "two keys": key("200 OK", PUBLIC * 2),
    "a private key": key("200 OK", export_private_pem(OURS).encode()),
    "10 MB": key("200 OK", PUBLIC + b" " * 10_000_000),
    "a slow drip": drips(response("200 OK", b"", PEM, length=len(PUBLIC))),
    "a hang": hangs(),
    "a reset": resets(),
    "a reset within the body": resets(response("200 OK", PUBLIC[:50], PEM, length=len(PUBLIC))),
    "a body cut off": answers(response("200 OK", PUBLIC[:50], PEM, length=len(PUBLIC))),
    "no answer": answers(b""),
    "gzip": key("200 OK", PUBLIC, PEM, "Content-Encoding: gzip"),
}


@contextlib.asynccontextmanager
async def resolver_of(*bases: str, timeout: float = 10.0) -> AsyncIterator[Resolver]:
    """A resolver over these repositories; the time-out in seconds is short for those that hang."""
    async with httpx.AsyncClient(verify=trusting(), follow_redirects=True) as client:
        yield pem_repository(bases, fetcher(client, timeout=timeout), caching=Caching(min_age=0))


def counted(behaviour: Behaviour, paths: list[bytes]) -> Behaviour:
    def counting(peer: Any, request: bytes, stopping: Any) -> None:
        paths.append(request.split(b" ", 2)[1])
        behaviour(peer, request, stopping)

    return counting


async def resolve(resolver: Resolver) -> Key | None:
    return await resolver(peek(asap.signer("issuer", OURS)("service")))


@pytest.mark.parametrize("behaviour", FOUND.values(), ids=FOUND)
async def test_a_repository_that_answers_with_the_key_has_it(behaviour: Behaviour) -> None:
    with raw_server(behaviour) as base:
        async with resolver_of(base) as resolver:
            found = await resolve(resolver)
    assert found is not None
    assert found.kid == OURS.kid
    assert export_public_pem(found) == export_public_pem(OURS)


@pytest.mark.parametrize("behaviour", NO_SUCH_KEY.values(), ids=NO_SUCH_KEY)
async def test_a_repository_that_says_there_is_no_such_key_is_believed(
    behaviour: Behaviour,
) -> None:
    paths: list[bytes] = []
    with raw_server(counted(behaviour, paths)) as base, raw_server(key()) as mirror:
        async with resolver_of(base, mirror) as resolver:
            verify = asap.verifier(resolver, "service", issuers=None)
            for _ in range(2):
                token = asap.signer("issuer", OURS)("service")
                assert await reason_of(verify, token) == ("unknown_key", 401)
    assert paths == [b"/issuer/ES256.pem"]


@pytest.mark.parametrize("fault", OUTAGES)
async def test_a_repository_that_answers_anything_else_is_unavailable_and_a_mirror_is_asked(
    fault: str,
) -> None:
    timeout = 1.0 if fault in ("a slow drip", "a hang") else 10.0
    paths: list[bytes] = []
    with raw_server(counted(OUTAGES[fault], paths)) as base:
        async with resolver_of(base, timeout=timeout) as resolver:
            verify = asap.verifier(resolver, "service", issuers=None)
            with pytest.raises(Unavailable) as raised:
                await verify(asap.signer("issuer", OURS)("service"))
        assert raised.value.status == 503
        assert raised.value.source.startswith(base)
        assert "PRIVATE" not in str(raised.value)
        # A redirect was not followed, and nothing was tried twice.
        assert paths == [b"/issuer/ES256.pem"]
        with raw_server(key()) as mirror:
            async with resolver_of(base, mirror, timeout=timeout) as resolver:
                assert await resolve(resolver) is not None


CERTIFICATES: dict[str, Callable[[], Any]] = {
    "one of another authority": lambda: serving("localhost", issuer=trustme.CA()),
    "another host's": lambda: serving("other.example"),
    "an expired one": lambda: serving(
        "localhost", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    ),
}


@pytest.mark.parametrize("context", CERTIFICATES.values(), ids=CERTIFICATES)
async def test_a_repository_with_a_bad_certificate_is_unavailable(
    context: Callable[[], Any],
) -> None:
    paths: list[bytes] = []
    events = Events()
    with raw_server(counted(key(), paths), context=context()) as base:
        async with httpx.AsyncClient(verify=trusting()) as client:
            resolver = pem_repository(base, fetcher(client), observe=events)
            with pytest.raises(Unavailable):
                await resolve(resolver)
            with pytest.raises(Unavailable, match="certificate verify failed"):
                await resolve(resolver)  # in the pause after the first
    assert paths == []
    (event,) = events
    assert event.kind == "unavailable"
    assert "certificate verify failed" in event.detail


async def test_a_repository_that_is_not_there_is_unavailable() -> None:
    with raw_server(key()) as base:
        pass
    async with resolver_of(base) as resolver:
        with pytest.raises(Unavailable):
            await resolve(resolver)
