"""What commands are made of: their options, and those for each profile."""

import argparse
import re
import shutil
import textwrap
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from asapfn.cli.output import continued

# What was given on a command line.
Options = argparse.Namespace
# A command, or a group of its options, to which options are added.
Arguments = argparse._ActionsContainer
# What `add_subparsers` gives, to which a command adds itself.
Commands = Any
Run = Callable[[Options], Awaitable[int]]

_TIME: Final = re.compile(r"[0-9.]{1,6} ?(ms|s|sec|m|min|h|d)")
_WIDEST_HELP: Final = 100


def add_command(
    commands: Commands, name: str, summary: str, description: str, run: Run | None, *examples: str
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: What it is added to.
        name: Its name.
        summary: A few words for the list of commands.
        description: What it does.
        run: Runs it and gives the exit code; None for one that has commands of its own.
        *examples: Command lines that show how it is used.

    Returns:
        Its parser.
    """
    columns = shutil.get_terminal_size().columns
    width = min(columns, _WIDEST_HELP) - 2
    shown = "\n".join(f"  {continued(line, columns, 6)}" for line in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, max(width, 20)),
        epilog=f"example{'s' * (len(examples) > 1)}:\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if run is not None:
        parser.set_defaults(run=run, parser=parser)
        option(parser, "--json", "answer in JSON, for machines")
    return parser


def option(parser: Arguments, usage: str, what: str = "", **more: Any) -> None:
    """Add an option or an argument by how it is used, such as `-X --request METHOD`, and its help.

    The name of the value says its type; what has none is a switch. What ends in `...` may be given
    again, and the help says the default.
    """
    *names, value = usage.split()
    if value.startswith("-"):
        parser.add_argument(*names, value, action="store_true", help=what)
        return
    metavar = value.removesuffix("...")
    if metavar in _TYPES:
        more["type"] = _TYPES[metavar]
    if metavar != value:
        more |= {"action": "append"} if usage.startswith("-") else {"nargs": "+"}
    again = "repeatable" if more.get("action") == "append" else ""
    default = f"default {more['default']}" if more.get("default") else ""
    shown = "; ".join(filter(None, (what, again, default)))
    if usage.startswith("-"):
        more.setdefault("action", Once)
    parser.add_argument(*names, metavar=metavar, help=shown, **more)


class Once(argparse.Action):
    """Stores a value that may be given once: of two, one would not count, without a word."""

    def __call__(
        self, parser: object, namespace: Options, values: object, option_string: str | None = None
    ) -> None:
        """Store it, and remember that."""
        given = vars(namespace).setdefault("_given", set())
        if self.dest in given:
            raise argparse.ArgumentError(self, "given twice")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def _seconds(text: str) -> float:
    """A number of seconds, an int where it is whole, as claims usually have it."""
    try:
        seconds = int(text) if text.isdecimal() else float(text)
        float(seconds)  # what waits for them needs one, which cannot be as large as any int
    except (ValueError, OverflowError):
        # Nothing else of what was given is repeated: it may be a secret.
        seen = f", not {text}" if _TIME.fullmatch(text) else ""
        raise argparse.ArgumentTypeError(f"expected seconds, such as 120{seen}") from None
    return seconds


def _named_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError("expected NAME=VALUE")
    return name, value


def _not_empty(text: str) -> str:
    """A name or a place: for an empty one, what stands for one left out must not be used."""
    if not text:
        raise argparse.ArgumentTypeError("expected a value, got an empty one")
    return text


_TYPES: Final = {
    "SECONDS": _seconds,
    "NAME=VALUE": _named_value,
    **dict.fromkeys(("NAME", "WHERE", "FILE", "DIR"), _not_empty),
}


class Profile(NamedTuple):
    """What a command can do for tokens of one profile.

    Attributes:
        title: What such a token is.
        example: Arguments that show how it is used.
        add_arguments: Adds the profile's flags to a command.
        make: Makes of a command line what the command works with; ValueError if something is
            missing or wrong.
    """

    title: str
    example: str
    add_arguments: Callable[[Arguments], None]
    make: Callable[..., Any]


def add_for_profiles(
    commands: Commands,
    name: str,
    summary: str,
    descriptions: tuple[str, str],
    run: Run,
    profiles: Mapping[str, Profile],
    **more: str,
) -> dict[str, argparse.ArgumentParser]:
    """Add a command that has a command of its own for each profile.

    Args:
        commands: What it is added to.
        name: Its name.
        summary: A few words for the list of commands.
        descriptions: What it does; and the same before a profile's title.
        run: As for `add_command`.
        profiles: The profiles, by name.
        **more: One more example of a profile, by name.

    Returns:
        The parser of each profile.
    """
    examples = {each: f"asapfn {name} {each} {profiles[each].example}" for each in profiles}
    group = add_command(commands, name, summary, descriptions[0], None, *examples.values())
    added = group.add_subparsers(title="profiles", metavar="PROFILE", dest="profile", required=True)
    parsers = {}
    for each, (title, _, add_arguments, _) in profiles.items():
        what = f"{descriptions[1]} {title}."
        shown = filter(None, (examples[each], more.get(each)))
        parsers[each] = add_command(added, each, title, what, run, *shown)
        add_arguments(parsers[each])
    return parsers
