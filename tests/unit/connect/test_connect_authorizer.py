"""Connect, the sending side: nothing is signed for a URL that is not below the product's."""

import pytest

from asapfn import connect
from asapfn._core.canonical import qsh
from asapfn._core.verification import peek
from asapfn.keys import import_secret

SECRET = import_secret("a tenant's secret of more than 32 bytes")
BASE = "https://acme.atlassian.net/wiki"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/wiki/rest/x",
        "https://evil.example/wiki",
        "https://evil.example:443/wiki/rest/x",
        "http://acme.atlassian.net/wiki/rest/x",
        "https://acme.atlassian.net:8443/wiki/rest/x",
        "https://acme.atlassian.net:80/wiki/rest/x",
        "https://acme.atlassian.net.evil.example/wiki/rest/x",
        "https://acme.atlassian.net@evil.example/wiki/rest/x",
        "https://user:acme.atlassian.net@evil.example/wiki/rest/x",
        "https://user@acme.atlassian.net/wiki/rest/x",
        "https://evil.example/acme.atlassian.net/wiki/rest/x",
        "https://evil.example?/acme.atlassian.net/wiki/rest/x",
        "https://evil.example#@acme.atlassian.net/wiki/rest/x",
        "https://acme.atlassian.net./wiki/rest/x",
        "https://xacme.atlassian.net/wiki/rest/x",
        "https://atlassian.net/wiki/rest/x",
        "https://[::1]/wiki/rest/x",
        "ftp://acme.atlassian.net/wiki/rest/x",
        "wss://acme.atlassian.net/wiki/rest/x",
        # Of its origin, and not below its path.
        "https://acme.atlassian.net",
        "https://acme.atlassian.net/",
        "https://acme.atlassian.net?/wiki/rest/x",
        "https://acme.atlassian.net#/wiki/rest/x",
        "https://acme.atlassian.net/rest/x",
        "https://acme.atlassian.net/wikis/rest/x",
        "https://acme.atlassian.net/Wiki/rest/x",
        "https://acme.atlassian.net//wiki/rest/x",
        "https://acme.atlassian.net/%77iki/rest/x",
        "https://acme.atlassian.net/wiki/../rest/x",
        "https://acme.atlassian.net/wiki/..",
        "https://acme.atlassian.net/wiki/x/%2e%2E/../rest/x",
        "https://acme.atlassian.net/wiki/.%2e/rest/x",
        "https://acme.atlassian.net/wiki/./x",
        # To Tomcat, which takes parameters off a segment before it looks for dots.
        "https://acme.atlassian.net/wiki/..;/rest/x",
        "https://acme.atlassian.net/wiki/x/..;a=b/..;/rest/x",
        "https://acme.atlassian.net/wiki/%2e%2e;/rest/x",
        "https://acme.atlassian.net/wiki/..%3b/rest/x",
        "https://acme.atlassian.net/wiki/..;",
        # To what decodes slashes, or decodes twice, or cuts off what is behind the dots.
        "https://acme.atlassian.net/wiki/..%2frest/x",
        "https://acme.atlassian.net/wiki/%2e%2E%2Frest/x",
        "https://acme.atlassian.net/wiki%2f..%2frest/x",
        "https://acme.atlassian.net/wiki/x%2f..%2f..%2frest/x",
        "https://acme.atlassian.net/wiki/..%5Crest/x",
        "https://acme.atlassian.net/wiki/%252e%252e/rest/x",
        "https://acme.atlassian.net/wiki/..%252frest/x",
        "https://acme.atlassian.net/wiki/..%20/rest/x",
        "https://acme.atlassian.net/wiki/%25%32%65%25%32%65/rest/x",
        "https://acme.atlassian.net/wiki/..%25%32%66rest/x",
        "https://acme.atlassian.net/wiki/%25%32%65%25%32%65%20/rest/x",
        "https://acme.atlassian.net/wiki/%c0%ae%c0%ae/rest/x",
        "https://acme.atlassian.net/wiki/..%e0%80%afrest/x",
        "https://acme.atlassian.net/wiki/..%3frest/x",
        "https://acme.atlassian.net/wiki/..%00/rest/x",
        "https://acme.atlassian.net/wiki\\..\\rest",
        "https://acme.atlassian.net/wiki/x\\..\\..\\rest",
        "https://acme.atlassian.net/wiki\\rest",
        # Without an origin: not below the path, or perhaps of another host.
        "/rest/x",
        "/",
        "",
        "?a=b",
        "rest/x",
        "wiki/rest/x",
        "//evil.example/wiki/rest/x",
        "//acme.atlassian.net/wiki/rest/x",
        "/wiki/../rest/x",
    ],
)
def test_no_token_is_made_for_a_url_that_is_not_below_the_base_url(url: str) -> None:
    authorize = connect.authorizer("app", SECRET, base_url=BASE)
    with pytest.raises(ValueError, match="not below base_url") as refused:
        authorize("GET", url)
    assert url == "" or url not in str(refused.value)


@pytest.mark.parametrize("base", [BASE, f"{BASE}/", "HTTPS://ACME.atlassian.net:443/wiki"])
@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/rest/x?a=b",
        f"{BASE}/rest/x?a=b#part",
        "https://acme.atlassian.net:443/wiki/rest/x?a=b",
        "HTTPS://Acme.Atlassian.Net/wiki/rest/x?a=b",
        "/wiki/rest/x?a=b",
    ],
)
def test_a_url_below_the_base_url_is_signed(base: str, url: str) -> None:
    token = connect.authorizer("app", SECRET, base_url=base)("GET", url).removeprefix("JWT ")
    assert peek(token).claims["qsh"] == qsh("GET", "/rest/x?a=b")


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (BASE, BASE),
        (BASE, f"{BASE}/"),
        (BASE, f"{BASE}?"),
        (BASE, f"{BASE}#part"),
        (BASE, "/wiki"),
        ("https://acme.atlassian.net", "https://acme.atlassian.net"),
        ("https://acme.atlassian.net/", "https://acme.atlassian.net?"),
        ("http://localhost:8090", "http://localhost:8090/"),
        ("http://[::1]:8090", "http://[::1]:8090/"),
        ("https://acme.atlassian.net", "/"),
        ("/wiki", "/wiki/"),
        ("", "/"),
    ],
)
def test_the_base_url_itself_is_signed(base: str, url: str) -> None:
    token = connect.authorizer("app", SECRET, base_url=base)("GET", url).removeprefix("JWT ")
    assert peek(token).claims["qsh"] == qsh("GET", "/")


def test_dots_that_lead_nowhere_else_are_signed() -> None:
    authorize = connect.authorizer("app", SECRET, base_url=BASE)
    for path in ("/.well-known/x", "/a..b", "/...", "/x.", "/x?y=/../z", "/..x;y", "/..%20x"):
        assert authorize("GET", f"{BASE}{path}").startswith("JWT ")
    for path in ("/A%2FB", "/a%20b", "/100%25", "/a%2525b", "/%C3%A9", "/%25zz"):
        assert authorize("GET", f"{BASE}{path}").startswith("JWT ")
    # Below an origin alone there is no path to leave.
    authorize = connect.authorizer("app", SECRET, base_url="https://acme.atlassian.net")
    assert authorize("GET", "https://acme.atlassian.net/a/../b").startswith("JWT ")


@pytest.mark.parametrize("base", ["", "/wiki", "/"])
def test_a_base_url_without_an_origin_signs_paths_alone(base: str) -> None:
    authorize = connect.authorizer("app", SECRET, base_url=base)
    assert authorize("GET", "/wiki/rest/x").startswith("JWT ")
    for url in ("https://acme.atlassian.net/wiki/rest/x", "//evil.example/wiki/rest/x"):
        with pytest.raises(ValueError, match="not below base_url"):
            authorize("GET", url)


@pytest.mark.parametrize(
    "base",
    ["ftp://acme.example/wiki", "https://user@acme.example", "https://bücher.example"],
)
def test_a_base_url_whose_origin_is_none_of_http_is_an_error(base: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        connect.authorizer("app", SECRET, base_url=base)
