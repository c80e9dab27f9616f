"""The cache, and callers that ask at once."""

import anyio
import pytest

from asapfn.errors import TokenRejected
from asapfn.resolvers import cached
from asapfn.types import Key, Unverified
from tests.support.keyring import key_for
from tests.support.keysources import Clock, asking, down, settle
from tests.support.repository_client import Client


async def test_a_thousand_callers_on_a_cold_cache_make_one_request() -> None:
    client = Client()
    seen: list[str] = []

    async def call() -> None:
        seen.append(await client.sees())

    client.repository.close_gate()
    async with anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(call)
        await settle()
        assert client.repository.closed is not None
        client.repository.closed.set()
    assert seen == ["key"] * 1_000
    assert client.requests == 1
    assert client.events.kinds() == ["fetched"]


async def test_callers_that_wait_on_an_outage_are_each_told() -> None:
    client = Client(down)
    seen: list[str] = []

    async def call() -> None:
        seen.append(await client.sees())

    open_gate = client.repository.close_gate()
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(call)
        await settle()
        open_gate()
    assert seen == ["unavailable"] * 50
    assert client.requests == 1


async def test_what_fails_is_the_askers_to_see_and_an_outage_to_those_who_wait() -> None:
    gate, failure = anyio.Event(), KeyError("row")
    raised: list[Exception] = []

    async def broken(unverified: Unverified) -> Key | None:
        await gate.wait()
        raise failure

    resolve = cached(broken)

    async def call() -> None:
        try:
            await resolve(asking())
        except Exception as error:
            raised.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
        await settle()
        gate.set()
    assert sorted(map(str, raised)) == ["'row'", *["cached: asking failed: KeyError"] * 2]


async def test_the_old_key_serves_who_waits_on_a_call_that_fails() -> None:
    clock, gate, calls = Clock(), anyio.Event(), 0

    async def breaks(unverified: Unverified) -> Key | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            return key_for("RS256")
        await gate.wait()
        raise KeyError("row")

    resolve = cached(breaks, clock=clock)
    assert await resolve(asking()) is key_for("RS256")
    clock.turn(600.0)
    async with anyio.create_task_group() as group:

        async def lead() -> None:
            with pytest.raises(KeyError):
                await resolve(asking())

        async def follow() -> None:
            assert await resolve(asking()) is key_for("RS256")

        group.start_soon(lead)
        await settle()
        group.start_soon(follow)
        await settle()
        gate.set()
    with pytest.raises(KeyError):  # it was no outage, so the source is not left alone
        await resolve(asking())


async def test_a_refusal_is_neither_remembered_nor_shared() -> None:
    gate, calls = anyio.Event(), 0
    results: list[object] = []

    async def refuses_first(unverified: Unverified) -> Key | None:
        nonlocal calls
        calls += 1
        await gate.wait()
        if calls == 1:
            raise TokenRejected("issuer_not_allowed")
        return key_for("RS256")

    resolve = cached(refuses_first)

    async def call() -> None:
        try:
            results.append(await resolve(asking()))
        except TokenRejected as error:
            results.append(error.reason)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
        await settle()
        gate.set()
    assert results.count("issuer_not_allowed") == 1
    assert results.count(key_for("RS256")) == 2
    assert calls == 2
