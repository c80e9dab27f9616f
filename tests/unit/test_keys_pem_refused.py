"""PEM in: what is not exactly one whole key that may sign is refused, and said why."""

import base64
import time
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dh
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from asapfn.keys import export_private_pem, export_public_pem, import_pem, import_secret
from tests.support.hostile import modp_8192
from tests.support.keyforms import (
    CLEAR,
    PEM,
    PKCS8,
    SPKI,
    body,
    certificate,
    encrypted,
    openssh,
    ssh_line,
    weak_pair,
)
from tests.support.keyring import key_for


def pem_of(name: str) -> str:
    return export_public_pem(key_for(name))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no PEM key found"),
        ("no key", "no PEM key found"),
        (pem_of("ES256") * 2, "expected one key in PEM, found 2 whole of 2"),
        (pem_of("ES256") + pem_of("RS256"), "expected one key in PEM, found 2 whole of 2"),
        (
            export_private_pem(key_for("ES256")) + pem_of("ES256"),
            "expected one key in PEM, found 2 whole of 2",
        ),
        (pem_of("ES256") + pem_of("RS256")[:-30], "expected one key in PEM, found 1 whole of 2"),
        (pem_of("ES256")[:60], "expected one key in PEM, found 0 whole of 1"),
        (
            pem_of("ES256").replace("END PUBLIC", "END PRIVATE"),
            "expected one key in PEM, found 0 whole of 1",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\n" + pem_of("ES256"),
            "expected one key in PEM, found 1 whole of 2",
        ),
        (
            "-----BEGIN X-----\n" + pem_of("ES256") + "-----END X-----",
            "expected one key in PEM, found 1 whole of 2",
        ),
        (body(pem_of("ES256").encode()).decode(), "no PEM key found"),
    ],
)
def test_what_is_not_exactly_one_whole_key_is_refused(text: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        import_pem(text)


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_certificates_and_openssh_keys_are_told_apart(name: str) -> None:
    with pytest.raises(ValueError, match="CERTIFICATE is not accepted"):
        import_pem(certificate(name, PEM))
    with pytest.raises(ValueError, match="OPENSSH PRIVATE KEY is not accepted"):
        import_pem(openssh(name))
    with pytest.raises(ValueError, match="no PEM key found"):
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
        with pytest.raises(
            ValueError, match=r"no key that can be read|needs a password|is not accepted"
        ):
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


def test_a_diffie_hellman_key_is_refused_without_a_warning() -> None:
    """cryptography warns of one, and where warnings are errors that came out of the import. What is
    in an encrypted key is known only once cryptography has read it."""
    secret = serialization.BestAvailableEncryption(b"password")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = dh.DHParameterNumbers(modp_8192(), 2).parameters().generate_private_key()
        public = key.public_key().public_bytes(PEM, SPKI)
        private, protected = (key.private_bytes(PEM, PKCS8, how) for how in (CLEAR, secret))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pem in (private, public):
            with pytest.raises(ValueError, match=r"or Ed25519; saw 1\.2\.840\.[0-9.]+ with"):
                import_pem(pem)
        with pytest.raises(ValueError, match=r"with this password|no algorithm here has"):
            import_pem(protected, password="password")


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
        assert caught.value.__context__ is None


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
            with pytest.raises(
                ValueError, match=r"expected one key|no PEM key|no key that|needs a password"
            ):
                import_pem(text)
