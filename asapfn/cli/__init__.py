"""The command line: one function a command, and what they share."""

import argparse
from collections.abc import Sequence

import anyio

from asapfn.cli import demo


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `asapfn`.

    Args:
        arguments: The command line without the program's name; None takes the process's own.

    Returns:
        The exit code: 0 accepted, 1 rejected, 2 wrong use, 3 unavailable.
    """
    parser = argparse.ArgumentParser(
        prog="asapfn", description="Tokens by which services prove to each other who they are."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = commands.add_parser(
        "demo",
        help="show two services at work, in this process",
        description="Two services in one process: one publishes a key and signs, the other fetches"
        " the key over HTTP and verifies. Then what is refused, and why. Nothing is sent out.",
        epilog="example: asapfn demo",
    )
    command.set_defaults(run=demo.run)
    chosen = parser.parse_args(arguments)
    code: int = anyio.run(chosen.run)
    return code
