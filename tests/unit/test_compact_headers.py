"""Headers are read once and remembered, within bounds, and nobody can change what is remembered."""

from collections.abc import Callable
from typing import Any

import pytest

from asapfn._core import compact
from asapfn.errors import TokenRejected

Read = Callable[[bytes], dict[str, Any]]


def b64(data: bytes) -> bytes:
    return compact.encode_base64url(data)


HEAD = b64(b'{"alg":"RS256"}')


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The headers that were really read, in order."""
    seen: list[bytes] = []
    really = compact.read_header

    def read(head: bytes, *algorithms: Any) -> dict[str, Any]:
        seen.append(head)
        return really(head, *algorithms)

    monkeypatch.setattr(compact, "read_header", read)
    return seen


def reader(algorithms: list[str]) -> Callable[[bytes], dict[str, Any]]:
    """Reads headers one after the other, as a verifier does with its memory of them."""
    headers: dict[bytes, dict[str, Any]] = {}
    return lambda head: compact.parse(head + b".AAAA.AAAA", algorithms, headers)[0]


def header(size: int) -> bytes:
    """A header that takes so many characters."""
    for spaces in range(size):
        head = b64(b'{"alg":"RS256"}' + b" " * spaces)
        if len(head) == size:
            return head
    raise AssertionError


def test_each_caller_has_a_dict_of_its_own() -> None:
    read = reader(["RS256"])
    first = read(HEAD)
    first["alg"] = "none"
    assert read(HEAD) == compact.read_header(HEAD)
    assert read(HEAD) is not read(HEAD)


def test_nothing_is_shared_that_a_caller_can_change(readings: list[bytes]) -> None:
    read = reader(["RS256"])
    head = b64(b'{"alg":"RS256","x":["a"]}')
    read(head)["x"].append("b")
    assert read(head)["x"] == ["a"]
    assert readings == [head, head]


def test_a_header_of_strings_is_read_once(readings: list[bytes]) -> None:
    read = reader(["RS256"])
    for _ in range(3):
        assert read(HEAD) == {"alg": "RS256"}
    assert readings == [HEAD]


def test_a_long_header_is_read_each_time(readings: list[bytes]) -> None:
    read = reader(["RS256"])
    longest, longer = header(512), header(514)
    for head in (longest, longest, longer, longer):
        read(head)
    assert readings == [longest, longer, longer]


def test_the_257th_header_makes_all_forgotten(readings: list[bytes]) -> None:
    read = reader(["RS256"])
    heads = [b64(b'{"alg":"RS256","kid":"%d"}' % number) for number in range(257)]
    for head in heads[:256] * 2:
        read(head)
    assert readings == heads[:256]
    for head in (heads[256], heads[256], heads[0]):
        read(head)
    assert readings == [*heads, heads[0]]


def test_many_headers_are_read_right() -> None:
    read = reader(["RS256"])
    for number in [*range(1000), *range(1000)]:
        assert read(b64(b'{"alg":"RS256","kid":"%d"}' % number))["kid"] == str(number)


def test_what_is_refused_is_refused_each_time(readings: list[bytes]) -> None:
    read, head = reader(["RS256"]), b64(b'{"alg":"none"}')
    for _ in range(2):
        with pytest.raises(TokenRejected) as refused:
            read(head)
        assert refused.value.reason == "unsupported_algorithm"
    assert readings == [head, head]
