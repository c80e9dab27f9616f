"""Every server that we can run, each with the echo of `targets_service`, and nginx before them.

All listen on Unix sockets in one folder: `NAME.sock`, and behind nginx `nginx-NAME.sock`.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ASGI_APPS = ("starlette", "fastapi", "litestar", "django")
WSGI_APPS = ("flask", "django")

_UVICORN = ("-m", "uvicorn", "--factory", "targets_service:asgi", "--log-level=critical")
_HYPERCORN = ("-m", "hypercorn", "targets_service:asgi()", "--bind=unix:{socket}")
_GUNICORN = (
    "-m",
    "gunicorn",
    "--bind=unix:{socket}",
    "--no-control-socket",
    "--log-level=critical",
)
_UWSGI = "--http-socket={socket} --socket={socket}.uwsgi --module=targets_service:wsgi()"

COMMANDS: dict[str, Sequence[str]] = {
    "uvicorn-h11": (*_UVICORN, "--http=h11", "--ws=websockets", "--uds={socket}"),
    "uvicorn-httptools": (*_UVICORN, "--http=httptools", "--ws=wsproto", "--uds={socket}"),
    "hypercorn-asyncio": (*_HYPERCORN, "--worker-class=asyncio"),
    "hypercorn-trio": (*_HYPERCORN, "--worker-class=trio"),
    "daphne": ("-m", "daphne", "-v0", "-u", "{socket}", "targets_asgi:application"),
    "granian": (
        *("-m", "granian", "--interface=asgi", "--no-log", "--uds={socket}"),
        *("--factory", "targets_service:asgi"),
    ),
    "gunicorn-sync": (*_GUNICORN, "targets_service:wsgi()"),
    "gunicorn-gthread": (*_GUNICORN, "--threads=2", "targets_service:wsgi()"),
    "gunicorn-asgi": (*_GUNICORN, "--worker-class=asgi", "targets_service:asgi()"),
    "gunicorn-uvicorn": (
        *(*_GUNICORN, "--worker-class=uvicorn.workers.UvicornWorker"),
        "targets_service:asgi()",
    ),
    "uwsgi": ("uwsgi", *_UWSGI.split(), "--enable-threads", "--die-on-term", "--disable-logging"),
    "waitress": ("targets_service.py", "waitress", "{socket}"),
    "cheroot": ("targets_service.py", "cheroot", "{socket}"),
    "aiohttp": ("targets_service.py", "aiohttp", "{socket}"),
}
_WSGI = ("gunicorn-sync", "gunicorn-gthread", "uwsgi", "waitress", "cheroot")
_ON_TRIO = ("starlette", "fastapi", "litestar")


def applications(server: str) -> tuple[str, ...]:
    """The applications that a server has."""
    if server == "aiohttp":
        return ("aiohttp",)
    if server == "hypercorn-trio":
        return _ON_TRIO
    return WSGI_APPS if server in _WSGI else ASGI_APPS


@contextlib.contextmanager
def serving(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Run servers, and nginx before them.

    Args:
        folder: Where their sockets and logs are; its path is short.
        names: Which of them.
    """
    commands = {name: _filled(COMMANDS[name], folder / f"{name}.sock") for name in names}
    sockets = [folder / f"{name}.sock" for name in names]
    commands["nginx"] = _nginx(folder, names)
    sockets += [folder / f"nginx-{name}.sock" for name in names]
    with all_running(folder, commands, sockets):
        yield


@contextlib.contextmanager
def serving_each(folder: Path, commands: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Run Python's servers by commands of the caller's, each at `NAME.sock` in the folder."""
    filled = {name: _filled(command, folder / f"{name}.sock") for name, command in commands.items()}
    with all_running(folder, filled, [folder / f"{name}.sock" for name in commands]):
        yield


@contextlib.contextmanager
def all_running(
    folder: Path, commands: Mapping[str, list[str]], sockets: Sequence[Path]
) -> Iterator[None]:
    """Run commands until all their sockets listen, and end them."""
    with contextlib.ExitStack() as stack:
        running = {
            name: stack.enter_context(_running(command, folder, folder / f"{name}.log"))
            for name, command in commands.items()
        }
        deadline = time.monotonic() + 60
        while not all(map(_listens, sockets)):
            for name, process in running.items():
                assert process.poll() is None, (name, (folder / f"{name}.log").read_text())
            assert time.monotonic() < deadline, [
                str(path) for path in sockets if not _listens(path)
            ]
            time.sleep(0.05)
        yield
        # All at once: each is then waited for.
        for process in running.values():
            process.terminate()


def _filled(command: Sequence[str], path: Path) -> list[str]:
    program = [] if command[0] == "uwsgi" else [sys.executable]
    if command[0] == "uwsgi":
        program = [str(Path(sys.executable).with_name("uwsgi"))]
        command = command[1:]
    return [*program, *[part.format(socket=path) for part in command]]


def _nginx(folder: Path, names: Sequence[str]) -> list[str]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed")
    passes = {name: f"proxy_pass http://unix:{folder}/{name}.sock;" for name in names}
    passes = {
        name: f"""
        server {{
            listen unix:{folder}/nginx-{name}.sock;
            location / {{
                {how}
                proxy_http_version 1.1;
                proxy_set_header Host $host;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $http_connection;
            }}
        }}"""
        for name, how in passes.items()
    }
    if "uwsgi" in names:
        # By uWSGI's own protocol, in which nginx says path and query.
        passes["uwsgi"] += f"""
        server {{
            listen unix:{folder}/nginx-uwsgi-protocol.sock;
            location / {{
                include /etc/nginx/uwsgi_params;
                uwsgi_pass unix:{folder}/uwsgi.sock.uwsgi;
            }}
        }}"""
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log crit;
        events {{ }}
        http {{
            access_log off;
            client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
            fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
            {"".join(passes.values())}
        }}
        """
    )
    return [program, "-p", str(folder), "-e", f"{folder}/nginx.log", "-c", f"{folder}/nginx.conf"]


@contextlib.contextmanager
def _running(command: list[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parents[1]}"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=HERE,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            # Workers too, should they hang.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(OSError):
        peer.connect(str(path))
        return True
    return False
