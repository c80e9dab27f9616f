"""base64url in a token: one spelling of every value, unpadded and strict (RFC 4648, section 5)."""

import contextlib
import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from asapfn._core import compact


@given(st.binary())
def test_decoding_undoes_encoding(data: bytes) -> None:
    assert compact.decode_base64url(compact.encode_base64url(data)) == data


def test_each_of_the_64_characters_may_be_the_last() -> None:
    """RFC 4648, section 5, table 2: what is cut off at the end is padding alone."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    for value, character in enumerate(alphabet):
        assert compact.encode_base64url(bytes((0, 0, value))) == f"AAA{character}".encode()


@given(st.text("ABCwxyz0189-_+/= \n.\0", max_size=12).map(str.encode) | st.binary(max_size=12))
@example(b"")
def test_there_is_one_spelling_of_every_value(text: bytes) -> None:
    try:
        data = compact.decode_base64url(text)
    except ValueError:
        return
    assert compact.encode_base64url(data) == text


@given(st.binary(min_size=1, max_size=40), st.data())
def test_no_other_last_character_decodes_to_the_same(data: bytes, draw: st.DataObject) -> None:
    spelling = compact.encode_base64url(data)
    assume(len(data) % 3)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = spelling[:-1] + bytes([draw.draw(st.sampled_from(alphabet))])
    assume(other != spelling)
    with contextlib.suppress(ValueError):
        assert compact.decode_base64url(other) != data


def test_the_bits_left_over_are_zero() -> None:
    for spelling, zero in (("A", "AQgw"), ("AA", "AEIMQUYcgkosw048")):
        taken = set()
        for last in string.ascii_letters + string.digits + "-_":
            with contextlib.suppress(ValueError):
                compact.decode_base64url(f"{spelling}{last}".encode())
                taken.add(last)
        assert taken == set(zero)


def test_a_refusal_does_not_carry_what_raised_it() -> None:
    with pytest.raises(ValueError, match=r"^not base64url$") as raised:
        compact.decode_base64url(b"A!BC")
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "text",
    [
        b"A",  # an impossible length
        b"AAAAA",
        b"Zg==",  # padding
        b"Zm8=",
        b"=",
        b"Z=g",
        b"Zh",  # bits left over: f is Zg
        b"Zm9",
        b"Zm 9v",  # white space
        b" Zm9v",
        b"Zm9v\n",
        b"Zm9v\r\n",
        b"+/8A",  # the standard alphabet
        b"-/8A",
        b"Zm9v.",
        b"Zm9v\0",
        b"Zm\xe99v",
        b"Zm9v!",
    ],
)
def test_base64_that_is_not_base64url_in_its_one_spelling_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="base64url"):
        compact.decode_base64url(text)


def test_the_empty_spelling_is_the_empty_value() -> None:
    assert compact.decode_base64url(b"") == compact.encode_base64url(b"") == b""


def test_the_alphabet_is_that_for_urls() -> None:
    assert compact.encode_base64url(b"\xfb\xff\xfe") == b"-__-"
