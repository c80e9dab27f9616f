import json

from asapfn import canonical_request, qsh

URL = "https://app.example/jira/issue?b=x+y&a=1"


def test_the_canonical_request_and_its_hash_are_shown(asapfn):
    ran = asapfn("qsh", "get", URL, "--base-url", "/jira")
    hashed = qsh("GET", URL, base_url="/jira")
    assert ran.code == 0
    assert ran.out == f"canonical  GET&/issue&a=1&b=x%20y\nqsh        {hashed}\n"
    assert json.loads(asapfn("qsh", "GET", URL, "--json").out) == {
        "canonical": canonical_request("GET", URL),
        "qsh": qsh("GET", URL),
    }


def test_a_form_stands_in_for_the_query_of_a_post(asapfn):
    ran = asapfn("qsh", "POST", "/x", "--form-from", "-", stdin=b"b=2&a=1\n")
    assert "POST&/x&a=1&b=2\n" in ran.out


def test_a_malformed_request_is_wrong_use_and_not_repeated(asapfn):
    for method, url in (("GET", "/a%zz"), ("G T", "/"), ("GET", "/?jwt=eyJh%")):
        ran = asapfn("qsh", method, url)
        assert (ran.code, ran.out) == (2, "")
        assert "eyJh" not in ran.err
