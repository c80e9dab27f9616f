"""DER: rows of elements, each in its one form, or a `ValueError`."""

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from asapfn._core import der
from tests.support.hostile import integer, oid, sequence, tlv
from tests.support.keyforms import CLEAR, DER, KINDS, PKCS8, SPKI, native

BYTES = st.binary(max_size=300)


@given(st.lists(st.tuples(st.integers(0, 255), BYTES), max_size=16))
def test_a_row_is_read_as_it_was_written(elements: list[tuple[int, bytes]]) -> None:
    written = b"".join(tlv(tag, content) for tag, content in elements)
    assert [(each.tag, each.content) for each in der.row(written)] == elements
    members = der.sequence(sequence(written))
    assert der.tags(members) == tuple(tag for tag, _ in elements)


@given(st.integers(-(2**600), 2**600))
def test_an_integer_is_read_as_it_was_written(value: int) -> None:
    octets = max(1, ((value if value >= 0 else ~value).bit_length() + 8) // 8)
    assert der.integer(der.element(tlv(0x02, value.to_bytes(octets, signed=True)))) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        b"\x02\x01",
        b"\x02\x81",
        b"\x02\x80\x00\x00",  # a length that is open (BER)
        b"\x02\x81\x01\x00",  # a long form where the short one does
        b"\x02\x82\x00\x80" + bytes(128),
        b"\x02\x85\x00\x00\x00\x00\x80" + bytes(128),
        b"\x02\x84\xff\xff\xff\xff\x00",
        b"\x02\xff" + b"\xff" * 127,
    ],
)
def test_an_element_whose_length_is_cut_off_or_not_in_its_one_form_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        der.element(data)


@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0, "00"),
        (0x7F, "7f"),
        (0x80, "8180"),
        (0xFF, "81ff"),
        (0x100, "820100"),
        (0xFFFF, "82ffff"),
        (0x10000, "83010000"),
        (0x1000000, "8401000000"),
    ],
)
def test_a_length_is_read_in_its_shortest_form(size: int, length: str) -> None:
    """X.690, sections 8.1.3 and 10.1."""
    head = b"\x04" + bytes.fromhex(length)
    read = der.element(b"\x02\x00" + head + bytes(size) + b"\x02", 2)
    assert (read.tag, len(read.content), read.end) == (4, size, 2 + len(head) + size)
    if size:
        with pytest.raises(ValueError, match="an element is cut off"):
            der.element(head + bytes(size - 1))


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "0080"),
        (255, "00ff"),
        (32_767, "7fff"),
        (32_768, "008000"),
        (-1, "ff"),
        (-128, "80"),
        (-129, "ff7f"),
        (-32_768, "8000"),
    ],
)
def test_an_integer_is_read_in_its_shortest_form(value: int, octets: str) -> None:
    """X.690, section 8.3: two's complement; the first nine bits are not all the same."""
    written = bytes.fromhex(octets)
    assert der.integer(der.element(tlv(0x02, written))) == value
    longer = (b"\xff" if value < 0 else b"\0") + written
    with pytest.raises(ValueError, match="shortest form"):
        der.integer(der.element(tlv(0x02, longer)))


@pytest.mark.parametrize(
    "data", [b"\x02\x00", b"\x02\x02\x00\x01", b"\x02\x02\xff\xff", b"\x03\x01\x01"]
)
def test_an_integer_that_is_none_or_not_in_its_shortest_form_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a DER INTEGER in its shortest form"):
        der.integer(der.element(data))


def test_what_is_not_one_sequence_is_refused() -> None:
    for data in (integer(1), sequence(integer(1)) + b"\n", sequence() * 2):
        with pytest.raises(ValueError, match="one DER SEQUENCE and nothing behind it"):
            der.sequence(data)
    with pytest.raises(ValueError, match="at most 16"):
        der.sequence(sequence(integer(1) * 17))


@pytest.mark.parametrize(
    ("octets", "written"),
    [
        ("2a864886f70d010301", "1.2.840.113549.1.3.1"),
        ("2b6570", "1.3.101.112"),
        ("00", "0.0"),
        ("50", "2.0"),
        ("8837", "2.999"),
        ("", "none"),
        ("81" * 60_000, "none"),
        ("2b" + "01" * 30_000, "1.3" + ".1" * 19),
    ],
)
def test_an_object_identifier_is_written_with_dots(octets: str, written: str) -> None:
    assert der.dotted(der.element(oid(octets)).content) == written


@pytest.mark.parametrize("name", KINDS)
def test_what_cryptography_writes_is_read(name: str) -> None:
    private, public = native(name)
    assert len(der.sequence(public.public_bytes(DER, SPKI))) == 2
    assert len(der.sequence(private.private_bytes(DER, PKCS8, CLEAR))) >= 3
    if name != "EdDSA":
        old = private.private_bytes(DER, serialization.PrivateFormat.TraditionalOpenSSL, CLEAR)
        assert len(der.sequence(old)) == (9 if name == "RS256" else 4)
