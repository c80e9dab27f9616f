"""Running the command line within the test, as a shell would."""

import functools
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from asapfn.cli import _parser, main
from asapfn.cli.parsing import Parser
from tests.support.trust import trust


class Ran(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@functools.cache
def parser_of(columns: str) -> Parser:
    """The parser for a width, made once: that takes longer than most commands."""
    return _parser()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine's has a say."""
    for name in (
        "ASAP_PRIVATE_KEY",
        "ASAP_KEY_ID",
        "ASAP_ISSUER",
        "ASAP_AUDIENCE",
        "ASAP_SUBJECT",
        "ASAP_PUBLIC_KEY_REPOSITORY_URL",
        "ASAP_PUBLIC_KEY_FALLBACK_REPOSITORY_URL",
        "ASAP_SERVER_AUDIENCE",
        "ASAP_SERVER_LEEWAY_SECONDS",
        "ASAPFN_SECRET",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("COLUMNS", "80"), ("LINES", "24"), ("LANGUAGE", "C")):
        monkeypatch.setenv(name, value)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Clients that are made by the commands trust the tests' authority."""
    trust(monkeypatch, tmp_path)


@pytest.fixture
def asapfn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command: its arguments, and what is on its standard input."""

    monkeypatch.setattr("asapfn.cli._parser", lambda: parser_of(os.environ["COLUMNS"]))

    def run(*arguments: object, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        return Ran(code, *capsys.readouterr())

    return run
