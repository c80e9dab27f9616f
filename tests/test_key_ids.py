"""Key ids: ASAP's grammar, and nothing that leads elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn.keys import is_key_id


@pytest.mark.parametrize(
    "kid",
    [
        "a",
        "a/b",
        "a/b/c.pem",
        "A.-_+9/0",
        "a..b",
        "..a",
        "a..",
        "...",
        "a/...",
        ".a/b.",
        "-",
        "+",
        "_",
    ],
)
def test_a_key_id_of_the_grammar_is_well_formed(kid: str) -> None:
    assert is_key_id(kid)


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        ".",
        "..",
        "./a",
        "../a",
        "a/.",
        "a/..",
        "a/./b",
        "a/../b",
        "a\n",
        "\na",
        "a/b\n",
        "a\0",
        " a",
        "a b",
        "a%2Fb",
        "a\\b",
        "a:b",
        "a?b",
        "a#b",
        "a@b",
        "a,b",
        "é",
        "a/\u0430",
        "\u0661",
        "\uff41",
        "a\u200b",
        "a\u2044b",
        "\ud800",
        "~",
        "a*",
    ],
)
def test_a_key_id_outside_the_grammar_is_not(kid: str) -> None:
    assert not is_key_id(kid)


@given(st.text("ab.-+_/é \n", max_size=12) | st.text(max_size=12))
def test_the_grammar_is_what_the_specification_says(kid: str) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-+"
    parts = kid.split("/")
    well_formed = all(p and p not in (".", "..") and set(p) <= set(letters) for p in parts)
    assert is_key_id(kid) is well_formed


def test_a_long_key_id_takes_no_long_time() -> None:
    assert is_key_id("a/" * 50_000 + "a")
    assert not is_key_id("a/" * 50_000)
    assert not is_key_id("a" * 100_000 + "!")
