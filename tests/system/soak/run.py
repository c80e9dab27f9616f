"""A soak: one service, its key repository and its Redis, real ones, failing again and again.

    nox -s soak -- --minutes 10 --backend trio

64 clients send good tokens, bad ones of each kind, cut and half-sent requests, and disconnect at
random, while the repository is slow, hangs, stands still, is killed, restarted and rotates its
keys, and Redis is paused, killed and restarted. Every answer is compared with what is right given
what was failing at that time. It ends with status 1 if one was wrong, if a key that was never asked
for was not found within a second of a recovery, or if the service's process keeps more and more.
Loopback alone; Linux; needs redis-server. Two minutes are about one cycle of all faults; memory is
compared from the second cycle on.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[3])]

from tests.system.soak import faults as failing  # noqa: E402
from tests.system.soak import report, tokens  # noqa: E402
from tests.system.soak.clients import Death, Soak, client  # noqa: E402
from tests.system.soak.faults import Faults  # noqa: E402
from tests.system.soak.health import Health, pings, rest, stalls, starvation, watch  # noqa: E402
from tests.system.soak.oracle import Ledger, Spell  # noqa: E402
from tests.system.soak.parts import Missing, Parts, started  # noqa: E402

WARM_UP = 10.0
# Seconds between two looks at whether the service's process is there.
ALIVE = 0.2
# What it may take beyond its minutes: the fault that is under way, and the last rest.
BEYOND = 240.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s soak --", description=__doc__.split("\n")[0])
    kinds = [*failing.REPOSITORY, *failing.REDIS]
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second, of all")
    parser.add_argument("--flood", type=int, default=300, help="keys that are asked for at once")
    parser.add_argument("--seed", type=int, default=None, help="of the order and the choices")
    parser.add_argument("--faults", nargs="*", choices=kinds, default=kinds, metavar="FAULT",
                        help=", ".join(kinds))  # fmt: skip
    parser.add_argument("--client", choices=["default", "none", "httpx", "httpx2"],
                        default="default", help="what fetches keys")  # fmt: skip
    parser.add_argument("--max-keys", type=int, default=256, help="Caching.max_keys")
    parser.add_argument("--keep", type=Path, help="a folder for the parts' logs")
    given = parser.parse_args()
    if min(given.minutes, given.clients, given.rate, given.max_keys) <= 0 or given.flood < 0:
        parser.error("numbers must be positive")
    if given.seed is None:
        given.seed = random.randrange(1_000_000)
    return given


async def soaked(given: argparse.Namespace, folder: Path) -> int:
    """Run the soak in a folder; gives the exit status."""
    settings = {
        "ISSUERS": " ".join(tokens.ISSUERS),
        "MAX_KEYS": str(given.max_keys),
        "CLIENT": given.client,
    }
    async with started(folder, given.backend, settings) as parts:
        chance = random.Random(given.seed)
        keys = tokens.Keys(parts.keys, chance)
        tokens.rotate(keys)
        soak = Soak(parts.service_port, keys, Ledger(), chance, given.rate, given.clients)
        faults = Faults(soak, parts, given.flood, frozenset(given.faults))
        health = Health()
        async with asyncio.TaskGroup() as group:
            for _ in range(given.clients):
                group.create_task(client(soak))
            watching = (watch(soak, health), stalls(soak, health), pings(soak, parts.redis_port))
            machine = starvation(soak, parts.waited)
            for each in (*watching, machine, progress(soak, health), revive(soak, health, parts)):
                group.create_task(each)
            cycles = await phases(faults, health, given.minutes * 60)
            soak.over = True
            soak.going.set()
        log = folder / "service.log"
        return report.summary(soak, faults, health, cycles, log, given.max_keys)


async def phases(faults: Faults, health: Health, seconds: float) -> int:
    """Warm up, go through all faults until the time is over, and rest after each cycle."""
    soak = faults.soak
    soak.going.set()
    await asyncio.sleep(WARM_UP)
    await rest(soak, health, 0)
    ending = asyncio.get_running_loop().call_at(
        asyncio.get_running_loop().time() + max(0.0, soak.began + seconds - time.monotonic()),
        faults.stop.set,
    )
    cycles = 0
    while not faults.stop.is_set():
        cycles += await failing.cycle(faults)
        await rest(soak, health, cycles)
    ending.cancel()
    # Whatever happened: in the end a new key is found.
    now = time.monotonic()
    await failing.recovered(faults, Spell("repository", "all", now, now))
    return cycles


async def progress(soak: Soak, health: Health) -> None:
    """Say every ten seconds how it goes."""
    while not soak.over:
        print(report.line(soak, health), flush=True)
        for _ in range(10):
            await asyncio.sleep(0.0 if soak.over else 1.0)


async def revive(soak: Soak, health: Health, parts: Parts) -> None:
    """Start the service again when its server has died of a fault of its own, and count that.

    A process that ended of something else is the soak's end.
    """
    alive = time.monotonic()
    while not soak.over:
        await asyncio.sleep(ALIVE)
        if parts.service.alive():
            alive = time.monotonic()
            continue
        text = parts.service.log.read_text(errors="replace")
        last = text[text.rfind("Exception Group Traceback") :][-3_000:]
        if "/asapfn/" in last or not any(error in last for error in report.SERVERS_OWN):
            raise RuntimeError("the service has ended: see service.log")
        spell = soak.ledger.begin("service", "service dead")
        spell.began = alive - ALIVE
        soak.deaths.append(Death(spell.began - soak.began, last))
        health.ended.append(health.rests)
        health.rests = []
        for key in (*soak.keys.hot.values(), *soak.keys.retired):
            key.known = False
        parts.service.kill()
        await parts.start_service()
        soak.ledger.end(spell)


async def bounded(given: argparse.Namespace, folder: Path) -> int:
    """Run within bounds of time; SIGTERM ends it, with all its processes."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(given.minutes * 60 + BEYOND):
        return await soaked(given, folder)


def main() -> int:
    given = arguments()
    print(f"{given.backend}, {given.minutes:g} minutes, {given.clients} clients, seed {given.seed}")
    with contextlib.ExitStack() as stack:
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=given.keep))
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            return asyncio.run(bounded(given, folder))
        except Missing as missing:
            print(missing)
            return 2
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("ended before its time")
            return 130
        except BaseException:
            log = folder / "service.log"
            print(log.read_text()[-5_000:] if log.exists() else "the service did not start")
            raise


if __name__ == "__main__":
    sys.exit(main())
