"""What all tests share: both event loops, hypothesis' profiles, and the golden vectors."""

import gc
import os
import pathlib

import hypothesis
import pytest

# What they assert is told in full, as within a test.
pytest.register_assert_rewrite("tests.support")

# nox and CI try 100 examples, the inner loop a fifth. CI tries the same ones every time, so that a
# red run is about the change; elsewhere each run tries new ones. None minds a slow machine.
hypothesis.settings.register_profile("dev", deadline=None, max_examples=20)
hypothesis.settings.register_profile("thorough", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
thorough = "thorough" if os.environ.get("ASAPFN_THOROUGH") else "dev"
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else thorough)


# Collecting makes a million objects that stay, and no garbage. (Under xdist the process that only
# gathers the results collects no tests, and goes on without.)
gc.disable()


@hypothesis.given(hypothesis.strategies.none())
def first_case(nothing: None) -> None:
    """Have hypothesis register its generator of random numbers, which it does with its first case.

    Then it asks the garbage collector who refers to the generator, and warns where nobody does. On
    Python 3.14 the collector does not find those who are frozen.
    """


def pytest_collection_finish() -> None:
    """Spare the garbage collector the objects of all the tests that there are."""
    first_case()
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["asyncio", "trio"], scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def vectors() -> pathlib.Path:
    """The folder of vectors that others computed."""
    return pathlib.Path(__file__).parent / "support" / "vectors"
