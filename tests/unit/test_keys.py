"""Secrets come in, keys are made, and keys go out in the forms they are asked for."""

from typing import Any

import pytest
from joserfc.jwk import OctKey

from asapfn import keys
from asapfn._core.algorithms import ALGORITHMS, make_signature, mismatch, verify_signature
from asapfn.keys import (
    export_data_uri,
    export_private_pem,
    export_public_pem,
    generate,
    import_pem,
    import_secret,
)
from tests.support.keyforms import KINDS, known_to_others
from tests.support.keyring import key_for

NAMES = ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


# Secrets


def test_a_secret_is_its_bytes_or_the_utf_8_of_its_text() -> None:
    key = import_secret("ä" * 16, kid="issuer/key")
    assert isinstance(key, OctKey)
    assert (key.raw_value, key.kid, key.alg) == ("ä".encode() * 16, "issuer/key", None)
    assert import_secret(b"\xff" * 32).raw_value == b"\xff" * 32
    assert import_secret(b"s" * 32).kid is None


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_secret_of_less_than_32_bytes_is_refused(size: int) -> None:
    for secret in ("s" * size, b"s" * size):
        with pytest.raises(ValueError, match="at least 32 bytes"):
            import_secret(secret)


def test_a_secret_serves_the_hashes_it_is_long_enough_for() -> None:
    fits = {size: [n for n in sorted(ALGORITHMS) if not mismatch(n, import_secret(b"s" * size))]
            for size in (32, 47, 48, 63, 64)}  # fmt: skip
    assert fits == {
        32: ["HS256"],
        47: ["HS256"],
        48: ["HS256", "HS384"],
        63: ["HS256", "HS384"],
        64: ["HS256", "HS384", "HS512"],
    }


KNOWN = known_to_others()


def refusal(secret: str | bytes) -> str:
    try:
        import_secret(secret)
    except ValueError as error:
        return str(error)
    return "accepted"


def test_a_key_or_certificate_in_any_form_is_no_secret() -> None:
    """CVE-2022-29217, CVE-2024-33663 and what went round their fixes."""
    texts = {f"{form}, as text": known.decode() for form, known in KNOWN.items() if known.isascii()}
    assert len(texts) > 100
    refusals = {form: refusal(known) for form, known in (KNOWN | texts).items()}
    assert {form: said for form, said in refusals.items() if "no shared secret" not in said} == {}


# Generation


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_generated_key_is_private_and_fits_its_algorithm(name: str) -> None:
    key = key_for(name) if name.startswith(("RS", "PS")) else generate(name, kid="a/b")
    assert key.is_private
    assert key.alg == name
    assert mismatch(name, key) == ""
    assert verify_signature(name, key, b"m", make_signature(name, key, b"m"))


@pytest.mark.parametrize("name", ["ES256", "EdDSA", "HS256"])
def test_each_generated_key_is_another(name: str) -> None:
    first, second = generate(name), generate(name)
    assert first.as_dict(private=True) != second.as_dict(private=True)
    assert first.kid is None
    assert generate(name, kid="a/b").kid == "a/b"


def test_a_generated_key_is_no_larger_than_it_has_to_be() -> None:
    rsa_key: Any = key_for("RS512")
    assert rsa_key.raw_value.key_size == 2048
    for name, size in (("HS256", 32), ("HS384", 48), ("HS512", 64)):
        secret = generate(name)
        assert isinstance(secret, OctKey)
        assert len(secret.raw_value) == size


@pytest.mark.parametrize("name", ["none", "", "RSA-OAEP", "ES256K", "rs256"])
def test_no_key_is_generated_for_an_unknown_algorithm(name: str) -> None:
    with pytest.raises(ValueError, match="unknown algorithm: use one of RS256, "):
        generate(name)


# Export


@pytest.mark.parametrize("name", NAMES)
def test_a_public_key_goes_round_by_pem(name: str) -> None:
    pem = export_public_pem(key_for(name))
    assert pem.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert "PRIVATE" not in pem
    key = import_pem(pem, kid=key_for(name).kid, algorithm=name)
    assert not key.is_private
    assert export_public_pem(key) == pem
    assert verify_signature(name, key, b"m", make_signature(name, key_for(name), b"m"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("password", [None, "password", b"password"], ids=["no", "text", "bytes"])
def test_a_private_key_goes_round_by_pem(name: str, password: str | bytes | None) -> None:
    pem = export_private_pem(key_for(name), password)
    label = "PRIVATE KEY" if password is None else "ENCRYPTED PRIVATE KEY"
    assert pem.startswith(f"-----BEGIN {label}-----\n")
    key = import_pem(pem, password=password)
    assert key.is_private
    assert verify_signature(name, key_for(name), b"m", make_signature(name, key, b"m"))


@pytest.mark.parametrize("name", NAMES)
def test_a_public_key_has_no_private_form(name: str) -> None:
    public = import_pem(export_public_pem(key_for(name)), kid="a/b")
    for export in (export_private_pem, export_data_uri):
        with pytest.raises(ValueError, match="the key is public"):
            export(public)


@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512"])
def test_a_secret_has_no_form_at_all(name: str) -> None:
    for export in (export_public_pem, export_private_pem, export_data_uri):
        with pytest.raises(ValueError, match="never exported"):
            export(key_for(name))


@pytest.mark.parametrize("password", ["", b""], ids=["text", "bytes"])
def test_an_empty_password_does_not_leave_a_key_in_the_clear(password: str | bytes) -> None:
    with pytest.raises(ValueError, match="Password must be 1 or more bytes"):
        export_private_pem(key_for("ES256"), password)


@pytest.mark.parametrize("name", KINDS)
def test_a_key_prints_nothing_of_itself(name: str) -> None:
    members = key_for(name).as_dict(private=True)
    for text in (repr(key_for(name)), str(key_for(name))):
        assert not any(str(members[m]) in text for m in members.keys() & {"d", "p", "n", "x", "k"})


def test_the_module_is_the_one_door_to_keys() -> None:
    assert {name for name in keys.__all__ if name.startswith(("import", "export"))} == {
        "import_certificate",
        "import_pem",
        "import_jwk",
        "import_data_uri",
        "import_secret",
        "export_public_pem",
        "export_private_pem",
        "export_public_jwk",
        "export_jwks",
        "export_data_uri",
    }
