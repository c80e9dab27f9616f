"""PEM in: each form that a key is carried in, also as environment variables mangle it."""

import pytest
from cryptography.hazmat.primitives import serialization

from asapfn.keys import export_private_pem, export_public_jwk, export_public_pem, import_pem
from asapfn.types import Key
from tests.support.keyforms import CLEAR, PEM, PKCS8, SPKI, encrypted, native
from tests.support.keyring import key_for

OLD = serialization.PrivateFormat.TraditionalOpenSSL
NAMES = ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
TRADITIONAL = ["RS256", "ES256", "ES384", "ES512"]

# What `openssl ecparam -genkey` writes before the key: the curve's object identifier.
PARAMETERS = {
    "ES256": "BggqhkjOPQMBBw==",
    "ES384": "BgUrgQQAIg==",
    "ES512": "BgUrgQQAIw==",
}


def same(key: Key, name: str) -> bool:
    """Whether it is the one that the key ring has, by what its public part is."""
    wanted = export_public_jwk(key_for(name))
    members = export_public_jwk(key)
    return all(members[n] == wanted[n] for n in members.keys() - {"kid", "alg"})


@pytest.mark.parametrize("name", NAMES)
def test_a_private_key_is_read_from_pkcs8(name: str) -> None:
    key = import_pem(native(name).private.private_bytes(PEM, PKCS8, CLEAR))
    assert key.is_private
    assert same(key, name)
    assert (key.kid, key.alg) == (None, None)


@pytest.mark.parametrize("name", TRADITIONAL)
def test_a_private_key_is_read_from_pkcs1_and_sec1(name: str) -> None:
    pem = native(name).private.private_bytes(PEM, OLD, CLEAR)
    assert pem.startswith(b"-----BEGIN RSA " if name == "RS256" else b"-----BEGIN EC ")
    key = import_pem(pem)
    assert key.is_private
    assert same(key, name)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_parameters_before_a_sec1_key_are_passed_over(name: str) -> None:
    pem = native(name).private.private_bytes(PEM, OLD, CLEAR).decode()
    block = f"-----BEGIN EC PARAMETERS-----\n{PARAMETERS[name]}\n-----END EC PARAMETERS-----\n"
    for text in (block + pem, pem + block, (block + pem).replace("\n", "\\n")):
        assert same(import_pem(text), name)
    with pytest.raises(ValueError, match="found 0 whole of 0"):
        import_pem(block)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_key_is_read_from_spki(name: str) -> None:
    key = import_pem(native(name).public.public_bytes(PEM, SPKI))
    assert not key.is_private
    assert same(key, name)


def test_a_public_key_is_read_from_pkcs1() -> None:
    pkcs1 = serialization.PublicFormat.PKCS1
    key = import_pem(native("RS256").public.public_bytes(PEM, pkcs1))
    assert not key.is_private
    assert same(key, "RS256")


@pytest.mark.parametrize("name", NAMES)
def test_a_key_carries_the_id_and_the_algorithm_it_is_given(name: str) -> None:
    for pem in (export_public_pem(key_for(name)), export_private_pem(key_for(name))):
        key = import_pem(pem, kid="a/b.pem", algorithm=name)
        assert (key.kid, key.alg) == ("a/b.pem", name)


def test_a_key_that_does_not_fit_its_algorithm_is_refused() -> None:
    pem = export_public_pem(key_for("ES256"))
    for algorithm in ("ES384", "RS256", "HS256", "none"):
        with pytest.raises(ValueError, match=r"needs a key|unknown algorithm"):
            import_pem(pem, algorithm=algorithm)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("password", ["password", b"password"], ids=["text", "bytes"])
def test_an_encrypted_key_is_read_with_its_password(name: str, password: str | bytes) -> None:
    assert same(import_pem(encrypted(name, PEM), password=password), name)


@pytest.mark.parametrize("name", TRADITIONAL)
def test_an_encrypted_key_in_the_old_form_is_read_with_its_password(name: str) -> None:
    """Its header lines, and the blank line behind them, belong to the block (RFC 1421)."""
    pem = native(name).private.private_bytes(
        PEM, OLD, serialization.BestAvailableEncryption(b"password")
    )
    assert b"\nDEK-Info: AES-256-CBC," in pem
    assert same(import_pem(pem, password="password"), name)
    assert same(import_pem(pem.replace(b"\n", b"\\n"), password="password"), name)


def test_a_password_of_any_characters_is_meant_in_utf_8() -> None:
    pem = export_private_pem(key_for("ES256"), "pässwörd\u2126")
    assert same(import_pem(pem, password="pässwörd\u2126".encode()), "ES256")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("password", ["wrong", "Password", "password "])
def test_a_wrong_password_is_refused(name: str, password: str) -> None:
    with pytest.raises(ValueError, match="no key that can be read with this password") as caught:
        import_pem(encrypted(name, PEM), password=password)
    assert f"'{password}'" not in repr(caught.value)


@pytest.mark.parametrize("password", [None, "", b""], ids=["no", "text", "bytes"])
def test_a_missing_password_is_told_and_an_empty_one_is_none(password: str | bytes | None) -> None:
    with pytest.raises(ValueError, match="the key needs a password"):
        import_pem(encrypted("ES256", PEM), password=password)
    assert same(import_pem(export_private_pem(key_for("ES256")), password=password), "ES256")
    assert same(import_pem(export_public_pem(key_for("ES256")), password=password), "ES256")


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_a_password_that_is_not_needed_is_told(name: str) -> None:
    for pem in (export_private_pem(key_for(name)), export_public_pem(key_for(name))):
        with pytest.raises(ValueError, match="not encrypted: give no password"):
            import_pem(pem, password="password")


MANGLED = [
    "{pem}",
    "  \n\n{pem}\n\n  ",
    '"{pem}"',
    "'{pem}'",
    ' "{pem}" ',
    "\"'{pem}'\"",
    "key of the issuer:\n{pem}\nkeep it well\n",
    "\ufeff{pem}",
]


@pytest.mark.parametrize("name", ["ES512", "EdDSA"])
@pytest.mark.parametrize("form", MANGLED)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\\n", "\\r\\n"])
def test_what_environment_variables_do_to_a_pem_is_undone(
    name: str, form: str, line_end: str
) -> None:
    for pem in (export_private_pem(key_for(name)), export_public_pem(key_for(name))):
        text = form.format(pem=pem).replace("\n", line_end)
        assert same(import_pem(text), name)
        assert same(import_pem(text.encode()), name)
