import json

import pytest
from keyring import key_for

from asapfn.keys import export_private_pem, export_public_jwk, export_public_pem


@pytest.fixture
def keys(tmp_path):
    """A directory of public keys: issuer/RS256.pem and issuer/ES256.pem."""
    root = tmp_path / "public"
    for name in ("RS256", "ES256"):
        write(root / "issuer" / f"{name}.pem", export_public_pem(key_for(name)))
    return root


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def files(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def key_ids(root):
    key_set = json.loads((root / ".well-known" / "jwks.json").read_text())
    return [key["kid"] for key in key_set["keys"]]


def test_keys_are_laid_out_by_their_ids_and_make_a_set(asapfn, keys, tmp_path):
    target = tmp_path / "www"
    ran = asapfn("publish", keys, "--to", target)
    assert ran.code == 0
    assert f"new   {target}/issuer/ES256.pem\n" in ran.out
    assert files(target) == [".well-known/jwks.json", "issuer/ES256.pem", "issuer/RS256.pem"]
    assert (target / "issuer" / "RS256.pem").read_text() == export_public_pem(key_for("RS256"))
    key_set = json.loads((target / ".well-known" / "jwks.json").read_text())
    expected = {n: v for n, v in export_public_jwk(key_for("ES256")).items() if n != "alg"}
    assert key_set["keys"][0] == expected


def test_publishing_again_keeps_what_is_there_and_adds_what_is_new(asapfn, keys, tmp_path):
    target = tmp_path / "www"
    asapfn("publish", keys, "--to", target)
    write(tmp_path / "more" / "other" / "k", export_public_pem(key_for("ES384")))
    ran = asapfn("publish", tmp_path / "more", "--to", target, "--json")
    everything = ["issuer/ES256.pem", "issuer/RS256.pem", "other/k"]
    assert json.loads(ran.out) == {
        "keys": everything, "new": ["other/k"], "jwks": str(target / ".well-known" / "jwks.json")
    }  # fmt: skip
    assert key_ids(target) == everything
    assert "kept  " in asapfn("publish", keys, "--to", target).out
    assert key_ids(target) == everything


def test_of_a_private_key_only_the_public_part_is_published(asapfn, tmp_path):
    write(tmp_path / "private" / "issuer" / "k.pem", export_private_pem(key_for("ES256")))
    target = tmp_path / "www"
    assert asapfn("publish", tmp_path / "private", "--to", target).code == 0
    assert all("PRIVATE" not in (target / name).read_text() for name in files(target))
    assert '"d"' not in (target / ".well-known" / "jwks.json").read_text()


def test_a_private_key_that_lies_published_is_told(asapfn, keys, tmp_path):
    write(tmp_path / "www" / "issuer" / "old.pem", export_private_pem(key_for("ES256")))
    ran = asapfn("publish", keys, "--to", tmp_path / "www")
    assert ran.code == 2
    assert "replace it at once" in ran.err


def test_a_key_never_takes_the_place_of_another(asapfn, keys, tmp_path):
    write(tmp_path / "two" / "issuer" / "RS256.pem", export_public_pem(key_for("ES384")))
    ran = asapfn("publish", keys, tmp_path / "two", "--to", tmp_path / "www")
    assert ran.code == 2
    assert "issuer/RS256.pem is another key already" in ran.err
    assert not (tmp_path / "www").exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("issuer/readme.txt", "no key", "expected one key in PEM"),
        ("issuer/a b.pem", "", "the name makes no key id"),
        (".hidden/k.pem", "", "holds no key"),
    ],
)
def test_what_is_no_key_is_wrong_use(name, text, told, asapfn, tmp_path):
    write(tmp_path / "keys" / name, text)
    ran = asapfn("publish", tmp_path / "keys", "--to", tmp_path / "www")
    assert ran.code == 2
    assert told in ran.err
    assert not (tmp_path / "www").exists()


def test_a_directory_that_is_not_there_is_wrong_use(asapfn, tmp_path):
    ran = asapfn("publish", tmp_path / "none", "--to", tmp_path / "www")
    assert (ran.code, "is not a directory" in ran.err) == (2, True)
