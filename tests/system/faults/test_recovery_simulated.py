"""A repository that fails under load, in simulated time: a cold key is found soon afterwards.

The places of the fetcher and the cache are the real ones, on trio with a clock of its own: so a
busy machine makes nothing late.
"""

import random
from collections.abc import Callable

import anyio
import pytest
import trio
from trio.testing import MockClock

from asapfn.adapters._fetch_places import Places, acquire, release
from asapfn.errors import Unavailable
from asapfn.resolvers import pem_repository
from asapfn.resolvers.cache import activity
from asapfn.types import Document, Resolver
from tests.support.keysources import asking, cache_of, good, missing

DEADLINE, LATENCY, FAULT, SOON = 5.0, 0.02, 7.0, 1.0
FAULTS = ["hangs", "loses what it is asked", "refuses", "refuses late", "is overloaded", "flaps"]
# Callers a second, and how many more come as the fault begins: so many that some wait for a place,
# and so few that none does.
LOADS = {"many": (50.0, 200), "few": (5.0, 0)}


class Repository:
    """A repository that is well or fails, behind the places of a fetcher."""

    def __init__(self, chance: random.Random) -> None:
        self.fault = ""
        self.well = trio.Event()
        self.chance = chance
        self.places = Places(20, 80, DEADLINE)

    async def __call__(self, url: str, accept: str) -> Document:
        with anyio.move_on_after(DEADLINE):
            place, answered = await acquire(self.places, "origin"), False
            try:
                document = await self._answer(url)
                answered = True
                return document
            finally:
                release(self.places, place, answered=answered)
        raise Unavailable(url, "no whole answer")

    async def _answer(self, url: str) -> Document:
        fault = self.fault
        if fault == "hangs":
            await self.well.wait()
        elif fault == "loses what it is asked":
            await trio.sleep_forever()
        await trio.sleep(1.0 if fault == "refuses late" else LATENCY)
        if fault.startswith("refuses") or (fault == "flaps" and self.chance.random() < 0.5):
            raise Unavailable(url, "connection refused")
        if fault == "is overloaded":
            return Document(503, "", b"")
        return missing(url) if "unknown" in url else good(url)


async def ask(resolve: Resolver, kid: str, patience: float) -> bool:
    """Whether the key was found by a caller who waits for so long."""
    with trio.move_on_after(patience):
        try:
            return await resolve(asking(kid)) is not None
        except Unavailable:
            pass
    return False


async def traffic(
    nursery: trio.Nursery, resolve: Resolver, chance: random.Random, rate: float
) -> None:
    """Callers of new and unknown keys, who go sooner or later."""
    while True:
        kid = f"issuer{chance.randrange(40)}/{chance.choice(['new', 'unknown'])}{chance.random()}"
        nursery.start_soon(ask, resolve, kid, chance.choice([0.001, 0.05, 0.3, 1.0, 3.0, 15.0]))
        await trio.sleep(1 / rate)


async def found_after(resolve: Resolver, new_key: Callable[[], str]) -> float:
    """Seconds until a key that was never asked for is found, asked for every tenth of a second."""
    began = trio.current_time()
    found = trio.Event()

    async def probe() -> None:
        if await ask(resolve, new_key(), 15.0):
            found.set()

    async with trio.open_nursery() as nursery:
        while not found.is_set() and trio.current_time() < began + 20.0:
            nursery.start_soon(probe)
            with trio.move_on_after(0.1):
                await found.wait()
        took = trio.current_time() - began
        nursery.cancel_scope.cancel()
    return took


@pytest.mark.parametrize(("rate", "flood"), LOADS.values(), ids=LOADS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_cold_key_is_found_within_a_second_of_a_recovery_under_load(
    fault: str, rate: float, flood: int
) -> None:
    chance = random.Random(fault)

    async def main() -> None:
        repository = Repository(chance)
        resolve = pem_repository("https://keys.example/", repository, clock=trio.current_time)
        cache_of(resolve).chance = chance.random
        numbers = iter(range(10_000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(traffic, nursery, resolve, chance, rate)
            for _ in range(3):
                await trio.sleep(2.0)
                repository.fault, repository.well = fault, trio.Event()
                for number in range(flood):
                    kid = f"flood{number % 40}/unknown{next(numbers)}"
                    nursery.start_soon(ask, resolve, kid, chance.choice([0.3, 15.0]))
                await trio.sleep(FAULT)
                repository.fault = ""
                repository.well.set()
                took = await found_after(resolve, lambda: f"probe/{next(numbers)}")
                assert took <= SOON
            nursery.cancel_scope.cancel()
        await trio.sleep(2 * DEADLINE + 1.0)
        assert activity(resolve)[:2] == (0, 0)
        assert not repository.places.loops

    trio.run(main, clock=MockClock(autojump_threshold=0))
