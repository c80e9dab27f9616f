"""What a query string hash costs: ours, PyPI's atlassian-jwt, and npm's under node."""

import os
import pathlib
import statistics
import timeit
from collections.abc import Callable

import pytest
from atlassian_jwt.url_utils import hash_url
from pytest_benchmark.fixture import BenchmarkFixture

from asapfn._core.canonical import qsh
from tests.support.npm_peers import qsh_peer

# What a product sends to a page of an app, and what a script asks a product for: the second needs
# to be encoded anew.
PAGE = [
    "xdm_e=https%3A%2F%2Fexample.atlassian.net",
    "lic=active",
    "tz=Australia%2FSydney",
    "loc=en-US",
    "user_key=",
]
SEARCH = [
    "jql=project+%3D+%22A%22+order+by+created",
    "fields=summary,status",
    "startAt=0",
    "maxResults=50",
    "expand=names",
]


def url(parameters: list[str], count: int) -> str:
    """A URL of `count` parameters; after the first few, names get a number in front."""
    rounds = range(count // len(parameters) + 1)
    numbered = [f"{number or ''}{pair}" for number in rounds for pair in parameters]
    return f"https://app.example/rest/api/3/search?{'&'.join(numbered[:count])}"


@pytest.mark.parametrize("count", [0, 1, 5, 20, 100])
@pytest.mark.parametrize("hashed", [qsh, hash_url], ids=["asapfn", "atlassian-jwt"])
def test_qsh(benchmark: BenchmarkFixture, hashed: Callable[[str, str], str], count: int) -> None:
    benchmark.group = f"qsh, {count} parameters"
    request = url(PAGE, count)
    assert benchmark(hashed, "GET", request) == qsh("GET", request)


@pytest.mark.parametrize("parameters", [PAGE, SEARCH], ids=["page", "search"])
def test_qsh_of_five_parameters_beside_its_peers(
    parameters: list[str],
    tmp_path: pathlib.Path,
    benchmark: BenchmarkFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At least twice as fast as PyPI's and no slower than npm's, measured in turns.

    npm's is timed within node, after it has had the time to compile.
    """
    request, rounds, repeat = url(parameters, 5), 21, 2_000
    benchmark.group = "qsh, 5 parameters, beside npm's"
    benchmark(qsh, "GET", request)
    kept = os.environ.get("ASAPFN_NPM")

    def microseconds(hashed: Callable[[str, str], str]) -> float:
        return timeit.timeit(lambda: hashed("GET", request), number=repeat) / repeat * 1e6

    with qsh_peer(pathlib.Path(kept) if kept else tmp_path) as npm:
        question = {"method": "GET", "url": request, "base_url": ""}
        assert npm(**question)["qsh"] == hash_url("GET", request) == qsh("GET", request)
        if benchmark.disabled:
            return
        npm(**question, repeat=50_000)
        turns = [
            (
                microseconds(qsh),
                microseconds(hash_url),
                npm(**question, repeat=repeat)["microseconds"],
            )
            for _ in range(rounds)
        ]
    ours, pypi, node = (statistics.median(column) for column in zip(*turns, strict=True))
    to_pypi = statistics.median(turn[1] / turn[0] for turn in turns)
    to_node = statistics.median(turn[2] / turn[0] for turn in turns)
    with capsys.disabled():
        print(
            f"\nqsh of five parameters: asapfn {ours:.1f} us, PyPI's {pypi:.1f} us ({to_pypi:.1f}"
            f" times), npm's under node {node:.1f} us ({to_node:.1f} times)"
        )
    assert to_pypi >= 2
    assert to_node >= 1
