"""Atlassian's JavaScript library under node, for tests and benchmarks that compare with it."""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

Ask = Callable[..., dict[str, Any]]

NODE = pathlib.Path(__file__).parents[1] / "system" / "interop" / "node"


def node_modules(folder: pathlib.Path) -> pathlib.Path:
    """Installs what the lock file names, with its digests, where it is not installed yet.

    Args:
        folder: Where to; a folder kept from another run saves the download.

    Returns:
        The folder `node_modules`, for the environment variable NODE_PATH.
    """
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        _absent("node and npm are not installed")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "installing").open("w") as alone:
        # Other processes of the same test run may want it at the same time.
        fcntl.flock(alone, fcntl.LOCK_EX)
        return _installed(npm, folder)


def _installed(npm: str, folder: pathlib.Path) -> pathlib.Path:
    installed = folder / "node_modules"
    lock = (NODE / "package-lock.json").read_bytes()
    kept = folder / "package-lock.json"
    if not (installed.is_dir() and kept.is_file() and kept.read_bytes() == lock):
        shutil.copy(NODE / "package.json", folder)
        shutil.copy(NODE / "package-lock.json", folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", f"--prefix={folder}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            shutil.rmtree(installed, ignore_errors=True)
            _absent(f"npm could not install the peers: {done.stderr.strip()[-400:]}")
    return installed


def qsh_peer(folder: pathlib.Path) -> contextlib.AbstractContextManager[Ask]:
    """What makes canonical requests; see `qsh_peer.js` for what it takes."""
    return peer(folder, "qsh_peer.js")


@contextlib.contextmanager
def peer(folder: pathlib.Path, script: str) -> Iterator[Ask]:
    """A node process that answers one question at a time.

    Args:
        folder: Where the npm packages are, or are put.
        script: The script that answers, a file beside the lock file.

    Yields:
        A function from a question's members to the answer.
    """
    with subprocess.Popen(
        ["node", NODE / script],
        env={**os.environ, "NODE_PATH": str(node_modules(folder))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def ask(**question: object) -> dict[str, Any]:
            questions.write(json.dumps(question) + "\n")
            questions.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        yield ask


def _absent(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
