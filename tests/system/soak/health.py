"""How the service's process is: looked at all the time, and compared when it is at rest."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tests.system.soak import tokens
from tests.system.soak.clients import Connection, Soak, ask, good, note, read_answer, request, wrong
from tests.system.soak.oracle import BUSY, REDIS_BUSY, STARVED, Ledger, Spell
from tests.system.soak.parts import longest_wait

# Seconds that the clients rest before the service is looked at: longer than a fetch may take and
# than idle connections are kept.
REST = 6.0
# The most seconds more until there is no less than before.
QUIET = 20
# How much more there may be in the end than there was at first, both at rest: file descriptors
# but those to the repository and to Redis; tasks; threads; sockets to the repository and places in
# httpx's pool, of which it may keep 20; sockets to Redis, whose pool has 50, and those of that pool
# that Redis has reset and that were not used since.
MORE = {
    "other fds": 3,
    "tasks": 5,
    "threads": 2,
    "to_repository": 20,
    "pool": 20,
    "queued": 0,
    "to_redis": 50,
    "dead": 50,
}
# Seconds between two looks at whether the service answers at once; and how long it may compute, by
# its own processor's time, while such an answer waits.
LOOK, STALL = 0.25, 4.0
ABSOLUTE = ("to_repository", "pool", "to_redis", "dead")
# coredis runs as many tasks for each connection.
CONNECTION_TASKS = 3
MEMORY_MORE, MEMORY_KIB = 1.10, 10 * 1024


@dataclass
class Health:
    """What was seen.

    Attributes:
        rests: At each rest, after how many whole cycles, and what the process said: of one process.
        ended: The same of processes that have ended.
        most: The most that was seen of each.
        slowest: The longest that `/alive`, which does nothing, was waited for.
        computed: The most that the service computed while one such answer was waited for.
        last: What was last said.
    """

    rests: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    ended: list[list[tuple[int, dict[str, int]]]] = field(default_factory=list)
    most: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0
    computed: float = 0.0
    last: dict[str, int] = field(default_factory=dict)


async def get(connection: Connection, path: str) -> bytes:
    """Get a body; again where the server closed the connection as an idle one, or is not there."""
    async with asyncio.timeout(60):
        failed = 0
        while True:
            try:
                reader, writer = await connection.open()
                writer.write(request(path, None))
                _, body = await read_answer(reader)
            except ConnectionRefusedError:
                connection.close()
                await asyncio.sleep(0.1)
            except (OSError, asyncio.IncompleteReadError):
                connection.close()
                failed += 1
                if failed > 2:
                    raise
            else:
                connection.used = time.monotonic()
                return body


async def look(connection: Connection, path: str = "/health") -> dict[str, int]:
    said: dict[str, int] = json.loads(await get(connection, path))
    said["other fds"] = said["fds"] - said["to_repository"] - said["to_redis"] - said["dead"]
    return said


async def watch(soak: Soak, health: Health) -> None:
    """Look every second, until the soak is over."""
    connection = Connection(soak.port)
    while not soak.over:
        health.last = await look(connection)
        for name, value in health.last.items():
            health.most[name] = max(value, health.most.get(name, 0))
        await asyncio.sleep(1.0)
    connection.close()


@contextlib.asynccontextmanager
async def awaited(ledger: Ledger, part: str, kind: str, limit: float) -> AsyncIterator[None]:
    """Have a part count as failing as soon as something of it is awaited for too long."""
    spells: list[Spell] = []
    began = time.monotonic()

    def late() -> None:
        spells.append(ledger.begin(part, kind))
        spells[0].began = began - LOOK

    timer = asyncio.get_running_loop().call_later(limit, late)
    try:
        yield
    finally:
        timer.cancel()
        # The loop may itself have been too late to call it.
        if not spells and time.monotonic() - began > limit:
            late()
        for spell in spells:
            ledger.end(spell)


async def pings(soak: Soak, port: int) -> None:
    """Ask Redis for what takes no time: a busy machine or disk may have it wait as a fault does."""
    while not soak.over:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                while not soak.over:
                    async with awaited(soak.ledger, "redis", "redis busy", REDIS_BUSY):
                        writer.write(b"PING\r\n")
                        await reader.readexactly(len(b"+PONG\r\n"))
                    await asyncio.sleep(REDIS_BUSY)
            finally:
                writer.transport.abort()
        await asyncio.sleep(REDIS_BUSY)


async def starvation(soak: Soak, waited: Callable[[], dict[str, float]]) -> None:
    """Look how long the processes were ready to run while others ran: then the machine is busy."""
    ledger, spell, before, at = soak.ledger, None, waited(), time.monotonic()
    while not soak.over:
        await asyncio.sleep(LOOK)
        now, after = time.monotonic(), waited()
        starved = longest_wait(before, after) > STARVED * (now - at)
        if starved and spell is None:
            spell = ledger.begin("service", "machine busy")
            spell.began = at
        elif spell is not None and not starved:
            spell.ended, spell = at, None
        soak.starved += starved * (now - at)
        before, at = after, now


async def stalls(soak: Soak, health: Health) -> None:
    """Ask for what takes no time, again and again: a time of waiting for it is a busy one."""
    ledger, before, connection = soak.ledger, 0.0, Connection(soak.port)
    while not soak.over:
        began = time.monotonic()
        async with awaited(ledger, "service", "service busy", BUSY):
            computed = float(await get(connection, "/alive"))
        took = time.monotonic() - began
        health.slowest = max(health.slowest, took)
        if took > BUSY:
            health.computed = max(health.computed, computed - before)
            if computed - before > STALL:
                wrong(soak, "stall", f"{computed - before:.1f} s computed", took)
        before = computed
        await asyncio.sleep(LOOK)
    connection.close()


async def rest(soak: Soak, health: Health, cycles: int) -> None:
    """Let the clients rest, and look at what is left in the service."""
    soak.going.clear()
    async with asyncio.timeout(60):
        while soak.resting < soak.clients:
            await asyncio.sleep(0.1)
    await asyncio.sleep(REST)
    # httpx closes what was idle for too long when it is next used.
    connection = Connection(soak.port)
    case = good(soak, "cold key, at rest", "/many", tokens.cold(soak.keys, tokens.PROBE))
    began = time.monotonic()
    note(soak, case, await ask(connection, case), began)
    health.rests.append((cycles, await quiet(connection)))
    connection.close()
    soak.going.set()


async def quiet(connection: Connection) -> dict[str, int]:
    """Look until there is no less than before: servers close in their own time."""
    said = await look(connection, "/health?deep")
    same = 0
    for _ in range(QUIET):
        await asyncio.sleep(1.0)
        before, said = said, await look(connection, "/health?deep")
        less = any(said[name] < before[name] for name in ("fds", "tasks"))
        same = 0 if less else same + 1
        if same == 3:
            break
    return said


def compared(health: Health, max_keys: int) -> list[tuple[str, int, int, int, bool]]:
    """For each thing: what it was at first, in the end, at most allowed, and whether it is flat.

    What is remembered fills its tables in the first cycle: memory is compared from its end on. If
    the process has ended and another one began, it is the one of them that was looked at most.
    """
    rests = max([*health.ended, health.rests], key=len)
    first, last = rests[0][1], rests[-1][1]
    rows = []
    for name, more in MORE.items():
        most = more if name in ABSOLUTE else first[name] + more
        if name == "tasks":
            most += CONNECTION_TASKS * max(0, last["to_redis"] - first["to_redis"])
        rows.append((name, first[name], last[name], most, last[name] <= most))
    # Each good key, and what is made of it, is held a few times at most.
    most = 4 * max_keys
    rows.append(("keys", first["keys"], last["keys"], most, last["keys"] <= most))
    whole = [said for cycles, said in rests if cycles]
    if len(whole) > 1:
        before, after = whole[0]["rss_kib"], whole[-1]["rss_kib"]
        most = int(before * MEMORY_MORE) + MEMORY_KIB
        rows.append(("rss_kib", before, after, most, after <= most))
    return rows
