"""`asapfn activate`: let a new key sign, once everybody who verifies can find it.

`keygen` puts the private key into `staged`, where nothing signs with it. `activate` moves it to
`private`. Before that, each mirror of the key repository must serve the public key, and receivers
get time to forget that there was no such key.
"""

import math
import sys
from pathlib import Path

import anyio

from asapfn.cli.inputs import read_key
from asapfn.cli.layout import SUFFIXES, make_folders, replace, require_last
from asapfn.cli.options import Commands, Options, add_command, option
from asapfn.cli.output import answer, show
from asapfn.cli.parsing import required
from asapfn.cli.publish import Served, exit_code, served
from asapfn.cli.sources import add_cacert, network, repositories
from asapfn.keys import is_key_id
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
        run,
        "asapfn activate orders/2026-11.pem --repository https://keys.example/",
        "asapfn activate orders/2026-11.pem --now",
    )
    option(parser, "kid KID", "the key id, as keygen shows it")
    urls = "the key repository and each mirror (ASAP_PUBLIC_KEY_REPOSITORY_URL)"
    option(parser, "--repository URL...", urls)
    option(parser, "--directory DIR", default="keys")
    wait = "how long receivers may remember that there is no such key"
    option(parser, "--wait SECONDS", wait, default=30)
    option(parser, "--now", "do not ask the repository and do not wait: for an issuer's first key")
    add_cacert(parser)


async def run(options: Options) -> int:
    """Run the command: 0 if the key is active, 1 or 3 if a mirror does not serve it."""
    root, kid = Path(options.directory), options.kid
    staged, private = _staged(root, kid)
    if not is_key_id(kid):
        raise ValueError(f"{staged}: the name makes no key id")
    text = staged.read_text("ascii", "surrogateescape")
    key = read_key(str(staged), "staged key", kid)
    if not key.is_private:
        raise ValueError(f"{staged} is a public key: the private one is needed to sign")
    require_last(root, kid, "private")
    if not 0 <= options.wait < math.inf:
        raise ValueError("--wait is a number of seconds, from 0")
    found: list[Served] = []
    if not options.now:
        flags = "--repository, or ASAP_PUBLIC_KEY_REPOSITORY_URL"
        what = f"the key repository: {flags}; or --now, for an issuer's first key"
        found = await _served_throughout(required(repositories(options), what), key, options)
    code = exit_code(found)
    line = ("staged   ", f"{staged}: not activated")
    if code == 0:
        _move(root, kid, text)
        line = ("active   ", str(private))
    where = str(staged if code else private)
    mirrored = [{"url": each.url, "problem": each.problem} for each in found]
    members = {"active": code == 0, "kid": kid, "mirrors": mirrored, "private": where}
    answer(options, members, [line])
    return code


def _move(root: Path, kid: str, text: str) -> None:
    """Move the key that was looked at, unless it or what signs was changed in the meantime."""
    staged, private = _staged(root, kid)
    if staged.read_text("ascii", "surrogateescape") != text:
        raise ValueError(f"{staged} was changed in the meantime: activate it again")
    require_last(root, kid, "private")
    make_folders(private.parent, 0o700)
    # If root activates the key for a service, it must belong to the owner of the key before it.
    before = max(private.parent.glob("*.pem*"), default=private.parent).stat()
    replace(private, text, 0o600, owner=(before.st_uid, before.st_gid))
    staged.unlink()


def _staged(root: Path, kid: str) -> tuple[Path, Path]:
    """Where a key is staged, and where it will sign; ValueError if it is not staged."""
    names = [kid + suffix for suffix in SUFFIXES.values()]
    staged, active = (_files(root / place) for place in ("staged", "private"))
    found, taken = _nearest(names, staged), _nearest(names, active)
    if taken in names or (taken and not found):
        raise ValueError(f"{root / 'private' / taken} exists: the key is active already")
    if not found:
        others = f"{', '.join(staged)} {'are' if staged[1:] else 'is'}" if staged else "nothing is"
        raise ValueError(f"the key is not staged in {root / 'staged'}: {others}")
    if found not in names:
        issuer = found.rpartition(f"/{kid}")[0]
        raise ValueError(f"a key id begins with its issuer: give {issuer}/{kid}")
    return root / "staged" / found, root / "private" / found


def _files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _nearest(names: list[str], files: list[str]) -> str:
    """The file that has one of the names, or else an issuer and then that name; empty if none."""
    ends = tuple(f"/{name}" for name in names)
    near = [file for file in files if f"/{file}".endswith(ends)]
    return min(near, key=lambda file: file not in names, default="")


async def _served_throughout(bases: list[str], key: Key, options: Options) -> list[Served]:
    """What each mirror says now and, if all serve the key, again after the wait."""
    waited = False
    async with network(options.cacert) as fetch:
        while True:
            found = [await served(base, key, fetch) for base in bases]
            for each in () if options.json else found:
                word = "wrong    " if each.problem else "ok       "
                show(word, f"{each.url}  {each.problem}".rstrip())
            if waited or exit_code(found) != 0:
                return found
            if not options.json:
                show("waiting  ", f"{options.wait:g} s, then once more; the key is still staged")
                sys.stdout.flush()
            await anyio.sleep(options.wait)
            waited = True
