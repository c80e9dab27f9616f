"""Where a token may go: the origin of a URL, and whether a URL is certainly below a base."""

import pytest

from asapfn._core.destinations import Origin, is_within, split

HERE = ("https", "a.example", 443)


@pytest.mark.parametrize(
    ("url", "origin", "rest"),
    [
        # RFC 9110, sections 4.2.1 and 4.2.2: the default ports.
        ("http://a.example/x", ("http", "a.example", 80), "/x"),
        ("https://a.example/x?y#z", HERE, "/x?y#z"),
        ("HTTPS://A.Example", HERE, ""),
        ("http://a.example:443?x", ("http", "a.example", 443), "?x"),
        ("http://[2001:DB8::1]:8080#x", ("http", "[2001:db8::1]", 8080), "#x"),
        ("/x", None, "/x"),
        ("ftp://a.example/x", None, "ftp://a.example/x"),
        ("https://user@a.example/x", None, "https://user@a.example/x"),
        ("https://a.example:123456/x", None, "https://a.example:123456/x"),
    ],
)
def test_the_origin_of_a_url_has_its_port_and_is_in_lower_case(
    url: str, origin: Origin | None, rest: str
) -> None:
    assert split(url) == (origin, rest)


@pytest.mark.parametrize(
    "url", ["https://a.example", "https://a.example:443?x", "https://a.example#/"]
)
def test_a_url_without_a_path_is_that_of_the_root(url: str) -> None:
    assert is_within(url, HERE, "")
    assert not is_within(url, HERE, "/base")


@pytest.mark.parametrize(
    "url", ["//evil.example/x", "/\\evil.example/x", "//", "/\\", "\\x", "x", ""]
)
def test_what_may_name_a_host_to_anyone_is_no_path(url: str) -> None:
    """RFC 3986, section 4.2, and the WHATWG's URL standard, for which a backslash is a slash."""
    assert not is_within(url, None, "")
    assert is_within("/x", None, "")


@pytest.mark.parametrize(
    "url", ["http://a.example/x", "https://a.example:444/x", "https://b.example/x"]
)
def test_another_origin_is_not_within(url: str) -> None:
    assert not is_within(url, HERE, "")
    assert is_within("https://a.example/x", HERE, "")
    assert not is_within("https://a.example/x", None, "")


@pytest.mark.parametrize(
    "path",
    [
        "/base/..",
        "/base/../x",
        "/base/.",
        "/base/./x",
        "/base/%2e%2E/x",
        "/base/.%252e/x",
        "/base/x%2f..%2fy",
        "/base/..\\x",
        "/base/x%5c..%5Cy",
        "/base/..;a=b/x",
        "/base/..%3ba=b/x",
        "/base/..%00",
        "/base/..%20/x",
        "/base/..%3fx",
        "/base/..%23x",
        # Bytes that UTF-8 never has, which lenient decoders read as dots and slashes (RFC 3629, 3).
        "/base/%c0%ae%c0%ae/x",
        "/base/%C1%9c",
        "/base/%e0%80%ae%e0%80%ae/x",
        "/base/%f0%80%80%ae/x",
        "/base/%25c0%25ae/x",
        "/base/%ff",
        # No escapes, which some leave as they are and others drop (RFC 3986, section 2.1).
        "/base/%",
        "/base/%2",
        "/base/%zz",
        # Encoded more often than it is decoded here.
        f"/base/%{'25' * 20}41",
    ],
)
def test_what_may_lead_out_of_a_base_to_anyone_is_not_within(path: str) -> None:
    assert not is_within(path, None, "/base")
    assert not is_within(f"https://a.example{path}", HERE, "/base")


@pytest.mark.parametrize(
    "path",
    [
        "/base",
        "/base/",
        "/base?x",
        "/base#/../x",
        "/base/x?/../y?/..",
        "/base/..x",
        "/base/x..",
        "/base/...",
        "/base/%20",
        "/base/%2541",
        "/base/%25zz",
        "/base/caf%c3%a9",
        "/base/%e2%82%ac",
        "/base/%F0%9F%98%80",
    ],
)
def test_what_leads_nowhere_else_is_within_a_base(path: str) -> None:
    assert is_within(path, None, "/base")
    assert is_within(f"https://a.example{path}", HERE, "/base")
    assert not is_within(f"/other{path}", None, "/base")


def test_a_longer_name_is_not_below_a_base() -> None:
    assert not is_within("/baseline/x", None, "/base")
