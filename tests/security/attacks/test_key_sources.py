"""Attacks on where keys come from and where tokens go to."""

import socket
import threading

import httpx
import pytest

from asapfn import Caching, Document, TokenRejected, Unavailable, asap
from asapfn.adapters.httpx import auth, fetcher, request_hook
from asapfn.asap import authorizer, signer
from asapfn.keys import export_public_pem
from asapfn.resolvers import jwks, pem_repository
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.servers import answers, raw_server, response, trusting
from tests.support.verifying import CLAIMS, KEY, clock
from tests.support.victim import GOOD, MALLORY

BAD_URLS = {
    "file": "file:///etc/keys/",
    "ftp": "ftp://keys.example/",
    "data": "data:application/json,{}",
    "http": "http://keys.example/",
    "userinfo": "https://user:hunter2@keys.example/",
    "a name before the host": "https://keys.example@mallory.example/",
    "no scheme": "keys.example/",
    "no host": "https:///keys/",
    "javascript": "javascript:alert(1)",
    "a fragment": "https://keys.example/#",
    "no ip": "https://[::1/",
}


class Listening:
    """What a server does that keeps each request and answers with a good key."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def __call__(self, peer: socket.socket, request: bytes, stopping: threading.Event) -> None:
        self.requests.append(request)
        pem = export_public_pem(KEY).encode()
        peer.sendall(response("200 OK", pem, "Content-Type: application/x-pem-file"))


def redirect(status: int, to: str) -> bytes:
    return response(f"{status} Elsewhere", b"", f"Location: {to}")


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
async def test_keys_come_by_https_alone(url: str) -> None:
    """CVE-2026-48522 (PyJWT): a key source over file:, ftp:, data:, plain http or with userinfo.
    It is told when it is set up, and the way to the network refuses it once more."""

    async def fetch(url: str, accept: str) -> Document:
        raise AssertionError("the network was asked")

    for make in (jwks, pem_repository, asap.repository):
        with pytest.raises(ValueError, match="https") as caught:
            make(url, fetch)
        assert "hunter2" not in str(caught.value)
    if "#" not in url:
        async with httpx.AsyncClient(verify=trusting()) as client:
            with pytest.raises(ValueError, match=r"https only|holds no user") as caught:
                await fetcher(client)(url, "*/*")
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_key_source_does_not_redirect(status: int) -> None:
    """CVE-2026-48522 (PyJWT), and CWE-918: a repository that is made to point elsewhere, and a
    client that follows by itself."""
    elsewhere = Listening()
    with (
        raw_server(elsewhere) as other,
        raw_server(answers(redirect(status, f"{other}/issuer/ES256.pem"))) as origin,
    ):
        async with httpx.AsyncClient(verify=trusting(), follow_redirects=True) as client:
            keys = asap.repository(origin, fetcher(client))
            verify = asap.verifier(keys, "service", issuers=None, now=clock)
            with pytest.raises(Unavailable, match=f"status {status}"):
                await verify(GOOD)
            assert elsewhere.requests == []
            # The control: there it would have been found.
            keys = asap.repository(other, fetcher(client))
            assert await asap.verifier(keys, "service", issuers=None, now=clock)(GOOD)
    assert len(elsewhere.requests) == 1


@pytest.mark.parametrize("way", ["auth", "hook"])
async def test_a_redirect_gets_no_token(way: str) -> None:
    """CVE-2018-18074 (Requests) was of this kind: a server answers with a redirect to mallory's,
    and the client tells that one the `Authorization` that was meant for the first."""
    authorize = authorizer(signer("issuer", key_for("ES256")), "service")
    elsewhere = Listening()
    with (
        raw_server(elsewhere) as other,
        raw_server(answers(redirect(302, f"{other}/steal"))) as origin,
    ):
        hook = request_hook(authorize, origins=origin)
        settings = (
            {"auth": auth(authorize)} if way == "auth" else {"event_hooks": {"request": [hook]}}
        )
        async with httpx.AsyncClient(
            verify=trusting(), follow_redirects=True, **settings
        ) as client:
            answer = await client.get(f"{origin}/go")
    assert answer.history[0].request.headers["Authorization"].startswith("Bearer ey")
    (stolen,) = elsewhere.requests
    assert stolen.startswith(b"GET /steal ")
    assert b"authorization" not in stolen.lower()
    assert b"Bearer" not in stolen


@pytest.mark.parametrize(
    "body", [b"x" * 70_000, b"-----BEGIN PUBLIC KEY-----\n" * 3000], ids=["bytes", "armour"]
)
async def test_a_key_source_does_not_send_without_end(body: bytes) -> None:
    """CWE-400: a host that is asked for a key answers with more than any key has."""
    large = answers(response("200 OK", body, "Content-Type: application/x-pem-file"))
    with raw_server(large) as origin:
        async with httpx.AsyncClient(verify=trusting()) as client:
            keys = asap.repository(origin, fetcher(client))
            verify = asap.verifier(keys, "service", issuers=None, now=clock)
            with pytest.raises(Unavailable, match="larger than"):
                await verify(GOOD)


async def test_unknown_key_ids_do_not_cost_a_fetch_each() -> None:
    """CVE-2026-48524 (PyJWT): tokens that nobody signed, each with another key id, make the service
    flood its key source, and fail with it."""
    asked: list[str] = []

    async def fetch(url: str, accept: str) -> Document:
        asked.append(url)
        return Document(*((200, "", b'{"keys":[]}') if url.endswith("set") else (404, "", b"")))

    caching = Caching(issuer_misses=(0.0, 5), longest_wait=0)
    unknown = [forge(CLAIMS, MALLORY, kid=f"issuer/{number}") for number in range(50)]
    for keys, most in (
        (jwks("https://keys.example/set", fetch), 1),
        (asap.repository("https://keys.example/", fetch, caching=caching), 5),
    ):
        asked.clear()
        verify = asap.verifier(keys, "service", issuers=None, now=clock)
        for token in unknown:
            with pytest.raises((TokenRejected, Unavailable)):
                await verify(token)
        assert len(asked) == most
