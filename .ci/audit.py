"""Looks for known vulnerabilities in what is installed with asapfn, and in what develops it.

A vulnerability in a run-time dependency at its lower bound is an error: pyproject.toml promises
lower bounds above all of them. One in a tool is a warning. Where nobody can be asked, which is
often so behind a mirror of the package index, nothing is audited, and that is said and no error.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
SECONDS: Final = 60.0

# What is left of a service that does not answer, in the last lines of pip-audit.
_NOBODY_ANSWERS: Final = re.compile(
    r"requests\.exceptions\.|ServiceError|ConnectionError|Tip: your"
)


class Unanswered(Exception):
    """No vulnerability service could be asked."""


class Audit(NamedTuple):
    """What is known of some packages.

    Attributes:
        known: How many the service knows.
        unknown: The names of those it does not know.
        vulnerable: A line for each vulnerability: package, version, names, and where it is fixed.
    """

    known: int
    unknown: list[str]
    vulnerable: list[str]


def lower_bounds(pyproject: str) -> list[str]:
    """The project's own dependencies, each pinned to its lower bound.

    Args:
        pyproject: The text of pyproject.toml.

    Returns:
        A `name==version` for each.

    Raises:
        ValueError: If a dependency is anything else than `name>=version`.
    """
    pins = []
    for dependency in tomllib.loads(pyproject)["project"]["dependencies"]:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", dependency)
        if match is None:
            raise ValueError(f"{dependency}: expected name>=version")
        pins.append("==".join(match.groups()))
    return pins


def read(output: str, errors: str) -> Audit:
    """Read what `pip-audit --format=json` wrote.

    Args:
        output: Its standard output: the JSON, or nothing if it failed.
        errors: Its standard error.

    Returns:
        What it found.

    Raises:
        Unanswered: If the service did not answer.
        RuntimeError: If it failed for another reason.
    """
    if not output.strip():
        last = (errors.strip().splitlines() or ["it said nothing"])[-1]
        raise (Unanswered if _NOBODY_ANSWERS.search(errors) else RuntimeError)(last)
    packages = json.loads(output)["dependencies"]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    vulnerable = [
        f"{package['name']} {package['version']}: {', '.join([found['id'], *found['aliases']])},"
        f" fixed in {', '.join(found['fix_versions']) or 'no release'}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    return Audit(len(packages) - len(unknown), unknown, vulnerable)


def audit(requirements: Path, seconds: float) -> Audit:
    """Run pip-audit over a file of pins; its own errors are those of `read`."""
    asked = [
        *(sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off"),
        # The pins are complete: nothing is to be resolved, and so no index to be asked.
        *("--no-deps", "--disable-pip", "--timeout=10", f"--requirement={requirements}"),
    ]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        raise Unanswered(f"no answer within {seconds:.0f} seconds") from None
    return read(told.stdout, told.stderr)


def report(what: str, ask: Callable[[], Audit]) -> Audit | None:
    """Ask, and print what was found; None where nothing was."""
    try:
        found = ask()
    except Unanswered as error:
        print(f"{what}: NOT AUDITED: {error}")
        return None
    if not found.known:
        print(f"{what}: NOT AUDITED: the service knows none of {', '.join(found.unknown)}")
        return None
    print(f"{what}: {found.known} audited, {len(found.vulnerable)} known vulnerabilities")
    if found.unknown:
        print(f"  not audited, as the service does not know them: {', '.join(found.unknown)}")
    for line in found.vulnerable:
        print(f"  {line}")
    return found


def main(ask: Callable[[Path, float], Audit] = audit) -> int:
    """Audit the lower bounds, and then the locked versions.

    Args:
        ask: Audits a file of pins within so many seconds, as `audit` does.

    Returns:
        The status to exit with.
    """
    end = time.monotonic() + SECONDS
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder, "lower-bounds.txt")
        pins.write_text("\n".join(lower_bounds((ROOT / "pyproject.toml").read_text())))
        bounds = report("Run-time dependencies at their lower bounds", lambda: ask(pins, SECONDS))
    if bounds is None:
        print("Nothing was audited, which is no error. The other versions were not asked about.")
        return 0
    locked = ROOT / ".ci" / "constraints.txt"
    tools = report("Locked versions for development", lambda: ask(locked, end - time.monotonic()))
    if tools and tools.vulnerable:
        print("Warning: run `nox -s lock` for versions without those vulnerabilities.")
    if bounds.vulnerable:
        print("Error: raise the lower bounds in pyproject.toml above these vulnerabilities.")
    return 1 if bounds.vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
