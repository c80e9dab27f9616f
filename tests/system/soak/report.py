"""What a soak prints: a line now and then, and the tables in the end."""

import re
import statistics
import time
from collections import Counter
from pathlib import Path

from tests.system.soak.clients import Soak, wrong
from tests.system.soak.faults import Faults
from tests.system.soak.health import STALL, Health, compared
from tests.system.soak.oracle import STARVED

# How many wrong answers are shown of each kind.
SHOWN = 5
# What hypercorn does itself where a request is cut in its body: it and the application both answer.
SERVERS_OWN = ("trio.BusyResourceError", "trio.BrokenResourceError", "trio.ClosedResourceError")
# Who logs errors that it has handled: the soak's server, and the client of Redis.
HANDLED = ("soak", "coredis")
RECORD = re.compile(r"^(?=\d+\.\d{3} [\w.]+: )", re.MULTILINE)


def line(soak: Soak, health: Health) -> str:
    """How it goes."""
    statuses: Counter[str] = Counter()
    for (_, answer), count in soak.counts.items():
        status = answer.split()[0]
        statuses[status if status.isdecimal() else "other"] += count
    said = " ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    names = ("fds", "tasks", "to_repository", "to_redis", "rss_kib")
    state = " ".join(f"{name} {health.last.get(name, 0)}" for name in names)
    failing = ", ".join(soak.ledger.now()) or "well"
    at = time.monotonic() - soak.began
    return f"{at:5.0f} s  {said}  wrong: {len(soak.wrong)}  | {state} | {failing}"


def exceptions(log: Path) -> tuple[list[str], list[str]]:
    """The errors that were not handled, and those that others than asapfn logged as handled."""
    text = log.read_text(errors="replace") if log.exists() else ""
    errors = re.compile(
        r"^[\s|]*([\w.]+(?:Error|Exception|Rejected|Unavailable)(?:: .*)?)$", re.MULTILINE
    )
    unhandled: list[str] = []
    handled: list[str] = []
    for record in RECORD.split(text):
        found = errors.findall(record)
        logger = record.partition(" ")[2].partition(":")[0]
        if logger in HANDLED:
            handled += [f"{logger}: {error}" for error in found[-1:]]
        else:
            own = [error for error in found if error.startswith(SERVERS_OWN)]
            handled += [f"server: {error}" for error in own]
            unhandled += [error for error in found if error not in own]
    return unhandled, handled


def summary(
    soak: Soak, faults: Faults, health: Health, cycles: int, log: Path, max_keys: int
) -> int:
    """Print the tables; gives the exit status."""
    unhandled, handled = exceptions(log)
    if unhandled:
        wrong(soak, "service", f"{len(unhandled)} unhandled exceptions", 0.0)
    print(f"\n{sum(soak.counts.values())} requests, {cycles} whole cycles of faults\n")
    answers(soak)
    print("\ncold key found after (seconds from the repository's recovery)")
    for kind, each in sorted(faults.recoveries.items()):
        middle = statistics.median(each)
        print(f"  {kind:<22} {len(each):>3} times  median {middle:6.2f}  most {max(each):6.2f}")
    rows = compared(health, max_keys)
    print(f"\nat rest {'first':>18} {'last':>9} {'allowed':>9} {'ever':>9}")
    for name, first, last, most, flat in rows:
        ever = health.most.get(name, "")
        verdict = "" if flat else "  NOT FLAT"
        print(f"  {name:<14} {first:>9} {last:>9} {most:>9} {ever:>9}{verdict}")
    if "rss_kib" not in [name for name, *_ in rows]:
        each = " ".join(str(said["rss_kib"]) for _, said in health.rests)
        print(f"  rss_kib at each rest: {each} (compared from two whole cycles on)")
    waited, computed = health.slowest, health.computed
    print(f"\nan endpoint that does nothing was waited for at most {waited:.2f} s, in which the")
    print(f"service computed {computed:.2f} s (of {STALL:.0f} allowed)")
    for error, count in Counter(unhandled).most_common(SHOWN):
        print(f"unhandled in the service, {count} times: {error[:150]}")
    for error, count in Counter(handled).most_common(SHOWN):
        print(f"logged by others than asapfn, {count} times: {error[:150]}")
    print(f"\ndeaths of the server by a fault of its own: {len(soak.deaths)}")
    for death in soak.deaths:
        print(f"  at {death.at:.1f} s:\n{death.log}")
    length = time.monotonic() - soak.began
    print(f"\nthe machine was busy for {soak.starved:.0f} s of {length:.0f}: for so long a process")
    print(f"that was ready to run waited for more than {STARVED:.0%} of the time while others ran")
    print(f"\nright only because the machine was busy: {sum(soak.lenient.values())}")
    for (kind, answer), count in sorted(soak.lenient.items()):
        print(f"  {kind}: {answer}, {count} times")
    wrongs(soak)
    return 1 if soak.wrong or not all(flat for *_, flat in rows) else 0


def answers(soak: Soak) -> None:
    kinds: dict[str, dict[str, int]] = {}
    for (kind, answer), count in sorted(soak.counts.items()):
        kinds.setdefault(kind, {})[answer] = count
    print(f"{'sent':<22} {'count':>7} {'slowest':>9}  answers")
    for kind, each in kinds.items():
        said = ", ".join(f"{answer}: {count}" for answer, count in each.items())
        slowest = soak.slowest.get(kind)
        shown = "" if slowest is None else f"{slowest:.2f} s"
        print(f"{kind:<22} {sum(each.values()):>7} {shown:>9}  {said}")


def wrongs(soak: Soak) -> None:
    """The wrong answers: how many of each, and the first of them."""
    print(f"\nwrong answers: {len(soak.wrong)}")
    count = Counter((each.kind, each.answer.split(".")[0]) for each in soak.wrong)
    shown: Counter[tuple[str, str]] = Counter()
    for each in soak.wrong:
        what = (each.kind, each.answer.split(".")[0])
        shown[what] += 1
        if shown[what] == 1:
            print(f"  {each.kind}: {each.answer}, {count[what]} times")
        if shown[what] <= SHOWN:
            print(f"    at {each.at:.1f} s, after {each.seconds:.2f} s; failing: {each.failing}")
