"""`activate`: a new key signs only when everybody who verifies can find it."""

import json
import stat
import time

import pytest

from asapfn.asap import private_key_directory
from asapfn.keys import export_public_pem, import_data_uri, import_pem
from tests.support.keyring import key_for
from tests.support.lifespan import lifespan
from tests.support.servers import Turns, asgi_server
from tests.support.trust import trust


class Mirror:
    """A key repository that serves what it is given, each answer at most so many times."""

    def __init__(self):
        self.pems, self.answers, self.asked = {}, 1000, 0

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        self.asked += 1
        pem = self.pems.get(scope["path"].lstrip("/")) if self.asked <= self.answers else None
        kind = [(b"content-type", b"application/x-pem-file")]
        status = 404 if pem is None else 200
        await send({"type": "http.response.start", "status": status, "headers": kind})
        await send({"type": "http.response.body", "body": (pem or "").encode()})


@pytest.fixture(scope="module")
def running():
    one, other = Turns(), Turns()
    with asgi_server(one) as url, asgi_server(other) as other_url:
        yield one, other, url, other_url


@pytest.fixture
def mirrors(running, monkeypatch, tmp_path):
    """Two mirrors, and their URLs."""
    trust(monkeypatch, tmp_path)
    one, other, *urls = running
    one.app, other.app = Mirror(), Mirror()
    return (one.app, other.app, *urls)


@pytest.fixture
def staged(asapfn, tmp_path):
    """A key that `keygen` made, its directory, and its public PEM."""
    keys = tmp_path / "keys"
    asapfn("keygen", "--issuer", "orders", "--name", "2026-12.pem", "--algorithm", "ES256",
           "--directory", keys)  # fmt: skip
    return keys, (keys / "public" / "orders" / "2026-12.pem").read_text()


KID = "orders/2026-12.pem"


def both(one, other):
    return ("--repository", one, "--repository", other)


def is_staged(keys):
    return (keys / "staged" / KID).exists() and not (keys / "private" / KID).exists()


def test_a_key_is_not_active_until_every_mirror_serves_it(asapfn, mirrors, staged):
    first, second, *urls = mirrors
    keys, pem = staged
    first.pems[KID] = pem
    ran = asapfn("activate", KID, "--directory", keys, *both(*urls), "--wait", "0")
    assert (ran.code, is_staged(keys)) == (1, True)
    assert f"ok       {urls[0]}/{KID}" in ran.out
    assert f"wrong    {urls[1]}/{KID}  no such key (status 404)" in ran.out
    second.pems[KID] = pem
    ran = asapfn("activate", KID, "--directory", keys, *both(*urls), "--wait", "0")
    assert (ran.code, is_staged(keys)) == (0, False)
    assert f"active   {keys / 'private' / KID}" in ran.out
    assert not (keys / "staged" / KID).exists()
    assert stat.S_IMODE((keys / "private" / KID).stat().st_mode) == 0o600
    assert stat.S_IMODE((keys / "private" / "orders").stat().st_mode) == 0o700
    key = private_key_directory(keys / "private", "orders")()
    assert (key.kid, export_public_pem(key)) == (KID, pem)


def test_a_key_is_activated_after_the_wait_for_machines_too(asapfn, mirrors, staged):
    first, second, *urls = mirrors
    keys, pem = staged
    first.pems[KID] = second.pems[KID] = pem
    ran = asapfn("activate", KID, "--directory", keys, *both(*urls), "--wait", "0", "--json")
    assert (ran.code, is_staged(keys)) == (0, False)
    assert json.loads(ran.out)


def test_another_key_under_the_same_name_is_refused(asapfn, mirrors, staged):
    first, _, url, _ = mirrors
    keys, _ = staged
    first.pems[KID] = export_public_pem(key_for("ES256"))
    ran = asapfn("activate", KID, "--directory", keys, "--repository", url, "--wait", "0")
    assert (ran.code, is_staged(keys)) == (1, True)
    assert "another key is served under this key id" in ran.out


def test_a_mirror_that_does_not_answer_is_unavailable(asapfn, mirrors, staged):
    keys, _ = staged
    ran = asapfn("activate", KID, "--directory", keys, "--repository", "https://localhost:1",
                 "--json")  # fmt: skip
    assert (ran.code, is_staged(keys)) == (3, True)
    answer = json.loads(ran.out)
    assert (answer["active"], answer["mirrors"][0]["url"]) == (False, f"https://localhost:1/{KID}")
    assert "Connection refused" in answer["mirrors"][0]["problem"]


def test_the_negative_cache_time_passes_before_the_key_signs(asapfn, mirrors, staged):
    first, _, url, _ = mirrors
    keys, pem = staged
    first.pems[KID] = pem
    began = time.monotonic()
    ran = asapfn("activate", KID, "--directory", keys, "--repository", url, "--wait", "0.4")
    assert time.monotonic() - began >= 0.4
    assert (ran.code, first.asked, is_staged(keys)) == (0, 2, False)
    # Whoever interrupts it then knows what that leaves.
    assert "waiting  0.4 s, then once more; the key is still staged" in ran.out


def test_a_key_that_is_gone_after_the_wait_is_not_active(asapfn, mirrors, staged):
    first, _, url, _ = mirrors
    keys, pem = staged
    first.pems[KID], first.answers = pem, 1
    ran = asapfn("activate", KID, "--directory", keys, "--repository", url, "--wait", "0")
    assert (ran.code, first.asked, is_staged(keys)) == (1, 2, True)


def test_now_asks_nobody(asapfn, staged):
    keys, _ = staged
    ran = asapfn("activate", KID, "--directory", keys, "--now", "--json")
    assert (ran.code, is_staged(keys)) == (0, False)
    assert json.loads(ran.out) == {
        "active": True, "kid": KID, "mirrors": [], "private": str(keys / "private" / KID)
    }  # fmt: skip


def test_the_repository_may_come_from_the_environment(asapfn, mirrors, staged, monkeypatch):
    first, _, url, _ = mirrors
    keys, pem = staged
    first.pems[KID] = pem
    monkeypatch.setenv("ASAP_PUBLIC_KEY_REPOSITORY_URL", url)
    assert asapfn("activate", KID, "--directory", keys, "--wait", "0").code == 0


@pytest.mark.parametrize(("form", "suffix"), [("data-uri", ".uri"), ("jwk", ".jwk")])
def test_a_key_of_another_form_is_activated_too(form, suffix, asapfn, tmp_path):
    asapfn("keygen", "--issuer", "a", "--name", "k.pem", "--format", form, "--algorithm", "ES256",
           "--directory", tmp_path)  # fmt: skip
    ran = asapfn("activate", "a/k.pem", "--directory", tmp_path, "--now")
    assert (ran.code, ran.err) == (0, "")
    text = (tmp_path / "private" / "a" / f"k.pem{suffix}").read_text()
    if form == "data-uri":
        assert import_data_uri(text).kid == "a/k.pem"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give the key repository: --repository, or ASAP_PUBLIC_KEY_REPOSITORY_URL"),
        (("--repository", "http://localhost/"), "https"),
        (("--wait", "-1"), "--wait"),
    ],
)
def test_wrong_use_leaves_the_key_where_it_is(arguments, said, asapfn, staged):
    keys, _ = staged
    ran = asapfn("activate", KID, "--directory", keys, *arguments)
    assert (ran.code, ran.out, is_staged(keys)) == (2, "", True)
    assert said in ran.err


def test_a_key_id_that_is_not_staged_is_wrong_use_and_lists_those_that_are(asapfn, staged):
    keys, _ = staged
    for kid in ("orders/2026-11.pem", "orders", "../x"):
        ran = asapfn("activate", kid, "--directory", keys, "--now")
        assert ran.code == 2
        assert f"is not staged in {keys}/staged: {KID} is" in ran.err
    assert asapfn("activate", KID, "--directory", keys / "none", "--now").code == 2


def test_a_key_that_would_not_sign_is_not_activated(asapfn, staged):
    keys, _ = staged
    later = keys / "private" / "orders" / "2027-01.pem"
    later.parent.mkdir(parents=True)
    later.write_text("")
    ran = asapfn("activate", KID, "--directory", keys, "--now")
    assert (ran.code, is_staged(keys)) == (2, True)
    assert f"2026-12.pem would never sign: {later} sorts after it" in ran.err


def test_an_active_key_is_never_written_over(asapfn, staged):
    keys, _ = staged
    there = keys / "private" / KID
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    ran = asapfn("activate", KID, "--directory", keys, "--now")
    assert (ran.code, there.read_text()) == (2, "mine")
    assert "is active already" in ran.err


def test_what_is_staged_and_is_no_key_is_wrong_use(asapfn, staged):
    keys, _ = staged
    (keys / "staged" / KID).write_text("half")
    ran = asapfn("activate", KID, "--directory", keys, "--now")
    assert ran.code == 2
    assert not (keys / "private").exists()


@pytest.mark.parametrize("more", [("--now",), ("--repository", "https://localhost:1/")])
def test_a_key_whose_name_makes_no_key_id_is_not_activated(more, asapfn, staged):
    keys, _ = staged
    (keys / "staged" / KID).rename(keys / "staged" / "orders" / "a b.pem")
    ran = asapfn("activate", "orders/a b.pem", "--directory", keys, *more)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith("a b.pem: the name makes no key id\n")
    assert not (keys / "private").exists()


def test_the_private_key_is_the_staged_one(asapfn, staged):
    keys, _ = staged
    before = (keys / "staged" / KID).read_text()
    asapfn("activate", KID, "--directory", keys, "--now")
    assert (keys / "private" / KID).read_text() == before
    assert import_pem(before).is_private
