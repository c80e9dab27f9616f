"""The codec takes the one spelling of a token, and refuses all others with a reason of its own."""

import contextlib
import json
import math
import sys
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from asapfn import compact
from asapfn.errors import TokenRejected


def b64(data: bytes) -> bytes:
    return compact.encode_base64url(data)


HEADER = b'{"alg":"RS256"}'


def token(header: bytes = HEADER, payload: bytes = b"{}", signature: bytes = b"sig") -> bytes:
    return b".".join(map(b64, (header, payload, signature)))


def refusal(data: str | bytes, **named: Any) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        compact.parse(data, **named)
    return caught.value


# base64url


@given(st.binary())
def test_decoding_undoes_encoding(data: bytes) -> None:
    assert compact.decode_base64url(compact.encode_base64url(data)) == data


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


# JSON objects

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
OBJECT = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=5)


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


@given(st.binary(max_size=60))
def test_no_bytes_make_the_reader_raise_anything_but_value_error(data: bytes) -> None:
    for text in (data, b'{"a":' + data + b"}", b'{"a":"' + data + b'"}'):
        with contextlib.suppress(ValueError):
            assert isinstance(compact.decode_object(text), dict)


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


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    """An object of this depth: itself counts as one."""
    return b'{"a":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"b":', b"}")])
def test_nesting_of_32_is_taken_and_of_33_is_refused(opening: bytes, closing: bytes) -> None:
    assert compact.decode_object(nested(32, opening, closing))
    with pytest.raises(ValueError, match="deep"):
        compact.decode_object(nested(33, opening, closing))


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


# Tokens


def test_a_token_is_taken_apart() -> None:
    data = token(b'{"alg":"ES256","kid":"a"}', b"payload", b"\x00signature")
    head, body, _ = data.split(b".")
    assert compact.parse(data) == (
        {"alg": "ES256", "kid": "a"},
        b"payload",
        head + b"." + body,
        b"\x00signature",
    )
    assert compact.parse(data.decode()) == compact.parse(data)


def test_an_empty_payload_is_taken() -> None:
    _, payload, signing_input, _ = compact.parse(token(payload=b""))
    assert payload == b""
    assert signing_input == b64(HEADER) + b"."


H, P, S = map(b64, (HEADER, b"{}", b"sig"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"..",
        b"...",
        H,
        H + b".",
        H + b"." + P,
        H + b"." + P + b".",  # an empty signature
        H + b".." + S + b".",
        H + b"." + P + b"." + S + b".",
        H + b"." + P + b"." + S + b"." + S,  # four segments
        H + b"." + P + b"." + S + b"." + S + b"." + S,  # five, as JWE has
        b"." + P + b"." + S,
        H + b"=." + P + b"." + S,
        H + b"." + P + b"=." + S,
        H + b"." + P + b"." + S + b"=",
        b" " + H + b"." + P + b"." + S,
        H + b". " + P + b"." + S,
        H + b"." + P + b"." + S + b"\n",
        H + b"." + P + b"." + S + b"\0",
        H + b"." + P + b".+/+/",
        H + b".+/+/." + S,
        H + b"." + P + b"." + b"Zh",
        H + b"." + b"Zh" + b"." + S,
        H + b"." + b"A" + b"." + S,
        H + b"." + P + b"." + b"A",
        H + b"." + P + b"." + b"\xff" + S,
        H + b"." + P + b"." + b"\xc3\xa9" + S,
        b'{"payload":"","signatures":[]}',
        b"Bearer " + token(),
    ],
)
def test_what_is_not_three_strict_segments_is_malformed(data: bytes) -> None:
    assert refusal(data).reason == "malformed"
    if data.isascii():
        assert refusal(data.decode()).reason == "malformed"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b'{"alg":null}',
        b'{"alg":1}',
        b'{"alg":["RS256"]}',
        b'{"alg":{"RS256":1}}',
        b'{"Alg":"RS256"}',
        b'{"alg":"RS256","alg":"RS256"}',
        b'{"alg":"none","alg":"RS256"}',
        b'{"alg":"RS256","x":NaN}',
        b'{"alg":"RS256","x":1e999}',
        b'{"alg":"RS256","x":"\\ud800"}',
        b'{"alg":"RS256"}{}',
        b'\xef\xbb\xbf{"alg":"RS256"}',
        b'{"alg":"RS256","x":"\xff"}',
        nested(33, b"[", b"]"),
    ],
)
def test_a_header_that_is_no_strict_object_with_an_alg_is_malformed(header: bytes) -> None:
    assert refusal(token(header)).reason == "malformed"


@pytest.mark.parametrize(
    "extension",
    [
        b'"crit":["exp"]',
        b'"crit":[]',
        b'"crit":null',
        b'"b64":true',
        b'"b64":false',
        b'"b64":false,"crit":["b64"]',
    ],
)
def test_extensions_are_malformed(extension: bytes) -> None:
    assert refusal(token(b'{"alg":"RS256",' + extension + b"}")).reason == "malformed"


@pytest.mark.parametrize("name", ["kid", "typ"])
@pytest.mark.parametrize("value", [b"1", b"null", b"true", b'["a"]', b'{"a":"b"}'])
def test_a_key_id_or_a_type_that_is_no_string_is_malformed(name: str, value: bytes) -> None:
    error = refusal(token(b'{"alg":"RS256","%s":%s}' % (name.encode(), value)))
    assert (error.reason, error.claim) == ("malformed", name)
    # The algorithm is told before it.
    error = refusal(token(b'{"alg":"none","%s":%s}' % (name.encode(), value)))
    assert error.reason == "unsupported_algorithm"


def test_keys_in_the_header_are_not_looked_at() -> None:
    header = b'{"alg":"RS256","jwk":1,"jku":[],"x5u":{},"x5c":"http://evil.example"}'
    assert compact.parse(token(header))[1] == b"{}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "rs256", "HS1", "RSA-OAEP"])
@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b".",
        b"." + P,
        b"." + P + b".",
        b"." + P + b"." + S,
        b"..",
        b".!.!",
        b".\xff.\xff",
        b"." + P + b"." + S + b"." + S + b"." + S,
    ],
)
def test_the_header_speaks_first_whatever_follows(algorithm: str, rest: bytes) -> None:
    data = b64(json.dumps({"alg": algorithm, "crit": ["x"], "b64": False}).encode()) + rest
    error = refusal(data)
    assert (error.reason, error.claim, error.status) == ("unsupported_algorithm", "alg", 401)
    assert refusal(data.decode("latin-1")).reason == "unsupported_algorithm"


def test_only_the_algorithms_that_are_asked_for_are_taken() -> None:
    assert compact.parse(token(), compact.header_reader(["RS256"]))
    assert (
        refusal(token(), read_header=compact.header_reader(["ES256"])).reason
        == "unsupported_algorithm"
    )
    assert refusal(token(), read_header=compact.header_reader([])).reason == "unsupported_algorithm"


def test_a_token_of_16_kib_is_taken_and_one_of_a_byte_more_is_malformed() -> None:
    room = compact.MAX_BYTES - len(H) - len(S) - 2
    data = H + b"." + b64(b"x" * (room * 3 // 4)) + b"." + S
    data = b64(HEADER + b" " * (compact.MAX_BYTES - len(data))) + data[len(H) :]
    while len(data) > compact.MAX_BYTES:
        header = compact.decode_base64url(data.split(b".")[0])
        data = b64(header[:-1]) + data[data.index(b".") :]
    assert len(data) == compact.MAX_BYTES == 16384
    assert compact.parse(data)[0] == {"alg": "RS256"}
    longer = data + b"AAAA"
    for beyond in (data + b"A", longer, longer.decode(), b"." * 16385, "\u00e9" * 16385):
        assert str(refusal(beyond)) == "malformed: longer than 16384 bytes"


@pytest.mark.parametrize("text", ["é", "\ud800", "\u2126", "\U0001f600", "\uff21"])
@pytest.mark.parametrize("place", range(3))
def test_text_that_is_not_ascii_is_malformed(text: str, place: int) -> None:
    segments = token().decode().split(".")
    segments[place] += text * 4
    assert refusal(".".join(segments)).reason == "malformed"


@pytest.mark.parametrize("value", [None, 1, ["a"], bytearray(b"a.b.c"), memoryview(b"a.b.c")])
def test_what_is_neither_text_nor_bytes_is_a_programming_error(value: Any) -> None:
    with pytest.raises(TypeError, match="str or bytes"):
        compact.parse(value)


SEGMENT = st.binary(max_size=24).map(b64) | st.binary(max_size=24)


@given(
    st.binary(max_size=200)
    | st.lists(SEGMENT, max_size=5).map(b".".join)
    | st.builds(token, st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=9))
    | st.builds(token, OBJECT.map(lambda members: json.dumps(members | {"alg": "RS256"}).encode()))
)
def test_no_bytes_make_parse_raise_anything_but_token_rejected(data: bytes) -> None:
    try:
        header, payload, signing_input, signature = compact.parse(data)
    except TokenRejected as error:
        assert error.reason in ("malformed", "unsupported_algorithm")
        return
    # What is taken has one spelling: this one.
    assert signing_input + b"." + b64(signature) == data
    assert signing_input.split(b".")[1] == b64(payload)
    assert isinstance(header["alg"], str)


@given(st.text(max_size=200) | st.text(st.characters(max_codepoint=127), max_size=200))
def test_no_text_makes_parse_raise_anything_but_token_rejected(text: str) -> None:
    with pytest.raises(TokenRejected):
        compact.parse(text)


MARK = "Zx9SecretZx9"


@given(st.data())
def test_a_refusal_says_nothing_of_the_token(data: st.DataObject) -> None:
    """Whatever is wrong, and wherever the mark is, the message does not hold it."""
    broken = ["", "\\ud800", '","a":1,"a":2,"b":"', '"', '",', "\n", "\\q", "\xff", "[" * 40]
    text = MARK + data.draw(st.sampled_from(broken)) + MARK
    header = data.draw(
        st.sampled_from(
            ['{"alg":"%s"}', '{"alg":"RS256","x":"%s"}', '{"alg":"RS256","%s":1}', "%s", "[%s]"]
        )
    )
    head = b64((header % text).encode("latin-1"))
    rest = data.draw(
        st.sampled_from([b"", b".", b"..!" + MARK.encode(), b"." + MARK.encode() + b".!"])
    )
    with pytest.raises(TokenRejected) as caught:
        compact.parse(head + rest)
    said = f"{caught.value} {caught.value!r} {caught.value.claim}"
    assert MARK not in said
    assert head.decode() not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.reason == "unsupported_algorithm"


# The signing input


@given(OBJECT)
def test_what_is_encoded_for_signing_is_taken_back(claims: dict[str, Any]) -> None:
    data = compact.signing_input({"alg": "RS256"}, claims) + b"." + b64(b"sig")
    header, payload, _, _ = compact.parse(data)
    assert header == {"alg": "RS256"}
    assert compact.decode_object(payload) == claims


def deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


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
        compact.signing_input({"alg": "RS256"}, claims)


def test_what_is_not_json_is_not_encoded_for_signing() -> None:
    with pytest.raises(TypeError):
        compact.signing_input({"alg": "RS256"}, {"a": b"bytes"})
    with pytest.raises(TypeError):
        compact.signing_input({"alg": "RS256"}, {"a": {1, 2}})


def test_a_reader_of_headers_remembers_and_gives_each_caller_a_dict_of_its_own() -> None:
    read = compact.header_reader(["RS256"])
    first = read(H)
    first["alg"] = "none"
    assert read(H) == compact.read_header(H)
    assert read(H) is not read(H)


def test_a_reader_of_headers_shares_nothing_that_a_caller_can_change() -> None:
    read = compact.header_reader(["RS256"])
    head = b64(b'{"alg":"RS256","x":["a"]}')
    read(head)["x"].append("b")
    assert read(head)["x"] == ["a"]


def test_a_reader_of_headers_refuses_each_time_and_forgets_in_the_end() -> None:
    read = compact.header_reader(["RS256"])
    for number in range(1000):
        assert read(b64(b'{"alg":"RS256","kid":"%d"}' % number))["kid"] == str(number)
    for _ in range(2):
        with pytest.raises(TokenRejected) as refused:
            read(b64(b'{"alg":"none"}'))
        assert refused.value.reason == "unsupported_algorithm"
