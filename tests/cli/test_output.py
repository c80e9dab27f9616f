import os
import pty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn.cli import output

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJvcmRlcnMifQ.c2lnbmF0dXJl"


@given(st.text(st.characters()))
def test_whatever_a_text_holds_it_becomes_one_line_that_is_printable(given):
    assert output.safe(given).isprintable()
    assert output.shown({given: [given]}).isprintable()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.9, "0 s"), (42, "42 s"), (300, "5 min"), (4320, "1 h 12 min"), (3605, "1 h"),
     (86_400 * 3 + 7200, "3 d 2 h"), (61, "1 min 1 s"), (2**63, "106751991167300 d 15 h")],
)  # fmt: skip
def test_a_length_of_time_is_told_in_its_two_largest_units(seconds, words):
    assert output.duration(seconds) == words


@pytest.mark.parametrize(
    ("claim", "moment", "words"),
    [
        ("exp", 1042, "1970-01-01 00:17:22 UTC, expires in 42 s"),
        ("exp", 1000, "1970-01-01 00:16:40 UTC, expired 0 s ago"),
        ("exp", 940, "1970-01-01 00:15:40 UTC, expired 1 min ago"),
        ("iat", 995, "1970-01-01 00:16:35 UTC, issued 5 s ago"),
        ("iat", 1005, "1970-01-01 00:16:45 UTC, issued in 5 s: in the future"),
        ("nbf", 1000, "1970-01-01 00:16:40 UTC, valid since 0 s"),
        ("nbf", 1005, "1970-01-01 00:16:45 UTC, valid in 5 s: not yet"),
        ("exp", 1e15, "beyond the calendar, expires in 11574074074 d 1 h"),
    ],
)
def test_a_time_is_told_in_words(claim, moment, words):
    assert output.in_words(claim, moment, 1000) == words


def test_of_a_token_in_a_text_only_the_start_is_left():
    assert output.without_tokens(f"no {TOKEN}, twice {TOKEN}") == "no eyJhb..., twice eyJhb..."
    assert output.without_tokens("v1.2.3 of https://keys.example/orders/1.pem") == (
        "v1.2.3 of https://keys.example/orders/1.pem"
    )


def test_members_are_shown_in_one_column():
    assert output.member_lines("claims", {}, 0) == [("claims", "", "bold")]
    assert output.member_lines("claims", {"iss": "a", "longer": 1, "n" * 30: None}, 0)[1:] == [
        (f"  {'iss':<24}  ", '"a"', ""),
        (f"  {'longer':<24}  ", "1", ""),
        (f"  {'n' * 30}  ", "null", ""),
    ]


def test_a_terminal_gets_colour_unless_no_color_is_set():
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        assert output.painted("red", "no", stream, {}) == "\x1b[31mno\x1b[0m"
        assert output.painted("red", "no", stream, {"NO_COLOR": ""}) == "\x1b[31mno\x1b[0m"
        assert output.painted("red", "no", stream, {"NO_COLOR": "1"}) == "no"
    os.close(controller)
    with open(os.devnull, "w") as stream:
        assert output.painted("red", "no", stream, {}) == "no"
