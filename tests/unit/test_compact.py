"""The codec takes the one spelling of a token, and refuses all others with a reason of its own."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn._core import compact
from asapfn.errors import TokenRejected
from tests.support.jsonforms import OBJECT, nested


def b64(data: bytes) -> bytes:
    return compact.encode_base64url(data)


HEADER = b'{"alg":"RS256"}'


def token(header: bytes = HEADER, payload: bytes = b"{}", signature: bytes = b"sig") -> bytes:
    return b".".join(map(b64, (header, payload, signature)))


def refusal(data: str | bytes, **named: Any) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        compact.parse(data, **named)
    return caught.value


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
    assert str(error) == f"malformed: the header's {name} is not a string"
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
    assert compact.parse(token(), ["RS256"])
    for algorithms in (["ES256"], []):
        assert refusal(token(), algorithms=algorithms).reason == "unsupported_algorithm"


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
    with pytest.raises(TypeError) as raised:
        compact.parse(value)
    assert str(raised.value) == f"a token is a str or bytes, not {type(value).__name__}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"A!BC", "not base64url"),
        (H + b".A+BC." + S, "not base64url"),
        (b"!", "not unpadded base64url in its one spelling"),
        (H + b".Zh." + S, "not unpadded base64url in its one spelling"),
        (H + b"." + P + b".", "no signature"),
        (token(b"{}"), "the header has no alg"),
        (token(b'{"alg":["RS256"]}'), "the header has no alg"),
        (token(b'{"alg":"RS256","crit":[]}'), "the header asks for an extension"),
        (token(b'{"alg":"RS256","b64":true}'), "the header asks for an extension"),
        (token(b'{"alg":"RS256","alg":"RS256"}'), "a member occurs twice"),
        (token(b"\xff"), "not UTF-8 JSON (UnicodeDecodeError)"),
        (token(b"{"), "not UTF-8 JSON (JSONDecodeError)"),
        (token(b'{"alg":"\\ud800"}'), "not UTF-8 JSON (UnicodeEncodeError)"),
        (token(b"[]"), "not a JSON object"),
        (token(b'{"alg":NaN}'), "NaN is not JSON"),
        (token(b'{"alg":1e999}'), "a number is too large"),
        (token(nested(33, b"[", b"]")), "nested too deep"),
    ],
)
def test_what_is_malformed_is_said_in_words(data: bytes, message: str) -> None:
    error = refusal(data)
    assert str(error) == f"malformed: {message}"
    # What raised it would hold the text.
    assert error.__suppress_context__
    assert error.__cause__ is None


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
    """Wherever the mark is, the message does not hold it, but as an algorithm not accepted."""
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
    assert (MARK in said) == (caught.value.reason == "unsupported_algorithm")
    assert head.decode() not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.reason == "unsupported_algorithm"


@pytest.mark.parametrize(
    ("data", "without"),
    [
        (b'"' + token() + b'"', "quotes"),
        (b"'" + token(), "quotes"),
        (token() + b'"', "quotes"),
        (b"\xef\xbb\xbf" + token(), "a byte order mark"),
        ("\ufeff" + token().decode(), "a byte order mark"),
        # As a server reads the header of a request, in latin-1.
        ("\xef\xbb\xbf" + token().decode(), "a byte order mark"),
        (b"Bearer " + token(), "its scheme"),
    ],
    ids=range(7),
)
def test_what_was_copied_along_with_a_token_is_named(data: str | bytes, without: str) -> None:
    said = refusal(data).detail
    assert said.startswith(f"expected the token alone, without {without}; not ")
    assert "eyJ" not in said
    if isinstance(data, bytes) and data.isascii():
        assert refusal(data.decode()).detail == said


@pytest.mark.parametrize("data", ["", "\ud800", "\xef" + token().decode(), b"\xff" + token()])
def test_of_what_else_is_foreign_nothing_is_guessed(data: str | bytes) -> None:
    assert "alone" not in refusal(data).detail
