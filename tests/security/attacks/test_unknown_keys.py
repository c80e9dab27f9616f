"""A flood of key ids that nobody has, which costs its sender nothing, and the cache of keys."""

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from os import environ

import pytest

from tests.support.keysources import good, missing
from tests.support.repository_client import URL, Client

# How many unknown key ids are looked up, ten a second.
FLOOD = int(environ.get("ASAPFN_FLOOD", "3000"))


# In one issuer's name, and in many. What is kept is the same under each backend.
@pytest.mark.parametrize(
    ("anyio_backend", "unknown"),
    [("asyncio", "unknown/{}"), ("trio", "unknown{}/key")],
    ids=["asyncio-one", "trio-many"],
)
async def test_a_flood_of_unknown_key_ids_leaves_memory_flat_and_good_keys_alone(
    unknown: str, memory: Callable[[], int]
) -> None:
    client = Client(
        lambda url: missing(url) if "unknown" in url else good(url),
        issuer_misses=(5.0, 50),
        longest_wait=0.0,
        max_keys=256,
    )
    kids = [f"honest/{number}" for number in range(40)]
    sizes: list[int] = []
    asked: Counter[str] = Counter()
    for kid in kids:
        assert await client.sees(kid) == "key"
    for tenth in range(10):
        for number in range(FLOOD // 10):
            assert await client.sees(unknown.format(f"{tenth}-{number}")) != "key"
            client.clock.turn(0.1)
        client.clock.turn(0.1)
        assert [await client.sees(kid) for kid in kids] == ["key"] * 40
        assert await client.sees(f"another{tenth}/key") == "key"
        asked.update(url[len(URL) :][:6] for url in client.repository.asked)
        client.repository.asked.clear()
        client.events.clear()
        sizes.append(memory())
    rate, burst = (5, 50) if unknown == "unknown/{}" else (200, 5000)
    assert FLOOD // 2 < asked["unknow"] <= burst + rate * (FLOOD // 10 + 1)
    # Once at first, and after each 300 seconds.
    assert 40 < asked["honest"] <= 40 * (1 + FLOOD // 3000)
    # The tables are full by then. A dict that grows once more is 80 KB; if something were kept of
    # each key, that would be more than 1 MB.
    assert max(sizes) - min(sizes[2:]) < 200_000


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """Says how many bytes are in use that were not when the test began."""

    def used() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    yield used
    tracemalloc.stop()
