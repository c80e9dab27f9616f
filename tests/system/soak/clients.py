"""The clients: each sends good, bad, cut and half-sent requests, and compares the answers."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.system.soak import tokens
from tests.system.soak.oracle import (
    ACCEPTED,
    REPLAYED,
    UNAVAILABLE,
    UNKNOWN,
    Answer,
    Case,
    Ledger,
    right_answers,
)
from tests.system.soak.tokens import Key, Keys

# Seconds. A fetch may take 5 and be waited for by others, who then ask themselves. An answer that
# is later is wrong, unless the machine is busy: trio accepts one connection in each turn of its
# loop, so a flood of 300 takes long where a turn does. After the second time, no answer is wrong.
LATE, PATIENCE = 15.0, 60.0
# A connection that was idle for longer is not used again: the server may just be closing it.
IDLE = 1.5
NO_ANSWER = "no answer"


class Death(NamedTuple):
    """The end of the service's process, which nobody wanted: when, and the last of its log."""

    at: float
    log: str


class Wrong(NamedTuple):
    """An answer that is not right: when in seconds since the start, what, and what was failing."""

    at: float
    kind: str
    answer: str
    seconds: float
    failing: str


@dataclass
class Soak:
    """What the clients share."""

    port: int
    keys: Keys
    ledger: Ledger
    chance: random.Random
    rate: float
    clients: int
    began: float = field(default_factory=time.monotonic)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[Wrong] = field(default_factory=list)
    lenient: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    going: asyncio.Event = field(default_factory=asyncio.Event)
    deaths: list[Death] = field(default_factory=list)
    resting: int = 0
    starved: float = 0.0
    over: bool = False


@dataclass
class Connection:
    """A connection to the service, opened when it is needed."""

    port: int
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    used: float = 0.0

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.reader is None or self.writer is None or time.monotonic() - self.used > IDLE:
            self.close()
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.used = time.monotonic()
        return self.reader, self.writer

    def close(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None


def request(path: str, token: str | None, *, body: int = 0) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines.append(f"Content-Length: {body}")
    return "\r\n".join([*lines, "", ""]).encode()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    return int(head[0].split()[1]), body


async def ask(connection: Connection, case: Case, patience: float = PATIENCE) -> Answer | str:
    """Send a request, and give the answer, or what came instead of one."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await connection.open()
            writer.write(request(case.path, case.token))
            status, body = await read_answer(reader)
            connection.used = time.monotonic()
    except TimeoutError:
        connection.close()
        return NO_ANSWER
    except (OSError, asyncio.IncompleteReadError) as error:
        connection.close()
        return type(error).__name__
    if status == 200:
        return ACCEPTED
    with contextlib.suppress(ValueError):
        return status, json.loads(body)["reason"]
    return status, "?"


def note(soak: Soak, case: Case, answer: Answer | str, sent: float) -> bool:
    """Count an answer, and keep it if it is wrong; whether it was right."""
    now = time.monotonic()
    shown = answer if isinstance(answer, str) else " ".join(map(str, answer)).strip()
    soak.counts[case.kind, shown] += 1
    soak.slowest[case.kind] = max(soak.slowest.get(case.kind, 0.0), now - sent)
    if answer == ACCEPTED and case.key is not None:
        case.key.known = True
    late = now - sent > LATE
    if late and answer != NO_ANSWER:
        shown += f", after more than {LATE:.0f} s"
    if answer in right_answers(case, sent, now, soak.ledger) and not late:
        return True
    # A server that has long been waiting for the processor may take a connection for an idle one;
    # and what is under way when it dies has no answer.
    closed = isinstance(answer, str) and answer != NO_ANSWER and soak.ledger.busy(sent, now)
    excused = soak.ledger.busy(sent, now) or not late
    if excused and (closed or answer in right_answers(case, sent, now, soak.ledger, lenient=True)):
        soak.lenient[case.kind, shown] += 1
        return True
    wrong(soak, case.kind, shown, now - sent)
    return False


def wrong(soak: Soak, kind: str, answer: str, seconds: float) -> None:
    failing = ", ".join(soak.ledger.now()) or "nothing"
    soak.wrong.append(Wrong(time.monotonic() - soak.began, kind, answer, seconds, failing))


async def sent(soak: Soak, connection: Connection, case: Case) -> Answer | str:
    began = time.monotonic()
    answer = await ask(connection, case)
    note(soak, case, answer, began)
    return answer


def good(soak: Soak, kind: str, path: str, key: Key, text: str | None = None) -> Case:
    """A good token's request: where the key is known, it does not depend on the repository."""
    needs = set() if key.known else {"repository"}
    if path == "/once":
        needs.add("redis")
    text = text or tokens.token(key)
    return Case(kind, path, text, frozenset({ACCEPTED}), frozenset(needs), key)


def hot(soak: Soak) -> Key:
    return soak.chance.choice(list(soak.keys.hot.values()))


async def fresh(soak: Soak, connection: Connection) -> None:
    await sent(soak, connection, good(soak, "fresh, once", "/once", hot(soak)))


async def reused(soak: Soak, connection: Connection) -> None:
    key = hot(soak)
    text = tokens.token(key)
    for _ in range(3):
        await sent(soak, connection, good(soak, "reused", "/many", key, text))


async def cold(soak: Soak, connection: Connection) -> None:
    key = tokens.cold(soak.keys, soak.chance.choice(tokens.COLD))
    path = soak.chance.choice(["/many", "/once"])
    await sent(soak, connection, good(soak, "cold key", path, key))


async def replayed(soak: Soak, connection: Connection) -> None:
    """A token that was accepted is refused the second time, whatever happened to Redis."""
    case = good(soak, "fresh, to be replayed", "/once", hot(soak))
    if await sent(soak, connection, case) == ACCEPTED:
        await asyncio.sleep(soak.chance.choice([0.0, 0.0, 1.0]))
        right, needs = frozenset({REPLAYED}), frozenset({"redis"})
        again = Case("replayed", "/once", case.token, right, needs, case.key)
        await sent(soak, connection, again)


async def twice_at_once(soak: Soak, connection: Connection) -> None:
    case = good(soak, "twice at once", "/once", hot(soak))
    either = case._replace(right=frozenset({ACCEPTED, REPLAYED}))
    other = Connection(soak.port)
    try:
        answers = await asyncio.gather(sent(soak, connection, either), sent(soak, other, either))
    finally:
        other.close()
    if answers.count(ACCEPTED) > 1 or answers.count(REPLAYED) > 1:
        wrong(soak, "twice at once", f"both {answers[0]}", 0.0)


async def retired(soak: Soak, connection: Connection) -> None:
    if soak.keys.retired:
        key = soak.chance.choice(soak.keys.retired)
        right, needs = frozenset({ACCEPTED}), frozenset({"repository"})
        case = Case("retired key", "/many", tokens.token(key), right, needs, key)
        await sent(soak, connection, case)


async def unknown(soak: Soak, connection: Connection) -> None:
    key = tokens.new_key(soak.chance.choice(tokens.UNKNOWN))
    needs = frozenset({"repository"})
    case = Case("unknown key", "/many", tokens.token(key), frozenset({UNKNOWN}), needs)
    await sent(soak, connection, case)


BAD: dict[str, tuple[Callable[[Key], str | None], Answer]] = {
    "expired": (tokens.expired, (401, "expired")),
    "not yet valid": (tokens.early, (401, "not_yet_valid")),
    "lifetime too long": (tokens.long_lived, (401, "lifetime_too_long")),
    "wrong audience": (lambda key: tokens.token(key, aud="other"), (401, "wrong_audience")),
    "no expiry": (lambda key: tokens.token(key, exp=None), (401, "missing_claim")),
    "bad signature": (tokens.forged, (401, "bad_signature")),
    "unsigned": (tokens.unsigned, (401, "unsupported_algorithm")),
    "malformed": (tokens.malformed, (401, "malformed")),
    "key not owned": (tokens.misplaced, (401, "key_not_owned")),
    "outsider": (lambda _: tokens.outsider(), (403, "issuer_not_allowed")),
    "no token": (lambda _: None, (401, "missing_token")),
}


async def bad(soak: Soak, connection: Connection) -> None:
    kind = soak.chance.choice(list(BAD))
    make, answer = BAD[kind]
    key = hot(soak)
    # Of a key that is not known yet, the repository is asked before the signature is looked at.
    unknown_yet = kind == "bad signature" and not key.known
    needs = frozenset({"repository"}) if unknown_yet else frozenset()
    path = soak.chance.choice(["/many", "/once"])
    right = {answer}
    if kind == "bad signature":
        right.add(UNKNOWN) if key.removed is not None else None
    await sent(soak, connection, Case(kind, path, make(key), frozenset(right), needs))


async def cut(soak: Soak, connection: Connection) -> None:
    """Send part of a request's head, or of its body, and close."""
    data = request("/once", tokens.token(hot(soak)), body=100)
    part = data[: soak.chance.randrange(1, len(data))] if soak.chance.random() < 0.5 else data
    await partly(soak, "cut", part + b"x" * 10 * (part is data), 0.0)


async def half_sent(soak: Soak, connection: Connection) -> None:
    """Send part of a request, and then nothing for a while."""
    data = request("/once", tokens.token(hot(soak)))
    part = data[: soak.chance.randrange(1, len(data) - 2)]
    await partly(soak, "half-sent", part, soak.chance.uniform(0.5, 3.0))


async def partly(soak: Soak, kind: str, part: bytes, wait: float) -> None:
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", soak.port)
        writer.write(part)
        said = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                said = await reader.read(65_536)
        writer.transport.abort()
        answer = said.split()[1].decode() if said else "closed" if wait == 0 else "no answer"
        soak.counts[kind, answer] += 1
        if answer.startswith("2"):
            wrong(soak, kind, answer, wait)


async def leaves(soak: Soak, connection: Connection) -> None:
    """Disconnect before the answer is there, at any time."""
    key = hot(soak)
    if soak.chance.random() < 0.4:
        key = tokens.cold(soak.keys, soak.chance.choice(tokens.COLD))
    path = soak.chance.choice(["/many", "/once"])
    await leave(soak, "disconnects", path, tokens.token(key), soak.chance.choice([0.0, 0.005, 0.3]))


async def leave(soak: Soak, kind: str, path: str, token: str, at_most: float) -> None:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", soak.port)
        writer.write(request(path, token))
        await asyncio.sleep(soak.chance.uniform(0.0, at_most))
        writer.transport.abort()
        soak.counts[kind, "gone"] += 1


KINDS: dict[Callable[[Soak, Connection], Awaitable[None]], int] = {
    fresh: 26,
    reused: 10,
    cold: 10,
    replayed: 8,
    twice_at_once: 4,
    retired: 4,
    unknown: 4,
    bad: 18,
    cut: 4,
    half_sent: 2,
    leaves: 10,
}


async def client(soak: Soak) -> None:
    """One client: sends requests at its share of the rate until the soak is over."""
    connection = Connection(soak.port)
    functions, weights = list(KINDS), list(KINDS.values())
    pause = soak.clients / soak.rate
    while not soak.over:
        if not soak.going.is_set():
            connection.close()
            soak.resting += 1
            await soak.going.wait()
            soak.resting -= 1
            await asyncio.sleep(soak.chance.uniform(0.0, 2 * pause))
            continue
        (send,) = soak.chance.choices(functions, weights)
        await send(soak, connection)
        if soak.chance.random() < 0.1:
            connection.close()
        await asyncio.sleep(soak.chance.uniform(0.0, 2 * pause))
    connection.close()


async def flood(soak: Soak, count: int) -> None:
    """Ask for many keys at once that were never asked for: half of them there are."""

    async def one(number: int) -> None:
        issuer = tokens.FLOOD[number % len(tokens.FLOOD)]
        there = number % 4 < 2
        key = tokens.cold(soak.keys, issuer) if there else tokens.new_key(issuer)
        text = tokens.token(key)
        if number % 4 == 3:
            await leave(soak, "flood, disconnects", "/many", text, 5.0)
            return
        # Where so much is asked at once, a request may be refused for that alone.
        right = frozenset({ACCEPTED if there else UNKNOWN, UNAVAILABLE})
        connection = Connection(soak.port)
        try:
            await sent(soak, connection, Case("flood", "/many", text, right))
        finally:
            connection.close()

    await asyncio.gather(*(one(number) for number in range(count)))


async def crowd(soak: Soak, seconds: float) -> None:
    """Callers of one cold key who give up after a second: in the end one must have got it.

    Where the machine is busy they go on for as long again, and longer by what it makes late.
    """
    key = tokens.cold(soak.keys, tokens.CROWD)
    found = 0

    async def one() -> None:
        nonlocal found
        connection = Connection(soak.port)
        case = good(soak, "crowd", "/many", key)
        answer = await ask(connection, case, patience=1.0)
        connection.close()
        shown = answer if isinstance(answer, str) else " ".join(map(str, answer)).strip()
        soak.counts["crowd", "gave up" if answer == NO_ANSWER else shown] += 1
        found += answer == ACCEPTED

    async with asyncio.TaskGroup() as group:
        began = time.monotonic()

        def late() -> float:
            now = time.monotonic()
            busy = not found and soak.ledger.busy(began, now)
            return seconds + 2 * soak.ledger.lag(began, now) if busy else 0.0

        while time.monotonic() < began + seconds + late():
            group.create_task(one())
            await asyncio.sleep(0.1)
    if not found and soak.ledger.busy(began, time.monotonic()):
        connection = Connection(soak.port)
        found += await ask(connection, good(soak, "crowd", "/many", key)) == ACCEPTED
        connection.close()
        soak.lenient["crowd", "the key was found, but nobody got it within a second"] += found
    if not found:
        wrong(soak, "crowd", "no caller got the key", seconds)
