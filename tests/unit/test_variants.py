import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn import qsh
from asapfn._core.variants import find_variant

paths = st.lists(st.text("ab%&+~-", max_size=4).map(lambda t: t.replace("%", "%2F")), max_size=4)
queries = st.lists(st.text("ab=+~*! %", max_size=6).map(lambda t: t.replace("%", "%26")))


def hashed(canonical):
    return hashlib.sha256(canonical.encode()).hexdigest()


@given(paths, queries)
def test_the_request_itself_is_found_and_differs_in_nothing(path, query):
    url = f"/{'/'.join(path)}?{'&'.join(query)}"
    found = find_variant(qsh("GET", url), "get", url)
    assert found is not None
    assert found.differences == ()
    assert hashed(found.canonical) == qsh("GET", url)


@given(paths, queries)
def test_what_is_found_has_the_hash_that_was_given(path, query):
    url = f"https://app.example/{'/'.join(path)}?{'&'.join(query)}"
    given = hashed(f"post&/{'/'.join(path)}/&")
    found = find_variant(given, "POST", url, base_url="https://app.example/base", form="a=b")
    assert found is None or hashed(found.canonical) == given


def test_a_hash_in_upper_case_is_told():
    found = find_variant(qsh("GET", "/a").upper(), "GET", "/a")
    assert found is not None
    assert found.differences == ("the hash is in upper case",)


DECODED = "the path was decoded before hashing"
WHOLE = "the path of the base URL is not removed"
UNSORTED = "the values of a repeated parameter are not sorted"
JAVASCRIPT = "!'()* are not encoded, as by JavaScript's encodeURIComponent"


@pytest.mark.parametrize(
    ("url", "base_url", "made_of", "differences"),
    [
        ("/a", "", "get&/a&", ("the method is in another case, get",)),
        ("/a", "", "Get&/a&", ("the method is in another case, Get",)),
        ("/a", "", "PATCH&/a&", ("the method is PATCH",)),
        ("/a", "", "GET&a&", ("a slash less at the start of the path",)),
        ("/j/a?b=1&c=2", "/j", "GET&/j/a&b=1&c=2", (WHOLE,)),
        ("/X/b/c", "", "GET&/b/c&", ("another base URL: /X is removed from the path",)),
        ("/X/b/c", "", "GET&/c&", ("another base URL: /X/b is removed from the path",)),
        ("/", "https://a.example/app", "GET&/app&", ("the path begins with /app",)),
        ("/j/a", "/j", "GET&/j/j/a&", ("the path begins with /j once more",)),
        ("/j/a//", "/j", "GET&/j/j/a&", ("the path begins with /j once more",)),
        ("/a", "", "GET&/a/&", ("a slash more at the end of the path",)),
        ("https://a.example/a", "", "GET&/a/&", ("a slash more at the end of the path",)),
        ("/a", "", "GET&//a&", ("a slash more at the start of the path",)),
        ("/j/a", "/j", "GET&/j/a/&", (f"{WHOLE}; a slash more at the end of the path",)),
        ("https://a.example/a", "", "GET&https://a.example/a&", ("scheme and host are in it",)),
        ("/a?b=1", "", "GET&/a&", ("the query is left out",)),
        ("/a?a=1&b=2&c=3", "", "GET&/a&a=1&c=3", ("the parameter b is left out",)),
        ("/a?b=2&jwt=x&a=1", "", "GET&/a&b=2&a=1", ("the parameters are not sorted",)),
        ("/a?c=2&b=?#f", "", "GET&/a&c=2&b=%3F", ("the parameters are not sorted",)),
        ("/a?b=1&a=3&b=2", "", "GET&/a&a=3&b=1&b=2", ("repeated parameters are not joined",)),
        ("/a?b=2&b=1&c", "", "GET&/a&b=2,1&c=", (UNSORTED,)),
        ("/a?b=1&b=2", "", "GET&/a&b=1%2C2", ("the comma between values is encoded",)),
        ("/a?b=x+y", "", "GET&/a&b=x+y", ("a space is written +",)),
        ("/a?b=x+y", "", "GET&/a&b=x%2By", ("a + is read as a plus sign, not a space",)),
        ("/a?b=x%2Fy", "", "GET&/a&b=x/y", ("the query is not encoded",)),
        ("/a?b=*+~", "", "GET&/a&b=*+%7E", ("the query is encoded as Java's URLEncoder does",)),
        ("/a?b=(*+)", "", "GET&/a&b=(*%20)", (JAVASCRIPT,)),
        ("/jira", "/jira", "GET&&", ("a slash less at the start of the path",)),
        ("/a/b", "", "GET&/&", ("another base URL: /a/b is removed from the path",)),
        ("/x", "https://a.example/app", "GET&/app/x&", ("the path begins with /app",)),
        ("/a%20b", "", "GET&/a b&", (DECODED,)),
        ("/a%20b", "", "GET&/a%2520b&", ("the path is encoded once more",)),
        ("/a&b", "", "GET&/a&b&", ("an & in the path is left as it is",)),
        ("/Ab", "", "GET&/ab&", ("the path is in lower case",)),
        ("/a?x=%2f", "", "GET&/a&x=%2f", ("the query is neither encoded again nor sorted",)),
        ("/a?b=1&a=é", "", "GET&/a&a=%c3%a9&b=1", ("escapes are in lower case",)),
        ("/a?f&g=1", "", "GET&/a&f&g=1", ("the query is neither encoded again nor sorted",)),
        ("/a?g=1&f", "", "GET&/a&f&g=1", ("the query is sorted, but not encoded again",)),
        ("/a?g=x+y&f", "", "GET&/a&f&g=x%20y", ("a parameter without a value has no =",)),
        ("/a?b=1%2C2&a=x+", "", "GET&/a&a=x%20&b=1,2", ("a comma in a value is not encoded",)),
        ("/a?b=%2A+", "", "GET&/a&b=*%20", ("* is not encoded, or ~ is",)),
        ("/a?b=%26", "", "GET&/a&b=%2526", ("the query is encoded twice",)),
    ],
)  # fmt: skip
def test_each_way_to_differ_is_found(url, base_url, made_of, differences):
    found = find_variant(hashed(made_of), "GET", url, base_url=base_url)
    assert found is not None
    assert (found.canonical, found.differences) == (made_of, differences)


@pytest.mark.parametrize(
    ("made_of", "difference"),
    [
        ("POST&/a&b=2&c=1", "the form is added to the query"),
        ("POST&/a&b=2", "the form stands in for the query"),
        ("POST&/a&", "the query is left out"),
    ],
)
def test_a_form_can_be_in_it(made_of, difference):
    found = find_variant(hashed(made_of), "POST", "/a?c=1", form="b=2")
    assert found is not None
    assert found.differences == (difference,)
