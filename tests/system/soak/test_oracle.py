"""The soak's oracle: what it lets pass and what it calls wrong, without running a soak."""

import math
from pathlib import Path

import pytest

from tests.system.soak.oracle import (
    ACCEPTED,
    REPLAYED,
    UNAVAILABLE,
    UNKNOWN,
    Case,
    Ledger,
    Spell,
    right_answers,
)
from tests.system.soak.report import exceptions
from tests.system.soak.tokens import Key

FRESH = Case("fresh", "/once", "token", frozenset({ACCEPTED}), frozenset({"redis"}))
COLD = Case("cold", "/many", "token", frozenset({ACCEPTED}), frozenset({"repository"}))
KNOWN = Case("known", "/many", "token", frozenset({ACCEPTED}))
AGAIN = Case("replayed", "/once", "token", frozenset({REPLAYED}), frozenset({"redis"}))

HANG = Spell("repository", "hang", 100.0, 110.0)
HANGING = Spell("repository", "hang", 100.0)
SLOW = Spell("repository", "slow", 100.0, 110.0)
RETRY = Spell("repository", "error503", 100.0, 110.0)
PAUSE = Spell("redis", "redis paused", 100.0, 110.0)

EXCUSED = {
    "a cold key while the repository hangs": (COLD, HANG, 105.0, 106.0),
    "a cold key while it hangs on": (COLD, HANGING, 300.0, 301.0),
    "asked before the fault began, answered in it": (COLD, HANG, 99.0, 101.0),
    "asked before and answered after": (COLD, HANG, 99.0, 120.0),
    "asked within the second after": (COLD, HANG, 110.9, 111.0),
    "asked while a wait holds that the repository asked for": (COLD, RETRY, 111.9, 112.0),
    "a fresh token while Redis is paused": (FRESH, PAUSE, 105.0, 106.0),
    "a used token while Redis is paused": (AGAIN, PAUSE, 105.0, 106.0),
}
NOT_EXCUSED = {
    "a known key while the repository hangs": (KNOWN, HANG, 105.0, 106.0),
    "a cold key while the repository is slow": (COLD, SLOW, 105.0, 106.0),
    "a cold key while Redis is paused": (COLD, PAUSE, 105.0, 106.0),
    "a fresh token while the repository hangs": (FRESH, HANG, 105.0, 106.0),
    "answered before the fault began": (COLD, HANG, 98.0, 99.9),
    "asked more than a second after": (COLD, HANG, 111.1, 115.0),
    "Redis long after": (FRESH, PAUSE, 112.1, 113.0),
}


@pytest.mark.parametrize(("case", "spell", "sent", "answered"), EXCUSED.values(), ids=EXCUSED)
def test_a_fault_that_can_be_the_cause_excuses_503_and_nothing_else(
    case: Case, spell: Spell, sent: float, answered: float
) -> None:
    assert right_answers(case, sent, answered, Ledger([spell])) == case.right | {UNAVAILABLE}


@pytest.mark.parametrize(
    ("case", "spell", "sent", "answered"), NOT_EXCUSED.values(), ids=NOT_EXCUSED
)
def test_503_is_wrong_where_no_fault_can_be_the_cause(
    case: Case, spell: Spell, sent: float, answered: float
) -> None:
    assert right_answers(case, sent, answered, Ledger([spell])) == case.right


@pytest.mark.parametrize(
    ("sent", "right"),
    [
        (100.0, frozenset({ACCEPTED, UNKNOWN})),
        (109.0, frozenset({ACCEPTED, UNKNOWN})),
        (111.0, frozenset({UNKNOWN})),
    ],
)
def test_a_key_that_was_removed_is_forgotten_in_time(sent: float, right: frozenset[object]) -> None:
    key = Key("issuer", "issuer/key.pem", None, "ES256", removed=100.0)
    case = Case("retired", "/many", "token", frozenset({ACCEPTED}), key=key)
    assert right_answers(case, sent, sent + 1, Ledger()) == right
    assert right_answers(case, sent, sent + 1, Ledger([Spell("repository", "hang", 50.0)])) == {
        ACCEPTED,
        UNKNOWN,
    }


def test_a_fault_goes_on_until_it_is_ended() -> None:
    ledger = Ledger()
    spell = ledger.begin("repository", "hang")
    assert spell.ended == math.inf
    assert ledger.now() == ["hang"]
    ledger.end(spell)
    assert ledger.now() == []


BUSY = Spell("service", "service busy", 109.0, 112.0)
LATE = {
    "as long after a fault as the service was kept waiting": (COLD, [HANG, BUSY], 113.9, 114.0),
    "a wait that the repository asked for and that was read late": (
        COLD,
        [RETRY, BUSY],
        114.5,
        115.0,
    ),
    "while the service is busy": (FRESH, [BUSY], 110.0, 110.1),
}


@pytest.mark.parametrize(("case", "spells", "sent", "answered"), LATE.values(), ids=LATE)
def test_what_a_busy_machine_makes_late_is_right_for_that_alone(
    case: Case, spells: list[Spell], sent: float, answered: float
) -> None:
    ledger = Ledger(spells)
    assert right_answers(case, sent, answered, ledger) == case.right
    assert right_answers(case, sent, answered, ledger, lenient=True) == case.right | {UNAVAILABLE}


NOT_LATE = {
    "longer after a fault": (COLD, [HANG, BUSY], 114.1, 114.2),
    "where nothing failed": (COLD, [BUSY], 112.1, 112.2),
    "where nothing is needed that can fail": (KNOWN, [HANG, BUSY], 110.0, 110.1),
    "while the service was not busy": (COLD, [HANG], 111.1, 111.2),
}


@pytest.mark.parametrize(("case", "spells", "sent", "answered"), NOT_LATE.values(), ids=NOT_LATE)
def test_a_busy_machine_is_no_cause_of_anything_else(
    case: Case, spells: list[Spell], sent: float, answered: float
) -> None:
    assert right_answers(case, sent, answered, Ledger(spells), lenient=True) == case.right


def test_a_used_token_of_a_key_that_was_removed_is_replayed_or_of_an_unknown_key() -> None:
    key = Key("issuer", "issuer/key.pem", None, "ES256", removed=100.0)
    case = AGAIN._replace(key=key)
    assert right_answers(case, 101.0, 101.1, Ledger()) == {REPLAYED, UNKNOWN}
    assert right_answers(case, 111.0, 111.1, Ledger()) == {UNKNOWN}


def test_what_others_log_as_handled_is_told_from_what_nobody_handled(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text(
        "1795779657.123 asapfn: asapfn: unavailable: replay store: TimeoutError (0.2 s)\n"
        "1795779658.000 coredis: Connection attempt failed unexpectedly!\n"
        "  + Exception Group Traceback (most recent call last):\n"
        "    | TimeoutError: HELLO timed out after 0.2 seconds\n"
        "1795779658.500 soak: the server itself lost a connection\n"
        "    | trio.BusyResourceError: another task is currently sending data\n"
        "1795779659.000 uvicorn.error: Exception in ASGI application\n"
        "Traceback (most recent call last):\n"
        "KeyError: 'x'\n"
    )
    unhandled, handled = exceptions(log)
    assert unhandled == ["KeyError: 'x'"]
    assert handled == [
        "coredis: TimeoutError: HELLO timed out after 0.2 seconds",
        "soak: trio.BusyResourceError: another task is currently sending data",
    ]
    assert exceptions(tmp_path / "none") == ([], [])
