"""The command line: a module for each command, and the modules that they share.

Exit codes say what a script needs to know: 0 accepted, 1 rejected, 2 wrong use, 3 unavailable; 130
interrupted, and 141 if the reader of the output ended before the command did.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn

import anyio

from asapfn import __version__
from asapfn.cli import activate, explain, inspect, keygen, publish, qsh, request, token, verify
from asapfn.cli.options import Options
from asapfn.cli.output import fitted, safe, without_tokens
from asapfn.cli.parsing import Parser, complete, parse
from asapfn.cli.sources import why
from asapfn.errors import Unavailable

_INTERRUPTED: Final = 130  # 128 and the number of SIGINT, as shells have it; so for SIGPIPE
_UNREAD: Final = 141

_COMMANDS = (keygen, publish, activate, token, request, verify, inspect, explain, qsh)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `asapfn`.

    Args:
        arguments: The command line without the program's name; None stands for the process's own.

    Returns:
        The exit code: 0 accepted, 1 rejected, 2 wrong use, 3 unavailable, 130 interrupted, 141 if
        nobody read the output.
    """
    if arguments is None:
        signal.signal(signal.SIGINT, _end)
    _prepare_streams()
    parser = _parser()
    complete(parser)
    options = parse(parser, arguments)
    try:
        return anyio.run(_run, options)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser() -> Parser:
    """The parser of all commands; examples in its help are as wide as the terminal is now."""
    parser = Parser(
        prog="asapfn",
        description="Sign and verify the tokens by which services prove who they are.",
        epilog="exit codes: 0 accepted, 1 rejected, 2 wrong use, 3 unavailable",
    )
    parser.add_argument("--version", action="version", version=f"asapfn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_to(commands)
    return parser


def _end(number: int, frame: object) -> NoReturn:
    """End at once: by KeyboardInterrupt, Python would wait for threads that a DNS query blocks."""
    os._exit(_INTERRUPTED)


def _prepare_streams() -> None:
    """Replace what a shell closed, as by `>&-`; and let what cannot be written be escaped."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(nowhere, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


async def _run(options: Options) -> int:
    """Run a command, and report what goes wrong."""
    code: int = _UNREAD  # until it has done all that it does: `activate` writes before that
    try:
        code = await options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader, such as `head`, has ended. What is left to write goes nowhere, so that Python
        # does not report an error when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    except Unavailable as error:
        return _complain(f"unavailable: {error.source}: {why(error)}", 3)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _complain(f"{name}{error.strerror or error}", 2)
    except ValueError as error:
        return _complain(str(error), 2)


def _complain(message: str, code: int) -> int:
    with suppress(OSError):  # such as of a full disk, where the code still says what is wrong
        sys.stderr.write(fitted(sys.stderr, "", "asapfn: ", safe(without_tokens(message))))
    return code
