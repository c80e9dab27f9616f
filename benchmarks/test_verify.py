"""What verifying a token costs, by each algorithm, and with keys from an https repository."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from contenders import NAMES, bare_verifier, new_tokens, token, verifiers
from contest import Measure
from repositories import AIOHTTP, REQUESTS, SEEN, Published, published, ways

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


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_verify_new_tokens(a_hundred_times: Measure, algorithm: str) -> None:
    """With the memory of tokens, of which none is in it."""
    a_hundred_times(f"verify {algorithm}, the whole of ASAP", new_tokens(algorithm, 1500))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    with published(tmp_path_factory.mktemp("repository"), "RS256") as keys:
        yield keys


@pytest.mark.parametrize(
    ("seen", "who"),
    [
        *(("known", who) for who in ("asapfn", SEEN, REQUESTS, AIOHTTP)),
        *(("first", who) for who in ("asapfn", REQUESTS, AIOHTTP)),
    ],
)
def test_verify_by_keys_from_an_https_repository(
    a_hundred_times: Measure,
    run: Callable[[Any], Any],
    repository: Published,
    seen: str,
    who: str,
) -> None:
    """A key that was seen before, where remembering pays; and the first token of a key."""
    text = token("RS256")
    made = ways(repository)
    verify = getattr(run(made.__aenter__()), seen)[who]
    try:
        a_hundred_times(f"verify RS256 over https, key {seen}", lambda: verify(text))
    finally:
        run(made.__aexit__(None, None, None))
