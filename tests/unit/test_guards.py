"""Guards: what is asked of a token before its key is looked up, with details for an operator."""

from typing import Any

import pytest

from asapfn import guards
from asapfn.errors import TokenRejected
from asapfn.types import Unverified


def token(kid: str | None = "issuer/key", **claims: Any) -> Unverified:
    header = {"alg": "RS256"} | ({} if kid is None else {"kid": kid})
    return Unverified(header, claims, b"", b"")


def refusal(guard: Any, unverified: Unverified, **options: Any) -> tuple[str, str, str | None]:
    with pytest.raises(TokenRejected) as raised:
        guard(unverified, **options)
    return raised.value.reason, raised.value.detail, raised.value.claim


@pytest.mark.parametrize("issuers", ["a", ["a"], {"b", "a"}])
def test_an_issuer_is_one_of_those_that_are_allowed(issuers: Any) -> None:
    guards.issuer_is_one_of(issuers)(token(iss="a"))


def test_any_other_issuer_is_not_allowed() -> None:
    guard = guards.issuer_is_one_of(["b", "a"])
    for issuer, seen in (("A", '"A"'), ("ab", '"ab"'), ("\x1b[2J", '"\\u001b[2J"')):
        detail = f'expected "a" or "b", got {seen}'
        assert refusal(guard, token(iss=issuer)) == ("issuer_not_allowed", detail, "iss")
    assert refusal(guard, token()) == ("missing_claim", "the token has no iss", "iss")
    assert guard.__doc__ == 'iss is "a" or "b"'


def test_a_detail_is_cut() -> None:
    _, detail, _ = refusal(guards.issuer_is_one_of("a"), token(iss="x" * 10_000))
    assert detail == f'expected "a", got "{"x" * 199}...'
    many = guards.issuer_is_one_of([f"issuer-{number}" for number in range(1000)])
    assert len(refusal(many, token(iss="x"))[1]) < 250


def test_there_is_an_issuer_to_allow() -> None:
    with pytest.raises(ValueError, match="issuers is empty"):
        guards.issuer_is_one_of([])


@pytest.mark.parametrize(("kid", "issuer"), [("a/k", "a"), ("a/b/k", "a"), ("a/b/k", "a/b")])
def test_a_key_belongs_to_the_issuer_it_is_named_after(kid: str, issuer: str) -> None:
    guards.key_belongs_to_issuer(token(kid, iss=issuer))
    if kid.removeprefix(f"{issuer}/") == "k":
        guards.key_belongs_to_issuer(token(kid, iss=issuer), direct=True)
    else:
        answer = refusal(guards.key_belongs_to_issuer, token(kid, iss=issuer), direct=True)
        assert answer == ("key_not_owned", 'expected "a/...", got "a/b/k"', "kid")


@pytest.mark.parametrize(
    ("unverified", "reason", "detail", "claim"),
    [
        (token(None, iss="a"), "missing_claim", "the header has no kid", "kid"),
        (token("a/../k", iss="a"), "invalid_claim", "the kid is not well formed", "kid"),
        (token("a/k"), "missing_claim", "the token has no iss", "iss"),
        (token("ab/k", iss="a"), "key_not_owned", 'expected "a/...", got "ab/k"', "kid"),
        (token("a", iss="a"), "key_not_owned", 'expected "a/...", got "a"', "kid"),
    ],
)
def test_a_key_of_another_is_refused(
    unverified: Unverified, reason: str, detail: str, claim: str
) -> None:
    # Twice: what is remembered changes nothing.
    for _ in range(2):
        answer = refusal(guards.key_belongs_to_issuer, unverified)
        assert (answer[0], answer[2]) == (reason, claim)
        assert detail in answer[1]


def test_a_key_id_is_there_whatever_its_form() -> None:
    guards.has_key_id(token("of any form"))
    assert refusal(guards.has_key_id, token(None))[0] == "missing_claim"
