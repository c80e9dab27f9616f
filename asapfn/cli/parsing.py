"""What the parsers of all commands share: how they show help, and what they keep to themselves."""

import argparse
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn

from asapfn.cli.text import safe, without_tokens

# What `add_subparsers` gives, to which a command adds itself.
Commands = Any
Run = Callable[[argparse.Namespace], int | Awaitable[int]]


# The messages of argparse that quote a value, which may be a secret behind a mistyped flag.
_CHOICE: Final = re.compile(r"(argument [^:]*: invalid choice): .*( \(choose from .*)", re.DOTALL)
_VALUE: Final = re.compile(
    r"(argument [^:]*: (?:invalid \S+ value|ignored explicit argument)):? .*", re.DOTALL
)
_FLAG: Final = re.compile(r"-[a-z]|--[a-z]+(-[a-z]+)*")
_LONGEST_FLAG: Final = 30


class Parser(argparse.ArgumentParser):
    """A parser whose messages repeat no value and no control character of what was typed."""

    def error(self, message: str) -> NoReturn:
        """Report wrong use, and exit with 2."""
        for quotes, without in ((_CHOICE, r"\1\2"), (_VALUE, r"\1")):
            message = quotes.sub(without, message)
        super().error(safe(without_tokens(message)))


def parse(parser: Parser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line; of arguments that are unknown only the flags' names are repeated."""
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parts = [each.partition("=")[0] for each in unknown]
        flags = [p for p in parts if len(p) <= _LONGEST_FLAG and _FLAG.fullmatch(p)]
        values = len(unknown) - len(flags)
        counted = [f"{values} value{'s' * (values > 1)}"] if values else []
        parser.error(f"unrecognized arguments: {', '.join([*flags, *counted])}")
    return options


def add_command(
    commands: Commands,
    name: str,
    summary: str,
    description: str,
    examples: Sequence[str],
    run: Run | None,
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: What it is added to.
        name: Its name.
        summary: A few words for the list of commands.
        description: What it does.
        examples: Command lines that show how it is used.
        run: Runs it and gives the exit code, perhaps async; None for one that has commands of its
            own.

    Returns:
        Its parser.
    """
    shown = "\n".join(f"  {line}" for line in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"example{'s' * (len(examples) > 1)}:\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if run is not None:
        parser.set_defaults(run=run)
        parser.add_argument("--json", action="store_true", help="answer in JSON, for machines")
    return parser


def add_group(
    commands: Commands, name: str, summary: str, description: str, examples: Sequence[str]
) -> Commands:
    """Add a command that has commands of its own, one a profile.

    Args:
        commands: What it is added to.
        name: Its name.
        summary: A few words for the list of commands.
        description: What it does.
        examples: Command lines that show how it is used.

    Returns:
        What its commands are added to.
    """
    parser = add_command(commands, name, summary, description, examples, None)
    return parser.add_subparsers(title="profiles", metavar="PROFILE", dest="profile", required=True)
