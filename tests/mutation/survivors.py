"""Compare the mutants that no test has killed with those that are known, in survivors.txt.

`nox -s mutation` runs it after mutmut. The names that mutmut gives to mutants are numbers that
change with the code, so a mutant is known by its function and by the lines that it changes.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

KNOWN = Path(__file__).with_name("survivors.txt")


class Mutant(NamedTuple):
    """A change of a function: the lines that it removes, and those in their place."""

    function: str
    change: str


def main(modules: Sequence[str]) -> int:
    """Print what survived and is not known, and what is known and did not survive.

    Args:
        modules: The modules that were run; none stands for all.
    """
    survived = set(survivors())
    known = {each for each in read(KNOWN.read_text()) if is_of(each, modules)}
    for title, mutants in (
        ("SURVIVED, and not in tests/mutation/survivors.txt", survived - known),
        ("in tests/mutation/survivors.txt, and killed or gone", known - survived),
    ):
        print(f"{title}: {len(mutants)}")
        for mutant in sorted(mutants):
            print(f"\n{mutant.function}\n{mutant.change}")
    return 1 if survived - known else 0


def survivors() -> Iterator[Mutant]:
    """What mutmut says has survived, or was run by no test."""
    for line in mutmut("results").splitlines():
        name, _, outcome = line.strip().rpartition(": ")
        if outcome in {"survived", "no tests"}:
            yield Mutant(function_of(name), change_of(mutmut("show", name)))


def mutmut(*arguments: str) -> str:
    """What mutmut prints."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def function_of(name: str) -> str:
    """`asapfn.checks.claim_equals` for `asapfn.checks.x_claim_equals__mutmut_12`."""
    return re.sub(r"\.xǁ?_?", ".", re.sub(r"__mutmut_\d+$", "", name), count=1).replace("ǁ", ".")


def change_of(diff: str) -> str:
    """The lines of a diff that are not the same on both sides."""
    lines = [line.rstrip() for line in diff.splitlines()]
    return "\n".join(line for line in lines if re.match(r"[-+](?![-+]{2} )", line))


def read(text: str) -> Iterator[Mutant]:
    """The mutants of a file: blocks of a function's name and a change; others are remarks."""
    for block in text.split("\n\n"):
        function, _, change = block.strip("\n").partition("\n")
        if re.match(r"[-+]", change):
            yield Mutant(function, change)


def is_of(mutant: Mutant, modules: Sequence[str]) -> bool:
    """Whether a mutant is of one of some modules."""
    return not modules or any(mutant.function.startswith(f"{module}.") for module in modules)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
