"""`asapfn activate`: let a new key sign, once everybody who verifies can find it.

`keygen` puts the private key aside. Here it is moved to where services sign with it, when each
mirror of the key repository serves the public key, and so long after that nobody remembers the time
when there was no such key.
"""

import argparse
import math
import sys
from pathlib import Path

import anyio

from asapfn.cli.inputs import read_key
from asapfn.cli.layout import SUFFIXES, require_last
from asapfn.cli.mirrors import Served, exit_code, served
from asapfn.cli.outputs import make_folders, replace
from asapfn.cli.parsing import Commands, add_command, option, switch
from asapfn.cli.sources import add_cacert, network, repositories
from asapfn.cli.style import show
from asapfn.cli.text import as_json
from asapfn.types import Key


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "activate",
        "let a new key sign, once it is published everywhere",
        "Move a private key from DIR/staged, where keygen put it, to DIR/private, where services"
        " sign with it. Before that, check that each mirror of the key repository serves the public"
        " key, and wait until no receiver remembers that there was no such key. If a mirror does"
        " not serve the key, nothing is moved and the exit code is 1; without an answer it is 3.",
        (
            "asapfn activate orders/2026-11.pem --repository https://keys.example/",
            "asapfn activate orders/2026-11.pem --now",
        ),
        run,
    )
    option(parser, "kid", "KID", "the key id, as keygen shows it")
    urls = "the key repository and each mirror (ASAP_PUBLIC_KEY_REPOSITORY_URL)"
    option(parser, "--repository", "URL...", urls)
    option(parser, "--directory", "DIR", default="keys")
    wait = "how long receivers may remember that there is no such key"
    option(parser, "--wait", "SECONDS", wait, default=30)
    switch(parser, "--now", "do not ask the repository and do not wait: for an issuer's first key")
    add_cacert(parser)


async def run(options: argparse.Namespace) -> int:
    """Run the command: 0 if the key is active, 1 or 3 if a mirror does not serve it."""
    root = Path(options.directory)
    staged, private = _paths(root, options.kid)
    key = read_key(str(staged), "staged key", options.kid)
    require_last(root, options.kid, "private")
    if not 0 <= options.wait < math.inf:
        raise ValueError("--wait is a number of seconds, from 0")
    found: list[Served] = []
    if not options.now:
        bases = repositories(options) or _no_repository()
        found = await _served_throughout(bases, key, options)
    code = exit_code(found)
    if code == 0:
        make_folders(private.parent, 0o700)
        replace(private, staged.read_text("ascii"), 0o600)
        staged.unlink()
    if options.json:
        mirrored = [{"url": each.url, "problem": each.problem} for each in found]
        answer = {"active": code == 0, "kid": options.kid, "mirrors": mirrored}
        sys.stdout.write(as_json(answer | {"private": str(private if code == 0 else staged)}))
    elif code == 0:
        show("active   ", str(private))
    else:
        show("staged   ", f"{staged}: not activated")
    return code


def _no_repository() -> list[str]:
    raise ValueError(
        "give the key repository: --repository, or ASAP_PUBLIC_KEY_REPOSITORY_URL; or --now, for"
        " an issuer's first key"
    )


def _paths(root: Path, kid: str) -> tuple[Path, Path]:
    """Where the private key is, and where it will be."""
    there = root / "staged"
    files = _files(there)
    name = next((kid + suffix for suffix in SUFFIXES.values() if kid + suffix in files), None)
    if name is None:
        raise ValueError(_why_not_staged(root, kid, files))
    private = root / "private" / name
    if private.exists():
        raise ValueError(f"{private} exists: a key of this id is active already")
    return there / name, private


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def _why_not_staged(root: Path, kid: str, files: list[str]) -> str:
    """What is wrong with a key id: its key signs already, or it lacks its issuer."""
    names = [f"/{kid}{suffix}" for suffix in SUFFIXES.values()]
    for file in files:
        for name in names:
            if file.endswith(name):
                return f"a key id begins with its issuer: give {file.removesuffix(name)}/{kid}"
    for file in _files(root / "private"):
        if any(f"/{file}".endswith(name) for name in names):
            return f"{root / 'private' / file} exists: the key is active already"
    others = f"{', '.join(files)} {'are' if files[1:] else 'is'}" if files else ""
    return f"the key is not staged in {root / 'staged'}: {others or 'nothing is'}"


async def _served_throughout(
    bases: list[str], key: Key, options: argparse.Namespace
) -> list[Served]:
    """What each mirror says now and, if all serve the key, again after the wait."""
    async with network(options.cacert) as fetch:
        found = [await served(base, key, fetch) for base in bases]
        _show(found, options.json)
        if exit_code(found) != 0:
            return found
        if not options.json:
            show("waiting  ", f"{options.wait:g} s, and then once more")
            sys.stdout.flush()
        await anyio.sleep(options.wait)
        found = [await served(base, key, fetch) for base in bases]
        _show(found, options.json)
        return found


def _show(found: list[Served], as_json: bool) -> None:
    for each in () if as_json else found:
        word = "wrong" if each.problem else "ok"
        show(f"{word:<7}  ", f"{each.url}  {each.problem}".rstrip())
