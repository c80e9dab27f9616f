import importlib
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from asapfn.cli import main

COMMANDS = (
    "keygen", "publish", "activate", "token", "request", "verify", "inspect", "explain", "qsh",
)  # fmt: skip
OF_A_PROFILE = {
    "token": ("asap", "connect", "forge", "jitsi"),
    "request": ("asap", "connect"),
    "verify": ("asap", "connect", "forge", "jitsi", "oidc"),
    "explain": ("asap", "connect", "forge", "jitsi", "oidc"),
}
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJvcmRlcnMifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "command",
    [(name,) for name in COMMANDS]
    + [(name, profile) for name, profiles in OF_A_PROFILE.items() for profile in profiles],
    ids=" ".join,
)
def test_the_help_of_each_command_shows_an_example_of_it(command, asapfn):
    ran = asapfn(*command, "--help")
    assert ran.code == 0
    assert "example" in ran.out
    assert f"  asapfn {' '.join(command)}" in ran.out
    if command[0] not in OF_A_PROFILE or len(command) == 2:
        assert "--json" in ran.out


def test_the_version_is_the_one_that_is_installed(asapfn):
    assert asapfn("--version").out.startswith("asapfn 0.")


@pytest.mark.parametrize("arguments", [(), ("no-such-command",), ("verify",), ("keygen",)])
def test_wrong_use_is_told_on_standard_error_with_exit_code_2(arguments, asapfn):
    ran = asapfn(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "usage: asapfn" in ran.err


def test_a_token_in_the_wrong_place_is_not_repeated(asapfn):
    for arguments in (
        ("verify", TOKEN),
        ("qsh", "GET", "/", TOKEN),
        ("verify", f"a\x1b[2J{TOKEN}"),
    ):
        ran = asapfn(*arguments)
        assert ran.code == 2
        assert TOKEN[:12] not in ran.err
        assert "\x1b" not in ran.err


SECRET = 'S3cr3t it\'s (choose from "me")'
KEYGEN = ("keygen", "--issuer", "a")
VERIFY = ("verify", "asap", "x", "--audience", "a")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*KEYGEN, "--isuer", SECRET), "unrecognized arguments: --isuer, 1 value"),
        ((*KEYGEN, f"--isuer={SECRET}"), "unrecognized arguments: --isuer"),
        ((*KEYGEN, SECRET), "unrecognized arguments: 1 value"),
        ((*KEYGEN, SECRET, SECRET), "unrecognized arguments: 2 values"),
        ((*KEYGEN, f"-p{SECRET}"), "unrecognized arguments: 1 value"),
        ((*KEYGEN, "-p", SECRET), "unrecognized arguments: -p, 1 value"),
        ((*KEYGEN, f"--{SECRET}"), "unrecognized arguments: 1 value"),
        ((*KEYGEN, f"--{'s' * 40}"), "unrecognized arguments: 1 value"),
        ((*KEYGEN, f"--json={SECRET}"), "argument --json: ignored explicit argument"),
        ((f"--version={SECRET}",), "argument --version: ignored explicit argument"),
        ((*KEYGEN, "--format", SECRET), "argument --format: invalid choice (choose from"),
        ((*KEYGEN, f"--format={SECRET}"), "argument --format: invalid choice (choose from"),
        ((*VERIFY, "--tokne", SECRET), "unrecognized arguments: --tokne, 1 value"),
        ((*VERIFY, "--leeway", SECRET), "argument --leeway: expected seconds, such as 120\n"),
        (
            ("token", "asap", "--lifetime", SECRET),
            "argument --lifetime: expected seconds, such as 120\n",
        ),
        ((SECRET,), "argument COMMAND: invalid choice (choose from"),
        (("--tokne", SECRET), "argument COMMAND: invalid choice (choose from"),
        (("verify", SECRET), "argument PROFILE: invalid choice (choose from"),
        (("verify", "--tokne", SECRET, "asap"), "argument PROFILE: invalid choice (choose from"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(arguments, said, asapfn):
    ran = asapfn(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "S3cr3t" not in ran.err
    assert "s" * 40 not in ran.err


@pytest.mark.parametrize("quote", ['"', "'", '\\"'])
@pytest.mark.parametrize("space", ["", " ", "\n\t"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "asap", "a.b.c", "--audience", "a", "--jwks"),
        ("verify", "asap", "a.b.c", "--audience", "a", "--key-directory"),
        ("verify", "asap", "a.b.c", "--audience", "a", "--jwks", "https://x/", "--cacert"),
        ("token", "asap", "--issuer", "a", "--audience", "b", "--key-directory"),
        ("activate", "a/b.pem", "--now", "--directory"),
        ("publish",),
    ],
)
def test_of_a_jwk_in_the_place_of_a_path_no_secret_part_is_repeated(
    arguments, space, quote, asapfn
):
    members = {"kty": "RSA", "n": "modulus", "kid": "a/b.pem", "use": "sig", "crv": "P-256"}
    members |= dict.fromkeys(("d", "p", "q", "dp", "dq", "qi", "k", "r", "t"), "S3cr3t-_==")
    pairs = (
        f"{quote}{name}{quote}:{space}{quote}{value}{quote}" for name, value in members.items()
    )
    more = ("--to", "www") if arguments == ("publish",) else ()
    ran = asapfn(*arguments, f"{{{', '.join(pairs)}}}", *more)
    assert (ran.code, ran.out) == (2, "")
    assert "modulus" in ran.err
    assert "3cr3t" not in ran.err


@pytest.mark.parametrize(
    "jwk",
    ["{kty:oct,k:S3cr3t-_,kid:modulus}", "{kty: RSA, n: modulus, d: S3cr3t-_}",
     "{n:modulus,oth:[{r:S3cr3t-_}],dp:S3cr3t-_, qi :S3cr3t-_}"],
)  # fmt: skip
def test_of_a_jwk_without_its_quotes_no_secret_part_is_repeated(jwk, asapfn):
    """A shell removes the quotes of one that was put into quotes."""
    ran = asapfn("verify", "asap", "a.b.c", "--audience", "a", "--jwks", jwk)
    assert (ran.code, ran.out) == (2, "")
    assert "modulus" in ran.err
    assert "3cr3t" not in ran.err


def test_a_long_word_in_a_message_takes_time_by_its_length_alone(asapfn):
    """A path of 130,000 letters took 26 s, by the square of their number."""
    began = time.monotonic()
    assert asapfn("publish", "a" * 130_000, "--to", "www").code == 2
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("verify asap a.b.c", 2),
        ("verify asap --no-such-flag", 2),
        ("request connect GET https://127.0.0.1:1/ --issuer a --secret-from env:HUSH", 3),
    ],
)
@pytest.mark.parametrize("stream", ["a closed pipe", "/dev/full"])
def test_the_exit_code_is_the_same_where_no_message_can_be_written(arguments, code, stream):
    if stream == "/dev/full":
        writing = os.open(stream, os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "HUSH": "s" * 40}
    command = [sys.executable, "-m", "asapfn", *arguments.split()]
    ran = subprocess.run(command, stderr=writing, stdout=subprocess.PIPE, check=False, env=environ)
    os.close(writing)
    assert (ran.returncode, ran.stdout) == (code, b"")


def test_what_a_file_cannot_do_is_wrong_use_and_names_the_file(asapfn, tmp_path):
    ran = asapfn("inspect", f"@{tmp_path}/none")
    assert (ran.code, ran.err) == (2, f"asapfn: {tmp_path}/none: No such file or directory\n")


def test_an_error_of_the_system_that_names_no_file_is_wrong_use(monkeypatch, capsys):
    def failing(*arguments, **more):
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr("asapfn.cli.qsh.run", failing)
    assert main(["qsh", "GET", "/"]) == 2
    assert capsys.readouterr() == ("", "asapfn: No such file or directory\n")


def test_an_interrupt_ends_quietly(monkeypatch, capsys):
    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("anyio.run", interrupted)
    assert main(["qsh", "GET", "/"]) == 130
    assert capsys.readouterr() == ("", "")


def test_it_runs_in_a_thread_too_where_no_signal_is_handled():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["qsh", "get", "/"])))
    thread.start()
    thread.join(60)
    assert codes == [0]


def test_it_also_writes_to_what_is_no_file(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    assert main(["qsh", "get", "/"]) == 0
    assert "GET&/&" in written.getvalue()


def test_the_module_that_python_runs_does_nothing_when_it_is_imported(capsys):
    assert importlib.import_module("asapfn.__main__").main is main
    assert capsys.readouterr() == ("", "")
