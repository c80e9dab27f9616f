import os
import pty
import subprocess
import sys

import pytest

from asapfn.cli import main
from asapfn.cli.style import painter

REFUSED = {
    "expired": "expired",
    "for another audience": "wrong_audience",
    "tampered with": "bad_signature",
    "signed with mallory's key": "key_not_owned",
    "unsigned": "unsupported_algorithm",
    "used before": "replayed",
    "no token": "missing_token",
}


def test_the_demo_accepts_the_good_token_and_refuses_each_other_for_its_reason(capsys):
    assert main(["demo"]) == 0
    shown = capsys.readouterr().out
    assert "200 Hello, orders." in shown
    assert "GET https://keys.example/orders/2026-11.pem" in shown
    for what, reason in REFUSED.items():
        (line,) = [line for line in shown.splitlines() if line.strip().startswith(what)]
        assert line.split("401")[1].split()[0] == reason
    assert "\x1b[" not in shown


def test_the_module_runs_as_a_program_and_shows_its_help():
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "asapfn", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "demo" in ran.stdout
    assert ran.stderr == ""


def test_no_command_is_wrong_use(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_a_terminal_gets_colour_unless_no_color_is_set():
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        assert painter(stream, {})("red", "no") == "\x1b[31mno\x1b[0m"
        assert painter(stream, {"NO_COLOR": "1"})("red", "no") == "no"
    os.close(controller)
    with open(os.devnull, "w") as stream:
        assert painter(stream, {})("red", "no") == "no"
