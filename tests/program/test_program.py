"""The command line as a program: what it reads from and writes to, and what the shell completes."""

import os
import pty
import subprocess
import sys

import pytest

from tests.cli.test_main import COMMANDS


def as_process(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "asapfn", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **more,
    )


def test_the_module_runs_as_a_program_and_lists_its_commands():
    ran = as_process("--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [name for name in COMMANDS if f"\n    {name} " in ran.stdout] == list(COMMANDS)
    assert "0 accepted, 1 rejected, 2 wrong use, 3 unavailable" in ran.stdout


@pytest.mark.parametrize(("unbuffered", "code"), [("", 0), ("1", 141)])
def test_a_reader_who_has_seen_enough_is_no_error(unbuffered, code):
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "asapfn", "qsh", "GET", "/"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        check=False,
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (code, b"")


def test_output_that_the_terminal_cannot_show_is_escaped():
    ran = as_process(
        "inspect",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiLDqSJ9.c2lnbmF0dXJl",
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert 'iss  "\\xe9"' in ran.stdout


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"one\r\n\ttwo", ["one\\r", "\\ttwo"]),
        (b"text\x1b[2J\xff\n", ["text\\x1b[2J\N{REPLACEMENT CHARACTER}"]),
    ],
)  # fmt: skip
def test_on_a_terminal_an_answer_cannot_act(body, shown, origin, signed, service):
    service.body = body
    controller, terminal = pty.openpty()
    arguments = ("request", "asap", "GET", origin, *signed)
    ran = subprocess.run(
        [sys.executable, "-m", "asapfn", *arguments],
        stdout=terminal,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(terminal)
    written = os.read(controller, 4096).decode()
    os.close(controller)
    assert ran.returncode == 0
    assert written.splitlines() == shown


def test_off_a_terminal_the_body_is_as_it_was_sent(origin, signed, service):
    service.body = b"\x1b\x00\xff"
    arguments = ("request", "asap", "GET", origin, *signed)
    ran = subprocess.run(
        [sys.executable, "-m", "asapfn", *arguments], capture_output=True, check=False
    )
    assert ran.stdout == b"\x1b\x00\xff"


def test_the_shell_completes_commands_profiles_and_flags():
    for line, expected in (
        ("asapfn ver", ["verify "]),
        ("asapfn verify j", ["jitsi "]),
        ("asapfn keygen --al", ["--algorithm "]),
    ):
        asked = {
            "_ARGCOMPLETE": "1",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_STDOUT_FILENAME": "/dev/stdout",
        }
        ran = subprocess.run(
            [sys.executable, "-m", "asapfn"], env={**os.environ, **asked},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.stdout.split("\n") == expected, ran.stderr
