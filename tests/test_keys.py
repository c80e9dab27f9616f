"""Keys come in from every form they are carried in, go out in those they are asked for, and nothing
else does either."""

import base64
import time
import urllib.parse
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from keyforms import (
    CLEAR,
    DER,
    KINDS,
    PEM,
    PKCS8,
    SPKI,
    body,
    certificate,
    encrypted,
    known_to_others,
    native,
    openssh,
    ssh_line,
    weak_pair,
)
from keyring import key_for

from asapfn import keys
from asapfn.algorithms import ALGORITHMS, make_signature, misfit, verify_signature
from asapfn.keys import (
    export_data_uri,
    export_private_pem,
    export_public_jwk,
    export_public_pem,
    generate,
    import_data_uri,
    import_pem,
    import_secret,
    is_key_id,
)
from asapfn.types import Key

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


# PEM in


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
        with pytest.raises(ValueError, match=r"takes a key|unknown algorithm"):
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


def pem_of(name: str) -> str:
    return export_public_pem(key_for(name))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "0 whole of 0"),
        ("no key", "0 whole of 0"),
        (pem_of("ES256") * 2, "2 whole of 2"),
        (pem_of("ES256") + pem_of("RS256"), "2 whole of 2"),
        (export_private_pem(key_for("ES256")) + pem_of("ES256"), "2 whole of 2"),
        (pem_of("ES256") + pem_of("RS256")[:-30], "1 whole of 2"),
        (pem_of("ES256")[:60], "0 whole of 1"),
        (pem_of("ES256").replace("END PUBLIC", "END PRIVATE"), "0 whole of 1"),
        ("-----BEGIN PUBLIC KEY-----\n" + pem_of("ES256"), "1 whole of 2"),
        ("-----BEGIN X-----\n" + pem_of("ES256") + "-----END X-----", "1 whole of 2"),
        (body(pem_of("ES256").encode()).decode(), "0 whole of 0"),
    ],
)
def test_what_is_not_exactly_one_whole_key_is_refused(text: str, found: str) -> None:
    with pytest.raises(ValueError, match=f"expected one key in PEM, found {found}"):
        import_pem(text)


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_certificates_and_openssh_keys_are_told_apart(name: str) -> None:
    with pytest.raises(ValueError, match="CERTIFICATE is not taken"):
        import_pem(certificate(name, PEM))
    with pytest.raises(ValueError, match="OPENSSH PRIVATE KEY is not taken"):
        import_pem(openssh(name))
    with pytest.raises(ValueError, match="found 0"):
        import_pem(ssh_line(name))


@pytest.mark.parametrize(
    "label",
    [
        "PUBLIC KEY",
        "PRIVATE KEY",
        "RSA PUBLIC KEY",
        "EC PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "CERTIFICATE REQUEST",
        "X509 CRL",
        "DH PARAMETERS",
        "PGP PUBLIC KEY BLOCK",
        "A",
    ],
)
def test_a_block_that_holds_no_key_is_refused(label: str) -> None:
    spki = pem_of("ES256")
    for inner in (
        "",
        "\n",
        "\nAAAA\n",
        "\n!!!!\n",
        "\n" + body(spki.encode()).decode()[:-9] + "\n",
    ):
        with pytest.raises(ValueError, match=r"no key that can be read|needs a password"):
            import_pem(f"-----BEGIN {label}-----{inner}-----END {label}-----")


def test_a_weak_key_is_refused_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pem in (
            weak_pair().public_key().public_bytes(PEM, SPKI),
            weak_pair().private_bytes(PEM, PKCS8, CLEAR),
        ):
            with pytest.raises(ValueError, match="less than 2048 bits"):
                import_pem(pem)


@pytest.mark.parametrize("value", [None, 1, ["pem"], bytearray(b"pem")])
def test_what_is_neither_text_nor_bytes_is_a_programming_error(value: Any) -> None:
    with pytest.raises(TypeError, match="the PEM is a str or bytes"):
        import_pem(value)
    with pytest.raises(TypeError, match="the secret is a str or bytes"):
        import_secret(value)
    if value is not None:
        with pytest.raises(TypeError, match="the password is a str or bytes"):
            import_pem(encrypted("ES256", PEM), password=value)
        with pytest.raises(TypeError, match="the password is a str or bytes"):
            export_private_pem(key_for("ES256"), value)


def test_a_lone_surrogate_is_told_without_what_stands_around_it() -> None:
    """An UnicodeEncodeError would carry the whole text with it."""
    text = "Zx9SecretZx9" * 4 + "\udcff"
    for attempt in (
        lambda: import_secret(text),
        lambda: import_pem(text),
        lambda: import_pem(encrypted("ES256", PEM), password=text),
        lambda: export_private_pem(key_for("ES256"), text),
    ):
        with pytest.raises(ValueError, match="holds a lone surrogate") as caught:
            attempt()
        assert type(caught.value) is ValueError
        assert caught.value.__cause__ is None


def test_a_long_row_of_beginnings_takes_no_long_time() -> None:
    """Looking for each one's end as far as the end of the text would take a hundred times that."""
    text = "-----BEGIN A-----" * 10_000
    start = time.process_time()
    with pytest.raises(ValueError, match="0 whole of 10000"):
        import_pem(text)
    assert time.process_time() - start < 2


SPOIL = st.sampled_from(
    ["-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----", "-----", "\\n", "\n", '"', "\0", "é"]
)


@given(
    st.sampled_from([pem_of("ES256"), pem_of("RS256"), encrypted("EdDSA", PEM).decode()]),
    st.integers(0, 500),
    st.integers(0, 40),
    SPOIL | st.text(max_size=9),
    st.none() | st.text(max_size=3),
)
@example("-----BEGIN -----", 16, 0, "", None)
@example(pem_of("ES256"), 0, 0, "-----BEGIN", None)
def test_no_text_makes_the_import_raise_anything_but_value_error(
    text: str, at: int, cut: int, put: str, password: str | None
) -> None:
    spoiled = text[:at] + put + text[at + cut :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            key = import_pem(spoiled, password=password)
        except ValueError:
            return
        assert isinstance(key, (RSAKey, ECKey, OKPKey))


@given(st.binary(max_size=200))
def test_no_bytes_make_the_import_raise_anything_but_value_error(data: bytes) -> None:
    armoured = b"-----BEGIN %s-----\n" + base64.b64encode(data) + b"\n-----END %s-----"
    for label in (b"PUBLIC KEY", b"PRIVATE KEY", b"EC PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"):
        for text in (data, armoured % (label, label)):
            with pytest.raises(ValueError, match=r"expected one key|no key that|needs a password"):
                import_pem(text)


# Data URIs


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("kid", ["issuer/key.pem", "a", "a+b/c", "a.-_+/1/x..y", "a/b/c/d.der"])
def test_a_private_key_goes_round_by_data_uri(name: str, kid: str) -> None:
    key = import_pem(export_private_pem(key_for(name)), kid=kid)
    uri = export_data_uri(key)
    assert uri.startswith(f"data:application/pkcs8;kid={urllib.parse.quote(kid, safe='')};base64,")
    assert "/" not in uri.partition("kid=")[2].partition(";")[0]
    again = import_data_uri(uri)
    assert again.is_private
    assert again.kid == kid
    assert same(again, name)


@pytest.mark.parametrize(
    ("written", "kid"),
    [
        ("issuer%2Fkey.pem", "issuer/key.pem"),
        ("issuer%2fkey.pem", "issuer/key.pem"),
        ("issuer/key.pem", "issuer/key.pem"),
        ("a+b", "a+b"),  # not a space
        ("a%2Bb", "a+b"),
        ("%61", "a"),
    ],
)
def test_the_key_id_of_a_data_uri_is_decoded_plainly(written: str, kid: str) -> None:
    der = base64.b64encode(native("ES256").private.private_bytes(DER, PKCS8, CLEAR)).decode()
    assert import_data_uri(f"data:application/pkcs8;kid={written};base64,{der}").kid == kid


@pytest.mark.parametrize(
    "written",
    [
        "a%20b",
        "a%2F",
        "%2Fa",
        "a%2F%2Fb",
        "..%2Fa",
        "a%2F..%2Fb",
        ".",
        "a%0A",
        "%C3%A9",
        "%FF",
        "%zz",
        "%",
        "a%2",
        "a%252Fb",
        "a b",
        "é",
        "a\n",
    ],
)
def test_a_data_uri_with_a_key_id_that_is_not_well_formed_is_refused(written: str) -> None:
    der = base64.b64encode(native("ES256").private.private_bytes(DER, PKCS8, CLEAR)).decode()
    with pytest.raises(ValueError, match="key id is not well formed"):
        import_data_uri(f"data:application/pkcs8;kid={written};base64,{der}")


GOOD = export_data_uri(import_pem(export_private_pem(key_for("ES256")), kid="a/b"))


@pytest.mark.parametrize("form", [" {}\n", '"{}"', "'{}'", ' "{}" '])
def test_what_environment_variables_do_to_a_data_uri_is_undone(form: str) -> None:
    assert same(import_data_uri(form.format(GOOD)), "ES256")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "data:",
        GOOD.removeprefix("data:"),
        GOOD.replace("application/pkcs8", "application/pkcs1"),
        GOOD.replace("application/pkcs8", "APPLICATION/PKCS8"),
        GOOD.replace("kid=a%2Fb;", ""),
        GOOD.replace("kid=a%2Fb", "kid="),
        GOOD.replace("kid=a%2Fb", "kid=a;kid=b"),
        GOOD.replace("kid=a%2Fb", "kid=a,b"),
        GOOD.replace(";base64", ""),
        GOOD.replace(";base64,", ";base64,\n"),
        GOOD + "===",
        GOOD + " x",
        GOOD + "-_",
        GOOD.partition(",")[0] + ",",
    ],
)
def test_a_data_uri_of_another_form_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"expected data:application/pkcs8|no PKCS#8 key"):
        import_data_uri(uri)


@pytest.mark.parametrize(
    "der",
    [
        b"0",
        b"x" * 100,
        native("ES256").public.public_bytes(DER, SPKI),
        encrypted("ES256", DER),
        certificate("ES256", DER),
        native("ES256").private.private_bytes(DER, PKCS8, CLEAR)[:-1],
        native("ES256").private.private_bytes(DER, PKCS8, CLEAR) + b"\n",
    ],
    ids=["short", "text", "public", "encrypted", "certificate", "cut off", "too long"],
)
def test_a_data_uri_without_a_clear_private_key_is_refused(der: bytes) -> None:
    text = base64.b64encode(der).decode()
    with pytest.raises(ValueError, match="no PKCS#8 key that can be read"):
        import_data_uri(f"data:application/pkcs8;kid=a/b;base64,{text}")


def test_a_weak_key_in_a_data_uri_is_refused() -> None:
    text = base64.b64encode(weak_pair().private_bytes(DER, PKCS8, CLEAR)).decode()
    with pytest.raises(ValueError, match="less than 2048 bits"):
        import_data_uri(f"data:application/pkcs8;kid=a/b;base64,{text}")
    other = ec.generate_private_key(ec.SECP256K1()).private_bytes(DER, PKCS8, CLEAR)
    with pytest.raises(ValueError, match="takes a key of this curve"):
        import_data_uri(f"data:application/pkcs8;kid=a/b;base64,{base64.b64encode(other).decode()}")


@given(
    st.text(max_size=30), st.binary(max_size=60), st.sampled_from(["", "data:application/pkcs8;"])
)
def test_no_data_uri_raises_anything_but_value_error(kid: str, der: bytes, start: str) -> None:
    for uri in (f"{start}kid={kid};base64,{base64.b64encode(der).decode()}", start + kid):
        with pytest.raises(ValueError, match=r"expected data:|key id|no PKCS#8 key"):
            import_data_uri(uri)


@pytest.mark.parametrize("kid", [None, "", "a b", "/a", "a/", "../a", "é"])
def test_a_key_without_a_well_formed_id_has_no_data_uri(kid: str | None) -> None:
    with pytest.raises(ValueError, match="no well-formed key id"):
        export_data_uri(import_pem(export_private_pem(key_for("ES256")), kid=kid))


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
    fits = {size: [n for n in sorted(ALGORITHMS) if not misfit(n, import_secret(b"s" * size))]
            for size in (32, 47, 48, 63, 64)}  # fmt: skip
    assert fits == {
        32: ["HS256"],
        47: ["HS256"],
        48: ["HS256", "HS384"],
        63: ["HS256", "HS384"],
        64: ["HS256", "HS384", "HS512"],
    }


KNOWN = known_to_others()


@pytest.mark.parametrize("form", KNOWN)
def test_a_key_or_certificate_in_any_form_is_no_secret(form: str) -> None:
    """CVE-2022-29217, CVE-2024-33663 and what went round their mending."""
    with pytest.raises(ValueError, match="no shared secret"):
        import_secret(KNOWN[form])
    if KNOWN[form].isascii():
        with pytest.raises(ValueError, match="no shared secret"):
            import_secret(KNOWN[form].decode())


# Generation


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_generated_key_is_private_and_fits_its_algorithm(name: str) -> None:
    key = key_for(name) if name.startswith(("RS", "PS")) else generate(name, kid="a/b")
    assert key.is_private
    assert key.alg == name
    assert misfit(name, key) == ""
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


# Key ids


@pytest.mark.parametrize(
    "kid",
    [
        "a",
        "a/b",
        "a/b/c.pem",
        "A.-_+9/0",
        "a..b",
        "..a",
        "a..",
        "...",
        "a/...",
        ".a/b.",
        "-",
        "+",
        "_",
    ],
)
def test_a_key_id_of_the_grammar_is_well_formed(kid: str) -> None:
    assert is_key_id(kid)


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        ".",
        "..",
        "./a",
        "../a",
        "a/.",
        "a/..",
        "a/./b",
        "a/../b",
        "a\n",
        "\na",
        "a/b\n",
        "a\0",
        " a",
        "a b",
        "a%2Fb",
        "a\\b",
        "a:b",
        "a?b",
        "a#b",
        "a@b",
        "a,b",
        "é",
        "a/\u0430",
        "\u0661",
        "\uff41",
        "a\u200b",
        "a\u2044b",
        "\ud800",
        "~",
        "a*",
    ],
)
def test_a_key_id_outside_the_grammar_is_not(kid: str) -> None:
    assert not is_key_id(kid)


@given(st.text("ab.-+_/é \n", max_size=12) | st.text(max_size=12))
def test_the_grammar_is_what_the_specification_says(kid: str) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-+"
    parts = kid.split("/")
    well_formed = all(p and p not in (".", "..") and set(p) <= set(letters) for p in parts)
    assert is_key_id(kid) is well_formed


def test_a_long_key_id_takes_no_long_time() -> None:
    assert is_key_id("a/" * 50_000 + "a")
    assert not is_key_id("a/" * 50_000)
    assert not is_key_id("a" * 100_000 + "!")


def test_the_module_is_the_one_door_to_keys() -> None:
    assert {name for name in keys.__all__ if name.startswith(("import", "export"))} == {
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
