"""What importing costs, and what is held: for a cached key, and while a token is verified."""

from collections.abc import Callable
from typing import Any

import pytest
from contenders import token, verifiers
from costs import (
    IMPORTS,
    bytes_for_a_cached_key,
    bytes_for_a_remembered_token,
    bytes_for_a_verification,
    importing,
)
from pytest_benchmark.fixture import BenchmarkFixture


@pytest.mark.parametrize("module", IMPORTS)
def test_import(benchmark: BenchmarkFixture, run: Callable[[Any], Any], module: str) -> None:
    """With the start of the interpreter, which is the same for all."""
    benchmark.group = "import, in a new interpreter"
    benchmark.pedantic(lambda: run(importing(module)(1)), rounds=10)


def test_memory_of_a_cached_key(benchmark: BenchmarkFixture, run: Callable[[Any], Any]) -> None:
    benchmark.group = "memory of a cached key (bytes in extra_info)"
    count = 20 if benchmark.disabled else 1000
    alone, beyond = benchmark.pedantic(lambda: run(bytes_for_a_cached_key(count)), rounds=1)
    assert alone > 0
    benchmark.extra_info |= {"the key": alone, "beyond it": beyond}


def test_memory_of_a_remembered_token(
    benchmark: BenchmarkFixture, run: Callable[[Any], Any]
) -> None:
    benchmark.group = "memory of a remembered token (bytes in extra_info)"
    count = 20 if benchmark.disabled else 1000
    each = benchmark.pedantic(lambda: run(bytes_for_a_remembered_token(count)), rounds=1)
    assert each > 0
    benchmark.extra_info |= {"with its text": each}


@pytest.mark.parametrize("who", verifiers("RS256"))
def test_memory_of_a_verification(
    benchmark: BenchmarkFixture, run: Callable[[Any], Any], who: str
) -> None:
    benchmark.group = "memory of a verification (bytes in extra_info)"
    text, verify = token("RS256"), verifiers("RS256")[who]
    peak, left = benchmark.pedantic(
        lambda: run(bytes_for_a_verification(lambda: verify(text))), rounds=1
    )
    assert peak > 0
    benchmark.extra_info |= {"peak": peak, "left behind": left}
