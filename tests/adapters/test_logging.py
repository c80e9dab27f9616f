import json
import logging

import pytest

from asapfn.adapters.logging import observer
from asapfn.resolvers import pem_repository
from asapfn.types import Event, Kind
from tests.support.keyring import key_for
from tests.support.keysources import KID, Clock, Repository, asking, down

LOGGER = logging.getLogger("tests.asapfn")
SOURCE = "https://keys.example/"


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("fetched", logging.INFO),
        ("refreshed", logging.DEBUG),
        ("stale", logging.INFO),
        ("unknown", logging.INFO),
        ("rate_limited", logging.WARNING),
        ("unavailable", logging.WARNING),
    ],
)
def test_each_kind_of_event_has_its_level_and_its_members(
    caplog: pytest.LogCaptureFixture, kind: Kind, level: int
) -> None:
    caplog.set_level(logging.DEBUG, LOGGER.name)
    observer(LOGGER)(Event(kind, SOURCE, KID, 0.0125))
    (record,) = caplog.records
    assert (record.levelno, record.name) == (level, LOGGER.name)
    assert record.getMessage() == f"asapfn: {kind}: key '{KID}' of {SOURCE} (0.013 s)"
    assert {name: value for name, value in vars(record).items() if name.startswith("asapfn")} == {
        "asapfn_kind": kind,
        "asapfn_source": SOURCE,
        "asapfn_key_id": f"'{KID}'",
        "asapfn_seconds": 0.0125,
        "asapfn_detail": "",
    }


def test_the_cause_of_an_outage_is_written(caplog: pytest.LogCaptureFixture) -> None:
    observer(LOGGER)(Event("unavailable", SOURCE, KID, 0.0125, "certificate verify failed"))
    (record,) = caplog.records
    said = f"asapfn: unavailable: key '{KID}' of {SOURCE} (0.013 s): certificate verify failed"
    assert record.getMessage() == said
    assert vars(record)["asapfn_detail"] == "certificate verify failed"


def test_what_is_below_the_loggers_level_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, LOGGER.name)
    observe = observer(LOGGER)
    observe(Event("fetched", SOURCE, KID, 0.0))
    assert caplog.records == []
    observe(Event("unavailable", SOURCE, KID, 0.0))
    assert len(caplog.records) == 1


def test_an_unverified_key_id_makes_no_lines_of_its_own_and_is_cut(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, LOGGER.name)
    observer(LOGGER)(Event("unknown", SOURCE, "a\nERROR: \x1b[31m\u2028\u202e" + "z" * 16_000, 0.0))
    (record,) = caplog.records
    message = record.getMessage()
    assert message.isascii()
    assert message.isprintable()
    assert message.count("z") == 200 - 16
    assert json.loads(json.dumps(vars(record)["asapfn_key_id"])).startswith(r"'a\nERROR: \x1b[31m")


async def test_a_key_sources_life_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER.name)
    clock, repository = Clock(), Repository()
    resolve = pem_repository(SOURCE, repository, clock=clock, observe=observer(LOGGER))
    await resolve(asking())
    clock.turn(300.0)
    await resolve(asking())
    repository.answer = down
    clock.turn(310.0)
    await resolve(asking())
    kinds = [vars(record)["asapfn_kind"] for record in caplog.records]
    assert kinds == ["fetched", "refreshed", "unavailable", "stale"]
    assert key_for("RS256").as_pem(private=False).decode() not in caplog.text
