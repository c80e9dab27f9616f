"""What fails, when, and for how long: one lane for the repository, one for Redis.

Each fault is a coroutine that makes it, waits and ends it. When one of the repository's has ended,
a key that was never asked for must be found within a second.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.system.soak import tokens
from tests.system.soak.clients import Connection, Soak, crowd, flood, good, note, wrong
from tests.system.soak.clients import ask as ask_once
from tests.system.soak.oracle import ACCEPTED, Spell
from tests.system.soak.parts import Parts, longest_wait

# Seconds: until a key is given up on after a recovery; between two faults.
GIVEN_UP = 20.0
BETWEEN = 3.0
# How many ask at once for a key after a recovery.
MOST_PROBES = 20


@dataclass
class Faults:
    """The faults' own state.

    Attributes:
        flood: How many keys are asked for at once.
        kinds: Which faults there are.
        recoveries: For each kind, seconds from its end until a cold key was found.
        stop: Set when no more faults are to begin.
    """

    soak: Soak
    parts: Parts
    flood: int
    kinds: frozenset[str]
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


async def well(faults: Faults, spell: Spell) -> None:
    """End a fault that was commanded."""
    await faults.parts.command("well")
    faults.soak.ledger.end(spell)


async def commanded(faults: Faults, kind: str, seconds: float, flooded: bool = False) -> None:
    """Have the repository do something for a while, and then be well again."""
    spell = faults.soak.ledger.begin("repository", kind)
    delay = {"slow": 1.5, "far": 0.3}.get(kind, 0.0)
    await faults.parts.command(kind, seconds=delay, until=time.time() + seconds)
    flooding = asyncio.create_task(flood(faults.soak, faults.flood if flooded else 0))
    try:
        await asyncio.sleep(seconds)
        await well(faults, spell)
        await recovered(faults, spell)
    finally:
        await flooding


async def slow(faults: Faults) -> None:
    spell = faults.soak.ledger.begin("repository", "slow")
    await faults.parts.command("slow", seconds=1.5)
    await crowd(faults.soak, 5.0)
    await well(faults, spell)


async def far(faults: Faults) -> None:
    await commanded(faults, "far", 5.0, flooded=True)


async def hang(faults: Faults) -> None:
    await commanded(faults, "hang", 7.0, flooded=True)


async def blackhole(faults: Faults) -> None:
    await commanded(faults, "blackhole", 7.0, flooded=True)


async def drop(faults: Faults) -> None:
    await commanded(faults, "drop", 3.0)


async def torn(faults: Faults) -> None:
    await commanded(faults, "torn", 3.0)


async def error500(faults: Faults) -> None:
    await commanded(faults, "error500", 3.0)


async def error503(faults: Faults) -> None:
    await commanded(faults, "error503", 4.0)


async def stopped(faults: Faults) -> None:
    """The process stands still: connections open, and nothing is ever said on them."""
    spell = faults.soak.ledger.begin("repository", "stopped")
    faults.parts.repository.signal(signal.SIGSTOP)
    flooding = asyncio.create_task(flood(faults.soak, faults.flood))
    try:
        await asyncio.sleep(6.0)
        faults.parts.repository.signal(signal.SIGCONT)
        # It has work from before: it is well when it answers a command.
        await well(faults, spell)
        await recovered(faults, spell)
    finally:
        await flooding


async def killed(faults: Faults) -> None:
    spell = faults.soak.ledger.begin("repository", "killed")
    faults.parts.repository.kill()
    await asyncio.sleep(4.0)
    await faults.parts.start_repository()
    faults.soak.ledger.end(spell)
    await recovered(faults, spell)


async def rotation(faults: Faults) -> None:
    """New keys are published and used, the old ones removed, and forgotten in time."""
    soak = faults.soak
    spell = soak.ledger.begin("repository", "rotation")
    old = tokens.rotate(soak.keys)
    await asyncio.sleep(1.0)
    for key in old:
        tokens.retire(soak.keys, key)
    await asyncio.sleep(14.0)
    soak.ledger.end(spell)


async def recovered(faults: Faults, spell: Spell) -> None:
    """Ask for cold keys until one is found: that must be within a second of the fault's end.

    Not counted is the time in which one of the processes was ready to run while others ran.
    """
    soak = faults.soak
    found: list[float] = []
    waited = faults.parts.waited()

    async def probe() -> None:
        case = good(soak, "recovery", "/many", tokens.cold(soak.keys, tokens.PROBE))
        connection = Connection(soak.port)
        began = time.monotonic()
        answer = await ask_once(connection, case)
        connection.close()
        note(soak, case, answer, began)
        if answer == ACCEPTED:
            found.append(max(0.0, late()))

    def late() -> float:
        return time.monotonic() - spell.ended - longest_wait(waited, faults.parts.waited())

    probing: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        while not found and late() < GIVEN_UP:
            if len(probing) < MOST_PROBES:
                probing.add(group.create_task(probe()))
            _, probing = await asyncio.wait(
                probing, timeout=0.2, return_when=asyncio.FIRST_COMPLETED
            )
            if not found:
                await asyncio.sleep(0.1)
    took = min(found, default=GIVEN_UP)
    faults.recoveries.setdefault(spell.kind, []).append(took)
    what = f"{took:.2f} s" if found else f"none in {GIVEN_UP:.0f} s"
    now = time.monotonic()
    if took > spell.grace and not (found and soak.ledger.busy(spell.ended, now)):
        wrong(soak, f"cold key after {spell.kind}", what, took)
    elif took > spell.grace:
        lag = soak.ledger.lag(spell.ended, now)
        late = f"{what}, while the machine was busy, and an endpoint that does nothing {lag:.2f} s"
        soak.lenient[f"cold key after {spell.kind}", late] += 1


async def pauses(faults: Faults) -> None:
    """Redis is paused again and again, for less than its client waits in all."""
    await redis_paused(faults, "redis paused 0.3 s", [300] * 4)


async def long_pause(faults: Faults) -> None:
    await redis_paused(faults, "redis paused 1.5 s", [1500])


async def redis_paused(faults: Faults, kind: str, pauses: list[int]) -> None:
    spell = faults.soak.ledger.begin("redis", kind)
    for milliseconds in pauses:
        await asyncio.to_thread(faults.parts.pause_redis, milliseconds)
        await asyncio.sleep(milliseconds / 1000 + 0.5)
    faults.soak.ledger.end(spell)


async def redis_stopped(faults: Faults) -> None:
    spell = faults.soak.ledger.begin("redis", "redis stopped")
    faults.parts.redis.signal(signal.SIGSTOP)
    await asyncio.sleep(2.5)
    faults.parts.redis.signal(signal.SIGCONT)
    faults.soak.ledger.end(spell)


async def redis_killed(faults: Faults) -> None:
    spell = faults.soak.ledger.begin("redis", "redis killed")
    faults.parts.redis.kill()
    await asyncio.sleep(1.0)
    await faults.parts.start_redis()
    faults.soak.ledger.end(spell)


Fault = Callable[[Faults], Awaitable[None]]
REPOSITORY: dict[str, Fault] = {
    each.__name__: each
    for each in (
        slow, far, hang, blackhole, stopped, drop, torn, error500, error503, killed, rotation,
    )
}  # fmt: skip
REDIS: dict[str, Fault] = {
    each.__name__: each for each in (pauses, long_pause, redis_stopped, redis_killed)
}


async def cycle(faults: Faults) -> bool:
    """Have every fault once, in some order; False if it was to stop before the last."""
    rounds = asyncio.create_task(redis_lane(faults, done := asyncio.Event()))
    try:
        for name in shuffled(faults, REPOSITORY):
            await pause(faults, BETWEEN)
            if faults.stop.is_set():
                return False
            await REPOSITORY[name](faults)
        return True
    finally:
        done.set()
        await rounds


async def redis_lane(faults: Faults, done: asyncio.Event) -> None:
    while not done.is_set() and not faults.stop.is_set():
        names = shuffled(faults, REDIS)
        for name in names:
            await pause(faults, 5.0)
            if done.is_set() or faults.stop.is_set():
                return
            await REDIS[name](faults)
        if not names:
            await pause(faults, 1.0)


def shuffled(faults: Faults, table: dict[str, Fault]) -> list[str]:
    names = [name for name in table if name in faults.kinds]
    faults.soak.chance.shuffle(names)
    return names


async def pause(faults: Faults, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await faults.stop.wait()
    except TimeoutError:
        pass
