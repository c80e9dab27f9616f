"""The path of the canonical request: taken as it was sent, without that of the base URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn._core.canonical import canonical_request, qsh

# The URI


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("https://example.com:8443/a/b?c=d#e", "/a/b"),
        ("HTTP://user:secret@[::1]:80/a?b", "/a"),
        ("https://@example.com/a", "/a"),
        ("https://bücher.example/a", "/a"),
        ("https://example.com", "/"),
        ("https://example.com?a=b", "/"),
        ("https://example.com#a", "/"),
        ("https://example.com:/a", "/a"),
        ("coap+tcp://h/a", "/a"),
        ("/a#?b=c", "/a"),
        ("/a?#b", "/a"),
        ("#a://b", "/"),
    ],
)
def test_scheme_host_fragment_and_query_are_no_part_of_the_uri(url: str, uri: str) -> None:
    assert canonical_request("GET", url).split("&")[1] == uri


@pytest.mark.parametrize(
    ("path", "uri"),
    [("", "/"), ("/", "/"), ("a", "/a"), ("a/", "/a"), ("/a/", "/a"), ("*", "/*")],
)
def test_a_slash_is_ensured_at_the_start_and_one_dropped_at_the_end(path: str, uri: str) -> None:
    assert canonical_request("GET", path) == f"GET&{uri}&"


def test_of_several_slashes_at_the_end_one_is_dropped() -> None:
    """PyPI's atlassian-jwt strips all of them, so that `/a/` and `/a///` share a token.

    They are different resources, and the product's own code (Java) drops one.
    """
    assert canonical_request("GET", "/a//") == "GET&/a/&"
    assert canonical_request("GET", "/a///") == "GET&/a//&"
    assert canonical_request("GET", "//") == "GET&/&"


def test_a_target_that_starts_with_two_slashes_is_a_path_and_not_a_host() -> None:
    """PyPI's atlassian-jwt strips the leading slashes too, and a URL parser sees a host.

    What stands in a request line is a path (RFC 9112, section 3.2.1), however many slashes.
    """
    assert canonical_request("GET", "//evil.example/a?b=c") == "GET&//evil.example/a&b=c"
    assert canonical_request("GET", "https://host//a/b") == "GET&//a/b&"
    assert canonical_request("GET", "//user@host/a") == "GET&//user@host/a&"


def test_an_apostrophe_in_a_path_stays() -> None:
    """npm's atlassian-jwt hashes `%27` for a whole URL: node's `url.parse` escapes it, unasked.

    The path is hashed as it was sent, and RFC 3986 lets an apostrophe stand in a path.
    """
    assert canonical_request("GET", "/o'brien") == "GET&/o'brien&"
    assert canonical_request("GET", "/o%27brien") == "GET&/o%27brien&"


def test_the_path_is_neither_decoded_nor_encoded() -> None:
    path = "/%E5%ae%AE/caf%E9/%2f/%7Ea/~a/+/;v=1/a:b/(x)/[y]/{z}/a|b/../."
    assert canonical_request("GET", path) == f"GET&{path}&"


def test_path_parameters_belong_to_the_path() -> None:
    """PyPI's atlassian-jwt moves a slash, leaves `&`, and drops `;` where nothing follows it.

    Python's `urlparse` takes the text after `;` out of the path. RFC 3986, section 3.3, knows no
    such part of a URL.
    """
    assert canonical_request("GET", "/a/;b&c/") == "GET&/a/;b%26c&"
    assert canonical_request("GET", "/a;") == "GET&/a;&"


def test_a_colon_in_the_first_segment_of_a_path_is_no_scheme() -> None:
    """PyPI's atlassian-jwt drops `/a:`, as it strips the slash before it looks for a scheme."""
    assert canonical_request("GET", "/a:b") == "GET&/a:b&"
    assert canonical_request("GET", "/a://b/c") == "GET&/a://b/c&"
    assert canonical_request("GET", "/x?to=https://y/z") == "GET&/x&to=https%3A%2F%2Fy%2Fz"
    assert canonical_request("GET", "?to=https://y/z") == "GET&/&to=https%3A%2F%2Fy%2Fz"
    assert canonical_request("GET", "x/y:z") == "GET&/x/y:z&"


def test_an_ampersand_in_the_path_cannot_pass_for_the_start_of_the_query() -> None:
    assert canonical_request("GET", "/a&b=c?d=e") == "GET&/a%26b=c&d=e"
    assert qsh("GET", "/a&b=c?d=e") != qsh("GET", "/a?b=c&d=e")


# The base URL


@pytest.mark.parametrize("base_url", ["https://app.example/jira", "/jira", "/jira/"])
@pytest.mark.parametrize(
    ("path", "uri"),
    [("/jira", "/"), ("/jira/", "/"), ("/jira/a/", "/a"), ("/jira?b=c", "/"), ("jira/a", "/a")],
)
def test_the_path_of_the_base_url_is_removed_from_the_start(
    base_url: str, path: str, uri: str
) -> None:
    assert canonical_request("GET", path, base_url=base_url).split("&")[1] == uri


def test_a_base_path_ends_where_a_segment_ends() -> None:
    """npm's atlassian-jwt compares letters: under `/jira`, `/jiraffe` becomes `/ffe`.

    So a token for `/jiraffe` would be one for `/jira/ffe` too.
    """
    assert canonical_request("GET", "/jiraffe", base_url="/jira") == "GET&/jiraffe&"
    assert canonical_request("GET", "/jira%2Fa", base_url="/jira") == "GET&/jira%2Fa&"


def test_a_base_path_is_removed_once_and_at_the_start_alone() -> None:
    assert canonical_request("GET", "/jira/jira/a", base_url="/jira") == "GET&/jira/a&"
    assert canonical_request("GET", "/a/jira/b", base_url="/jira") == "GET&/a/jira/b&"


def test_a_base_path_with_a_slash_at_its_end_is_the_same_base_path() -> None:
    """npm's atlassian-jwt keeps the slash: `/jira` itself is then not below `/jira/`."""
    assert canonical_request("GET", "/jira", base_url="https://h/jira/") == "GET&/&"


@pytest.mark.parametrize("base_url", ["", "/", "https://app.example", "https://app.example/"])
def test_a_base_url_without_a_path_changes_nothing(base_url: str) -> None:
    assert canonical_request("GET", "/jira/a", base_url=base_url) == "GET&/jira/a&"
    assert canonical_request("GET", "//jira/a", base_url=base_url) == "GET&//jira/a&"


def test_an_ampersand_in_the_base_path_matches_itself() -> None:
    assert canonical_request("GET", "/a&b/c", base_url="https://h/a&b") == "GET&/c&"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="%?#")))
def test_the_path_below_a_base_url_hashes_as_the_path_alone(path: str) -> None:
    url = f"https://app.example/jira/{path}?a=b"
    assert qsh("GET", url, base_url="https://app.example/jira") == qsh("GET", f"/{path}?a=b")
