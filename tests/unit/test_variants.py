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


@pytest.mark.parametrize(
    ("url", "base_url", "made_of", "differences"),
    [
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


def test_a_form_can_be_added_to_the_query():
    found = find_variant(hashed("POST&/a&b=2&c=1"), "POST", "/a?c=1", form="b=2")
    assert found is not None
    assert found.differences == ("the form is added to the query",)
