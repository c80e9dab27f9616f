"""What verifying a token costs, by each algorithm, and with keys from an https repository."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from contenders import NAMES, bare_verifier, token, verifiers
from contest import Measure
from pytest_benchmark.fixture import BenchmarkFixture
from repositories import AIOHTTP, REQUESTS, Published, published, ways

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

CASES = [(name, who) for name in NAMES for who in ("cryptography", *verifiers(name))]


@pytest.mark.parametrize(("algorithm", "who"), CASES)
def test_verify(a_hundred_times: Measure, algorithm: str, who: str) -> None:
    text = token(algorithm)
    function = bare_verifier(algorithm, text)
    if who != "cryptography":
        verify = verifiers(algorithm)[who]
        function = lambda: verify(text)  # noqa: E731
    a_hundred_times(f"verify {algorithm}", function)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    with published(tmp_path_factory.mktemp("repository"), "RS256") as keys:
        yield keys


@pytest.mark.parametrize("who", ["asapfn", REQUESTS, AIOHTTP])
@pytest.mark.parametrize("seen", ["known", "first"])
def test_verify_by_keys_from_an_https_repository(
    benchmark: BenchmarkFixture,
    run: Callable[[Any], Any],
    repository: Published,
    seen: str,
    who: str,
) -> None:
    """A key that was seen before, where remembering pays; and the first token of a key."""
    benchmark.group = f"verify RS256, keys from an https repository: {seen}"
    text = token("RS256")
    made: contextlib.AbstractAsyncContextManager[Any] = ways(repository)
    verify = getattr(run(made.__aenter__()), seen)[who]

    async def once() -> None:
        result = verify(text)
        if not isinstance(result, dict):
            await result

    try:
        benchmark(lambda: run(once()))
    finally:
        run(made.__aexit__(None, None, None))
