"""`at_once`: a token whose key is in the cache is verified without an event loop, or not at all."""

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import anyio
import pytest

from asapfn import Document, Token, TokenRejected, Unavailable, Unverified, asap, at_once
from asapfn.keys import export_public_pem
from asapfn.replay import in_memory
from asapfn.resolvers import cached, keys_by_id
from asapfn.types import Key
from tests.support.keyring import key_for
from tests.support.stepping import without_event_loop

KEY = key_for("ES256", "issuer")
SIGN = asap.signer("issuer", KEY)


class Repository:
    """A repository's answers, counted."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, url: str, accept: str, /) -> Document:
        self.asked += 1
        await anyio.sleep(0)
        return Document(200, "application/x-pem-file", export_public_pem(KEY).encode())


def test_a_key_that_is_given_needs_no_event_loop() -> None:
    verify = at_once(asap.verifier(keys_by_id([KEY]), "service", issuers="issuer"))
    assert verify(SIGN("service")).claims["iss"] == "issuer"
    with pytest.raises(TokenRejected) as caught:
        verify(SIGN("other"))
    assert caught.value.reason == "wrong_audience"


def test_a_key_must_be_in_the_cache_and_asking_at_once_costs_nothing() -> None:
    fetch = Repository()
    repository = asap.repository("https://keys.example/", fetch)
    verify = asap.verifier(repository, "service", issuers="issuer")
    now = at_once(verify)
    for _ in range(500):  # more than the budget of misses
        with pytest.raises(Unavailable, match="needs an event loop"):
            now(SIGN("service"))
    assert fetch.asked == 0
    assert anyio.run(verify, SIGN("service")).claims["iss"] == "issuer"
    assert now(SIGN("service")).claims["iss"] == "issuer"
    assert fetch.asked == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_within_an_event_loop_it_is_a_programming_error(backend: str) -> None:
    now = at_once(asap.verifier(keys_by_id([KEY]), "service", issuers="issuer"))

    async def main() -> None:
        with pytest.raises(RuntimeError, match="await verify"):
            now(SIGN("service"))

    anyio.run(main, backend=backend)


def test_a_token_is_not_used_up_by_a_verification_that_cannot_end() -> None:
    async def waits(token: Token) -> None:
        await anyio.sleep(0)

    verify = asap.verifier(keys_by_id([KEY]), "service", issuers="issuer", replay=in_memory())
    token = SIGN("service")
    for _ in range(2):
        with pytest.raises(Unavailable):
            at_once(verify)(token)
    assert anyio.run(verify, token, waits).claims["iss"] == "issuer"
    with pytest.raises(TokenRejected, match="replayed"):
        anyio.run(verify, token)


def test_what_a_resolver_raises_without_an_event_loop_is_the_cause() -> None:
    async def broken(unverified: Unverified) -> Key | None:
        raise RuntimeError("no running event loop")

    with pytest.raises(Unavailable) as caught:
        at_once(asap.verifier(broken, "service", issuers="issuer"))(SIGN("service"))
    assert str(caught.value.__cause__) == "no running event loop"
    assert (caught.value.source, caught.value.detail) == (
        "verification at once",
        "it needs an event loop",
    )


def test_threads_share_a_verifier() -> None:
    resolver = cached(keys_by_id([KEY]))
    verify = asap.verifier(resolver, "service", issuers="issuer")
    anyio.run(verify, SIGN("service"))
    now, start = at_once(verify), threading.Barrier(8, timeout=10)

    def call(_: int) -> str:
        start.wait()
        return str([now(SIGN("service")).claims["iss"] for _ in range(20)][-1])

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(call, range(8))) == ["issuer"] * 8


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_with_the_context_of_an_event_loops_task_has_no_event_loop(backend: str) -> None:
    """Django under ASGI calls plain views so, by asgiref's `sync_to_async`."""
    verify = asap.verifier(keys_by_id([KEY]), "service", issuers="issuer")
    once = asap.verifier(keys_by_id([KEY]), "service", issuers="issuer", replay=in_memory())

    async def main() -> None:
        context = copy_context()
        with ThreadPoolExecutor(1) as thread:
            token = thread.submit(context.run, at_once(verify), SIGN("service")).result()
            assert token.claims["iss"] == "issuer"
            asked = thread.submit(context.run, at_once(once), SIGN("service"))
            with pytest.raises(Unavailable, match="event loop"):
                asked.result()

    anyio.run(main, backend=backend)


def test_an_awaitable_that_is_no_coroutine_is_run_as_well() -> None:
    verify = asap.verifier(keys_by_id([KEY]), "service", issuers="issuer")

    class Later:
        def __await__(self) -> Generator[Any, Any, Token]:
            return (yield from verify(SIGN("service")).__await__())

    assert at_once(lambda token: Later())("").claims["iss"] == "issuer"


def test_what_waits_on_nothing_we_know_is_closed_and_unavailable() -> None:
    ended: list[str] = []

    class Bare:
        def __await__(self) -> Generator[Any, Any, Token]:
            try:
                yield
            finally:
                ended.append("closed")
            pytest.fail("never resumed")

    with pytest.raises(Unavailable):
        at_once(lambda token: Bare())("")
    assert ended == ["closed"]


def test_a_test_that_is_marked_no_event_loop_fails_where_it_suspends_or_asserts() -> None:
    async def suspends() -> None:
        await asyncio.sleep(0)

    async def asks_for_a_loop() -> None:
        anyio.current_time()

    async def asserts() -> None:
        raise AssertionError("what it found")

    with pytest.raises(pytest.fail.Exception, match="suspends"):
        without_event_loop(suspends)()
    with pytest.raises(RuntimeError) as raised:
        without_event_loop(asks_for_a_loop)()
    assert "@pytest.mark.anyio" in raised.value.__notes__[0]
    with pytest.raises(AssertionError, match="what it found"):
        without_event_loop(asserts)()
