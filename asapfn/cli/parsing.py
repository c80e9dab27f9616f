"""How a command line is parsed and read, and how wrong use is reported without what was typed."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from typing import Any, Final, NoReturn, TypeVar

from asapfn.asap.environment import comma_list
from asapfn.cli.options import Options
from asapfn.cli.output import fitted, safe, without_tokens

T = TypeVar("T")

# The messages of argparse that quote a value, which may be a secret behind a mistyped flag.
_CHOICE: Final = re.compile(r"(?s)(argument [^:]*: invalid choice): (.*)( \(choose from (.*)\))")
_VALUE: Final = re.compile(
    r"(?s)(argument [^:]*: (?:invalid \S+ value|ignored explicit argument)):? .*"
)
_MISSING: Final = "the following arguments are required: "
_FLAG: Final = re.compile(r"-[a-z]|--[a-z]+(-[a-z]+)*")
_LONGEST_FLAG: Final = 30


class Parser(argparse.ArgumentParser):
    """A parser that leaves what is wrong to `parse`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.suggest_on_error = False  # argparse's own, since Python 3.15: `parse` has ours

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments, and the parser that found it."""
        raise _WrongUseError(self, message)


class _WrongUseError(Exception):
    pass


def parse(parser: Parser, arguments: Sequence[str] | None) -> Options:
    """Parse a command line; wrong use is reported with a suggestion, and exits with 2.

    No value that was typed is repeated, only the names of flags.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    culprit: argparse.ArgumentParser
    try:
        options, unknown = parser.parse_known_args(given)
    except _WrongUseError as wrong:
        culprit, message = wrong.args
    else:
        if "words" in options:  # argparse leaves out the words that come after a flag
            options.words += [each for each in unknown if not each.startswith("-")]
            unknown = [each for each in unknown if each.startswith("-")]
        if not unknown:
            return options
        culprit, message = options.parser, _unrecognized(unknown)
    if message.removeprefix(_MISSING) in ("COMMAND", "PROFILE"):
        culprit.print_help(sys.stderr)
        culprit.exit(2)
    suggestion = _suggestion(culprit, message, given)
    message = _VALUE.sub(r"\1", _CHOICE.sub(r"\1\3", message))
    culprit.print_usage(sys.stderr)
    text = f"{safe(without_tokens(message))}{suggestion}"
    culprit.exit(2, fitted(sys.stderr, "", f"{culprit.prog}: error: ", text))


def _unrecognized(unknown: Sequence[str]) -> str:
    """The message for arguments that no parser knows, of which the flags alone are named."""
    flags = [name for each in unknown if (name := _flag(each))]
    values = len(unknown) - len(flags)
    counted = [f"{values} value{'s' * (values > 1)}"] if values else []
    return f"unrecognized arguments: {', '.join([*flags, *counted])}"


def _flag(argument: str) -> str:
    """The flag that an argument is, or empty."""
    name = argument.partition("=")[0]
    return name if len(name) <= _LONGEST_FLAG and _FLAG.fullmatch(name) else ""


def _suggestion(parser: argparse.ArgumentParser, message: str, given: Sequence[str]) -> str:
    """A suggestion for a flag, command or profile that is unknown; empty if there is none."""
    known = [flag for action in parser._actions for flag in action.option_strings]
    asked = [(flag, known) for flag in map(_flag, given) if flag.startswith("--")]
    if message == f"{_MISSING}URL":
        return "; give METHOD, then URL"
    if choice := _CHOICE.fullmatch(message):
        asked.insert(0, (choice[2].strip("'"), re.findall(r"[\w-]+", choice[4])))
    missing = message.startswith(_MISSING)
    for what, there in (each for each in asked if each[0] not in each[1]):
        near = _nearest(what, there)
        said = [f"{what} is unknown"] * missing + [f"did you mean {near}?"] * bool(near)
        if said:
            return f"; {': '.join(said)}"
    return _misread_as_name(choice, given) if choice else ""


def _nearest(what: str, there: Sequence[str]) -> str:
    """The name that begins with what was typed, or else the most similar one; empty if none is."""
    names = {each.lstrip("-"): each for each in there}  # the hyphens would make all of them alike
    typed = what.lstrip("-") or "-"
    longer = [name for name in names if name.startswith(typed)]
    return next((names[name] for name in longer or get_close_matches(typed, names, 1)), "")


def _misread_as_name(choice: re.Match[str], given: Sequence[str]) -> str:
    """A hint that a flag's value was read as the name of a command or a profile; else empty."""
    what, name = choice[2].strip("'"), choice[1].split()[1].rstrip(":")
    before = _flag(given[given.index(what) - 1]) if what in given[1:] else ""
    if name not in ("COMMAND", "PROFILE") or not before:
        return ""
    return f"; the value after {before} was taken for {name}: give {name} before the flags"


def complete(parser: Parser) -> None:
    """Answer a shell that completes a command line, if argcomplete is installed."""
    if "_ARGCOMPLETE" in os.environ:
        with suppress(ImportError):
            import_module("argcomplete").autocomplete(parser)


def call(function: Callable[..., Any], options: Options, *args: Any, **more: Any) -> Any:
    """Call a function of the library with each option that is named as one of its parameters.

    Args:
        function: The function, which has its own defaults for what is not given.
        options: The command line.
        *args: Its arguments by place.
        **more: Its other arguments by name, which come before the options.

    Returns:
        What the function returns.
    """
    given = {name: getattr(options, name, None) for name in signature(function).parameters}
    named = {name: value for name, value in given.items() if value is not None}
    return function(*args, **named | more)


def required(value: T | None, what: str) -> T:
    """What must be given, by a flag or by a variable; ValueError if it is not."""
    if not value:
        raise ValueError(f"give {what}")
    return value


def audience(options: Options, what: str, variable: str) -> list[str]:
    """The names of --audience, or else of a variable."""
    given = options.audience or comma_list(os.environ.get(variable, ""))
    return required(given, f"{what}: --audience, or {variable}")


def one_at_most(options: Options, *names: str) -> None:
    """Refuse options that are given together."""
    given = [name for name in names if getattr(options, name, None) is not None]
    if len(given) > 1:
        flags = " or ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"give {flags}, not both")
