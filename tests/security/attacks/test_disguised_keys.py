"""Attacks with HMAC by what anybody may know: a public key in a form that hides what it is."""

import base64
import itertools
import json
import secrets
import uuid
from collections.abc import Callable
from urllib.parse import quote, quote_from_bytes

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from asapfn import verify
from asapfn._core.recognition import is_key
from asapfn.keys import import_jwk, import_secret
from asapfn.resolvers import shared_secrets
from tests.support.keyforms import DER, SPKI, known_to_others, native
from tests.support.verifying import CLAIMS, clock
from tests.support.victim import by_hmac, told

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
    "base64url without padding": lambda data: base64.urlsafe_b64encode(data).rstrip(b"="),
    "base64 in lines": base64.encodebytes,
    "base64 in lines that are escaped": lambda data: base64.encodebytes(data).replace(
        b"\n", b"\\n"
    ),
    "base64 in quotes": lambda data: b'"' + base64.b64encode(data) + b'"',
    "hex": lambda data: data.hex().encode(),
    "hex in upper case": lambda data: data.hex().upper().encode(),
    "hex with colons": lambda data: data.hex(":").encode(),
    "hex with spaces": lambda data: data.hex(" ", 4).encode(),
    "hex with 0x": lambda data: b"0x" + data.hex().encode(),
    "percent-encoding": lambda data: quote_from_bytes(data, safe="").encode(),
    "percent-encoding of each byte": lambda data: b"%" + data.hex("%").encode(),
    "UTF-16": lambda data: data.decode("latin-1").encode("utf-16"),
    "UTF-16, big-endian": lambda data: data.decode("latin-1").encode("utf-16-be"),
    "UTF-32": lambda data: data.decode("latin-1").encode("utf-32"),
    "UTF-8 with a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
}
KNOWN = known_to_others()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_public_key_in_an_encoding_is_no_secret(encoding: str) -> None:
    """CVE-2022-29217 (PyJWT) once more: the key comes base64url-encoded, as hexadecimal digits,
    percent-encoded, or in UTF-16, and each of these passed for a secret."""
    for name, data in KNOWN.items():
        with pytest.raises(ValueError, match="no shared secret"):
            import_secret(ENCODINGS[encoding](data))
        with pytest.raises(ValueError, match="make no key"):
            import_jwk({"kty": "oct", "k": base64url(ENCODINGS[encoding](data))})
        assert is_key(ENCODINGS[encoding](data)), name


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("first", ENCODINGS)
def test_a_public_key_in_two_or_three_encodings_is_no_secret(first: str) -> None:
    forms = ("RS256 SPKI DER", "ES256 SPKI PEM", "EdDSA SSH line", "EdDSA JWK", "EdDSA SPKI DER")
    for name, second, third in itertools.product(forms, ENCODINGS, ("hex", "base64")):
        data = KNOWN[name]
        encoded = ENCODINGS[second](ENCODINGS[first](data))
        assert is_key(encoded), (name, second)
        assert is_key(ENCODINGS[third](encoded)), (name, second, third)


async def test_a_token_by_an_encoded_public_key_is_refused() -> None:
    public = native("RS256").public.public_bytes(DER, SPKI)
    for encode in ENCODINGS.values():
        secret = encode(public)

        async def look_up(issuer: str, secret: bytes = secret) -> bytes:
            return secret

        forged = by_hmac(CLAIMS, secret)
        verified = verify(
            forged, shared_secrets(look_up), audience="service", algorithms=("HS256",), now=clock
        )
        assert await told(verified) == "unsuitable_key"


@pytest.mark.parametrize("name", ["ES256", "ES384", "ES512"])
def test_a_point_of_a_curve_is_no_secret(name: str) -> None:
    point = native(name).public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    for encode in (bytes, *ENCODINGS.values()):
        assert is_key(encode(point))
    assert not is_key(point[:-1] + bytes((point[-1] ^ 1,)))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps('{"kty":"RSA","n":"AQAB"}'),
        json.dumps(json.dumps('{"kty":"RSA","n":"AQAB"}')),
        quote('{"kty":"RSA","n":"AQAB"}'),
        "-----BEGIN+PUBLIC+KEY-----%0AMIIB",
        "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAI",
    ],
)
def test_a_key_as_forms_and_json_carry_it_is_no_secret(text: str) -> None:
    with pytest.raises(ValueError, match="no shared secret"):
        import_secret(text.ljust(32))


def test_what_is_promised_of_numbers_that_look_random_is_no_more_than_holds() -> None:
    """A modulus and an Ed25519 key look like random bytes: SECURITY.md says that they pass."""
    numbers = native("RS256").public.public_numbers()
    assert isinstance(import_secret(numbers.n.to_bytes(256)), OctKey)
    raw = native("EdDSA").public.public_bytes_raw()
    for encode in (bytes, *ENCODINGS.values()):
        assert isinstance(import_secret(encode(raw)), OctKey)


SIZES = (32, 33, 48, 64, 65, 96, 97, 128, 133, 256)


@pytest.mark.parametrize("encoding", [*ENCODINGS, "none"])
@pytest.mark.parametrize("size", SIZES)
def test_a_random_secret_passes_in_each_encoding(encoding: str, size: int) -> None:
    """Many of each size and encoding, and more whose beginning is a key's."""
    encode = ENCODINGS.get(encoding, bytes)
    for _ in range(250):
        assert not is_key(encode(secrets.token_bytes(size)))
    for start in (b"\x30", b"\x30\x1e", b"\x30\x82", b"\x04", b"\0\0\0\x07", b"MII", b"ssh-"):
        for _ in range(15):
            assert not is_key(encode(start + secrets.token_bytes(size - len(start))))


@pytest.mark.parametrize(
    "secret",
    [
        b"0\x24" + b"0\x00" + b"\x03\x20" + bytes(32),  # an algorithm without a name
        b"0\x26" + b"0\x02\x06\x01" + b"\x03\x20" + bytes(32),  # or with one that is cut off
        b"0\x80" + bytes(40),
        b"0\x24" + b"\x05\x00" + b"\x03\x20" + bytes(32),
        b"\x04" + bytes(64),
        b"ssh-ed" + b"\xff\x9b" * 13,
        b"%" * 40,
        b"=" * 40,
        b"\xff\xfe" + b"a" * 31,
    ],
)
def test_what_only_begins_as_a_key_passes(secret: bytes) -> None:
    assert import_secret(secret).raw_value == secret


@pytest.mark.parametrize(
    "around", [(b"\n", b""), (b"", b"\n"), (b" \t", b"\r\n"), (b"", b"\n\n\n")]
)
@pytest.mark.parametrize("form", ["DER", "point"])
def test_a_public_key_that_ends_like_white_space_is_no_secret_within_white_space(
    form: str, around: tuple[bytes, bytes]
) -> None:
    for _ in range(5_000):
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
        x962, spki = serialization.Encoding.X962, serialization.PublicFormat.SubjectPublicKeyInfo
        uncompressed = serialization.PublicFormat.UncompressedPoint
        data = (
            public.public_bytes(serialization.Encoding.DER, spki)
            if form == "DER"
            else public.public_bytes(x962, uncompressed)
        )
        if data[-1:].isspace():
            break
    assert data[-1:].isspace()
    assert is_key(around[0] + data + around[1])


def test_a_point_within_much_white_space_is_no_secret() -> None:
    """More of it than encodings are looked into, which count one by one."""
    numbers = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32) + numbers.y.to_bytes(32)
    assert not point[-1:].isspace()
    assert is_key(point + b"\n" * 20)
    assert is_key(b"\n" * 20 + point)


@pytest.mark.parametrize("escaped", [b"\\r\\n", b"\\n", b"\\r"])
def test_a_key_in_base64_after_an_escaped_line_end_is_no_secret(escaped: bytes) -> None:
    encoded = base64.b64encode(native("ES256").public.public_bytes(DER, SPKI))
    assert is_key(escaped + encoded)
    assert is_key(encoded[:10] + escaped + encoded[10:])


def test_a_secret_that_is_not_utf_16_as_a_whole_passes() -> None:
    """Every other byte spells a key's first line, but those between are not all zero."""
    mixed = bytes(itertools.chain(*zip(b"-----BEGIN KEY-----\0", range(50, 70), strict=True)))
    assert import_secret(mixed).raw_value == mixed


def test_random_text_passes() -> None:
    for _ in range(500):
        assert isinstance(import_secret(secrets.token_urlsafe(32)), OctKey)
        assert isinstance(import_secret(secrets.token_hex(32)), OctKey)
        assert isinstance(import_secret(str(uuid.uuid4()) + str(uuid.uuid4())), OctKey)
        assert isinstance(import_secret(uuid.uuid4().hex + uuid.uuid4().hex), OctKey)


@settings(max_examples=300)
@given(st.binary(min_size=32, max_size=200), st.lists(st.sampled_from(list(ENCODINGS)), max_size=3))
def test_whatever_the_bytes_and_encodings_a_secret_is_accepted_as_it_is(
    data: bytes, encodings: list[str]
) -> None:
    for encoding in encodings:
        data = ENCODINGS[encoding](data)
    assert import_secret(data).raw_value == data
