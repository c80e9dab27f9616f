"""Origins: how they are spelled, and what is none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn._core.destinations import origin_of, parse_origins


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://api.example.com", ("https", "api.example.com", 443)),
        ("https://api.example.com:443", ("https", "api.example.com", 443)),
        ("HTTPS://API.Example.COM:0443", ("https", "api.example.com", 443)),
        ("http://mesh", ("http", "mesh", 80)),
        ("http://mesh_1.svc:8080", ("http", "mesh_1.svc", 8080)),
        ("https://[::1]:8443", ("https", "[::1]", 8443)),
        ("https://127.0.0.1", ("https", "127.0.0.1", 443)),
        ("https://xn--bcher-kva.example", ("https", "xn--bcher-kva.example", 443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(text: str, origin: tuple[str, str, int]) -> None:
    assert origin_of(text) == origin
    assert parse_origins(text) == {origin}


def test_a_slash_alone_after_an_origin_is_no_path() -> None:
    assert parse_origins("https://api.example.com/") == {("https", "api.example.com", 443)}
    assert parse_origins("http://mesh:8080/") == {("http", "mesh", 8080)}
    # Of a request's URL it would not be the origin.
    assert origin_of("https://api.example.com/") is None


NOT_ORIGINS = [
    "",
    "api.example.com",
    "//api.example.com",
    "api.example.com:443",
    "https://",
    "https://:443",
    "https://api.example.com//",
    "https://api.example.com/path",
    "https://api.example.com/path/",
    "https:///",
    "https://api.example.com?query",
    "https://api.example.com#fragment",
    "https://user@api.example.com",
    "https://user:password@api.example.com",
    "https://api.example.com:",
    "https://api.example.com:65536",
    "https://api.example.com:443:443",
    "https://api.example.com:٤٤٣",
    "https://api.example.com\n",
    " https://api.example.com",
    "https://api example.com",
    "https://bücher.example",
    "https://*.example.com",
    "https://[::1",
    "ftp://api.example.com",
    "ws://api.example.com",
    "null",
]


@pytest.mark.parametrize("text", NOT_ORIGINS)
def test_what_is_more_or_less_than_an_origin_is_refused(text: str) -> None:
    assert origin_of(text) is None
    with pytest.raises(ValueError, match="scheme://host"):
        parse_origins(["https://api.example.com", text])


def test_the_refusal_does_not_quote_a_password() -> None:
    with pytest.raises(ValueError, match="scheme://host") as raised:
        parse_origins("https://user:hunter2@api.example.com")
    assert "hunter2" not in str(raised.value)


def test_there_must_be_an_origin_and_it_must_be_text() -> None:
    with pytest.raises(ValueError, match="origins is empty"):
        parse_origins([])
    not_text: Any = [b"https://api.example.com"]
    with pytest.raises(TypeError, match="origins must be"):
        parse_origins(not_text)


@given(st.text())
def test_any_text_is_an_origin_or_none(text: str) -> None:
    assert origin_of(text) is None or text.lower().startswith(("http://", "https://"))


@given(st.from_regex(r"https?://[a-z0-9._-]{1,20}:[1-9][0-9]{0,3}", fullmatch=True))
def test_an_origin_spelled_in_full_is_read_back(text: str) -> None:
    origin = origin_of(text)
    assert origin is not None
    scheme, host, port = origin
    assert f"{scheme}://{host}:{port}" == text
