"""A key repository as the README says to serve it: its snippet for nginx, over TLS."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import authority

README = Path(__file__).parents[2] / "asapfn" / "asap" / "README.md"


def snippet(language: str) -> str:
    """The README's one block in a language."""
    (block,) = re.findall(
        rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL
    )
    return str(block)


@contextlib.contextmanager
def nginx(root: Path, folder: Path, config: str | None = None) -> Iterator[str]:
    """Serve a directory by nginx.

    Args:
        root: The directory.
        folder: Where its configuration, certificate and log are.
        config: Its server block; by default the README's.

    Yields:
        Its origin.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    certificate = authority().issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "server.key"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = snippet("nginx") if config is None else config
    for ours, here in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/keys.example.pem": f"{folder}/server.pem",
        "/etc/ssl/keys.example.key": f"{folder}/server.key",
        "/var/www/keys": str(root),
    }.items():
        assert ours in server
        server = server.replace(ours, here)
    temporary = " ".join(
        f"{what}_temp_path {folder}/t;"
        for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"user {os.environ.get('USER', 'root')}; daemon off; master_process off;"
        f" pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{ }}"
        " http { include /etc/nginx/mime.types; access_log off;"
        f" {temporary} {server} }}"
    )
    command = [program, "-p", str(folder), "-e", f"{folder}/nginx.log",
               "-c", f"{folder}/nginx.conf"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(process, port, folder / "nginx.log")
            yield f"https://localhost:{port}/"
        finally:
            process.terminate()


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, log.read_text() if log.exists() else "nginx did not start"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline, "nginx does not listen"
        time.sleep(0.02)
