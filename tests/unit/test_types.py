"""The tuples keep to themselves what must not be printed, and names are never letters."""

from typing import Any

import pytest

from asapfn.types import Request, Token, Unverified, as_names

NAMES_OF_ONE = [["a"], ("a",), {"a"}, frozenset("a"), {"a": 1}, {"a": 1}.keys(), "a"]


def test_an_unverified_token_prints_without_what_makes_it_a_token() -> None:
    unverified = Unverified({"alg": "RS256", "kid": "a/b"}, {"iss": "a"}, b"head.body", b"\x01sig")
    expected = "Unverified(header={'alg': 'RS256', 'kid': 'a/b'}, claims={'iss': 'a'})"
    for text in (repr(unverified), str(unverified), f"{unverified}", f"{[unverified]}"[1:-1]):
        assert text == expected


def test_a_request_prints_without_what_its_headers_and_its_query_say() -> None:
    request = Request(
        "GET",
        "/path/a%20b?jwt=secret-token&x=1",
        (("Authorization", "Bearer secret-token"), ("Cookie", "secret-cookie")),
    )
    expected = "Request(method='GET', path='/path/a%20b', headers=('Authorization', 'Cookie'))"
    for text in (repr(request), str(request), f"{request}", f"{[request]}"[1:-1]):
        assert text == expected


def test_a_request_prints_that_it_has_no_target() -> None:
    assert repr(Request("GET", None, ())) == "Request(method='GET', path=None, headers=())"


def test_what_is_trusted_and_what_is_not_are_two_types() -> None:
    assert not issubclass(Token, Unverified)
    assert not issubclass(Unverified, Token)
    assert Token({}, {}, 0.0, 1.0)[:2] == ({}, {})


@pytest.mark.parametrize("names", NAMES_OF_ONE)
def test_a_str_is_one_name_and_a_collection_is_its_members(names: Any) -> None:
    assert as_names(names, "audience") == frozenset(["a"])


def test_a_name_is_never_taken_for_its_letters() -> None:
    assert as_names("service", "audience") == {"service"}
    assert as_names(["one", "two"], "audience") == {"one", "two"}
    assert as_names("", "audience") == {""}


@pytest.mark.parametrize(
    "names", [b"service", [b"service"], ["a", 1], [None], ["a", ["b"]], 1, None]
)
def test_what_is_no_name_is_a_programming_error(names: Any) -> None:
    with pytest.raises(TypeError):
        as_names(names, "audience")


def test_the_error_says_what_the_names_are_for() -> None:
    nobody: Any = [1]
    with pytest.raises(TypeError, match="issuers must be a str or a collection of str"):
        as_names(nobody, "issuers")
    with pytest.raises(ValueError, match="issuers is empty"):
        as_names([], "issuers")
