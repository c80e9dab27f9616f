"""Servers in processes of their own, on a socket that listens before they start."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.servers import authority, trusting

ROOT = Path(__file__).parents[2]


def trusted(folder: Path) -> dict[str, str]:
    """What a process has in its environment so that its clients trust the tests' authority."""
    authority().cert_pem.write_to_path(str(folder / "authority.pem"))
    return {name: str(folder / "authority.pem") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")}


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    within: Path,
    folder: Path,
    environment: Mapping[str, str],
    patience: float = 10,
) -> Iterator[str]:
    """Run a server, and stop it and its workers.

    Args:
        command: What comes after `python`, `{fd}` and `{certificate}` in it to be filled in: the
            listening socket, and a file of a private key and its certificate.
        within: Where it runs.
        folder: Where its certificate and its log, `log.txt`, are kept.
        environment: Added to that of the tests.
        patience: Seconds to wait for it to end.

    Yields:
        Its origin, once it answers there.
    """
    certificate = folder / "certificate.pem"
    issued = authority().issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        open(folder / "log.txt", "w") as log,
    ):
        fd = listener.fileno()
        arguments = [part.format(fd=fd, certificate=certificate) for part in command]
        with subprocess.Popen(
            [sys.executable, *arguments],
            cwd=within,
            env={**os.environ, "PYTHONPATH": str(ROOT), **trusted(folder), **environment},
            pass_fds=[fd],
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as process:
            try:
                port = listener.getsockname()[1]
                log_so_far = (folder / "log.txt").read_text
                for _ in range(60):
                    if _answers(port):
                        break
                    assert process.poll() is None, log_so_far()
                yield f"https://localhost:{port}"
                assert process.poll() is None, log_so_far()
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
                # Workers too, should they hang.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def announcing(
    command: Sequence[str], *, within: Path, folder: Path, environment: Mapping[str, str]
) -> Iterator[str]:
    """Run a server that binds a port of its own, and prints it after the word `port`.

    Args:
        command: What comes after `python`, `{certificate}` in it to be filled in.
        within: Where it runs.
        folder: Where its certificate and its errors, `log.txt`, are kept.
        environment: Added to that of the tests.

    Yields:
        Its host and port.
    """
    certificate = folder / "certificate.pem"
    issued = authority().issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with (
        open(folder / "log.txt", "w") as log,
        subprocess.Popen(
            [sys.executable, *(part.format(certificate=certificate) for part in command)],
            cwd=within,
            env={**os.environ, "PYTHONPATH": str(ROOT), **trusted(folder), **environment},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            word, _, port = process.stdout.readline().partition(" ")
            assert word == "port", (folder / "log.txt").read_text()
            yield f"localhost:{int(port)}"
            assert process.poll() is None, (folder / "log.txt").read_text()
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def _answers(port: int) -> bool:
    # Who comes before the server waits in the socket's backlog.
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=1) as plain,
        trusting().wrap_socket(plain, server_hostname="localhost"),
    ):
        return True
    return False
