"""JSON in a token: strict UTF-8 objects without repeated members, in and out."""

import contextlib
import json
import math
import sys
import time
import types
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asapfn._core import compact
from tests.support.jsonforms import OBJECT, nested


def b64(data: bytes) -> bytes:
    return compact.encode_base64url(data)


# JSON objects


@given(OBJECT, st.booleans(), st.sampled_from([None, 1]))
def test_an_object_is_read_as_the_standard_library_reads_it(
    members: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(members, ensure_ascii=ascii_only, indent=indent).encode()
    assert compact.decode_object(text) == members


# Pieces of JSON, whole and broken, that are likely to be taken for an object here or there.
PIECES = st.sampled_from(
    ["{", "}", "[", "]", ":", ",", '"', '"a"', '"b"', "\\", "\\u0061", "\\ud800", "\\\\", '\\"']
) | st.sampled_from(["1", "-0", "1.5", "1e5", "1e999", "01", "NaN", "true", "null", "é", " "])


@given(st.lists(PIECES, max_size=14).map(lambda parts: "{" + "".join(parts) + "}"))
@example('{"a":1,"b":{"a":1,"a":2}}')
@example('{"a":1e999}')
def test_what_is_taken_the_standard_library_reads_the_same(text: str) -> None:
    try:
        members = compact.decode_object(text.encode())
    except ValueError:
        return
    assert json.loads(text) == members
    # Written again, it is an object still: there was nothing in it that JSON has not.
    assert compact.decode_object(json.dumps(members, allow_nan=False).encode()) == members


@given(
    st.binary(max_size=60) | st.lists(PIECES, max_size=4).map(lambda parts: "".join(parts).encode())
)
def test_no_bytes_make_the_reader_raise_anything_but_value_error(data: bytes) -> None:
    for text in (data, b'{"a":' + data + b"}", b'{"a":"' + data + b'"}'):
        with contextlib.suppress(ValueError):
            assert isinstance(compact.decode_object(text), dict)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "true", "null", '"a"', '":"'])
@pytest.mark.parametrize("behind", ["{", " {", "[", "{}", ":{"])
def test_a_value_that_is_no_object_is_refused_whatever_stands_behind_it(
    value: str, behind: str
) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        compact.decode_object((value + behind).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"[]",
        b'"{}"',
        b"1",
        b"null",
        b"{}{}",
        b"{},",
        b"{} x",
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":0x10}',
        b'{"a":1_000}',
        b'{"a":"\x01"}',
        b'{"a":"\n"}',
        b'{"a":"\\x"}',
        b'{"a":/* */1}',
        b"\xef\xbb\xbf{}",  # a byte order mark
        b"\xff{}",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',  # a surrogate in UTF-8
        b'{"a":"\xc0\x80"}',  # an overlong zero
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32"),
    ],
)
def test_what_is_not_a_json_object_in_utf_8_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="JSON"):
        compact.decode_object(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"b":2,"a":3}',
        '{"a":1,"\\u0061":2}',
        '{"x":{"a":1,"a":2}}',
        '{"x":[[{"y":[{"a":1,"a":2}]}]]}',
        '{"":1,"":2}',
    ],
)
def test_a_member_that_occurs_twice_at_any_depth_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="twice"):
        compact.decode_object(text.encode())


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1.0e400", "1" * 400 + ".0"]
)
@pytest.mark.parametrize("form", ['{"a":%s}', '{"x":[{"a":%s}]}'])
def test_a_number_that_is_none_or_overflows_is_refused(number: str, form: str) -> None:
    with pytest.raises(ValueError, match=r"not JSON|too large"):
        compact.decode_object((form % number).encode())


def test_the_largest_double_and_what_underflows_are_taken() -> None:
    largest = sys.float_info.max
    members = compact.decode_object(f'{{"a":{largest!r},"b":1e-999,"c":-0.0}}'.encode())
    assert members == {"a": largest, "b": 0.0, "c": 0.0}
    assert math.copysign(1, members["c"]) == -1


def test_an_integer_of_5000_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="digits"):
        compact.decode_object(b'{"a":' + b"9" * 5000 + b"}")


@pytest.mark.parametrize("text", [r'"\ud800"', r'"\udc00"', r'"\udc00\ud800"', r'"a\uD83Dz"'])
@pytest.mark.parametrize("form", ['{"a":%s}', '{%s:1}', '{"x":[{"y":[%s]}]}'])  # fmt: skip
def test_a_lone_surrogate_is_refused(text: str, form: str) -> None:
    with pytest.raises(ValueError, match="not UTF-8 JSON"):
        compact.decode_object((form % text).encode())


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert compact.decode_object(rb'{"a":"\ud83d\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize("space", [b" ", b"\t\r\n", b" \n \t"])
def test_white_space_around_an_object_is_taken_and_no_other(space: bytes) -> None:
    for text in (space + b"{}", b"{}" + space, space + b"{}" + space):
        assert compact.decode_object(text) == {}
    for odd in ("\u00a0", "\u2003", "\x0b", "\x0c", "\x1f", "\x85"):
        for text in (f"{odd}{{}}", f"{{}}{odd}"):
            with pytest.raises(ValueError, match="JSON"):
                compact.decode_object(text.encode())


def test_a_backslash_that_begins_no_surrogate_is_taken() -> None:
    assert compact.decode_object(rb'{"a\\":"\n\u00e9"}') == {"a\\": "\né"}


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"b":', b"}")])
def test_nesting_of_32_is_taken_and_of_33_is_refused(opening: bytes, closing: bytes) -> None:
    assert compact.decode_object(nested(32, opening, closing))
    with pytest.raises(ValueError, match="deep"):
        compact.decode_object(nested(33, opening, closing))


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"b":', b"}")])
def test_it_is_the_depth_that_counts_and_not_the_brackets(opening: bytes, closing: bytes) -> None:
    for beside in (b"[]", b"{}", b'[{"c":[]}]'):
        deepest = nested(32, opening, closing)
        assert compact.decode_object(deepest[:-1] + b',"d":' + beside + b"}")
        assert compact.decode_object(b'{"d":' + beside + b"," + deepest[1:])
        deeper = nested(33, opening, closing)
        with pytest.raises(ValueError, match=r"^nested too deep$"):
            compact.decode_object(deeper[:-1] + b',"d":' + beside + b"}")


def depth(data: bytes) -> int:
    """How deep brackets nest, byte by byte."""
    deepest = now = 0
    quoted = escaped = False
    for byte in data:
        if not quoted:
            now += (byte in b"[{") - (byte in b"]}")
            deepest = max(deepest, now)
        quoted ^= byte == ord('"') and not escaped
        escaped = byte == ord("\\") and not escaped
    return deepest


BRACKETS = st.lists(st.sampled_from([b"[", b"{", b"}", b"]", b'"', b'"]"', b"a", b"\xff", b"\x01"]))


@given(BRACKETS.map(b"".join), st.sampled_from([b"", b'"\\"]"', b'"\\\\"', b'"[\\\\\\"[{"']))
def test_the_depth_is_that_of_brackets_outside_of_strings(data: bytes, text: bytes) -> None:
    for joined in (data, text + data, b"[" + text + b"[" + data, data + text + data):
        assert compact._depth(joined) == depth(joined)


@pytest.mark.parametrize("filling", [b" ", b"1e9,", b"[],", b'{"":[]},'])
def test_the_depth_of_large_metadata_does_not_hold_the_event_loop(filling: bytes) -> None:
    data = b"[" * 33 + filling * (40_000 // len(filling)) + b"]" * 33
    seconds: dict[object, float] = {}
    for count in (depth, compact._depth):
        for _ in range(3):
            began = time.thread_time()
            assert count(data) >= 33
            took = time.thread_time() - began
            seconds[count] = min(took, seconds.get(count, took))
    assert seconds[compact._depth] < seconds[depth] / 4


def test_a_refusal_does_not_carry_the_text() -> None:
    with pytest.raises(ValueError, match=r"^not UTF-8 JSON \(JSONDecodeError\)$") as raised:
        compact.decode_object(b'{"secret"')
    assert raised.value.__context__ is None


def test_many_brackets_that_do_not_nest_are_taken() -> None:
    members = {"a": [[] for _ in range(100)], "b": {"c": [{}]}}
    assert compact.decode_object(json.dumps(members).encode()) == members


@pytest.mark.parametrize("text", ["[" * 100, '\\"' + "[{" * 50, "\\\\" * 3, '[\\\\\\"[' * 40])
def test_brackets_in_strings_do_not_count(text: str) -> None:
    members = {"a": json.loads(f'"{text}"'), "b": [1]}
    assert compact.decode_object(f'{{"a":"{text}","b":[1]}}'.encode()) == members


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"]" * 1000 + b"[" * 200_000,
        b'{"a":"' + b"\\\\" * 7 + b'",' + b'"b":' + b"[" * 200_000,
        b'{"a":"\\\\\\"","b":' + b"[" * 200_000,
        b"\\" + b'"' + b"[" * 200_000,
    ],
)
def test_endless_nesting_is_refused_and_does_not_exhaust_the_stack(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"deep|JSON"):
        compact.decode_object(text)


def test_brackets_within_a_text_alone_do_not_nest() -> None:
    with pytest.raises(ValueError, match=r"^not a JSON object$"):
        compact.decode_object(b'"' + b"[" * 40 + b'"')


# The signing input


@given(OBJECT)
def test_what_is_encoded_for_signing_is_taken_back(claims: dict[str, Any]) -> None:
    data = b64(b'{"alg":"RS256"}') + b"." + compact.encode_segment(claims) + b"." + b64(b"sig")
    header, payload, _, _ = compact.parse(data)
    assert header == {"alg": "RS256"}
    assert compact.decode_object(payload) == claims


def deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("claims", "read_back"),
    [
        ({"a": "b", "c": 1}, False),
        ({"a": "b", "c": 1, "d": 1.5, "e": True, "f": None}, True),
        ({"a": "}"}, False),
        ({"a": {}}, True),
        ({"a": []}, True),
        ({"a": "{"}, False),
        ({"a": "[", "b": 10**40, "\u2028": '\x7f\0\\"'}, False),
        ({"a": "[", "b": 1.5}, True),
        ({1: "a"}, True),
        ({"a": 1, None: 2}, True),
    ],
)
def test_what_may_not_be_taken_back_is_read_back(
    claims: dict[Any, Any], read_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    really = compact.decode_object
    monkeypatch.setattr(compact, "decode_object", lambda data: read.append(data) or really(data))
    segment = compact.encode_segment(claims)
    assert read == [compact.decode_base64url(segment)] * read_back


@given(st.dictionaries(st.text(), st.text() | st.integers()))
def test_what_is_flat_is_written_as_json_writes_it(claims: dict[str, Any]) -> None:
    expected = json.dumps(claims, ensure_ascii=False, separators=(",", ":"))
    assert compact.decode_base64url(compact.encode_segment(claims)) == expected.encode()


def test_a_mapping_that_is_no_dict_is_encoded() -> None:
    claims = types.MappingProxyType({"a": "é"})
    assert compact.decode_base64url(compact.encode_segment(claims)) == '{"a":"é"}'.encode()


@pytest.mark.parametrize(
    "claims",
    [
        {"a": math.nan},
        {"a": math.inf},
        {"a": [-math.inf]},
        {"a": "\ud800"},
        {"\udc00": 1},
        {1: "a", "1": "b"},  # JSON would have the name twice
        {"a": 10**5000},
        {"a": deep(32)},
        {"a": deep(100_000)},
    ],
)
def test_what_nobody_would_accept_is_not_encoded_for_signing(claims: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"JSON|surrogate|twice|digits|deep"):
        compact.encode_segment(claims)


def test_endless_nesting_is_told_in_words() -> None:
    with pytest.raises(ValueError, match=r"^nested too deep$") as raised:
        compact.encode_segment({"a": deep(100_000)})
    assert raised.value.__context__ is None


def test_a_lone_surrogate_is_named_and_not_quoted() -> None:
    for claims in ({"secret": "\ud800"}, {"a": ["secret", "\ud800"]}):
        with pytest.raises(ValueError, match=r"^a text holds a lone surrogate$") as raised:
            compact.encode_segment(claims)
        assert raised.value.__context__ is None


def test_what_is_not_json_is_not_encoded_for_signing() -> None:
    with pytest.raises(TypeError):
        compact.encode_segment({"a": b"bytes"})
    with pytest.raises(TypeError):
        compact.encode_segment({"a": {1, 2}})


def test_a_number_of_too_many_digits_is_refused_in_words_of_ours() -> None:
    with pytest.raises(ValueError, match=r"^a number has more than 4300 digits$") as raised:
        compact.decode_object(b'{"a":' + b"1" * 4301 + b"}")
    assert raised.value.__context__ is None
    assert compact.decode_object(b'{"a":' + b"1" * 4300 + b"}")
