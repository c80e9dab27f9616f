"""How long an answer may be kept, and when a server asks to be asked again."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asapfn.adapters._fetch_response import Freshness, freshness, retry_after

NOTHING = Freshness(None, None, None)


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ("", NOTHING),
        ("public", NOTHING),
        ("max-age=300", Freshness(300, None, None)),
        ("max-age=0", Freshness(0, None, None)),
        (
            "public,max-age=300,stale-while-revalidate=200,stale-if-error=100",
            Freshness(300, 200, 100),
        ),
        ("PUBLIC, Max-Age=1, STALE-IF-ERROR=2", Freshness(1, None, 2)),
        (" \tmax-age=1\t,\t, ,stale-if-error=2 , ", Freshness(1, None, 2)),
        ('max-age="300", stale-if-error="5"', Freshness(300, None, 5)),
        ("s-maxage=9", NOTHING),
        ("max-age=00000000000000000300", Freshness(300, None, None)),
    ],
)
def test_the_directives_are_read(cache_control: str, expected: Freshness) -> None:
    assert freshness(cache_control) == expected


@pytest.mark.parametrize(
    "cache_control",
    ["no-store", "No-Cache", "no-store, max-age=300", "max-age=300, no-cache", 'no-cache="set"'],
)
def test_what_may_not_be_kept_is_fresh_for_no_time(cache_control: str) -> None:
    assert freshness(cache_control).max_age == 0


@pytest.mark.parametrize(
    "directive",
    [
        "max-age",
        "max-age=",
        "max-age=-1",
        "max-age=+1",
        "max-age=1.5",
        "max-age=1e3",
        "max-age=1_000",
        "max-age=0x10",
        "max-age= 300",
        "max-age =300",
        "max-age=300 s",
        'max-age="300',
        'max-age=300"',
        'max-age=""',
        'max-age="-1"',
        'max-age="3\\00"',
        "max-age=٣٠٠",
        "max-age=²",
        "max-age=300;stale-if-error=1",
        "xmax-age=300",
        "max_age=300",
    ],
)
def test_a_malformed_directive_counts_as_absent(directive: str) -> None:
    assert freshness(directive) == NOTHING
    assert freshness(f"stale-if-error=5, {directive}") == Freshness(None, None, 5)


def test_a_directive_within_a_quoted_string_is_none() -> None:
    assert freshness('private="x, max-age=300", stale-if-error=5') == Freshness(None, None, 5)
    assert freshness(r'private="x\", max-age=300", stale-if-error=5') == Freshness(None, None, 5)
    assert freshness('private="never closed, max-age=300') == NOTHING


@pytest.mark.parametrize("second", ["max-age=20", "max-age=x, max-age=20", "MAX-AGE=20"])
def test_of_a_directive_that_is_repeated_the_smallest_counts(second: str) -> None:
    assert freshness(f"max-age=300, {second}").max_age == 20
    assert freshness(f"{second}, max-age=300").max_age == 20


@pytest.mark.parametrize("digits", ["2147483648", "99999999999", "9" * 5_000])
def test_a_number_too_large_counts_as_the_largest(digits: str) -> None:
    assert freshness(f"max-age={digits}") == Freshness(2**31, None, None)


@pytest.mark.parametrize(
    ("age", "left"),
    [
        ("", 300),
        ("0", 300),
        ("100", 200),
        ("300", 0),
        ("301", 0),
        ("9" * 5_000, 0),
        ("100, 200", 200),
        (" 100 ", 200),
        ("-100", 300),
        ("1.5", 300),
        ("old", 300),
        ("old, 100", 300),
    ],
)
def test_the_age_is_taken_off(age: str, left: int) -> None:
    assert freshness("max-age=300", age).max_age == left


def test_an_age_alone_says_nothing() -> None:
    assert freshness("stale-if-error=5", "100") == Freshness(None, None, 5)


names = st.sampled_from(
    ["max-age", "Max-Age", "stale-if-error", "stale-while-revalidate", "no-store", "public", "x"]
)
arguments = st.one_of(
    st.just(""),
    st.integers(0, 10**30).map(lambda number: f"={number}"),
    st.integers(0, 10**5).map(lambda number: f'="{number}"'),
    st.text(max_size=6).map(lambda text: f"={text}"),
)
headers = st.lists(st.tuples(names, arguments).map("".join)).map(", ".join)


@given(st.one_of(st.text(), headers), st.one_of(st.text(max_size=8), st.integers().map(str)))
@example('"' * 3_000 + "\\" * 3_000, "")
def test_any_header_gives_times_that_make_sense(cache_control: str, age: str) -> None:
    for seconds in freshness(cache_control, age):
        assert seconds is None or 0 <= seconds <= 2**31


@given(headers, headers)
def test_more_directives_never_keep_an_answer_longer(first: str, second: str) -> None:
    # An unclosed quoted string in the first would swallow the second.
    if '"' in re.sub(r'"[^"\\]*"', "", first):
        return
    alone, together = freshness(first), freshness(f"{first}, {second}")
    assert together.must_revalidate >= alone.must_revalidate
    for before, after in zip(alone[:3], together[:3], strict=True):
        assert before is None or (after is not None and after <= before)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_well_formed_header_is_read_back(max_age: int, stale: int) -> None:
    header = f"public, max-age={max_age}, stale-while-revalidate={stale}"
    assert freshness(header) == Freshness(max_age, stale, None)


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ("no-store", True),
        ("max-age=60, Must-Revalidate", True),
        ("must-revalidate, stale-if-error=60", True),
        ("no-cache", True),
        ('no-cache="set-cookie"', True),
        ("proxy-revalidate, s-maxage=1", False),
        ("max-age=60", False),
        ('private="must-revalidate"', False),
        ("", False),
    ],
)
def test_what_must_not_be_used_stale(cache_control: str, expected: bool) -> None:
    assert freshness(cache_control).must_revalidate is expected


NOW = 1_760_000_000.0  # Thu, 09 Oct 2025 08:53:20 GMT
LATER = "Thu, 09 Oct 2025 08:55:20 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("", "", None),
        ("120", "", 120.0),
        (" 0 ", "", 0.0),
        ("99999999999999999999", "", 86_400.0),
        ("-1", "", None),
        ("1.5", "", None),
        ("soon", "", None),
        ("\u0663", "", None),
        (LATER, "", 120.0),
        # What counts is the server's clock, where the server says what it shows.
        (LATER, "Thu, 09 Oct 2025 08:55:10 GMT", 10.0),
        (LATER, "Thu, 09 Oct 2025 08:56:10 GMT", 0.0),
        (LATER, "yesterday", 120.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "", 86_400.0),
        ("Thu, 09 Oct 99999 08:55:20 GMT", "", None),
        ("Mon, 01 Jan 0001 00:00:00 GMT", "", 0.0),
        ("x" * 100_000, "", None),
    ],
)
def test_a_server_may_ask_to_be_left_alone(value: str, date: str, seconds: float | None) -> None:
    assert retry_after(value, date, NOW) == seconds


@given(st.text(), st.text())
def test_any_text_is_a_pause_within_bounds_or_none(value: str, date: str) -> None:
    pause = retry_after(value, date, NOW)
    assert pause is None or 0 <= pause <= 86_400
