"""Four processes that share a Redis: of the copies of a token, sent at once, one is accepted.

`ASAPFN_REPLAY_TOKENS=2000` is the full form; by default it is short.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import anyio
import httpx
import pytest

from asapfn import asap
from asapfn.keys import export_public_pem, generate
from tests.support.redis_server import RedisServer, free_port, redis_server

TOKENS = int(os.environ.get("ASAPFN_REPLAY_TOKENS", "60"))
WORKERS, COPIES, CONNECTIONS, AT_ONCE = 4, 8, 8, 4
KEY = generate("ES256", kid="orders/key.pem")


class Service(NamedTuple):
    url: str
    redis: RedisServer


class Answer(NamedTuple):
    says: str
    worker: str


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """uvicorn with its workers, and a Redis that has each write on disk before it answers."""
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with redis_server(tmp_path_factory.mktemp("redis"), *durable) as redis:
        port = free_port()
        where = ("--app-dir", str(Path(__file__).parents[1] / "support"), "--port", str(port))
        how = ("--workers", str(WORKERS), "--timeout-keep-alive", "300", "--log-level", "warning")
        uvicorn = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "replay_service:service", *where, *how],
            env={**os.environ, "REDIS_URL": redis.url, "PUBLIC_KEY": export_public_pem(KEY)},
            start_new_session=True,
        )
        try:
            yield Service(f"http://127.0.0.1:{port}", redis)
        finally:
            uvicorn.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                uvicorn.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(uvicorn.pid, signal.SIGKILL)
            uvicorn.wait()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of one connection each, as many to each worker."""
    each: dict[str, list[httpx.AsyncClient]] = {}
    one = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
    deadline = time.monotonic() + 60
    async with contextlib.AsyncExitStack() as stack:
        while sum(map(len, each.values())) < WORKERS * CONNECTIONS:
            assert time.monotonic() < deadline, f"of {WORKERS} workers {len(each)} answer"
            client = httpx.AsyncClient(
                base_url=url, limits=one, timeout=60, trust_env=False, verify=False
            )
            try:
                worker = (await client.get("/free")).headers["x-worker"]
            except httpx.TransportError:
                await client.aclose()
                await anyio.sleep(0.1)
                continue
            if len(each.setdefault(worker, [])) < CONNECTIONS:
                each[worker].append(client)
                stack.push_async_callback(client.aclose)
            else:
                await client.aclose()
        yield [client for clients in each.values() for client in clients]


async def send_copies(clients: list[httpx.AsyncClient], token: str) -> list[Answer]:
    """Send a token over several connections at once."""
    answers: list[Answer] = []

    async def send(client: httpx.AsyncClient) -> None:
        response = await client.get("/", headers={"Authorization": f"Bearer {token}"})
        says = {200: "accepted", 503: "unavailable"}.get(response.status_code)
        answers.append(Answer(says or response.json()["reason"], response.headers["x-worker"]))

    async with anyio.create_task_group() as group:
        for client in random.sample(clients, COPIES):
            group.start_soon(send, client)
    return answers


async def send_all(
    clients: list[httpx.AsyncClient], tokens: list[str], answers: dict[str, list[Answer]]
) -> None:
    """Send the copies of all tokens, those of several at once, and add to what was answered."""
    waiting = iter(tokens)

    async def sender() -> None:
        for token in waiting:
            answers.setdefault(token, []).extend(await send_copies(clients, token))

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(sender)


def new_tokens(number: int) -> list[str]:
    sign = asap.signer("orders", KEY, lifetime=3600)
    return [sign("billing") for _ in range(number)]


def accepted(answers: list[Answer]) -> int:
    return [answer.says for answer in answers].count("accepted")


def test_of_the_copies_of_a_token_one_is_accepted(service):
    answers: dict[str, list[Answer]] = {}

    async def run() -> None:
        async with connected(service.url) as clients:
            await send_all(clients, new_tokens(TOKENS), answers)

    started = time.monotonic()
    anyio.run(run)
    workers = Counter(answer.worker for each in answers.values() for answer in each)
    print(f"{TOKENS} tokens in {time.monotonic() - started:.1f} s, by worker: {dict(workers)}")
    assert len(answers) == TOKENS
    assert {tuple(sorted(Counter(a.says for a in each).items())) for each in answers.values()} == {
        (("accepted", 1), ("replayed", COPIES - 1))
    }
    assert len(workers) == WORKERS
    assert all(len({answer.worker for answer in each}) > 1 for each in answers.values())


def test_no_token_is_accepted_twice_though_redis_crashes(service):
    answers: dict[str, list[Answer]] = {}
    tokens = new_tokens(TOKENS)

    async def crash() -> None:
        while len(answers) < TOKENS // 3:
            await anyio.sleep(0.01)
        await anyio.to_thread.run_sync(service.redis.kill)
        while not any(answer.says == "unavailable" for each in answers.values() for answer in each):
            await anyio.sleep(0.01)
        await anyio.to_thread.run_sync(service.redis.start)

    async def run() -> None:
        async with connected(service.url) as clients:
            async with anyio.create_task_group() as group:
                group.start_soon(crash)
                await send_all(clients, tokens, answers)
            before = {token: accepted(each) for token, each in answers.items()}
            counts = Counter(answer.says for each in answers.values() for answer in each)
            print(f"{TOKENS} tokens, Redis killed once: {dict(counts)}, {Counter(before.values())}")
            assert counts["unavailable"]
            assert set(counts) == {"accepted", "replayed", "unavailable"}
            # All of them again: Redis has forgotten none.
            await send_all(clients, tokens, answers)
            again = {token: accepted(each) for token, each in answers.items()}
            assert max(again.values()) == 1
            assert all(again[token] == 1 for token, times in before.items() if times)

    anyio.run(run)


def test_redis_forgets_what_is_not_on_its_disk(service):
    """Else the test above could not fail."""
    answers: dict[str, list[Answer]] = {}
    tokens = new_tokens(5)

    async def run() -> None:
        async with connected(service.url) as clients:
            with service.redis.admin() as admin:
                admin.config_set("appendonly", "no")
            await send_all(clients, tokens, answers)
            await anyio.to_thread.run_sync(service.redis.kill)
            await anyio.to_thread.run_sync(service.redis.start)
            await send_all(clients, tokens, answers)

    anyio.run(run)
    # A worker may need its first answers to notice that its connection is gone.
    assert max(accepted(each) for each in answers.values()) == 2
