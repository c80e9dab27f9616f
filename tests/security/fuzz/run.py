"""Fuzzing, guided by coverage: what reaches something new in asapfn is damaged further.

    nox -s fuzz -- [SECONDS] [TARGET ...]
    nox -s fuzz -- --again build/fuzz/TARGET/FILE

The targets are those of `fuzz_targets.py`, by default all of them, each for 300 seconds. What
breaks one is kept in `build/fuzz/TARGET`, beside what the next run goes on from; `--again` hands it
to the target once more, without fuzzing.
"""

import argparse
import re
import subprocess
import sys
import warnings
from pathlib import Path

from tests.support.fuzz_targets import TARGETS

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "build" / "fuzz"


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s fuzz --")
    parser.add_argument("seconds", nargs="?", type=int, default=300, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--again", type=Path, metavar="FILE", help="an input that was kept")
    given = parser.parse_args()
    if unknown := set(given.targets) - TARGETS.keys():
        parser.error(f"no target {', '.join(unknown)}: they are {', '.join(TARGETS)}")
    if given.again:
        warnings.simplefilter("error")
        taken = TARGETS[given.again.resolve().relative_to(KEPT).parts[0]](given.again.read_bytes())
        print("it is taken" if taken else "it is refused, as documented")
        return
    # All get their turn, also behind one that broke.
    broken = [name for name in given.targets or TARGETS if not holds(name, given.seconds)]
    sys.exit(f"broken: {', '.join(broken)}" if broken else 0)


def holds(name: str, seconds: int) -> bool:
    """Fuzz one target, in a process of its own that the fuzzer ends."""
    folder = KEPT / name
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("*-*"))
    with (folder / "log.txt").open("wb") as log:
        guided = (sys.executable, Path(__file__).with_name("guided.py"), name, str(seconds), folder)
        broke = subprocess.run(guided, stderr=log, check=False).returncode != 0
    said = (folder / "log.txt").read_text(errors="replace")
    tried = re.search(r"number_of_executed_units: +(\d+)", said)
    outcome = f"BROKEN, see {folder.relative_to(ROOT)}/log.txt" if broke else "nothing broke"
    print(f"{name}: {tried[1] if tried else 'unknown'} inputs, {outcome}", flush=True)
    for file in sorted(set(folder.glob("*-*")) - before):
        print(f"{name}: kept {file.relative_to(ROOT)}", flush=True)
    return not broke


if __name__ == "__main__":
    main()
