"""By keyboard, in a real terminal: prompts, Ctrl-C, and output of its width."""

import array
import fcntl
import itertools
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from asapfn import asap, peek
from asapfn.keys import export_private_pem, export_public_pem
from tests.support.keyring import key_for
from tests.support.servers import authority, raw_server
from tests.support.terminal import terminal

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the tenant's, long enough"


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "public" / "issuer"
    folder.mkdir(parents=True)
    (folder / "RS256.pem").write_text(export_public_pem(key_for("RS256")))
    return tmp_path / "public"


def token(audience="billing"):
    return asap.signer("issuer", key_for("RS256"))(audience)


def verify(keys, *more):
    return ("verify", "asap", *more, "--audience", "billing", "--key-directory", keys)


@pytest.mark.parametrize(
    ("arguments", "prompt"),
    [
        (("verify", "asap", "-", "--audience", "a", "--key-directory", "/"), "token"),
        (("inspect", "-"), "token"),
        (("token", "connect", "GET", "/", "--issuer", "a", "--secret-from", "-"), "secret"),
        (("token", "asap", "--issuer", "a", "--audience", "b", "--key-from", "-"), "private key"),
    ],
    ids=["verify", "inspect", "secret", "key"],
)
def test_ctrl_c_at_a_prompt_ends_at_once(arguments, prompt):
    with terminal(*arguments) as screen:
        screen.wait_for(f"{prompt} (not shown): ")
        screen.type("\x03")
        assert screen.ends(10) == 130
    assert "Traceback" not in screen.shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "asap", "-", "--audience", "a", "--key-directory", "/"),
        ("inspect", "-"),
        ("qsh", "POST", "/", "--form-from", "-"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_interrupt_while_a_pipe_is_read_ends_at_once(arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "asapfn", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        process.stdin.write(b"begun")
        process.stdin.flush()
        left = array.array("i", [1])
        deadline = time.monotonic() + 60
        while left[0]:  # until the program reads
            assert time.monotonic() < deadline
            fcntl.ioctl(process.stdin, termios.FIONREAD, left)
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait(10)
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def test_ctrl_c_while_a_repository_is_waited_for_ends_at_once(tmp_path):
    asked = threading.Event()

    def hang(peer, request, stopping):
        asked.set()
        stopping.wait(120)

    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    # A fetch has five seconds. Here it has more than the busiest machine needs for Ctrl-C.
    (tmp_path / "sitecustomize.py").write_text(
        "from asapfn.adapters import httpx\nhttpx.fetcher.__kwdefaults__['timeout'] = 600.0\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    with (
        raw_server(hang) as url,
        terminal("verify", "asap", token(), "--audience", "billing", "--repository", url,
                 "--cacert", tmp_path / "ca.pem", PYTHONPATH=path) as screen,
    ):  # fmt: skip
        assert asked.wait(60)
        screen.type("\x03")
        assert screen.ends(60) == 130
    assert "Traceback" not in screen.shown


def test_a_token_is_asked_for_and_not_shown(keys):
    given = token()
    with terminal(*verify(keys)) as screen:
        screen.wait_for("token (not shown): ")
        screen.type(f"{given}\n")
        assert screen.ends() == 0
    assert "accepted" in screen.shown
    assert given not in screen.shown


def test_a_secret_is_asked_for_and_not_shown():
    with terminal("token", "connect", "GET", "/x", "--issuer", "a", "--secret-from", "-") as screen:
        screen.wait_for("secret (not shown): ")
        time.sleep(0.5)  # a person types later than the prompt is shown
        screen.type(f"{SECRET}\n")
        assert screen.ends() == 0
    assert SECRET not in screen.shown
    assert peek(screen.shown.split()[-1]).claims["iss"] == "a"


def test_a_private_key_of_several_lines_is_asked_for_and_not_shown():
    pem = export_private_pem(key_for("ES256"))
    with terminal("token", "asap", "--issuer", "i", "--audience", "a", "--key-from", "-",
                  "--kid", "i/k.pem") as screen:  # fmt: skip
        screen.wait_for("private key (not shown): ")
        screen.type(pem)
        assert screen.ends() == 0
    assert pem.splitlines()[1] not in screen.shown
    assert peek(screen.shown.split()[-1]).header["kid"] == "i/k.pem"


def test_a_password_is_asked_for_where_a_key_is_encrypted(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text(export_private_pem(key_for("ES256"), SECRET))
    with terminal("token", "asap", "--issuer", "i", "--audience", "a", "--key-from", path,
                  "--kid", "i/k.pem") as screen:  # fmt: skip
        screen.wait_for("password (not shown): ")
        screen.type(f"{SECRET}\n")
        assert screen.ends() == 0
    assert SECRET not in screen.shown


def test_ctrl_d_at_a_prompt_is_wrong_use():
    with terminal("inspect", "-") as screen:
        screen.wait_for("token (not shown): ")
        screen.type("\x04")
        assert screen.ends() == 2
    assert "the token is empty" in screen.shown


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("command", ["explain", "verify", "inspect"])
@pytest.mark.parametrize("audience", ["billing", "Billing"])
def test_output_fits_the_terminal(command, columns, audience, keys, tmp_path):
    (tmp_path / "token").write_text(token(audience))
    arguments = ("inspect", f"@{tmp_path}/token")
    if command != "inspect":
        arguments = (command, *verify(keys, f"@{tmp_path}/token")[1:])
    with terminal(*arguments, columns=columns) as screen:
        assert screen.ends() == int(audience == "Billing" and command != "inspect")
    long = [line for line in screen.shown.splitlines() if len(line) > columns]
    # A value without spaces is left whole, so that it can be copied.
    assert [line for line in long if len(line.rpartition(" ")[0]) > 10] == []


@pytest.mark.parametrize("command", ["", "verify", "verify asap", "keygen", "request connect"])
def test_help_fits_the_terminal(command):
    with terminal(*command.split(), "--help", columns=40) as screen:
        assert screen.ends() == 0
    text = screen.shown.partition("\n\n")[2]  # behind the usage
    # A word that is longer than a line is left whole, as a URL is.
    long = [line for line in text.splitlines() if len(line) > 40]
    assert [line for line in long if " " in line.strip().removesuffix(" \\")] == []


def test_an_example_of_the_help_is_one_command_where_it_has_several_lines():
    with terminal("verify", "connect", "--help", columns=40) as screen:
        assert screen.ends() == 0
    example = screen.shown.partition("\nexample:\n")[2].strip()
    assert example.count(" \\\n") > 1
    words = example.replace("asapfn", "printf '%s\n'", 1)
    shown = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == [
        *("verify", "connect", "--method", "GET", "--url", "https://app.example/issue?id=7"),
        *("--secret-from", "secret.txt", "@token.txt"),
    ]


def test_what_is_done_with_a_key_fits_the_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for arguments, code in (
        (("keygen", "--issuer", "i", "--name", "1.pem"), 0),
        (("activate", "i/1.pem", "--repository", "https://[::1]:1"), 3),
        (("publish", "keys/public", "--check", "https://[::1]:1"), 3),
    ):
        with terminal(*arguments, columns=40) as screen:
            assert screen.ends() == code
        long = [line for line in screen.shown.splitlines() if len(line) > 40]
        assert [line for line in long if " " in line.strip()] == []
        if code == 0:  # what is next can be copied, for a shell reads it as one command
            assert "next     asapfn publish \\\n             keys/public --to DIR\n" in screen.shown


def test_explain_shows_the_verdict_first_and_folds_what_was_skipped(keys, tmp_path):
    (tmp_path / "token").write_text(token("Billing"))
    with terminal("explain", *verify(keys, f"@{tmp_path}/token")[1:]) as screen:
        assert screen.ends() == 1
    lines = screen.shown.splitlines()
    assert lines[0].startswith("rejected  wrong_audience (aud).")
    skipped = [line for line in lines if line.startswith("  skip")]
    assert skipped
    pairs = itertools.pairwise(lines)
    assert not any(a.startswith("  skip") and b.startswith("  skip") for a, b in pairs)
    assert screen.raw.startswith("\x1b[31mrejected\x1b[0m")


def test_a_complaint_fits_the_terminal(keys):
    for arguments in (("verfy",), verify(keys, "-", "--repository", "https://keys.example/")):
        with terminal(*arguments, columns=40) as screen:
            if "-" in arguments:
                screen.wait_for("token (not shown): ")
                screen.type("x\n")
            assert screen.ends() == 2
        assert max(map(len, screen.shown.splitlines())) <= 40
