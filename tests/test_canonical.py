"""The canonical request and its hash, rule by rule, and where others get them wrong."""

import contextlib
import hashlib
import itertools
import json
import pathlib
import random
import time
from collections import defaultdict
from collections.abc import Callable
from string import ascii_letters, digits, hexdigits
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asapfn import canonical
from asapfn.canonical import canonical_query, canonical_request, qsh

# What is told of a query that could not have been sent.
MALFORMED_QUERY = (
    "^the query or form is malformed: it must hold no control character and no lone surrogate,"
    " and every % must be followed by two hexadecimal digits$"
)
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


def without(characters: str, some: str) -> str:
    return "".join(character for character in characters if character not in some)


def by_the_book(query: str) -> str:
    """The third rule again, from parts of the standard library, with no regard to speed."""
    parameters = defaultdict(list)
    for name, value in parse_qsl(query, keep_blank_values=True, errors="strict"):
        if name != "jwt":
            parameters[quote(name, safe="")].append(value)
    lines = []
    for name, values in sorted(parameters.items()):
        values.sort(key=lambda value: value.encode("utf-16-be"))
        lines.append(name + "=" + ",".join(quote(value, safe="") for value in values))
    return "&".join(lines)


# Golden vectors


def test_every_golden_vector_has_its_canonical_request_and_hash(vectors: pathlib.Path) -> None:
    cases = json.loads((vectors / "qsh.json").read_text())["vectors"]
    wrong = []
    for case in cases:
        method, url = case["method"], case["url"]
        base_url, form = case.get("base_url", ""), case.get("form")
        canonical = canonical_request(method, url, base_url=base_url, form=form)
        digest = qsh(method, url, base_url=base_url, form=form)
        expected = case.get("qsh", hashlib.sha256(case["canonical"].encode()).hexdigest())
        if (canonical, digest) != (case["canonical"], expected):
            wrong.append((case["name"], canonical))
    assert wrong == []
    assert len(cases) >= 58


def test_the_hash_is_the_lower_case_hexadecimal_sha256_of_the_canonical_request() -> None:
    # The documentation's own example of an empty request.
    assert qsh("GET", "") == "c88caad15a1c1a900b8ac08aa9686f4e8184539bea1deda36e2f649430df3239"
    assert qsh("POST", "/a") == hashlib.sha256(b"POST&/a&").hexdigest()
    assert qsh("POST", "/a", form="b=1") == hashlib.sha256(b"POST&/a&b=1").hexdigest()


# The method


@pytest.mark.parametrize(
    ("method", "canonical"), [("get", "GET"), ("Put", "PUT"), ("m-search", "M-SEARCH")]
)
def test_the_method_is_put_in_upper_case(method: str, canonical: str) -> None:
    assert canonical_request(method, "/") == f"{canonical}&/&"


@pytest.mark.parametrize(
    "method", ["", " ", "GET ", "GET&", "G/T", "-", "get\n", "straße", "\uff27ET", "G1"]
)
def test_a_method_of_anything_but_letters_and_hyphens_is_refused(method: str) -> None:
    told = "^method must be an HTTP method, such as GET: letters and hyphens only$"
    with pytest.raises(ValueError, match=told):
        canonical_request(method, "/")


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
    ("start", "end", "taken"),
    [
        ("", "://h/a", ascii_letters),
        ("x", "://h/a", ascii_letters + digits + "+.-"),
        ("x://u", "@h/a", without(PRINTABLE, "/?#\\@[]")),
        ("x://h", "h/a", without(PRINTABLE, "/?#\\[]:")),
        ("x://[:", ":]/a", hexdigits + ":."),
        ("x://h:8", "0/a", digits + "@"),
    ],
    ids=["scheme's first", "scheme", "user", "host", "address", "port"],
)
def test_each_character_before_the_path_is_one_that_may_stand_there(
    start: str, end: str, taken: str
) -> None:
    """RFC 3986, section 3. An `@` makes what is before it the user, wherever the host may stand."""
    found = ""
    for character in map(chr, range(128)):
        with contextlib.suppress(ValueError):
            if canonical_request("GET", f"{start}{character}{end}") == "GET&/a&":
                found += character
    assert sorted(found) == sorted(taken)


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


@pytest.mark.parametrize(
    "base_url",
    [
        "example.com",
        "example.com/jira",
        "jira",
        "https://h/jira?a=b",
        "/jira#a",
        "?",
        "#",
        "x/://",
        "x//a",
        "?x://h/a",
        "#x://h/a",
    ],
)
def test_a_base_url_that_is_no_place_is_refused(base_url: str) -> None:
    told = "^base_url must be scheme://host/path or /path, without query or fragment$"
    with pytest.raises(ValueError, match=told):
        canonical_request("GET", "/a", base_url=base_url)


# The query


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


@pytest.mark.parametrize(
    "query",
    [
        "a=%E9",
        "a=%C0%AF",
        "a=%ED%A0%80",
        "a=%F4%90%80%80",
        "%FF=a",
        "a=%C3&b=%A9",
        "a=%C3=%A9",
        "a=%C3x%A9",
        "a=%C3%2F%A9",
        "a=%C3/%A9",
        "a=%C3+%A9",
        "a=%C3é",
        "jwt=%FF",
    ],
)
def test_escapes_that_are_not_utf8_are_refused(query: str) -> None:
    """Both peers hash U+FFFD in their place, so that any one of such values fits for any other."""
    told = "^the query or form is malformed: what it encodes is not UTF-8$"
    with pytest.raises(ValueError, match=told) as caught:
        canonical_query(query)
    assert caught.value.__context__ is None
    with pytest.raises(ValueError, match="not UTF-8"):
        qsh("GET", f"/?{query}")


@pytest.mark.parametrize("query", ["a=%", "a=%2", "a=%zz", "a=%2&b=F", "%=a", "a=%2G", "a=%-1"])
def test_incomplete_escapes_are_refused(query: str) -> None:
    """Both peers take the `%` for itself; Java's URLDecoder throws.

    RFC 3986, section 2.1: a `%` starts an escape, and so must itself be sent as `%25`.
    """
    with pytest.raises(ValueError, match=MALFORMED_QUERY):
        canonical_query(query)


@pytest.mark.parametrize("start", ["/", "/?a="])
def test_two_hexadecimal_digits_and_no_other_two_characters_make_an_escape(start: str) -> None:
    # What ends the path or the query, and what becomes an escape itself, is another matter.
    others = without("".join(map(chr, range(128))), "?#&+")
    for pair in itertools.product(others, repeat=2):
        told = ""
        try:
            canonical_request("GET", f"{start}%{''.join(pair)}")
        except ValueError as error:
            told = str(error)
        incomplete = "every % " in told
        assert incomplete != set(hexdigits).issuperset(pair), pair


@pytest.mark.parametrize("query", ["a=\n", "a=\t", "\x00=a", "a=\x7f", "a=\ud83c", "\udc80"])
def test_control_characters_and_lone_surrogates_are_refused(query: str) -> None:
    """Python's and browsers' URL parsers drop line breaks and tabs: what is sent is unknown."""
    with pytest.raises(ValueError, match=MALFORMED_QUERY):
        canonical_query(query)


def test_the_first_and_the_last_half_of_a_surrogate_pair_are_refused_too() -> None:
    for code in (0xD800, 0xDFFF):
        with pytest.raises(ValueError, match=MALFORMED_QUERY):
            canonical_query(f"a={chr(code)}")


# A form instead of the query


@pytest.mark.parametrize("method", ["POST", "PUT", "post"])
@pytest.mark.parametrize("form", ["b=2+&a=%31&jwt=x", b"a=1&%62=2%20"], ids=type)
@pytest.mark.parametrize("url", ["/f", "/f?", "/f?&", "/f#a=b"])
def test_a_form_stands_in_for_an_empty_query(method: str, form: str | bytes, url: str) -> None:
    assert canonical_request(method, url, form=form) == f"{method.upper()}&/f&a=1&b=2%20"


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_form_counts_for_post_and_put_alone(method: str) -> None:
    assert canonical_request(method, "/f", form="a=%zz") == f"{method}&/f&"


@pytest.mark.parametrize("query", ["b=1", "jwt=x", "=", "X"])
def test_a_form_does_not_count_beside_a_query(query: str) -> None:
    expected = canonical_request("POST", f"/f?{query}")
    assert canonical_request("POST", f"/f?{query}", form="a=2") == expected


def test_a_form_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(ValueError, match="not UTF-8"):
        canonical_request("POST", "/f", form=b"a=\xe9")


# Bad input


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///a",
        "http://?a",
        "http:/a",
        "http:a",
        "mailto:a@b",
        "host:443",
        "://host/a",
        "1http://host/a",
        "http://[::1/a",
        "http://[x]/a",
        "http://[]/a",
        "http://[::1]a/",
        "http://a]/",
        "http://h:port/a",
        "http://h:1:2/a",
        "http://a@b@c/",
        "http://user@/a",
        "http://h h/a",
        "http://h\n/a",
        "http://h\\@evil/a",
        " http://h/a",
        "hттp://h/a",
    ],
)
def test_what_is_neither_a_whole_url_nor_a_path_is_refused(url: str) -> None:
    with pytest.raises(
        ValueError, match=r"^url must be scheme://host/path or /path, and is neither$"
    ):
        canonical_request("GET", url)
    with pytest.raises(
        ValueError, match=r"^base_url must be scheme://host/path or /path, and is n"
    ):
        canonical_request("GET", "/", base_url=url)


@pytest.mark.parametrize(
    "path",
    ["/a b", "/é", "/a\n", "/a\t", "/\x00", "/\x7f", "/%", "/%2", "/%zz", "/%2/F", "/\ud800"],
)
def test_a_path_that_cannot_be_sent_is_refused(path: str) -> None:
    """It would be encoded on its way, and what is sent would not be what was hashed."""
    told = (
        " must be as it is sent: ASCII without spaces and control characters, every % followed by"
        " two hexadecimal digits$"
    )
    with pytest.raises(ValueError, match=f"^the path of url{told}"):
        canonical_request("GET", path)
    with pytest.raises(ValueError, match=f"^the path of base_url{told}"):
        canonical_request("GET", "/", base_url=f"https://host{path}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": b"GET"}, "method must be a str, not bytes"),
        ({"url": b"/"}, "url must be a str, not bytes"),
        ({"url": None}, "url must be a str, not NoneType"),
        ({"base_url": b"/"}, "base_url must be a str, not bytes"),
        ({"form": {"a": "b"}}, "form must be the encoded body, str or bytes, not dict"),
    ],
)
def test_an_argument_of_another_type_is_a_type_error(
    arguments: dict[str, object], message: str
) -> None:
    call: Callable[..., str] = canonical_request
    with pytest.raises(TypeError, match=f"^{message}$"):
        call(**{"method": "POST", "url": "/", **arguments})


@pytest.mark.parametrize(
    "url",
    [
        "s3cret:/a",
        "http://s3cret@x:y/",
        "/s3cret é",
        "/%s3cret",
        "/?a=s3cret%",
        "/?a=s3cret%FF",
        "/?a=s3cret\ud800",
    ],
)
def test_no_message_repeats_the_url(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        qsh("GET", url)
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__context__ is None


# Properties

texts = st.text(st.characters(exclude_categories=["Cs"]))
pairs = st.lists(st.tuples(st.one_of(st.sampled_from(["a", "b", "jwt"]), texts), texts))
raw = "abAB01-._~=&+;?#/'[]{} \u00e9\u5bae\ue000\U0001f389\u00a0"
queries = st.lists(
    st.one_of(
        st.sampled_from(raw),
        st.sampled_from(["jwt", "a=", "&a"]),
        st.sampled_from(raw).map(lambda text: quote(text, safe="")),
        st.sampled_from(raw).map(lambda text: quote(text, safe="").lower()),
        st.integers(0, 127).map(lambda byte: f"%{byte:02X}"),
    )
).map("".join)


@given(queries)
@example("a=%C3%A9&a=z")
def test_a_query_has_the_canonical_form_that_the_rule_says(query: str) -> None:
    assert canonical_query(query) == by_the_book(query)


@given(pairs)
def test_every_pair_ends_up_in_the_canonical_query_and_nothing_else(
    pairs: list[tuple[str, str]],
) -> None:
    query = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    canonical = canonical_query(query)
    apart = [
        (name, value)
        for line in canonical.split("&")
        for name, _, values in [line.partition("=")]
        for value in values.split(",")
        if canonical
    ]
    kept = [(quote(n, safe=""), quote(v, safe="")) for n, v in pairs if n != "jwt"]
    assert sorted(apart) == sorted(kept)


@given(pairs, st.randoms(use_true_random=False))
def test_neither_order_nor_encoding_changes_the_hash(
    pairs: list[tuple[str, str]], chance: random.Random
) -> None:
    def encode(text: str) -> str:
        in_full = "".join(f"%{byte:02x}" for byte in text.encode())
        return chance.choice([quote(text, safe="/:,"), quote_plus(text), in_full])

    plain = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    shuffled = chance.sample(pairs, len(pairs))
    other = "&".join(f"{encode(name)}={encode(value)}" for name, value in shuffled)
    assert qsh("GET", f"/a?{plain}") == qsh("GET", f"https://h/a/?{other}&jwt={chance.random()}")


@given(st.dictionaries(texts, texts))
def test_a_canonical_query_without_repeats_is_its_own_canonical_form(
    parameters: dict[str, str],
) -> None:
    once = canonical_query("&".join(f"{quote(k)}={quote(v)}" for k, v in parameters.items()))
    assert canonical_query(once) == once


@given(st.text(), st.text(), st.text(), st.one_of(st.none(), st.text(), st.binary()))
@example("GET", "/a", "/a", None)
@example("GET", "//[", "//[", None)
def test_any_text_has_a_hash_or_is_a_value_error(
    method: str, url: str, base_url: str, form: str | bytes | None
) -> None:
    with contextlib.suppress(ValueError):
        assert len(qsh(method, url, base_url=base_url, form=form)) == 64


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="%?#")))
def test_the_path_below_a_base_url_hashes_as_the_path_alone(path: str) -> None:
    url = f"https://app.example/jira/{path}?a=b"
    assert qsh("GET", url, base_url="https://app.example/jira") == qsh("GET", f"/{path}?a=b")


# Effort


@pytest.mark.parametrize(
    ("start", "repeated", "end"),
    [
        ("", "/", ""),
        ("", "/a&", ""),
        ("", "/%2F", "%"),
        ("", "a", ":"),
        ("http://", "a@", ""),
        ("http://", "[:", ""),
        ("http://h/", "?#", ""),
        ("/?", "&", ""),
        ("/?", "=", ""),
        ("/?", "+", ""),
        ("/?", "a=b&", ""),
        ("/?", "a{}=b&", ""),
        ("/?a=", "a%2F", ""),
        ("/?a=", "%E5%AE%AE", ""),
        ("/?a=", "%2f'", "%"),
        ("/?a=", "%2f'", "%FF"),
    ],
)
def test_effort_grows_with_the_length_of_the_url_and_no_faster(
    start: str, repeated: str, end: str
) -> None:
    def effort(size: int) -> float:
        url = start + "".join(repeated.format(number) for number in range(size)) + end
        best = float("inf")
        for _ in range(7):
            begun = time.thread_time_ns()
            with contextlib.suppress(ValueError):
                canonical_request("GET", url, base_url="/a")
            best = min(best, time.thread_time_ns() - begun)
        return best

    # Eight times the length: about 8 when linear, 64 when quadratic. The constant is for what a
    # call costs that does nothing, and for the clock.
    assert effort(80_000) < 24 * (effort(10_000) + 20_000)
