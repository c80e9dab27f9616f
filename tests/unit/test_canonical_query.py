"""The canonical query, rule by rule, and where others get them wrong."""

import pytest

from asapfn._core import canonical
from asapfn._core.canonical import canonical_query, canonical_request

UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("", ""),
        ("&&", ""),
        ("&a=1&&b=2&", "a=1&b=2"),
        ("enabled", "enabled="),
        ("enabled=", "enabled="),
        ("a=b=c", "a=b%3Dc"),
        ("a%3Db=c", "a%3Db=c"),
        ("=a", "=a"),
        ("=", "="),
        ("a=1;b=2", "a=1%3Bb%3D2"),
        ("a=b?c", "a=b%3Fc"),
        ("a=%25zz", "a=%25zz"),
        ("a=x+y%20z w", "a=x%20y%20z%20w"),
        ("a=%2B", "a=%2B"),
        ("a=%00%7f", "a=%00%7F"),
        ("a=%41%7e%2d", "a=A~-"),
        ("a=%e5%ae%ae", "a=%E5%AE%AE"),
        ("é=%C3%A9", "%C3%A9=%C3%A9"),
        ("a=%2F%E5%ae%AE%2f'%21!é", "a=%2F%E5%AE%AE%2F%27%21%21%C3%A9"),
        ("a=%F0%9F%8E%89", "a=%F0%9F%8E%89"),
        ("a=!*'(),/:@$", "a=%21%2A%27%28%29%2C%2F%3A%40%24"),
        ("a\u00a0=\u3000\u0085", "a%C2%A0=%E3%80%80%C2%85"),
        ("\x80=\ud7ff", "%C2%80=%ED%9F%BF"),
        ("\ue000=\U0010ffff", "%EE%80%80=%F4%8F%BF%BF"),
    ],
)
def test_a_query_is_form_decoded_and_encoded_again(query: str, canonical: str) -> None:
    assert canonical_query(query) == canonical
    assert canonical_request("GET", f"/?{query}") == f"GET&/&{canonical}"


def test_all_but_unreserved_characters_are_encoded_in_upper_case() -> None:
    for code in range(128):
        character = chr(code)
        expected = character if character in UNRESERVED else f"%{code:02X}"
        assert canonical_query(f"k=%{code:02x}") == f"k={expected}"
        assert canonical_query(f"%{code:02X}=v") == f"{expected}=v"
        if character >= " " and character not in "%&+\x7f":
            expected = "%20" if character == " " else expected
            assert canonical_query(f"k=a{character}") == f"k=a{expected}"


def test_what_is_encoded_as_it_should_be_is_recognized_and_not_encoded_again() -> None:
    """A shortcut for most queries: without it the result is the same, and takes longer."""
    for code in range(256):
        as_it_is = chr(code) in UNRESERVED
        escape = f"%{code:02X}"
        shortcut = bool(canonical._ENCODED_QUERY.fullmatch(f"a={chr(code)}"))
        assert shortcut == (as_it_is or chr(code) in "&=")
        shortcut = bool(canonical._ENCODED_QUERY.fullmatch(f"{escape}{escape}=b"))
        assert shortcut == (0x20 <= code < 0x7F and not as_it_is)
        if escape.lower() != escape:
            assert not canonical._ENCODED_QUERY.fullmatch(escape.lower())
    assert canonical._ENCODED_QUERY.fullmatch("")


def test_parameters_sort_by_their_encoded_names() -> None:
    """npm's atlassian-jwt sorts the names as they are, and so has `a-` before `a[`.

    The documentation, Atlassian's Java and PyPI's atlassian-jwt sort what stands in the result.
    """
    assert canonical_query("a-=1&a[=2") == "a%5B=2&a-=1"
    assert canonical_query("a_=1&a[=2&a=3&aa=4&é=5") == "%C3%A9=5&a=3&a%5B=2&a_=1&aa=4"
    assert canonical_query("a10=1&a1=2&a-=3&a=4") == "a=4&a-=3&a1=2&a10=1"


def test_the_values_of_one_parameter_sort_by_their_decoded_form() -> None:
    """Encoded, `%C3%A9` would come before `z`, and `!` after `%20`: the documentation is wrong."""
    assert canonical_query("a=z&a=%C3%A9&a=%3A&a=.&a=+&a=") == "a=,%20,.,%3A,z,%C3%A9"
    assert canonical_query("a=1%2C2&a=1") == "a=1,1%2C2"
    assert canonical_query("a=b&a=b") == "a=b,b"


def test_values_beyond_the_basic_plane_sort_as_in_java_and_javascript() -> None:
    """PyPI's atlassian-jwt sorts by code point; `String.compareTo` and `Array.sort` by UTF-16.

    It is a product in Java that makes the other side's hash. In UTF-16 the first half of a
    surrogate pair (from U+D800) comes before U+E000 to U+FFFF.
    """
    assert canonical_query("a=\uff01&a=\U0001f389") == "a=%F0%9F%8E%89,%EF%BC%81"


def test_names_are_the_same_when_they_decode_to_the_same() -> None:
    assert canonical_query("b=2&%62=1&b%2b=4&b%2B=3&b+=6&b%20=5") == "b=1,2&b%20=5,6&b%2B=3,4"


def test_the_parameter_jwt_is_dropped_in_exactly_that_case() -> None:
    assert canonical_query("a=1&jwt=x.y.z&jwt&%6A%77%74=u") == "a=1"
    assert canonical_query("JWT=1&Jwt=2&jwt2=3&jwt%20=4") == "JWT=1&Jwt=2&jwt%20=4&jwt2=3"


def test_no_name_is_special_to_us() -> None:
    """npm's atlassian-jwt leaves `__proto__` out, which so can be changed under a token."""
    assert canonical_query("__proto__=1&a=2&constructor=3") == "__proto__=1&a=2&constructor=3"


def test_no_parameter_is_one_too_many() -> None:
    """npm's atlassian-jwt hashes the first 1000: node's `querystring` stops reading there.

    What comes after could be anything, and the hash would still fit.
    """
    query = "&".join(f"p{number:05}={number}" for number in range(12_000))
    assert canonical_query(query) == query
