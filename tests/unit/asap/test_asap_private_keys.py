"""ASAP, the sending side: a directory of private keys, and the one in use."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from asapfn import asap
from asapfn._core.verification import peek
from asapfn.keys import export_private_pem, export_public_pem
from asapfn.types import Event, Key
from tests.support.keyring import key_for
from tests.support.keysources import Clock
from tests.support.verifying import NOW

KEY = key_for("ES256")

Put = Callable[[str, str], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Puts a file among the issuer's keys."""

    def write(name: str, text: str) -> Path:
        file = tmp_path / "team" / "issuer" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


def pem(algorithm: str = "ES256", issuer: str = "issuer") -> str:
    return export_private_pem(key_for(algorithm, issuer))


def directory(tmp_path: Path, clock: Clock) -> Callable[[], Key]:
    return asap.private_key_directory(tmp_path, "team/issuer", refresh=60, clock=clock)


def test_the_last_pem_file_by_name_is_the_key_in_use(tmp_path: Path, put: Put) -> None:
    put("2025-01.pem", "no key, and never looked at")
    put("2026-01.pem", pem())
    put("2027-01.der", "of another extension")
    put("2027-01.pem.tmp", "not there yet")
    key = asap.private_key_directory(str(tmp_path), "team/issuer")()
    assert key.kid == "team/issuer/2026-01.pem"
    token = asap.signer("team/issuer", key)("service")
    assert peek(token).header["kid"] == "team/issuer/2026-01.pem"


def test_a_key_is_replaced_by_adding_a_file(tmp_path: Path, put: Put) -> None:
    clock = Clock(NOW)
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    sign_for = asap.signer("team/issuer", key_of_the_moment, reuse_fraction=0.9, now=lambda: NOW)
    first = sign_for("service")
    put("2.pem", pem("RS256"))
    clock.now += 59.5
    assert sign_for("service") == first
    clock.now += 0.5
    assert peek(sign_for("service")).header["kid"] == "team/issuer/2.pem"
    put("3.pem", pem())
    clock.now += 59.5
    assert key_of_the_moment().kid == "team/issuer/2.pem"
    # Taken back.
    (tmp_path / "team/issuer/3.pem").unlink()
    (tmp_path / "team/issuer/2.pem").unlink()
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/1.pem"


def test_a_directory_is_read_once_a_minute_unless_it_is_said(tmp_path: Path, put: Put) -> None:
    clock = Clock(NOW)
    put("1.pem", pem())
    key_of_the_moment = asap.private_key_directory(tmp_path, "team/issuer", clock=clock)
    put("2.pem", pem("RS256"))
    clock.now += 59.5
    assert key_of_the_moment().kid == "team/issuer/1.pem"
    clock.now += 0.5
    assert key_of_the_moment().kid == "team/issuer/2.pem"


def test_the_same_key_under_a_new_name_has_the_new_key_id(tmp_path: Path, put: Put) -> None:
    clock = Clock(NOW)
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    put("2.pem", pem())
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/2.pem"


def test_a_key_that_did_not_change_stays_the_same_so_that_tokens_are_reused(
    tmp_path: Path, put: Put
) -> None:
    clock = Clock(NOW)
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    first = key_of_the_moment()
    clock.now += 60
    assert key_of_the_moment() is first


USELESS = {
    "half written": pem()[:100],
    "empty": "",
    "a public key": export_public_pem(KEY),
    "encrypted": export_private_pem(KEY, "password"),
    "two keys": pem() * 2,
    "EdDSA": pem("EdDSA"),
}


@pytest.mark.parametrize("text", USELESS.values(), ids=USELESS)
def test_a_newest_file_that_is_no_key_leaves_the_one_in_use(
    tmp_path: Path, put: Put, text: str
) -> None:
    clock = Clock(NOW)
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    first = key_of_the_moment()
    file = put("2.pem", text)
    clock.now += 60
    assert key_of_the_moment() is first
    file.write_text(pem("RS256"))
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/2.pem"


@pytest.mark.parametrize("name", ["a key.pem", "k\u00e9y.pem", "z~.pem"])
def test_a_newest_file_whose_name_makes_no_key_id_leaves_the_one_in_use(
    tmp_path: Path, put: Put, name: str
) -> None:
    clock = Clock(NOW)
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    put(name, pem("RS256"))
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/1.pem"
    assert directory(tmp_path, clock)().kid == "team/issuer/1.pem"


def test_a_folder_or_a_link_to_nothing_by_the_name_of_a_key_leaves_the_one_in_use(
    tmp_path: Path, put: Put
) -> None:
    clock = Clock(NOW)
    file = put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    for make in (
        lambda: file.with_name("2.pem").mkdir(),
        lambda: file.with_name("3.pem").symlink_to(tmp_path / "nowhere"),
    ):
        make()
        clock.now += 60
        assert key_of_the_moment().kid == "team/issuer/1.pem"
        assert directory(tmp_path, clock)().kid == "team/issuer/1.pem"


@pytest.mark.parametrize("text", USELESS.values(), ids=USELESS)
def test_a_restart_while_the_newest_file_is_half_written_signs_with_the_one_before(
    tmp_path: Path, put: Put, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    put("1.pem", pem("RS256"))
    put("2.pem", pem())
    put("3.pem", text)
    put("4.pem", text)
    seen: list[Event] = []
    key_of_the_moment = asap.private_key_directory(tmp_path, "team/issuer", observe=seen.append)
    assert key_of_the_moment().kid == "team/issuer/2.pem"
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert {record.name for record in caplog.records} == {"asapfn"}
    for record, name in zip(caplog.records, ("4.pem", "3.pem"), strict=True):
        assert f"'team/issuer/{name}' cannot be used" in record.getMessage()
        assert "signing with 'team/issuer/2.pem'" in record.getMessage()
        assert not any(line in record.getMessage() for line in text.splitlines()[1:])
    kinds = [(event.kind, event.source, event.key_id) for event in seen]
    source = str(tmp_path / "team/issuer")
    assert kinds == [("unavailable", source, f"team/issuer/{name}") for name in ("4.pem", "3.pem")]


def test_each_reading_that_finds_the_rotation_failed_reports_it(
    tmp_path: Path, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(NOW)
    put("1.pem", pem())
    seen: list[Event] = []
    key_of_the_moment = asap.private_key_directory(
        tmp_path, "team/issuer", clock=clock, observe=seen.append
    )
    file = put("2.pem", pem()[:100])
    for reported in (1, 2):
        clock.now += 60
        key_of_the_moment()
        assert (len(caplog.records), len(seen)) == (reported, reported)
        key_of_the_moment()
        assert (len(caplog.records), len(seen)) == (reported, reported)
    file.write_text(pem("RS256"))
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/2.pem"
    assert (len(caplog.records), len(seen)) == (2, 2)


def test_the_name_of_a_file_makes_no_line_of_its_own_in_the_log(
    tmp_path: Path, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    put("1.pem", pem())
    put("2\nCRITICAL forged.pem", export_public_pem(KEY))
    asap.private_key_directory(tmp_path, "team/issuer")
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert "2\\nCRITICAL forged.pem" in record.getMessage()


def test_a_key_in_use_that_cannot_be_read_for_once_does_not_bring_back_the_one_before(
    tmp_path: Path, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(NOW)
    put("1.pem", pem())
    file = put("2.pem", pem("RS256"))
    key_of_the_moment = directory(tmp_path, clock)
    in_use = key_of_the_moment()
    file.write_text("")
    clock.now += 60
    assert key_of_the_moment() is in_use
    assert "'team/issuer/2.pem' cannot be used" in caplog.text
    file.unlink()
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/1.pem"


def test_a_directory_that_goes_away_leaves_the_key_in_use(
    tmp_path: Path, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(NOW)
    folder = put("1.pem", pem()).parent
    key_of_the_moment = directory(tmp_path, clock)
    folder.rename(tmp_path / "moved")
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/1.pem"
    (record,) = caplog.records
    assert "no *.pem file" in record.getMessage()


def test_a_directory_on_a_file_system_that_fails_leaves_the_key_in_use(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(NOW)
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)

    def stale(*arguments: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "glob", stale)
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/1.pem"
    assert "Stale file handle" in caplog.text
    with pytest.raises(OSError, match="Stale file handle"):
        directory(tmp_path, clock)


@pytest.mark.parametrize("text", USELESS.values(), ids=USELESS)
def test_a_directory_without_a_usable_key_is_refused_at_once(
    tmp_path: Path, put: Put, text: str
) -> None:
    put("1.pem", text)
    with pytest.raises(ValueError, match=r"key|ASAP|PEM") as raised:
        asap.private_key_directory(tmp_path, "team/issuer")
    assert "PRIVATE" not in str(raised.value)


def test_a_directory_that_is_missing_or_empty_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no \*\.pem file"):
        asap.private_key_directory(tmp_path / "missing", "issuer")
    (tmp_path / "issuer").mkdir()
    with pytest.raises(ValueError, match=r"no \*\.pem file"):
        asap.private_key_directory(tmp_path, "issuer")


def test_a_key_that_waits_to_be_activated_is_named(tmp_path: Path) -> None:
    def refused(place: str, issuer: str = "team/issuer") -> str:
        with pytest.raises(ValueError, match=r"no \*\.pem file") as raised:
            asap.private_key_directory(tmp_path / "keys" / place, issuer)
        return str(raised.value)

    for name in ("1.pem", "2.pem"):
        staged = tmp_path / "keys" / "staged" / "team" / "issuer" / name
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(pem())
    kid = "team/issuer/2.pem"
    expected = f"; {kid} is staged: asapfn activate {kid}"
    assert refused("private").endswith(f"keys/private/team/issuer{expected}")
    for place, issuer in (("other", "team/issuer"), ("private", "other"), ("private", "team")):
        assert refused(place, issuer).endswith(f"keys/{place}/{issuer}")


def test_a_key_in_place_of_the_path_is_not_repeated() -> None:
    """As in `asapfn token asap --key-directory "$KEY"`: the message named it."""
    pem = export_private_pem(key_for("ES256"))
    with pytest.raises(ValueError, match="this is a key") as refused:
        asap.private_key_directory(pem, "orders")
    assert pem.split("\n")[1][:20] not in repr(refused.value)
