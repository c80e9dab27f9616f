import json
import os
import re
import stat

import pytest

from asapfn import peek
from asapfn._core.algorithms import ASAP
from asapfn.asap import private_key_directory
from asapfn.keys import import_data_uri, import_jwk, import_pem

# One that is made in no time, where the algorithm does not matter.
QUICK = ("--algorithm", "ES256")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("algorithm", sorted(ASAP))
def test_a_pair_is_written_of_each_algorithm(algorithm, asapfn, tmp_path):
    ran = asapfn("keygen", "--issuer", "orders", "--name", "1.pem", "--algorithm", algorithm,
                 "--directory", tmp_path, "--json")  # fmt: skip
    answer = json.loads(ran.out)
    assert (ran.code, answer["kid"], answer["algorithm"]) == (0, "orders/1.pem", algorithm)
    private = import_pem((tmp_path / "staged" / "orders" / "1.pem").read_text())
    public = import_pem((tmp_path / "public" / "orders" / "1.pem").read_text())
    assert private.is_private
    assert not public.is_private
    assert private.thumbprint() == public.thumbprint()
    assert answer["private"] == str(tmp_path / "staged" / "orders" / "1.pem")


def test_only_the_owner_can_read_the_private_key_whatever_the_umask(asapfn, tmp_path):
    before = os.umask(0)
    try:
        asapfn("keygen", "--issuer", "a/b", "--name", "k.pem", "--directory", tmp_path / "new",
               *QUICK)  # fmt: skip
    finally:
        os.umask(before)
    assert mode(tmp_path / "new" / "staged" / "a" / "b" / "k.pem") == 0o600
    assert mode(tmp_path / "new" / "public" / "a" / "b" / "k.pem") == 0o644


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_each_folder_of_private_keys_is_the_owners_alone_whatever_the_umask(
    umask, asapfn, tmp_path
):
    before = os.umask(umask)
    try:
        for name in ("1.pem", "2.pem"):
            arguments = ("--issuer", "a/b", "--name", name, "--directory", tmp_path / "x" / "new")
            assert asapfn("keygen", *arguments, *QUICK).code == 0
    finally:
        os.umask(before)
    modes = {"staged": 0o700, "public": 0o755 & ~umask}
    for half, expected in modes.items():
        for folder in ("", "a", "a/b"):
            assert mode(tmp_path / "x" / "new" / half / folder) == expected
    assert mode(tmp_path / "x") == mode(tmp_path / "x" / "new") == 0o755 & ~umask


def test_a_folder_that_exists_keeps_its_mode(asapfn, tmp_path):
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged").chmod(0o750)
    asapfn("keygen", "--issuer", "a", "--name", "k.pem", "--directory", tmp_path, *QUICK)
    assert mode(tmp_path / "staged") == 0o750
    assert mode(tmp_path / "staged" / "a") == 0o700


def test_the_name_is_the_time_unless_given_and_the_key_is_found_to_sign_with(asapfn, tmp_path):
    ran = asapfn("keygen", "--issuer", "orders", "--directory", tmp_path)
    assert f"asapfn publish {tmp_path / 'public'} --to DIR" in ran.out
    (kid,) = re.findall(r"asapfn activate (\S+) --repository URL --directory", ran.out)
    assert f"key id   {kid}  RS256" in ran.out
    assert asapfn("activate", kid, "--directory", tmp_path, "--now").code == 0
    key = private_key_directory(tmp_path / "private", "orders")()
    assert key.kid == kid
    assert "PRIVATE" not in ran.out
    token = asapfn("token", "asap", "--issuer", "orders", "--audience", "billing",
                   "--key-directory", tmp_path / "private").out  # fmt: skip
    assert peek(token.strip()).header["kid"] == key.kid


@pytest.mark.parametrize(
    ("form", "suffix", "read"),
    [
        ("data-uri", ".uri", import_data_uri),
        ("jwk", ".jwk", lambda text: import_jwk(json.loads(text))),
    ],
)
def test_the_private_key_can_be_a_data_uri_or_a_jwk(form, suffix, read, asapfn, tmp_path):
    asapfn("keygen", "--issuer", "orders", "--name", "k.pem", "--algorithm", "ES256",
           "--format", form, "--directory", tmp_path)  # fmt: skip
    path = tmp_path / "staged" / "orders" / f"k.pem{suffix}"
    key = read(path.read_text())
    assert (key.kid, key.is_private, mode(path)) == ("orders/k.pem", True, 0o600)


@pytest.mark.parametrize("half", ["staged", "private", "public"])
def test_nothing_that_exists_is_written_over(half, asapfn, tmp_path):
    there = tmp_path / half / "orders" / "k.pem"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    ran = asapfn("keygen", "--issuer", "orders", "--name", "k.pem", "--directory", tmp_path)
    assert ran.code == 2
    assert "is never written over" in ran.err
    assert list(tmp_path.rglob("*.pem")) == [there]
    assert there.read_text() == "mine"


@pytest.mark.parametrize("name", ["../k.pem", "a b.pem", "/k"])
def test_names_that_make_no_key_id_are_wrong_use(name, asapfn, tmp_path):
    ran = asapfn("keygen", "--issuer", "orders", "--name", name, "--directory", tmp_path)
    assert ran.code == 2
    assert "make no key id" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_new_key_does_not_sign_until_it_is_activated(asapfn, tmp_path):
    for name in ("1.pem", "2.pem"):
        asapfn("keygen", "--issuer", "orders", "--name", name, "--directory", tmp_path, *QUICK)
        if name == "1.pem":
            asapfn("activate", "orders/1.pem", "--directory", tmp_path, "--now")
    assert private_key_directory(tmp_path / "private", "orders")().kid == "orders/1.pem"


@pytest.mark.parametrize("half", ["staged", "private"])
@pytest.mark.parametrize("name", [None, "2026-10.pem", "2026-11-30.pem"])
def test_a_name_that_would_not_sort_last_is_refused(half, name, asapfn, tmp_path):
    there = tmp_path / half / "orders" / "2026-11.pem"
    there.parent.mkdir(parents=True)
    there.write_text("")
    named = () if name is None else ("--name", name)
    ran = asapfn("keygen", "--issuer", "orders", *named, "--directory", tmp_path)
    assert ran.code == 2
    assert f"would never sign: {there} sorts after it" in ran.err
    (suggested,) = re.findall(r"such as (\S+)", ran.err)
    assert list(tmp_path.rglob("*.pem")) == [there]
    ran = asapfn("keygen", "--issuer", "orders", "--name", suggested, "--directory", tmp_path,
                 *QUICK)  # fmt: skip
    assert ran.code == 0
    assert max(suggested, "2026-11.pem") == suggested


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--algorithm", "EdDSA"), "ASAP does not sign with EdDSA: it has RS256, "),
        (("--algorithm", "Ed25519"), "ASAP does not sign with Ed25519"),
        (("--name", "2026-12"), "the name ends in .pem: signers read *.pem alone"),
        (("--name", "a/b.pem"), "the name is that of one file, without a slash"),
    ],
)
def test_what_would_never_sign_is_refused_with_the_reason(arguments, said, asapfn, tmp_path):
    ran = asapfn("keygen", "--issuer", "orders", *arguments, "--directory", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert list(tmp_path.iterdir()) == []
