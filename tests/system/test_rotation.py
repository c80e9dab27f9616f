"""Keys are replaced and revoked under load, by the commands that the README has, behind nginx."""

import contextlib
import threading
import time
from pathlib import Path

import httpx
import pytest

from asapfn import asap, bearer
from asapfn.adapters.asgi import protect
from asapfn.adapters.httpx import auth, fetcher
from asapfn.cli import main
from asapfn.keys import import_pem
from asapfn.resolvers import clear
from asapfn.types import Caching
from tests.support.lifespan import lifespan
from tests.support.nginx_keys import nginx
from tests.support.servers import asgi_server, trusting
from tests.support.trust import trust

ROTATIONS = 5
CACHING = Caching(unknown_for=0.5)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A directory of keys, the repository's root, and its URL."""
    monkeypatch.chdir(tmp_path)
    trust(monkeypatch, tmp_path)
    keygen("2026-01.pem")
    publish()
    with nginx(Path("www").resolve(), tmp_path / "nginx") as url:
        yield url


def keygen(name):
    run("keygen", "--issuer", "orders", "--name", name, "--algorithm", "ES256")


def publish():
    run("publish", "keys/public", "--to", "www")


def run(*arguments):
    assert main(list(arguments)) == 0, arguments


def service(resolver):
    async def app(scope, receive, send):
        assert scope["type"] == "lifespan" or scope["asapfn.token"]
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        kid = scope["asapfn.token"].header["kid"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": kid})

    verify = asap.verifier(resolver, "billing", issuers="orders")
    return protect(app, bearer(verify))


class Traffic:
    """Calls from several threads until it is stopped; it keeps what was answered."""

    def __init__(self, url, refresh=0.05):
        sign = asap.signer("orders", asap.private_key_directory("keys/private", "orders",
                                                                refresh=refresh))  # fmt: skip
        self.auth, self.url = auth(asap.authorizer(sign, "billing")), url
        self.stop, self.answers, self.last = threading.Event(), [], {}
        self.threads = [threading.Thread(target=self.call, daemon=True) for _ in range(3)]

    def call(self):
        with httpx.Client(verify=trusting(), auth=self.auth, timeout=30) as client:
            while not self.stop.is_set():
                answer = client.get(self.url)
                self.answers.append((answer.status_code, answer.text))
                self.last[threading.current_thread()] = answer.text

    @contextlib.contextmanager
    def running(self):
        for thread in self.threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in self.threads:
                thread.join(60)

    def wait_for(self, kid):
        deadline = time.monotonic() + 60
        while self.answers[-1:] != [(200, kid)]:
            assert time.monotonic() < deadline, self.answers[-1:]
            self.stop.wait(0.01)

    def wait_for_all(self, kid):
        """Wait until each thread calls by this key, so that none has a token of another left."""
        deadline = time.monotonic() + 60
        while [self.last.get(each) for each in self.threads] != [kid] * len(self.threads):
            assert time.monotonic() < deadline, self.last
            self.stop.wait(0.01)

    def more(self, calls):
        deadline, enough = time.monotonic() + 60, len(self.answers) + calls
        while len(self.answers) < enough:
            assert time.monotonic() < deadline, len(self.answers)
            self.stop.wait(0.01)


def test_five_rotations_under_load_cost_no_request(repository):
    run("activate", "orders/2026-01.pem", "--repository", repository, "--wait", "0")
    resolver = asap.repository(repository, fetcher(), caching=CACHING)
    with asgi_server(service(resolver)) as url:
        traffic = Traffic(url)
        with traffic.running():
            for month in range(2, ROTATIONS + 2):
                kid = f"orders/2026-0{month}.pem"
                keygen(f"2026-0{month}.pem")
                # Somebody makes the receiver remember that there is no such key.
                assert called_with_staged_key(url, kid).json()["reason"] == "unknown_key"
                assert main(["activate", kid, "--repository", repository]) == 1
                publish()
                run("activate", kid, "--repository", repository, "--wait", "0.6")
                traffic.wait_for(kid)
    refused = [answer for answer in traffic.answers if answer[0] != 200]
    assert refused == []
    assert len({kid for _, kid in traffic.answers}) == ROTATIONS + 1


def test_a_key_that_signs_before_it_is_published_costs_requests(repository):
    run("activate", "orders/2026-01.pem", "--now")
    resolver = asap.repository(repository, fetcher(), caching=CACHING)
    with asgi_server(service(resolver)) as url:
        traffic = Traffic(url)
        with traffic.running():
            keygen("2026-02.pem")
            run("activate", "orders/2026-02.pem", "--now")
            deadline = time.monotonic() + 60
            while traffic.answers[-1:] == [] or traffic.answers[-1][0] == 200:
                assert time.monotonic() < deadline
                traffic.stop.wait(0.01)
    assert traffic.answers[-1][0] == 401


def called_with_staged_key(url, kid):
    key = import_pem(Path("keys/staged", kid).read_bytes(), kid=kid)
    token = asap.signer("orders", key)("billing")
    return httpx.get(url, headers={"Authorization": f"Bearer {token}"}, verify=trusting())


def test_a_revoked_key_is_refused_at_once_where_it_is_cleared(repository):
    run("activate", "orders/2026-01.pem", "--repository", repository, "--wait", "0")
    leaked = asap.signer("orders", asap.private_key_directory("keys/private", "orders"))
    resolver = asap.repository(repository, fetcher())
    with asgi_server(service(resolver)) as url, httpx.Client(verify=trusting()) as client:

        def call():
            headers = {"Authorization": f"Bearer {leaked('billing')}"}
            return client.get(url, headers=headers).status_code

        assert call() == 200
        keygen("2026-02.pem")
        for half in ("keys/private", "keys/public", "www"):
            Path(half, "orders/2026-01.pem").unlink()
        publish()
        assert not Path("www/orders/2026-01.pem").exists()
        assert "2026-01" not in Path("www/.well-known/jwks.json").read_text()
        assert call() == 200  # cached, for the max-age that nginx said
        clear(resolver, "orders/2026-01.pem")
        assert call() == 401


@pytest.mark.parametrize("waits", [True, False])
def test_a_revocation_costs_no_request_if_it_waits_until_no_signer_uses_the_key(repository, waits):
    run("activate", "orders/2026-01.pem", "--repository", repository, "--wait", "0")
    resolver = asap.repository(repository, fetcher())
    with asgi_server(service(resolver)) as url:
        # Without the wait, the signer is one that reads its directory much later.
        traffic = Traffic(url, refresh=0.05 if waits else 3600)
        with traffic.running():
            traffic.wait_for("orders/2026-01.pem")
            keygen("2026-02.pem")
            publish()
            run("activate", "orders/2026-02.pem", "--repository", repository, "--wait", "0")
            if waits:
                traffic.wait_for_all("orders/2026-02.pem")
            for half in ("keys/private", "keys/public", "www"):
                Path(half, "orders/2026-01.pem").unlink()
            publish()
            clear(resolver, "orders/2026-01.pem")
            traffic.more(30)
    assert {status for status, _ in traffic.answers} == ({200} if waits else {200, 401})
