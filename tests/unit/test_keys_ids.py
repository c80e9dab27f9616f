"""Key ids: ASAP's grammar, and nothing that leads elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn import Document, TokenRejected, asap
from asapfn.keys import describe_key_id, is_key_id
from asapfn.resolvers import owned_by_issuer, pem_repository
from tests.support.forging import forge
from tests.support.verifying import CLAIMS, KEY, clock


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


def test_a_key_id_has_at_most_1024_characters() -> None:
    """It is asked for, and remembered: what is longer nobody has a key by."""
    assert is_key_id("a/" * 511 + "ab")
    assert not is_key_id("a/" * 512 + "a")
    assert describe_key_id("a" * 1025) == "expected at most 1024 characters; it has 1025"


@pytest.mark.parametrize(
    "kid", ["a b", "a/../b", "\u00e9\n", "/" + "a" * 1000, "\u202e" * 1000, "\U0001f600" * 1000]
)
def test_a_key_id_that_is_refused_is_described_by_what_was_expected_and_seen(kid: str) -> None:
    described = describe_key_id(kid)
    assert described.startswith("expected parts of A-Z a-z 0-9 _ . - + between /; it is '")
    assert described.isascii()
    assert described.isprintable()
    assert len(described) < 270


async def test_a_token_whose_key_id_is_too_long_is_refused_and_nothing_is_fetched() -> None:
    async def fetch(url: str, accept: str) -> Document:
        raise AssertionError("the repository was asked")

    for keys in (
        pem_repository("https://keys.example/", fetch),
        asap.repository("https://keys.example/", fetch),
        owned_by_issuer(pem_repository("https://keys.example/", fetch)),
    ):
        token = forge(CLAIMS, KEY, kid="issuer/" + "a" * 1018)
        verify = asap.verifier(keys, "service", issuers=None, now=clock)
        with pytest.raises(TokenRejected, match="at most 1024 characters; it has 1025") as caught:
            await verify(token)
        assert (caught.value.reason, caught.value.claim) == ("invalid_claim", "kid")


def test_a_long_key_id_takes_no_long_time() -> None:
    assert not is_key_id("a/" * 50_000 + "a")
    assert not is_key_id("a/" * 50_000)
    assert not is_key_id("a" * 100_000 + "!")
