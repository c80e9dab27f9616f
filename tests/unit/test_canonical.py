"""The canonical request as a whole and its hash: vectors, method, form, any text, effort."""

import contextlib
import hashlib
import json
import pathlib
import time
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asapfn._core.canonical import canonical_request, qsh

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


# Any text


@given(st.text(), st.text(), st.text(), st.one_of(st.none(), st.text(), st.binary()))
@example("GET", "/a", "/a", None)
@example("GET", "//[", "//[", None)
def test_any_text_has_a_hash_or_is_a_value_error(
    method: str, url: str, base_url: str, form: str | bytes | None
) -> None:
    with contextlib.suppress(ValueError):
        assert len(qsh(method, url, base_url=base_url, form=form)) == 64


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
    def efforts(size: int, runs: int) -> Iterator[int]:
        url = start + "".join(repeated.format(number) for number in range(size)) + end
        for _ in range(runs):
            begun = time.thread_time_ns()
            with contextlib.suppress(ValueError):
                canonical_request("GET", url, base_url="/a")
            yield time.thread_time_ns() - begun

    # Eight times the length: about 8 when linear, 64 when quadratic. The constant is for what a
    # call costs that does nothing, and for the clock. The best of several counts.
    most = 24 * (min(efforts(5_000, 3)) + 20_000)
    assert any(effort < most for effort in efforts(40_000, 7))
