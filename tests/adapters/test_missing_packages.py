"""An adapter says which package it needs where that is not installed, and no other needs it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def without(package: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that does not have a package."""
    script = f"import sys\nsys.modules[{package!r}] = None\n{code}"
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("name", "package", "module", "title"),
    [
        ("aiohttp", "aiohttp", "aiohttp", "aiohttp"),
        ("django", "django", "django", "Django"),
        ("fastapi", "fastapi", "fastapi", "FastAPI"),
        ("flask", "flask", "flask", "Flask"),
        ("grpc", "grpcio", "grpc", "gRPC"),
    ],
)
def test_the_error_names_the_extra_that_installs_it(
    name: str, package: str, module: str, title: str
) -> None:
    done = without(module, f"import asapfn.adapters.{name}")
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        f'ImportError: asapfn.adapters.{name} needs {title}: pip install "asapfn[{name}]"'
    )
    (bound,) = EXTRAS[name]
    assert bound.startswith(f"{package}>=")


def test_django_rest_framework_is_needed_for_its_authentication_alone() -> None:
    done = without(
        "rest_framework",
        "from asapfn.adapters.django import authentication, middleware\nmiddleware(None)\n"
        "authentication(None)",
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "ImportError: authentication needs Django REST framework: pip install djangorestframework"
    )


@pytest.mark.parametrize(
    "package", ["aiohttp", "django", "fastapi", "flask", "grpc", "starlette", "redis"]
)
def test_nothing_else_needs_a_framework(package: str) -> None:
    modules = "asapfn.adapters.asgi, asapfn.adapters.wsgi, asapfn.adapters.redis"
    done = without(package, f"import asapfn, {modules}, asapfn.cli")
    assert (done.returncode, done.stderr) == (0, "")


def test_there_is_an_extra_for_each_framework_and_for_redis() -> None:
    assert {"aiohttp", "django", "fastapi", "flask", "grpc", "redis"} <= set(EXTRAS)
