"""Data URIs, as ASAP carries private keys in environment variables."""

import base64
import time
import urllib.parse

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from asapfn.keys import (
    export_data_uri,
    export_private_pem,
    export_public_jwk,
    import_data_uri,
    import_pem,
)
from asapfn.types import Key
from tests.support.keyforms import (
    CLEAR,
    DER,
    PKCS8,
    SPKI,
    certificate,
    encrypted,
    native,
    weak_pair,
)
from tests.support.keyring import key_for


def same(key: Key, name: str) -> bool:
    """Whether it is the one that the key ring has, by what its public part is."""
    wanted = export_public_jwk(key_for(name))
    members = export_public_jwk(key)
    return all(members[n] == wanted[n] for n in members.keys() - {"kid", "alg"})


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
    ],
)
def test_a_data_uri_with_a_key_id_that_is_not_well_formed_is_refused(written: str) -> None:
    der = base64.b64encode(native("ES256").private.private_bytes(DER, PKCS8, CLEAR)).decode()
    with pytest.raises(ValueError, match="key id is not well formed"):
        import_data_uri(f"data:application/pkcs8;kid={written};base64,{der}")


GOOD = export_data_uri(import_pem(export_private_pem(key_for("ES256")), kid="a/b"))


@pytest.mark.parametrize(
    "form", [" {}\n", '"{}"', "'{}'", ' "{}" ', '\\"{}\\"', "\ufeff{}", "{}\\n", "{}\\\n"]
)
def test_what_environment_variables_do_to_a_data_uri_is_undone(form: str) -> None:
    assert same(import_data_uri(form.format(GOOD)), "ES256")


@pytest.mark.parametrize("run", [" ", "\t", "\n", " \n", " \r"])
def test_white_space_in_a_data_uri_takes_time_by_its_length_alone(run: str) -> None:
    """200,000 spaces took 25 seconds, by the square of their number."""
    began = time.monotonic()
    with pytest.raises(ValueError, match="the data URI"):
        import_data_uri(f"data:,{run * 200_000}x")
    assert time.monotonic() - began < 10


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
        GOOD.replace(";base64,", ""),
        GOOD + "===",
        GOOD + " x",
        GOOD + "-_",
        GOOD.partition(",")[0] + ",",
    ],
)
def test_a_data_uri_of_another_form_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"expected data:app|no PKCS#8 key|has no key id"):
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
    with pytest.raises(ValueError, match=r"saw 1\.2\.840\.10045\.2\.1 with 7 bytes"):
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
