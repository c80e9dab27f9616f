"""What finding a key costs: at hand, by a herd, and beside a bare look-up in a dictionary.

Awaits are timed as many awaits within one running loop, since starting a loop costs more than all
that is measured here. Contenders run in turns and the least of the rounds counts, so that the
ratios hold on a busy machine.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from asapfn import asap
from asapfn.resolvers import only_issuers, owned_by_issuer, pem_repository
from asapfn.types import Caching, Document, Key, Resolver, Unverified
from tests.support.keyring import key_for
from tests.support.keysources import asking, published

MIRRORS = "https://one.example/ | https://two.example/"
KEY = key_for("ES256")
SIZES = [10, 1_000, 100_000]
ENDLESS = Caching(
    max_keys=200_000, issuer_misses=(1e9, 10**9), total_misses=(1e9, 10**9), max_age=1e9
)


async def fetch(url: str, accept: str) -> Document:
    await asyncio.sleep(0)
    return published(KEY, 1e9)


def tokens(size: int) -> list[Unverified]:
    """Tokens of as many issuers, with a key each."""
    return [asking(f"some-service-{n}/key.pem", f"some-service-{n}") for n in range(size)]


def composition(each: list[Unverified]) -> Resolver:
    """What `asap.verifier` puts together: the issuers given, ownership, cache, two mirrors."""
    repository = asap.repository(MIRRORS, fetch, caching=ENDLESS)
    return only_issuers(owned_by_issuer(repository), [token.claims["iss"] for token in each])


def dictionary(each: list[Unverified]) -> Resolver:
    """The least that a resolver can do."""
    table: Mapping[str, Key] = {token.header["kid"]: KEY for token in each}

    async def resolve(unverified: Unverified) -> Key | None:
        return table.get(unverified.header["kid"])

    return resolve


async def awaits(resolve: Resolver, each: list[Unverified]) -> None:
    for token in each:
        await resolve(token)


@pytest.fixture
def run() -> Iterator[Callable[[Awaitable[object]], object]]:
    with asyncio.Runner() as runner:
        yield runner.get_loop().run_until_complete


@pytest.mark.parametrize("make", [dictionary, composition])
def test_a_thousand_hits(
    benchmark: BenchmarkFixture,
    run: Callable[[Awaitable[object]], object],
    make: Callable[[list[Unverified]], Resolver],
) -> None:
    benchmark.group = "resolvers, 1,000 hits"
    each = tokens(1_000)
    resolve = make(each)
    run(awaits(resolve, each))
    benchmark(lambda: run(awaits(resolve, each)))


@pytest.mark.parametrize("size", SIZES)
def test_a_hit_costs_at_most_2_microseconds_more_than_a_dictionary(
    benchmark: BenchmarkFixture, run: Callable[[Awaitable[object]], object], size: int
) -> None:
    benchmark.group = "resolvers, a hit over a dictionary's, in turns"
    each = tokens(min(size, 100) if benchmark.disabled else size)
    contenders = {"dictionary": dictionary(each), "composition": composition(each)}
    for resolve in contenders.values():
        run(awaits(resolve, each))
    some = each[:: len(each) // 10] * 100
    least = dict.fromkeys(contenders, float("inf"))

    async def turn() -> None:
        for name, resolve in contenders.items():
            started = time.perf_counter()
            await awaits(resolve, some)
            least[name] = min(least[name], (time.perf_counter() - started) / len(some) * 1e6)

    benchmark(lambda: run(turn()))
    if benchmark.disabled:
        return
    for _ in range(200):
        run(turn())
    more = least["composition"] - least["dictionary"]
    benchmark.extra_info |= least | {"more": more}
    assert more <= 2.0


@pytest.mark.parametrize("count", [1, 100, 10_000])
def test_a_herd_on_a_cold_cache(
    benchmark: BenchmarkFixture, run: Callable[[Awaitable[object]], object], count: int
) -> None:
    benchmark.group = f"resolvers, {count:,} callers on a cold cache"
    asked = 0

    async def counted(url: str, accept: str) -> Document:
        nonlocal asked
        asked += 1
        return await fetch(url, accept)

    async def herd() -> None:
        resolve = pem_repository(MIRRORS, counted)
        token = tokens(1)[0]
        await asyncio.gather(*(resolve(token) for _ in range(count)))

    benchmark.pedantic(lambda: run(herd()), rounds=5, warmup_rounds=1)
    assert asked == (1 if benchmark.disabled else 6)


def test_a_miss(benchmark: BenchmarkFixture, run: Callable[[Awaitable[object]], object]) -> None:
    benchmark.group = "resolvers, a miss but for the network"
    resolve = pem_repository(MIRRORS, fetch, caching=ENDLESS._replace(max_keys=1000))
    each = iter(tokens(1_000_000 if not benchmark.disabled else 10))
    benchmark.pedantic(lambda: run(resolve(next(each))), rounds=2000, warmup_rounds=10)
