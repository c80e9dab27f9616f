import json
import os
import stat

import pytest

from asapfn.keys import export_private_pem, export_public_jwk, export_public_pem
from tests.support.keyring import key_for


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


@pytest.fixture
def pair(asapfn, tmp_path):
    """A directory as keygen makes it, with one active key and one staged."""
    for name in ("1.pem", "2.pem"):
        asapfn("keygen", "--issuer", "a/b", "--name", name, "--algorithm", "ES256",
               "--directory", tmp_path / "keys")  # fmt: skip
    asapfn("activate", "a/b/1.pem", "--directory", tmp_path / "keys", "--now")
    return tmp_path / "keys"


@pytest.mark.parametrize(
    "wrong",
    ["private", "private/a", "staged", ".", "public/a", "public/a/b", "public/../private"],
)
def test_a_wrong_folder_is_refused_and_the_right_one_named(wrong, asapfn, pair, tmp_path):
    ran = asapfn("publish", pair / wrong, "--to", tmp_path / "www")
    assert (ran.code, ran.out) == (2, "")
    assert f"publish {pair / 'public'} instead" in ran.err
    assert not (tmp_path / "www").exists()


def test_the_right_folder_is_published_wherever_it_is(asapfn, pair, tmp_path):
    assert asapfn("publish", pair / "public", "--to", tmp_path / "www").code == 0
    pair.rename(tmp_path / "public")
    assert asapfn("publish", tmp_path / "public" / "public", "--to", tmp_path / "w2").code == 0


def test_a_private_key_is_refused_wherever_it_is(asapfn, tmp_path):
    write(tmp_path / "mine" / "issuer" / "k.pem", export_private_pem(key_for("ES256")))
    ran = asapfn("publish", tmp_path / "mine", "--to", tmp_path / "www")
    assert ran.code == 2
    path = tmp_path / "mine" / "issuer" / "k.pem"
    assert f"{path} is a private key: publish the directory with the public ones" in ran.err
    assert not (tmp_path / "www").exists()


def test_a_key_without_an_issuer_names_the_folder_above(asapfn, keys, tmp_path):
    ran = asapfn("publish", keys / "issuer", "--to", tmp_path / "www")
    assert ran.code == 2
    assert f"ES256.pem has no issuer in its key id: publish {keys} instead" in ran.err


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
        ("issuer/readme.txt", "no key", "no PEM key found"),
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


@pytest.mark.parametrize("planted", ["issuer/.RS256.pem.new", ".well-known/.jwks.json.new"])
def test_a_link_planted_beside_a_key_is_not_written_through(planted, asapfn, keys, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = tmp_path / "www" / planted
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    assert asapfn("publish", keys, "--to", tmp_path / "www").code == 0
    assert victim.read_text() == "precious"
    assert key_ids(tmp_path / "www") == ["issuer/ES256.pem", "issuer/RS256.pem"]
    assert not (tmp_path / "www" / "issuer" / "RS256.pem").is_symlink()


@pytest.mark.parametrize("planted", ["issuer", ".well-known", "a/b"])
def test_a_folder_of_the_repository_that_is_a_link_is_refused(planted, asapfn, keys, tmp_path):
    write(keys / "a" / "b" / "c" / "k.pem", export_public_pem(key_for("ES384")))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "www" / planted
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    ran = asapfn("publish", keys, "--to", tmp_path / "www")
    assert (ran.code, f"{link} is a symbolic link" in ran.err) == (2, True)
    assert list(elsewhere.iterdir()) == []
    assert files(tmp_path / "www") == []


def test_the_repository_itself_may_be_a_link(asapfn, keys, tmp_path):
    (tmp_path / "release").mkdir()
    (tmp_path / "www").symlink_to(tmp_path / "release")
    assert asapfn("publish", keys, "--to", tmp_path / "www").code == 0
    assert key_ids(tmp_path / "release") == ["issuer/ES256.pem", "issuer/RS256.pem"]


def test_a_key_that_cannot_be_put_in_its_place_leaves_no_file_behind(asapfn, keys, tmp_path):
    (tmp_path / "www" / "issuer" / "ES256.pem").mkdir(parents=True)
    assert asapfn("publish", keys, "--to", tmp_path / "www").code == 2
    assert files(tmp_path / "www") == []


def test_only_the_owner_can_change_what_is_published_whatever_the_umask(asapfn, keys, tmp_path):
    before = os.umask(0)
    try:
        asapfn("publish", keys, "--to", tmp_path / "new" / "www")
    finally:
        os.umask(before)
    made = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    assert {stat.S_IMODE(p.stat().st_mode) for p in made if p.is_dir()} == {0o755}
    assert {stat.S_IMODE(p.stat().st_mode) for p in made if p.is_file()} == {0o644}
