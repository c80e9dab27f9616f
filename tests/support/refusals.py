"""Requests over TLS, and the refusals that every server of ours gives."""

from typing import Any

import httpx
import pytest

from tests.support.servers import trusting

# What is sent where a token is optional; `good` stands for a good token.
OPTIONAL = pytest.mark.parametrize(
    ("value", "status", "text"),
    [
        (None, 200, "nobody"),
        ("Basic dXNlcjpwYXNz", 200, "nobody"),
        ("good", 200, "issuer"),
        ("Bearer bad", 401, "malformed"),
        ("Bearer one two", 401, "ambiguous_token"),
    ],
)


def ask(url: str, headers: Any = None, method: str = "GET", **settings: Any) -> httpx.Response:
    with httpx.Client(verify=trusting()) as client:
        return client.request(method, url, headers=headers, **settings)


def assert_a_token_is_missing(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {"title": "Unauthorized", "status": 401, "reason": "missing_token"}


def assert_head_is_refused_without_a_body(url: str) -> None:
    answer = ask(url, method="HEAD")
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["Content-Length"] == ask(url).headers["Content-Length"]


def assert_nobody_could_tell(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "5"
