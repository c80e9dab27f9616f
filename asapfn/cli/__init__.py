"""The command line: one module a command, and what they share.

Exit codes say what a script needs to know: 0 accepted, 1 rejected, 2 wrong use, 3 unavailable.
"""

import argparse
import io
import os
import sys
from collections.abc import Awaitable, Sequence

import anyio

from asapfn import __version__
from asapfn.cli import activate, explain, inspect, keygen, publish, qsh, request, token, verify
from asapfn.cli.output import fitted, safe, without_tokens
from asapfn.cli.parsing import Parser, complete, parse
from asapfn.cli.sources import why
from asapfn.errors import Unavailable

_COMMANDS = (keygen, publish, activate, token, request, verify, inspect, explain, qsh)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `asapfn`.

    Args:
        arguments: The command line without the program's name; None stands for the process's own.

    Returns:
        The exit code: 0 accepted, 1 rejected, 2 wrong use, 3 unavailable.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = Parser(
        prog="asapfn",
        description="Tokens by which services prove to each other who they are.",
        epilog="exit codes: 0 accepted, 1 rejected, 2 wrong use, 3 unavailable",
    )
    parser.add_argument("--version", action="version", version=f"asapfn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_to(commands)
    complete(parser)
    options = parse(parser, arguments)
    try:
        return anyio.run(_run, options)
    except KeyboardInterrupt:
        return 130


async def _run(options: argparse.Namespace) -> int:
    """Run a command, of which some are async, and report what goes wrong."""
    try:
        outcome: int | Awaitable[int] = options.run(options)
        code = outcome if isinstance(outcome, int) else await outcome
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Who reads has seen enough, as `head` does. What is left to write goes nowhere, so that
        # Python does not complain of it when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Unavailable as error:
        return _complain(f"unavailable: {error.source}: {why(error)}", 3)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _complain(f"{name}{error.strerror or error}", 2)
    except ValueError as error:
        return _complain(str(error), 2)


def _complain(message: str, code: int) -> int:
    sys.stderr.write(fitted(sys.stderr, "", "asapfn: ", safe(without_tokens(message))))
    return code
