"""ASAP, the sending side: a directory of private keys, and the one in use."""

from collections.abc import Callable
from pathlib import Path

import pytest
from keyring import key_for
from keysources import Clock

from asapfn.keys import export_private_pem, export_public_pem
from asapfn.profiles import asap
from asapfn.types import Key
from asapfn.verification import peek

NOW = 1_700_000_000
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
    with pytest.raises(ValueError, match="kid"):
        directory(tmp_path, clock)


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
        with pytest.raises(OSError, match="directory"):
            directory(tmp_path, clock)


def test_a_directory_that_goes_away_leaves_the_key_in_use(tmp_path: Path, put: Put) -> None:
    clock = Clock(NOW)
    folder = put("1.pem", pem()).parent
    key_of_the_moment = directory(tmp_path, clock)
    folder.rename(tmp_path / "moved")
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/1.pem"


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
