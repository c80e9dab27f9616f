"""A directory of keys on a file system that hangs, or that finds files by other names."""

import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from asapfn.errors import Unavailable
from asapfn.keys import export_private_pem, export_public_pem
from asapfn.resolvers import cached, pem_directory, with_deadline
from asapfn.resolvers.sources import _Directory, _from_directory, _in_thread
from asapfn.types import Caching
from tests.support.keyring import key_for
from tests.support.keysources import KID, asking

HANGS = "issuer/hangs.pem"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a key."""
    (tmp_path / "issuer").mkdir()
    (tmp_path / KID).write_text(export_public_pem(key_for("RS256")))
    return tmp_path


@pytest.fixture
async def hanging(directory: Path) -> AsyncIterator[Path]:
    """The directory with a pipe, too, on which a read hangs until somebody writes to it."""
    os.mkfifo(directory / HANGS)
    # A test that itself hangs is ended too.
    timer = threading.Timer(60.0, let_go, [directory])
    timer.start()
    yield directory
    timer.cancel()
    await anyio.to_thread.run_sync(let_go, directory)


def let_go(directory: Path) -> None:
    """End the reads that hang."""
    for _ in range(200):
        with contextlib.suppress(OSError):  # nobody reads any more
            os.close(os.open(directory / HANGS, os.O_WRONLY | os.O_NONBLOCK))
        time.sleep(0.001)


async def test_a_deadline_holds_on_a_file_system_that_hangs(hanging: Path) -> None:
    resolve = with_deadline(pem_directory(hanging), 0.5)
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"no answer within 0\.5 s"):
        await resolve(asking(HANGS))
    assert 0.5 <= time.monotonic() - started < 3
    assert await resolve(asking()) is not None


async def test_a_key_in_a_cache_outlives_a_file_system_that_hangs(directory: Path) -> None:
    now = 0.0
    resolve = cached(
        with_deadline(pem_directory(directory), 0.2),
        caching=Caching(default_age=10.0),
        clock=lambda: now,
    )
    found = await resolve(asking())
    (directory / KID).unlink()
    os.mkfifo(directory / KID)
    now = 20.0
    assert await resolve(asking()) is found
    with contextlib.suppress(OSError):
        os.close(os.open(directory / KID, os.O_WRONLY | os.O_NONBLOCK))


async def test_reads_that_hang_are_bounded_and_take_no_thread_from_others(
    hanging: Path,
) -> None:
    state = _Directory(hanging)
    source = partial(_from_directory, state)
    resolve = with_deadline(source, 0.3)
    threads = threading.active_count()
    unavailable = 0

    async def call() -> None:
        nonlocal unavailable
        with pytest.raises(Unavailable):
            await resolve(asking(HANGS))
        unavailable += 1

    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(call)
    assert unavailable == 60
    assert threading.active_count() <= threads + 17
    assert len(state.reads) <= 16
    # All places of this directory are held, so that it does not answer at all; others do.
    async with anyio.create_task_group() as group:
        for _ in range(16):  # on a busy machine, few of the calls above came to a place in time
            group.start_soon(source, asking(HANGS))
        with anyio.fail_after(30):
            while len(state.reads) < 16:
                await anyio.sleep(0.01)
        with pytest.raises(Unavailable):
            await resolve(asking())
        assert await pem_directory(hanging)(asking()) is not None
        limiter = anyio.to_thread.current_default_thread_limiter()
        assert limiter.borrowed_tokens == 0
        group.cancel_scope.cancel()
    assert limiter.borrowed_tokens == 0
    await anyio.to_thread.run_sync(let_go, hanging)
    with anyio.fail_after(30):
        assert await source(asking()) is not None


async def test_a_read_that_is_cancelled_before_its_thread_begins_gives_its_place_back(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, late = _Directory(directory), list[Any]()

    async def never(function: Any, **options: Any) -> Any:
        late.append(function)
        await anyio.sleep_forever()

    monkeypatch.setattr(anyio.to_thread, "run_sync", never)
    with anyio.move_on_after(0.01):
        await _in_thread(state, lambda: b"read")
    assert not state.reads
    assert late[0]() == b""  # the thread comes to it after all, and reads nothing


@pytest.fixture
def forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system like those of Windows and macOS: case, and dots at the end, do not count."""
    read, scan, folded = Path.read_bytes, os.scandir, "issuer/RS256.pem"

    def real(path: Any) -> Path:
        text = str(path)
        for end in (folded, "issuer"):
            if text.rstrip(".").lower().endswith(end.lower()):
                return Path(text.rstrip(".")[: -len(end)] + end)
        return Path(text)

    def read_bytes(path: Path) -> bytes:
        if path.name in ("CON", "NUL.pem"):
            return export_public_pem(key_for("RS256")).encode()
        return read(real(path))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(os, "scandir", lambda path: scan(real(path)))


@pytest.mark.usefixtures("forgiving")
@pytest.mark.parametrize(
    "kid",
    [
        "ISSUER/RS256.pem",
        "issuer/rs256.pem",
        "issuer/RS256.PEM",
        "issuer/RS256.pem.",
        "issuer/RS256.pem...",
        "issuer./RS256.pem",
        "issuer/CON",
        "issuer/NUL.pem",
    ],
)
async def test_a_key_is_found_by_exactly_its_own_name(directory: Path, kid: str) -> None:
    resolve = pem_directory(directory)
    assert await resolve(asking(kid)) is None
    assert await resolve(asking()) is not None


def test_a_key_in_place_of_the_path_is_refused_and_not_repeated() -> None:
    pem = export_private_pem(key_for("ES256", "issuer"))
    for given in (pem, Path(pem)):
        with pytest.raises(ValueError, match="this is a key") as caught:
            pem_directory(given)
        assert pem[40:60] not in str(caught.value)
