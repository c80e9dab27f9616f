"""What an adapter refuses, and what it answers: `admit`, `checked` and `refusal`."""

import json
from typing import Any, get_args

import pytest

from asapfn.adapters._incoming import Options, admit, checked, refusal
from asapfn.errors import Reason, TokenRejected, Unavailable, challenge
from asapfn.types import Request, Token

REQUEST = Request("GET", "/", ())
SECRET = "eyJhbGciOi.private.claim"


@pytest.mark.parametrize("reason", get_args(Reason))
def test_a_refusal_says_the_reason_and_no_more(reason: Reason) -> None:
    error = TokenRejected(reason, SECRET, claim=SECRET)
    status, headers, body = refusal(error, "JWT")
    title = "Forbidden" if status == 403 else "Unauthorized"
    assert json.loads(body) == {"title": title, "status": error.status, "reason": reason}
    assert dict(headers) == {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "WWW-Authenticate": challenge(error, "JWT"),
    }
    assert SECRET not in repr((headers, body))


def test_an_outage_is_to_be_asked_again_later_and_names_no_source() -> None:
    status, headers, body = refusal(Unavailable(SECRET, SECRET), "Bearer")
    assert (status, json.loads(body)) == (
        503,
        {"title": "Service Unavailable", "status": 503, "reason": "unavailable"},
    )
    assert dict(headers)["Retry-After"] == "5"
    assert "WWW-Authenticate" not in dict(headers)
    assert SECRET not in repr((headers, body))


@pytest.mark.parametrize("scheme", ["", "Bearer realm", 'Bearer"', "Bearer\r\nX: y", "Bärer"])
def test_a_scheme_is_one_word(scheme: str) -> None:
    with pytest.raises(ValueError, match="one word"):
        checked(Options(scheme))


@pytest.mark.parametrize("given", [None, True, {"iss": "me"}, ({}, {}, 0.0, 0.0)])
async def test_what_is_no_token_lets_nobody_in(given: Any) -> None:
    async def authenticate(request: Request) -> Any:
        return given

    with pytest.raises(TypeError, match="not a Token"):
        await admit(authenticate, REQUEST, optional=True)


@pytest.mark.parametrize("reason", get_args(Reason))
async def test_optional_excuses_a_missing_token_alone(reason: Reason) -> None:
    async def authenticate(request: Request) -> Token:
        raise TokenRejected(reason)

    outcome = await admit(authenticate, REQUEST, optional=True)
    assert (outcome is None) is (reason == "missing_token")
    assert await admit(authenticate, REQUEST, optional=False) is not None


async def test_optional_does_not_excuse_an_outage() -> None:
    async def authenticate(request: Request) -> Token:
        raise Unavailable("keys")

    outcome = await admit(authenticate, REQUEST, optional=True)
    assert isinstance(outcome, Unavailable)
