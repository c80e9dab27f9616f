"""Each refusal has its code and its status, and tells a client nothing but a fixed text."""

import copy
import pickle
from typing import Any, get_args

import pytest

from asapfn.errors import DESCRIPTIONS, Reason, TokenRejected, Unavailable, cause, challenge

REASONS: tuple[Reason, ...] = get_args(Reason)


def test_every_reason_has_a_description_of_its_own() -> None:
    assert set(REASONS) == set(DESCRIPTIONS)
    assert len(REASONS) == len(set(DESCRIPTIONS.values())) == 19


@pytest.mark.parametrize("reason", REASONS)
def test_only_who_may_not_do_it_is_forbidden(reason: Reason) -> None:
    forbidden = ("issuer_not_allowed", "insufficient_scope")
    assert TokenRejected(reason).status == (403 if reason in forbidden else 401)


def test_a_refusal_says_its_reason_and_detail() -> None:
    error = TokenRejected("expired", "an hour ago", claim="exp")
    assert (error.reason, error.claim, str(error)) == ("expired", "exp", "expired: an hour ago")
    assert str(TokenRejected("expired")) == "expired"
    assert TokenRejected("expired").claim is None


def test_an_unknown_reason_is_a_programming_error() -> None:
    reason: Any = "wrong"
    with pytest.raises(ValueError, match=r"unknown reason 'wrong': use one of malformed, "):
        TokenRejected(reason)


def test_an_outage_says_its_source_and_detail() -> None:
    error = Unavailable("https://keys.example", "no answer")
    assert (error.source, error.status) == ("https://keys.example", 503)
    assert str(error) == "https://keys.example: no answer"
    assert str(Unavailable("replay store")) == "replay store"


@pytest.mark.parametrize("error", [TokenRejected("expired", "ago", claim="exp"), Unavailable("x")])
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_survives_being_copied_and_pickled(error: Exception, again: Any) -> None:
    twin = again(error)
    assert type(twin) is type(error)
    assert (str(twin), vars(twin)) == (str(error), vars(error))


def test_the_two_exceptions_are_each_an_exception_and_nothing_more() -> None:
    assert TokenRejected.__bases__ == Unavailable.__bases__ == (Exception,)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("scheme", ["Bearer", "JWT"])
def test_a_challenge_is_made_of_fixed_texts_alone(reason: Reason, scheme: str) -> None:
    error = TokenRejected(reason, 'secret"\r\nX: y', claim="secret")
    text = challenge(error, scheme)
    codes = {
        "missing_token": "",
        "ambiguous_token": "invalid_request",
        "issuer_not_allowed": "insufficient_scope",
        "insufficient_scope": "insufficient_scope",
    }
    code = codes.get(reason, "invalid_token")
    parameters = f' error="{code}", error_description="{DESCRIPTIONS[reason]}"'
    assert text == scheme + (parameters if code else "")
    assert text == challenge(TokenRejected(reason), scheme)


def test_a_challenge_is_for_bearer_unless_another_scheme_is_named() -> None:
    assert challenge(TokenRejected("missing_token")) == "Bearer"


@pytest.mark.parametrize("text", DESCRIPTIONS.values())
def test_a_description_is_of_the_characters_that_rfc_6750_lets_one_have(text: str) -> None:
    """RFC 6750, section 3: %x20-21 / %x23-5B / %x5D-7E."""
    assert all(" " <= character <= "~" and character not in '"\\' for character in text)


def chained(error: BaseException, *causes: BaseException) -> BaseException:
    for link, next_link in zip((error, *causes), causes, strict=False):
        link.__cause__ = next_link
    return error


def in_context(error: BaseException, context: BaseException, *, suppressed: bool) -> BaseException:
    error.__context__, error.__suppress_context__ = context, suppressed
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable("https://keys.example/", "status 503"), "status 503"),
        (Unavailable("source"), "Unavailable"),
        (TimeoutError(), "TimeoutError"),
        (chained(Unavailable("s", "ConnectError"), OSError("verify failed")), "verify failed"),
        (chained(Unavailable("s", "ReadTimeout"), TimeoutError()), "ReadTimeout"),
        (chained(Unavailable("a", "b"), ValueError("c"), OSError("d")), "d"),
        (chained(Unavailable("s", "d"), ExceptionGroup("g", [OSError("e"), OSError("f")])), "e"),
        (in_context(OSError("a"), OSError("b"), suppressed=False), "b"),
        (in_context(OSError("a"), OSError("b"), suppressed=True), "a"),
        (in_context(OSError(), OSError("b"), suppressed=True), "b"),
        (OSError("a\nb \x1b[31m \u202e é"), r"a\nb \x1b[31m \u202e \xe9"),
        (OSError("x" * 500), "x" * 200),
        (OSError("é" * 500), r"\xe9" * 50),
    ],
)
def test_the_cause_is_said_in_the_words_of_the_deepest_error(
    error: BaseException, expected: str
) -> None:
    assert cause(error) == expected


def test_a_chain_that_bites_its_tail_has_an_end() -> None:
    one, other = OSError("one"), OSError("other")
    one.__cause__, other.__cause__ = other, one
    assert cause(one) == "other"


def test_an_outage_carries_when_to_ask_again() -> None:
    error = Unavailable("source", "busy", retry_after=3.0)
    assert (error.source, error.detail, error.retry_after) == ("source", "busy", 3.0)
    assert Unavailable("source").retry_after is None
