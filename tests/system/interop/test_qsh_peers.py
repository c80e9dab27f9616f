"""Our canonical request beside those of PyPI's and npm's atlassian-jwt.

Where both read the rules as we do, any request must give one hash: generated requests stay within
that. Where a peer is wrong, a test of its own shows what it does and what we do instead, so that
the reason to leave something out of the generated requests is itself checked.

ASAPFN_EXAMPLES is the number of requests for each peer, ASAPFN_SEED where they start from, and
ASAPFN_NPM a folder to keep the npm packages in between runs.
"""

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from atlassian_jwt.url_utils import canonicalize_request, hash_url
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

from asapfn._core.canonical import canonical_request, qsh
from tests.support.npm_peers import qsh_peer

Ask = Callable[..., dict[str, Any]]

EXAMPLES = int(os.environ.get("ASAPFN_EXAMPLES", "300"))
SEED = int(os.environ.get("ASAPFN_SEED", "20250117"))

UNRESERVED = "abcXYZ019-._~"
many = settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    kept = os.environ.get("ASAPFN_NPM")
    with qsh_peer(pathlib.Path(kept) if kept else tmp_path_factory.mktemp("npm")) as ask:
        yield ask


def in_lower_case(text: str) -> str:
    return quote(text, safe="").lower()


def queries(exotic: str) -> st.SearchStrategy[str]:
    """Queries of any shape; every character raw where it may be, and encoded in several ways."""
    special = st.sampled_from("!$'()*,/:;?@[]{}|^\\\"<>` " + "\u00a0\u00e9\u07ff\u5bae" + exotic)
    anything = st.one_of(special, st.sampled_from(UNRESERVED), st.sampled_from("%&=+#\n\t\0\x7f"))
    piece = st.one_of(
        st.sampled_from(["a", "b", "a=", "&a=", "&a=b", "&jwt=x.y.z", "JWT", "%6Awt", "_"]),
        st.sampled_from("&&==+"),
        st.sampled_from(UNRESERVED),
        special,
        anything.map(lambda character: quote(character, safe="")),
        anything.map(in_lower_case),
        st.characters(exclude_categories=["Cs"], max_codepoint=0xD7FF).map(quote),
    )
    return st.lists(piece, max_size=40).map("".join)


def segments(characters: str) -> st.SearchStrategy[str]:
    escapes = ["%2F", "%2f", "%e9", "%C3%A9", "%7E", "%25", "%27", "%3B", "%00"]
    piece = st.sampled_from([*UNRESERVED, *characters, *escapes])
    return st.lists(piece, max_size=8).map("".join)


methods = st.sampled_from(["GET", "get", "Post", "PUT", "DELETE", "M-Search"])
origins = st.sampled_from(
    ["", "", "https://example.com", "http://u:p@h.example:8080", "HTTP://[::1]"]
)
fragments = st.sampled_from(["", "", "#", "#a/b?c=d&e#f"])


def whole(origin: str, path: str, query: str, fragment: str) -> str:
    return f"{origin}{path}{'?' if query else ''}{query}{fragment}"


# PyPI


@st.composite
def requests_that_pypi_gets_right(draw: st.DrawFn) -> tuple[str, str]:
    anywhere = "!$&'()*+,=@[]{}|^\\\"<>`"
    first = draw(segments(anywhere))
    rest = draw(st.lists(segments(anywhere + ":"), max_size=3))
    path = "/" + "/".join([first, *rest])
    assume(not path.startswith("//"))
    assume(not path.endswith("//"))
    # Above U+FFFF code points sort otherwise than UTF-16 does, but only beside U+E000 to U+FFFF.
    query = draw(queries(exotic="\U0001f389\U00010000"))
    return draw(methods), whole(draw(origins), path, query, draw(fragments))


@seed(SEED)
@many
@given(requests_that_pypi_gets_right())
def test_pypi_agrees(request: tuple[str, str]) -> None:
    method, url = request
    assert canonical_request(method, url) == canonicalize_request(method, url)
    assert qsh(method, url) == hash_url(method, url)


@pytest.mark.parametrize(
    ("url", "theirs", "ours"),
    [
        # It strips every slash from both ends, and a URL parser would see a host.
        ("/a//", "GET&/a&", "GET&/a/&"),
        ("//a/b", "GET&/a/b&", "GET&//a/b&"),
        # Python's urlparse takes `;` and what follows out of the path.
        ("/a/;b", "GET&/a;b&", "GET&/a/;b&"),
        ("/a;b&c", "GET&/a;b&c&", "GET&/a;b%26c&"),
        ("/a;", "GET&/a&", "GET&/a;&"),
        # Without its slash, the first segment is taken for a scheme.
        ("/a:b", "GET&/b&", "GET&/a:b&"),
        # It sorts code points; Java and JavaScript, and so the products, sort UTF-16.
        (
            "/?a=%EF%BC%81&a=%F0%9F%8E%89",
            "GET&/&a=%EF%BC%81,%F0%9F%8E%89",
            "GET&/&a=%F0%9F%8E%89,%EF%BC%81",
        ),
    ],
)
def test_pypi_is_wrong(url: str, theirs: str, ours: str) -> None:
    assert canonicalize_request("GET", url) == theirs
    assert canonical_request("GET", url) == ours


@pytest.mark.parametrize(
    ("url", "theirs"),
    [
        # Two requests, one hash: whatever is not UTF-8 becomes U+FFFD.
        ("/?a=%FF", "GET&/&a=%EF%BF%BD"),
        ("/?a=%FE", "GET&/&a=%EF%BF%BD"),
        # A `%` that starts no escape: it takes it for itself, where Java's URLDecoder throws.
        ("/?a=%zz", "GET&/&a=%25zz"),
        # Python's urlparse drops line breaks and tabs.
        ("/a\nb?c=\td", "GET&/ab&c=d"),
        # What is sent is an encoded path, and so would hash otherwise.
        ("/a b", "GET&/a b&"),
        ("/é", "GET&/é&"),
        ("http:a", "GET&/a&"),
    ],
)
def test_pypi_hashes_what_we_refuse(url: str, theirs: str) -> None:
    assert canonicalize_request("GET", url) == theirs
    with pytest.raises(ValueError, match=r"must|not UTF-8"):
        canonical_request("GET", url)


# npm


@st.composite
def requests_that_npm_gets_right(draw: st.DrawFn) -> dict[str, str]:
    origin = draw(origins)
    base_path = draw(st.sampled_from(["", "", "/jira", "/a/b", "/x&y"]))
    prefix = draw(st.sampled_from([base_path, base_path * 2, ""]))
    path = prefix + draw(st.sampled_from(["", "/"]))
    if path.endswith("/"):
        path += "/".join(draw(st.lists(segments("!$&()*+,;=:@[]"), max_size=4)))
    # It compares the base path letter by letter.
    assume(path == base_path or not path.startswith(base_path) or path[len(base_path)] == "/")
    # Node looks for a host where two slashes and an `@` are.
    assume(origin or not (path.startswith("//") and "@" in path))
    query = draw(queries(exotic="\ue000\uff01\U0001f389"))
    # Node trims the URL.
    assume(not query.endswith((" ", "\u00a0")))
    form = draw(queries(exotic="\ue000\uff01\U0001f389"))
    for text in (query, form):
        names = {name for name, _ in parse_qsl(text, keep_blank_values=True)}
        # It sorts names as they are.
        assume(sorted(names, key=utf16) == sorted(names, key=lambda name: quote(name, safe="")))
    return {
        "method": draw(methods),
        "url": whole(origin, path, query, draw(fragments)),
        "base_url": draw(st.sampled_from(["", "https://example.com"])) + base_path,
        "form": form,
    }


def utf16(text: str) -> bytes:
    return text.encode("utf-16-be")


@seed(SEED)
@many
@given(request=requests_that_npm_gets_right())
def test_npm_agrees(npm: Ask, request: dict[str, str]) -> None:
    answer = npm(**request)
    assert answer == {"canonical": canonical_request(**request), "qsh": qsh(**request)}


@pytest.mark.parametrize(
    ("url", "base_url", "theirs", "ours"),
    [
        # It compares the base path letter by letter, and a slash at its end belongs to it.
        ("/jiraffe", "/jira", "GET&/ffe&", "GET&/jiraffe&"),
        ("/jira", "/jira/", "GET&/jira&", "GET&/&"),
        ("//a", "https://h/", "GET&/a&", "GET&//a&"),
        # It skips the name on purpose.
        ("/?__proto__=1&a=2", "", "GET&/&a=2", "GET&/&__proto__=1&a=2"),
        # It sorts names as they are, against the documentation.
        ("/?a-=1&a[=2", "", "GET&/&a-=1&a%5B=2", "GET&/&a%5B=2&a-=1"),
        # Node's url.parse escapes some characters of a path, though only in a whole URL, turns
        # others, and looks for a host.
        ("https://h/o'brien", "", "GET&/o%27brien&", "GET&/o'brien&"),
        ("https://h/{a}|b^", "", "GET&/%7Ba%7D%7Cb%5E&", "GET&/{a}|b^&"),
        ("/a\\b", "", "GET&/a/b&", "GET&/a\\b&"),
        ("//user@host/a", "", "GET&/a&", "GET&//user@host/a&"),
        # It trims the URL.
        ("/?a=b ", "", "GET&/&a=b", "GET&/&a=b%20"),
    ],
)
def test_npm_is_wrong(npm: Ask, url: str, base_url: str, theirs: str, ours: str) -> None:
    assert npm(method="GET", url=url, base_url=base_url)["canonical"] == theirs
    assert canonical_request("GET", url, base_url=base_url) == ours


def test_npm_hashes_no_more_than_a_thousand_parameters(npm: Ask) -> None:
    parameters = [f"a{number:04}={number}" for number in range(1001)]
    most, every = (f"/?{'&'.join(some)}" for some in (parameters[:-1], parameters))
    theirs = [npm(method="GET", url=url, base_url="")["qsh"] for url in (most, every)]
    assert theirs == [qsh("GET", most), qsh("GET", most)]
    assert qsh("GET", every) != qsh("GET", most)


@pytest.mark.parametrize(
    ("url", "theirs"),
    [
        ("/?a=%FF", "GET&/&a=%EF%BF%BD"),
        ("/?a=%FE", "GET&/&a=%EF%BF%BD"),
        ("/?a=%zz", "GET&/&a=%25zz"),
        ("/a\nb?c=d", "GET&/a%0Ab&c=d"),
        ("/a b", "GET&/a%20b&"),
        ("/é", "GET&/é&"),
        ("http:/a", "GET&/a&"),
    ],
)
def test_npm_hashes_what_we_refuse(npm: Ask, url: str, theirs: str) -> None:
    """As for PyPI's: not UTF-8, not an escape, not what is sent, not a URL."""
    assert npm(method="GET", url=url, base_url="")["canonical"] == theirs
    with pytest.raises(ValueError, match=r"must|not UTF-8"):
        canonical_request("GET", url)
