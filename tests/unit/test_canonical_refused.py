"""What has no canonical request: it is refused, and no message repeats any of it."""

import contextlib
import itertools
from collections.abc import Callable
from string import ascii_letters, digits, hexdigits

import pytest

from asapfn._core.canonical import canonical_query, canonical_request, qsh

# What is told of a query that could not have been sent.
MALFORMED_QUERY = (
    "^the query or form is malformed: it must hold no control character and no lone surrogate,"
    " and every % must be followed by two hexadecimal digits$"
)
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


def without(characters: str, some: str) -> str:
    return "".join(character for character in characters if character not in some)


# Arguments


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
    "method", ["", " ", "GET ", "GET&", "G/T", "-", "get\n", "straße", "\uff27ET", "G1"]
)
def test_a_method_of_anything_but_letters_and_hyphens_is_refused(method: str) -> None:
    told = "^method must be an HTTP method, such as GET: letters and hyphens only$"
    with pytest.raises(ValueError, match=told):
        canonical_request(method, "/")


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


# The URL


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


# The query and the form


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


@pytest.mark.parametrize("query", ["a=\n", "a=\t", "\x00=a", "a=\x7f", "a=\ud83c", "\udc80"])
def test_control_characters_and_lone_surrogates_are_refused(query: str) -> None:
    """Python's and browsers' URL parsers drop line breaks and tabs: what is sent is unknown."""
    with pytest.raises(ValueError, match=MALFORMED_QUERY):
        canonical_query(query)


def test_the_first_and_the_last_half_of_a_surrogate_pair_are_refused_too() -> None:
    for code in (0xD800, 0xDFFF):
        with pytest.raises(ValueError, match=MALFORMED_QUERY):
            canonical_query(f"a={chr(code)}")


def test_a_form_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(ValueError, match="not UTF-8"):
        canonical_request("POST", "/f", form=b"a=\xe9")
