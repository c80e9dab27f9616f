"""`observed`, and what is logged of requests, exactly; all adapters are tested beside them."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import pytest

from asapfn import Request, Token, TokenRejected, Unavailable, Verdict, observed
from asapfn._core.reporting import report

pytestmark = pytest.mark.no_event_loop

REQUEST = Request("GET", "/", ())


def token(claims: Mapping[str, Any]) -> Token:
    return Token({}, dict(claims), 0.0, 1.0)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (token({"iss": "a"}), ("accepted", "", "", "a")),
        (token({}), ("accepted", "", "", "")),
        (
            TokenRejected("expired", "it expired"),
            ("rejected", "expired", "it expired", ""),
        ),
        (Unavailable("vault", "down"), ("unavailable", "unavailable", "vault: down", "")),
        (
            TokenRejected("expired", "x" * 9_999),
            ("rejected", "expired", "x" * 600, ""),
        ),
    ],
    ids=["accepted", "no issuer", "rejected", "unavailable", "long"],
)
async def test_a_verdict_says_what_became_of_a_request(outcome: Any, verdict: Any) -> None:
    async def authenticate(request: Request) -> Token:
        if isinstance(outcome, Exception):
            raise outcome
        token: Token = outcome
        return token

    seen: list[Verdict] = []
    try:
        assert await observed(authenticate, seen.append)(REQUEST) is outcome
    except (TokenRejected, Unavailable) as error:
        assert error is outcome
    assert [each[:4] for each in seen] == [verdict]
    assert 0 <= seen[0].seconds < 60


@pytest.mark.parametrize(
    ("outcome", "enforced", "level", "message"),
    [
        (TokenRejected("expired", "late"), True, "INFO", "rejected expired: late"),
        (TokenRejected("expired", "late"), False, "INFO", "NOT ENFORCED: rejected expired: late"),
        (Unavailable("vault", "down"), True, "WARNING", "unavailable: vault: down"),
        (Unavailable("vault", "down"), False, "WARNING", "NOT ENFORCED: unavailable: vault: down"),
    ],
)
def test_a_record_says_what_became_of_a_request_and_has_it_in_fields(
    outcome: Any, enforced: bool, level: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    report(outcome, time.monotonic() - 2.0, None, enforced)
    if enforced:
        report(outcome, time.monotonic() - 2.0, None)
    assert len(caplog.records) == 1 + enforced
    for record in caplog.records:
        assert record.levelname == level
        text, _, seconds = record.getMessage().rpartition(" (")
        assert text == f"asapfn: {message}"
        assert 2.0 <= float(seconds.removesuffix(" s)")) < 60
        fields = vars(record)
        assert fields["asapfn_outcome"] == message.removeprefix("NOT ENFORCED: ").split()[0].strip(
            ":"
        )
        assert fields["asapfn_reason"] == getattr(outcome, "reason", "unavailable")
        assert fields["asapfn_detail"] in ("late", "vault: down")
        assert 2.0 <= fields["asapfn_seconds"] < 60
        assert fields["asapfn_enforced"] is enforced


def test_an_accepted_request_and_one_without_a_token_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "asapfn")
    seen: list[Verdict] = []
    report(token({"iss": "a"}), time.monotonic(), seen.append)
    report(token({"iss": "a"}), time.monotonic(), None)
    report(None, time.monotonic(), seen.append)
    assert [verdict.issuer for verdict in seen] == ["a"]
    assert not caplog.records


@pytest.mark.parametrize(
    ("level", "logged"), [(logging.INFO, 2), (logging.WARNING, 1), (logging.ERROR, 0)]
)
def test_what_the_logger_does_not_want_is_not_written(
    level: int, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level, "asapfn")
    for outcome in (TokenRejected("expired", "late"), Unavailable("vault", "down")):
        report(outcome, time.monotonic(), None)
    assert len(caplog.records) == logged
