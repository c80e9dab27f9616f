"""What is checked, and how: plain `nox` runs what CI runs, `nox -s quick` what a change needs.

Each session's environment has the versions of .ci/constraints.txt, but for "lowest", which has the
four run-time dependencies at their lower bounds. After a change of a dependency: `nox -s lock`.

Every Python of PYTHONS that is on the machine is tested. The last session, "complete", names the
others. The first Python that is there runs everything: lint, types, the tests within the package's
own processes under coverage, those of real servers and of faults (tests/system), and the lower
bounds. The other Pythons and the lower bounds run no tests/system, which does not depend on them;
`nox -s system` runs it on every Python.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
LOCKED = ".ci/constraints.txt"
SYSTEM = "tests/system"
# Several at a time, by files, so that the tests of one share its servers. With two processes two
# cores are idle for a third of the time; under coverage, which makes Python slow, for less.
PARALLEL = ["-n=3", "--dist=loadfile"]
TRACED = ["-n=2", "--dist=loadfile"]


def is_there(python: str) -> bool:
    """Whether a Python of this version starts, which one that pyenv only knows of does not."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return True
    path = shutil.which(f"python{python}")
    return path is not None and not subprocess.run([path, "-c", ""], capture_output=True).returncode


# With any of these, tests/system/test_browser_preflight.py is not skipped.
BROWSERS = ["chromium", "chromium-browser", "chromium-headless-shell", "google-chrome"]
FOUND = [python for python in PYTHONS if is_there(python)]
if not FOUND:
    raise SystemExit(f"nothing can be tested: no Python of {', '.join(PYTHONS)} is there")

# Where it is set, each of the many processes that the tests start compiles all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# All that the random tests can try: the inner loop, and "quick", try a fifth.
os.environ.setdefault("ASAPFN_THOROUGH", "1")

nox.needs_version = ">=2025.11"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests", "lowest", "bench-short", "audit", "complete"]


def install(session: nox.Session, *groups: str, bounds: str = LOCKED) -> None:
    """Install the project and some of its dependency groups, at the versions of a file."""
    each = [f"--group={group}" for group in groups]
    session.install("--editable=.", *each, f"--constraint={bounds}")


@nox.session(python=FOUND[0])
def lint(session: nox.Session) -> None:
    install(session, "lint")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports", "--no-logo")


@nox.session(python=FOUND[0])
def types(session: nox.Session) -> None:
    install(session, "types")
    checked = [path for path in ("asapfn", "tests/typing") if pathlib.Path(path).is_dir()]
    for python in (PYTHONS[0], PYTHONS[-1]):
        session.run("mypy", f"--python-version={python}", *checked)
        session.run("pyright", f"--pythonversion={python}", *checked)
    session.run("pyright", "--verifytypes", "asapfn", "--ignoreexternal")


@nox.session(python=FOUND)
def tests(session: nox.Session) -> None:
    install(session, "test")
    keep_npm(session)
    if session.posargs:
        session.run("pytest", *session.posargs)
    elif session.python == FOUND[0]:
        session.run("coverage", "erase")
        session.run("coverage", "run", "-m", "pytest", *TRACED, f"--ignore={SYSTEM}")
        session.run("coverage", "combine", "--quiet")
        session.run("coverage", "report")
        session.run("pytest", *PARALLEL, SYSTEM)
    else:
        session.run("pytest", *PARALLEL, f"--ignore={SYSTEM}")


@nox.session(python=FOUND)
def system(session: nox.Session) -> None:
    """Real servers and faults, on every Python that is there; `tests` runs them on the first."""
    install(session, "test")
    keep_npm(session)
    session.run("pytest", *PARALLEL, SYSTEM, *session.posargs)


@nox.session(python=FOUND[0])
def quick(session: nox.Session) -> None:
    """What a change needs before it is committed, in less than two minutes."""
    install(session, "lint", "types")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy", "asapfn")
    inner_loop = ["tests/unit", "tests/cli"]
    session.run("pytest", *PARALLEL, *inner_loop, *session.posargs, env={"ASAPFN_THOROUGH": None})


@nox.session(python=FOUND[0])
def lowest(session: nox.Session) -> None:
    """The lower bounds, and the faults that the least anyio and httpx have to withstand."""
    lower_bounds = f"{session.create_tmp()}/lower-bounds.txt"
    # Only the project's own dependencies are direct here: the tools stay at their newest.
    here = f"--python-version={FOUND[0]}"
    compile_(session, here, "--resolution=lowest-direct", f"--output-file={lower_bounds}")
    install(session, "test", bounds=lower_bounds)
    keep_npm(session)
    # anyio's plugin of that time uses a name that pytest 9.2 deprecates.
    older = "ignore:_pytest.python.CallSpec2:pytest.PytestRemovedIn10Warning"
    folders = ["unit", "adapters", "cli", "program", "security", "system/faults"]
    chosen = session.posargs or [*PARALLEL, *(f"tests/{folder}" for folder in folders)]
    session.run("pytest", "-W", older, *chosen)


@nox.session(python=FOUND[0])
def bench(session: nox.Session) -> None:
    """Each group by itself, then the table of ratios; `-- --plot` draws the chart as well."""
    install(session, "bench")
    keep_npm(session)
    session.run(
        "pytest",
        "benchmarks",
        "--benchmark-only",
        "--benchmark-group-by=group",
        "--benchmark-columns=min,median,ops,rounds",
        "--benchmark-sort=min",
        "--benchmark-max-time=0.3",
    )
    session.run("python", "benchmarks/ratios.py", *session.posargs, env={"PYTHONPATH": "."})


@nox.session(python=FOUND[0], name="bench-short")
def bench_short(session: nox.Session) -> None:
    """Each bench once, untimed: they still run."""
    install(session, "bench")
    keep_npm(session)
    session.run("pytest", "benchmarks", "--benchmark-disable", *session.posargs)


def keep_npm(session: nox.Session) -> None:
    """Have npm's peers installed once, and not by each test and bench that asks them."""
    kept = session.cache_dir.resolve() / "npm"
    session.env["ASAPFN_NPM"] = os.environ.get("ASAPFN_NPM", str(kept))


@nox.session(python=FOUND[0])
def audit(session: nox.Session) -> None:
    """Look for known vulnerabilities of the four dependencies at their lower bounds.

    Where the service cannot be asked, as behind many mirrors, that is said and no error.
    """
    session.install("--group=audit", f"--constraint={LOCKED}")
    folder = pathlib.Path(session.create_tmp())
    pins, answer = folder / "pins.txt", folder / "audit.json"
    bounds = nox.project.load_toml("pyproject.toml")["project"]["dependencies"]
    if not all(re.fullmatch(r"[\w.-]+>=[\d.]+", bound) for bound in bounds):
        session.error(f"expected name>=version of each dependency, not {bounds}")
    pins.write_text("\n".join(bound.replace(">=", "==") for bound in bounds))
    answer.unlink(missing_ok=True)
    # The pins are complete: nothing is resolved, and so no index is asked.
    asked = ("--no-deps", "--disable-pip", "--timeout=10", f"--requirement={pins}")
    session.run("pip-audit", *asked, "--format=json", f"--output={answer}", success_codes=[0, 1])
    packages = json.loads(answer.read_text())["dependencies"] if answer.exists() else []
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        session.skip("NOT AUDITED: the vulnerability service gave no answer about any package")
    elif unknown:
        session.warn(f"NOT AUDITED, as the service does not know them: {', '.join(unknown)}")
    if vulnerable := [package for package in packages if package.get("vulns")]:
        session.error(f"raise the lower bounds above {json.dumps(vulnerable, indent=1)}")


@nox.session(venv_backend="none")
def complete(session: nox.Session) -> None:
    """Whether all could be tested here: skipped, with what is not there, if not."""
    missing = [f"Python {python}" for python in PYTHONS if python not in FOUND]
    if not any(map(shutil.which, BROWSERS)):
        missing.append("a browser, for CORS")
    if missing:
        session.skip(f"NOT TESTED, as it is not there: {', '.join(missing)}")


@nox.session(python=FOUND[0])
def fuzz(session: nox.Session) -> None:
    """Every target for 300 seconds; `-- 60 verify` one for 60; `-- --again FILE` what was kept."""
    install(session, "fuzz")
    session.run("python", "-m", "tests.security.fuzz.run", *session.posargs)


@nox.session(python=FOUND[0])
def soak(session: nox.Session) -> None:
    """A service under failing parts; `-- --minutes 10 --backend trio`, `-- --help` for the rest."""
    install(session, "test")
    session.run("python", "-m", "tests.system.soak.run", *session.posargs)


@nox.session(python=FOUND[0])
def mutation(session: nox.Session) -> None:
    """Which changes of the code no test notices: `-- asapfn.checks` for one module, else hours."""
    install(session, "mutation")
    shutil.rmtree("mutants", ignore_errors=True)
    names = [f"{module}.*" for module in session.posargs]
    session.run("mutmut", "run", "--max-children=2", *names)
    session.run("python", "tests/mutation/survivors.py", *session.posargs)


@nox.session(python=FOUND[0])
def docs(session: nox.Session) -> None:
    """The reference as one site, into build/docs: no warning and no broken link passes."""
    install(session, "docs")
    session.run("python", "-W", "error", "docs/build.py", "build/docs")


@nox.session(python=FOUND[0])
def build(session: nox.Session) -> None:
    """Make sdist and wheel in dist/, check them, and test the wheel in an environment of its own.

    Where ASAPFN_DIST names a folder that has them already, these are tested.
    """
    made = pathlib.Path(os.environ.get("ASAPFN_DIST", "dist")).resolve()
    session.install("--group=test", "--group=build", f"--constraint={LOCKED}")
    if "ASAPFN_DIST" not in os.environ:
        shutil.rmtree(made, ignore_errors=True)
        session.run("python", "-m", "build", "--installer=uv", f"--outdir={made}")
    files = sorted(str(path) for path in made.iterdir())
    session.run("twine", "check", "--strict", *files)
    (wheel,) = [file for file in files if file.endswith(".whl")]
    session.install(wheel, "--reinstall-package=asapfn", f"--constraint={LOCKED}")
    # From a copy without the package's code, so that the wheel is what is imported.
    copy = pathlib.Path(session.create_tmp()) / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    leave_out = shutil.ignore_patterns(".git", ".nox", "build", "dist", "__pycache__", ".*_cache")
    shutil.copytree(".", copy, ignore=leave_out)
    for file in (copy / "asapfn").rglob("*.py"):
        file.unlink()
    session.chdir(copy)
    session.run("pytest", *(session.posargs or PARALLEL))


@nox.session
def lock(session: nox.Session) -> None:
    """Write the newest versions of all that development needs."""
    groups = [f"--python-version={PYTHONS[0]}", "--group=dev", "--group=fuzz", "--group=mutation"]
    compile_(session, "--upgrade", "--universal", *groups, f"--output-file={LOCKED}")


def compile_(session: nox.Session, *options: str) -> None:
    """Resolve what pyproject.toml asks for into a file of versions."""
    session.run_install(
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        *options,
        "pyproject.toml",
    )
