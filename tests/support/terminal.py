"""A command in a real terminal: a pseudo-terminal that is its controlling one."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

_LAUNCH = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """What is typed into it and what it shows."""

    def __init__(self, process: "subprocess.Popen[bytes]", controller: int) -> None:
        self.process, self.controller, self.raw = process, controller, ""

    @property
    def shown(self) -> str:
        """What it has shown, without colours."""
        return _COLOUR.sub("", self.raw).replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self.controller, text.encode())

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        """Wait until it has shown a text."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if not self._read(0.1) and self.process.poll() is not None:
                raise AssertionError(self.shown)

    def ends(self, seconds: float = 60.0) -> int:
        """The exit code, once all is read."""
        deadline = time.monotonic() + seconds
        while self._read(0.05) or self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown
        return int(self.process.wait())

    def _read(self, seconds: float) -> bool:
        if not select.select([self.controller], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.controller, 65_536)
        except OSError:  # on Linux, that the other end is closed
            return False
        self.raw += data.decode()
        return bool(data)


@contextlib.contextmanager
def terminal(*arguments: object, columns: int = 80, **more: str) -> Iterator[Terminal]:
    """Run the command line in a terminal.

    Args:
        *arguments: Its arguments.
        columns: How wide the terminal is.
        **more: Variables of its environment.
    """
    controller, ours = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-c", _LAUNCH, "-m", "asapfn", *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=ours, stdout=ours, stderr=ours, env=environment | {"TERM": "xterm"} | more
    )
    os.close(ours)
    try:
        yield Terminal(process, controller)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait(10)
        os.close(controller)
