"""What all tests share: both event loops, hypothesis' profiles, and the golden vectors."""

import gc
import inspect
import os
import pathlib
from collections.abc import Generator

import hypothesis
import pytest

# What they assert is told in full, as within a test.
pytest.register_assert_rewrite("tests.support")

from tests.support.stepping import without_event_loop  # noqa: E402

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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "no_event_loop: an async test that suspends nowhere runs once, without a loop."
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Give a test that no event loop has a part in one case, in place of one on each of the two.

    In a module that is marked, @pytest.mark.anyio says which tests do need event loops.
    """
    if not name.startswith("test_"):  # others may be proxies, which raise when they are looked at
        return
    own = {mark.name for mark in getattr(obj, "pytestmark", ())}
    marked = "no_event_loop" in own or collector.get_closest_marker("no_event_loop")
    if "anyio" in own or not marked:
        return
    drawn = getattr(obj, "hypothesis", None)
    if drawn is not None and inspect.iscoroutinefunction(drawn.inner_test):
        drawn.inner_test = without_event_loop(drawn.inner_test)
    elif inspect.iscoroutinefunction(obj):
        pytest.mark.parametrize("anyio_backend", [None], ids=["no_event_loop"])(obj)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    if pyfuncitem.funcargs.get("anyio_backend", "") is None:
        pyfuncitem.obj = without_event_loop(pyfuncitem.obj)
    return (yield)


@pytest.fixture(params=["asyncio", "trio"], scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def vectors() -> pathlib.Path:
    """The folder of vectors that others computed."""
    return pathlib.Path(__file__).parent / "support" / "vectors"
