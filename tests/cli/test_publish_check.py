"""`publish --check`: what a verifier finds at the key repository, and what is wrong with it."""

import json
import shutil

import pytest

from asapfn.keys import export_public_pem
from tests.support.keyring import key_for
from tests.support.nginx_keys import nginx, snippet
from tests.support.servers import authority

# As Debian has it: the file that says of .pem what a verifier does not accept.
STOCK = (
    snippet("nginx")
    .replace("types { application/json json; }", "types { application/x-x509-ca-cert pem; }")
    .replace('add_header Cache-Control "max-age=300";', "")
)


@pytest.fixture
def keys(tmp_path):
    root = tmp_path / "public"
    for name in ("ES256", "RS256"):
        (root / "issuer").mkdir(parents=True, exist_ok=True)
        (root / "issuer" / f"{name}.pem").write_text(export_public_pem(key_for(name)))
    return root


@pytest.mark.usefixtures("trusted")
def test_the_readmes_nginx_serves_each_key_as_a_verifier_wants_it(asapfn, keys, tmp_path):
    with nginx(tmp_path / "www", tmp_path / "nginx") as url:
        ran = asapfn("publish", keys, "--to", tmp_path / "www", "--check", url)
    assert ran.code == 0
    for name in ("ES256", "RS256"):
        assert f"ok    {url}issuer/{name}.pem  kept for 300 s\n" in ran.out


@pytest.mark.usefixtures("trusted")
def test_a_stock_web_servers_media_type_is_named_with_the_right_one(asapfn, keys, tmp_path):
    asapfn("publish", keys, "--to", tmp_path / "www")
    with nginx(tmp_path / "www", tmp_path / "nginx", STOCK) as url:
        ran = asapfn("publish", keys, "--check", url)
        assert ran.code == 1
        expected = "expected media type application/x-pem-file, got application/x-x509-ca-cert"
        assert f"wrong {url}issuer/RS256.pem  {expected}\n" in ran.out
        answer = json.loads(asapfn("publish", keys, "--check", url, "--json").out)
    assert {each["problem"] for each in answer["checked"]} == {expected}
    assert [each["url"] for each in answer["checked"]] == [
        f"{url}issuer/{name}.pem" for name in ("ES256", "RS256")
    ]


@pytest.mark.usefixtures("trusted")
def test_each_other_fault_of_a_repository_is_named(asapfn, keys, tmp_path):
    www = tmp_path / "www"
    asapfn("publish", keys, "--to", www)
    with nginx(www, tmp_path / "nginx", STOCK.replace("x509-ca-cert", "pem-file")) as url:
        one = www / "issuer" / "RS256.pem"
        shutil.copy(www / "issuer" / "ES256.pem", one)
        ran = asapfn("publish", keys, "--check", url)
        assert f"wrong {url}issuer/RS256.pem  another key is served under this key id\n" in ran.out
        assert f"ok    {url}issuer/ES256.pem  kept for 600 s: the server says nothing\n" in ran.out
        one.write_text("no key")
        ran = asapfn("publish", keys, "--check", url)
        assert f"wrong {url}issuer/RS256.pem  not a public key: expected one key in PEM" in ran.out
        one.unlink()
        ran = asapfn("publish", keys, "--check", url)
        assert f"wrong {url}issuer/RS256.pem  no such key (status 404)\n" in ran.out
        assert ran.code == 1


def test_a_certificate_that_is_not_trusted_is_named_with_the_flag(asapfn, keys, tmp_path):
    asapfn("publish", keys, "--to", tmp_path / "www")
    with nginx(tmp_path / "www", tmp_path / "nginx") as url:
        ran = asapfn("publish", keys, "--check", url)
        assert ran.code == 3
        assert "certificate verify failed: unable to get local issuer certificate" in ran.out
        assert "--cacert" in ran.out
        path = tmp_path / "authority.pem"
        authority().cert_pem.write_to_path(str(path))
        assert asapfn("publish", keys, "--check", url, "--cacert", path).code == 0
        ran = asapfn("publish", keys, "--check", url, "--cacert", keys)
        assert ran.code == 2
        assert "--cacert" in ran.err


def test_without_a_place_to_publish_to_or_to_check_nothing_is_done(asapfn, keys):
    ran = asapfn("publish", keys)
    assert ran.code == 2
    assert "give --to DIR, or --check URL" in ran.err
    assert asapfn("publish", keys, "--check", "http://localhost/").code == 2
