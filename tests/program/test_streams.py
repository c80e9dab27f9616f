"""Standard streams that are closed, variables that are wrong, and Ctrl-C where something hangs."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from asapfn import asap
from asapfn.cli import main
from asapfn.cli.output import painted
from asapfn.keys import export_public_pem
from tests.support.keyring import key_for
from tests.support.terminal import terminal


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys" / "public" / "issuer"
    folder.mkdir(parents=True)
    (folder / "RS256.pem").write_text(export_public_pem(key_for("RS256")))
    return tmp_path / "keys" / "public"


def token(audience="billing"):
    return asap.signer("issuer", key_for("RS256"))(audience)


@pytest.mark.parametrize(
    ("closed", "arguments", "code", "err"),
    [
        ("<&-", ("inspect",), 2, "asapfn: give the token: itself, - for standard input, or @FILE"),
        ("<&-", ("inspect", "-"), 2, "asapfn: there is no token: it is empty"),
        (">&-", ("qsh", "GET", "/"), 0, ""),
        ("2>&-", ("inspect",), 2, ""),
        ("<&- >&- 2>&-", ("verify", "asap", "x", "--audience", "a", "--key-directory", "."), 1, ""),
    ],
)
def test_a_closed_stream_is_empty_or_leads_nowhere(closed, arguments, code, err):
    command = f'exec "$@" {closed}'
    ran = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-W", "error", "-m", "asapfn", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr.strip()) == (code, err)


def test_ctrl_c_while_a_file_of_a_key_hangs_ends_at_once(tmp_path):
    folder = tmp_path / "keys" / "issuer"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "RS256.pem")
    arguments = ("verify", "asap", token(), "--audience", "billing", "--key-directory",
                 tmp_path / "keys")  # fmt: skip
    with terminal(*arguments) as screen:
        deadline, writer = time.monotonic() + 60, None
        while writer is None:  # it can be opened once the program reads, which has no end
            assert time.monotonic() < deadline
            time.sleep(0.02)
            with contextlib.suppress(OSError):
                writer = os.open(folder / "RS256.pem", os.O_WRONLY | os.O_NONBLOCK)
        screen.type("\x03")
        assert screen.ends(20) == 130
        os.close(writer)
    assert "Traceback" not in screen.shown


def test_an_interrupt_ends_the_process_at_once_where_it_is_the_programs_own(monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(sys, "argv", ["asapfn", "qsh", "GET", "/"])
    before = signal.getsignal(signal.SIGINT)
    try:
        assert main() == 0
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == [130]
    assert "GET&/&" in capsys.readouterr().out


def test_streams_that_are_closed_are_replaced(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert (main(["qsh", "GET", "/"]), main(["inspect", "-"])) == (0, 2)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        number = stream.fileno()
        stream.close()
        os.close(number)


PASSWORD = "geh/eim"  # the slash makes httpx take a part of it for the port


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        pytest.param(
            "SSL_CERT_FILE",
            "/none",
            "SSL_CERT_FILE or SSL_CERT_DIR: FileNotFoundError: No such",
            marks=pytest.mark.skipif(httpx.__version__ < "0.28", reason="httpx 0.27 ignores it"),
        ),
        ("SSL_CERT_FILE", __file__, "SSL_CERT_FILE or SSL_CERT_DIR: SSLError: no certificate"),
        ("HTTPS_PROXY", f"http://u:{PASSWORD}@proxy:1", "_PROXY is not a proxy's URL: InvalidURL"),
        ("HTTPS_PROXY", "htp://u:geheim@proxy:1", "_PROXY is not a proxy's URL: ValueError"),
        ("HTTPS_PROXY", "socks5://u:geheim@proxy:1", "'socksio' package is not installed"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_without_its_value(
    variable, value, said, asapfn, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("ASAPFN_SECRET", "s" * 40)
    url = "https://localhost:1/"
    asked = asapfn("verify", "asap", token(), "--audience", "billing", "--repository", url)
    assert (asked.code, said in asked.out) == (3, True)
    sent = asapfn("request", "connect", url, "--issuer", "a")
    assert (sent.code, said in sent.err) == (2, True)
    for ran in (asked, sent):
        assert "geh" not in ran.out + ran.err


def test_the_folder_of_one_issuer_is_not_the_key_directory(keys, asapfn, monkeypatch):
    monkeypatch.chdir(keys.parent.parent)
    verify = ("verify", "asap", token(), "--audience", "billing", "--key-directory")
    for given, right in (("keys/public/issuer", "keys/public"), (keys / "issuer", keys)):
        ran = asapfn(*verify, given)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == f"asapfn: --key-directory {given}: give DIR without the issuer: {right}\n"
    assert asapfn(*verify, keys).code == 0


def test_a_line_that_the_terminal_cuts_off_is_no_token():
    long = asap.signer("issuer", key_for("RS256"), additional={"x": "y" * 5000})("billing")
    with terminal("inspect", "-") as screen:
        screen.wait_for("token (not shown): ")
        screen.type(f"{long}\n")
        assert screen.ends() == 2
    assert "a terminal cuts off a line here: give the token in a file" in screen.shown


def test_a_dumb_terminal_is_sent_no_colour(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    assert painted("red", "rejected", screen, {"TERM": "dumb"}) == "rejected"
    assert painted("red", "rejected", screen, {"TERM": "xterm"}) == "\x1b[31mrejected\x1b[0m"
