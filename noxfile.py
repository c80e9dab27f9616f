"""What is checked, and how: plain `nox` runs what CI runs.

Each session's environment comes from uv.lock, but for "lowest", which has the four run-time
dependencies at their lower bounds. After a change of a dependency: `uv lock`. A Python that is not
on the machine is skipped, and said to be; in CI (when CI is set) nox takes that for an error.
"""

import pathlib

import nox

PYTHONS = ["3.11", "3.12", "3.13"]

nox.needs_version = ">=2025.11"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests", "lowest", "examples", "bench-short"]


def sync(session: nox.Session, *groups: str, project: bool = True) -> None:
    """Make the session's environment hold what the lock file says, and nothing else."""
    session.run_install(
        "uv",
        "sync",
        "--locked",
        "--quiet",
        "--no-default-groups",
        *([] if project else ["--no-install-project"]),
        *[f"--group={group}" for group in groups],
        f"--python={session.virtualenv.location}",
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
    )


@nox.session
def lint(session: nox.Session) -> None:
    sync(session, "lint")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    sync(session, "types")
    checked = [path for path in ("asapfn", "tests/typing") if pathlib.Path(path).is_dir()]
    for python in PYTHONS:
        session.run("mypy", f"--python-version={python}", *checked)
        session.run("pyright", f"--pythonversion={python}", *checked)
    session.run("pyright", "--verifytypes", "asapfn", "--ignoreexternal")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    sync(session, "test")
    if session.python != PYTHONS[0] or session.posargs:
        session.run("pytest", *session.posargs)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    lower_bounds = pathlib.Path(session.create_tmp()) / "lower-bounds.txt"
    # Only the project's own dependencies are direct here: the tools stay at their newest.
    session.run_install(
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--resolution=lowest-direct",
        f"--python-version={session.python}",
        f"--output-file={lower_bounds}",
        "pyproject.toml",
    )
    session.install("--editable=.", "--group=test", f"--constraint={lower_bounds}")
    # anyio's plugin of that time uses a name that pytest 9.2 deprecates: not ours to mend.
    older = "ignore:_pytest.python.CallSpec2:pytest.PytestRemovedIn10Warning"
    session.run("pytest", "-W", older, *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    sync(session, "test")
    session.run("pytest", "tests/test_readme.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    sync(session, "bench")
    session.run(
        "pytest",
        "benchmarks",
        "--benchmark-only",
        "--benchmark-group-by=group",
        "--benchmark-columns=min,median,ops,rounds",
        "--benchmark-sort=min",
        *session.posargs,
    )


@nox.session(name="bench-short")
def bench_short(session: nox.Session) -> None:
    """Each bench once, untimed: they still run."""
    sync(session, "bench")
    session.run("pytest", "benchmarks", "--benchmark-disable", *session.posargs)
