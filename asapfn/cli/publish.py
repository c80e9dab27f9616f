"""`asapfn publish`: a directory that a web server can serve as a key repository, and its check.

Each key is at `{kid}`, all of them are at `.well-known/jwks.json`. Each file is written from the
public part of a key, and replaces the old one in one step, so that nobody reads half a file.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from asapfn.cli.layout import make_folders, replace
from asapfn.cli.mirrors import Served, exit_code, served
from asapfn.cli.parsing import Commands, add_command, option
from asapfn.cli.sources import add_cacert, checked, network
from asapfn.cli.style import show
from asapfn.cli.text import as_json
from asapfn.keys import export_jwks, export_public_pem, import_pem, is_key_id
from asapfn.types import Key

_JWKS: Final = ".well-known/jwks.json"
_PLACES: Final = ("private", "staged", "public")


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "publish",
        "lay out public keys as a key repository, and check it",
        "Copy the public keys of directories, each file named by its key id, into a directory that"
        " a web server can serve as a key repository, and write the key set beside them. Keys"
        " that are there already stay; to withdraw one, delete its files and publish again."
        " --check asks a repository for each key as a verifier does, and says what is wrong: the"
        " exit code is 1 if a key is not served as it must be, and 3 without an answer.",
        (
            "asapfn publish keys/public --to /var/www/keys",
            "asapfn publish keys/public --check https://keys.example/",
        ),
        run,
    )
    option(parser, "directory", "DIR...", "with keys as keygen wrote them")
    option(parser, "--to", "DIR", "the key repository")
    option(parser, "--check", "URL...", "a key repository", default=[])
    add_cacert(parser)


async def run(options: argparse.Namespace) -> int:
    """Run the command: 0, or what the check says."""
    if options.to is None and not options.check:
        raise ValueError("give --to DIR, or --check URL, or both")
    bases = checked("--check", options.check) if options.check else []
    target = None if options.to is None else Path(options.to)
    published = _read(target) if target is not None and target.is_dir() else {}
    for kid, key in published.items():
        if key.is_private:
            raise ValueError(
                f"{options.to}/{kid} is a private key, and published: replace it at once"
            )
    new = _new(options.directory, published)
    everything = published | new
    if target is not None:
        _lay_out(target, new, everything)
    answer: dict[str, Any] = {"keys": sorted(everything), "new": sorted(new.keys() - published)}
    if target is not None and not options.json:
        for kid in sorted(everything):
            show("kept  " if kid in published else "new   ", str(target / kid))
        show("set   ", str(target / _JWKS))
    found: list[Served] = []
    if bases:
        async with network(options.cacert) as fetch:
            keys = [everything[kid] for kid in sorted(everything)]
            found = [await served(base, key, fetch) for base in bases for key in keys]
    if options.json:
        answer |= {} if target is None else {"jwks": str(target / _JWKS)}
        answer |= {"checked": [each._asdict() for each in found]} if bases else {}
        sys.stdout.write(as_json(answer))
    else:
        _show(found)
    return exit_code(found)


def _show(found: list[Served]) -> None:
    for each in found:
        word, what = "wrong", each.problem
        if not each.problem:
            word, what = "ok", "kept for 600 s: the server says nothing"
            if each.max_age is not None:
                what = f"kept for {each.max_age:g} s"
        show(f"{word:<5} ", f"{each.url}  {what}")


def _new(directories: list[str], published: Mapping[str, Key]) -> dict[str, Key]:
    """The public keys of directories, by key id."""
    new: dict[str, Key] = {}
    for directory in directories:
        _refuse_wrong(directory)
        found = _read(Path(directory))
        if not found:
            raise ValueError(f"{directory} holds no key")
        for kid, key in found.items():
            path = Path(directory, kid)
            if key.is_private:
                raise ValueError(
                    f"{path} is a private key: publish the directory with the public ones"
                )
            if "/" not in kid:
                above = Path(directory).parent
                raise ValueError(f"{path} has no issuer in its key id: publish {above} instead")
            other = {**published, **new}.get(kid)
            if other is not None and export_public_pem(other) != export_public_pem(key):
                raise ValueError(f"{kid} is another key already: a key id keeps its key for ever")
        new |= found
    return new


def _refuse_wrong(directory: str) -> None:
    """Refuse a directory beside, above or below the one that keygen writes public keys to."""
    here = Path(os.path.abspath(directory))
    place = next((p for p in (here, *here.parents) if p.name in _PLACES), here)
    home = place.parent if place.name in _PLACES else place
    if place == here and place.name == "public":
        return
    if (home / "public").is_dir() and any((home / name).is_dir() for name in ("private", "staged")):
        right = str(home / "public")
        right = right if os.path.isabs(directory) else os.path.relpath(right)
        raise ValueError(f"{directory} is not where the public keys are: publish {right} instead")


def _lay_out(target: Path, new: Mapping[str, Key], everything: Mapping[str, Key]) -> None:
    _refuse_links(target, (target / name for name in (*new, _JWKS)))
    for kid, key in new.items():
        _write(target / kid, export_public_pem(key))
    key_set = export_jwks(everything[kid] for kid in sorted(everything))
    _write(target / _JWKS, json.dumps(key_set, indent=2) + "\n")


def _read(root: Path) -> dict[str, Key]:
    """The keys of a directory by their key ids; hidden files and folders are not looked at."""
    if not root.is_dir():
        raise ValueError(f"{root} is not a directory")
    keys = {}
    for path in sorted(root.rglob("*")):
        kid = path.relative_to(root).as_posix()
        if path.is_dir() or any(part.startswith(".") for part in kid.split("/")):
            continue
        if not is_key_id(kid):
            raise ValueError(f"{path}: the name makes no key id")
        try:
            keys[kid] = import_pem(path.read_bytes(), kid=kid)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return keys


def _refuse_links(target: Path, paths: Iterable[Path]) -> None:
    """Nothing is written through a link below the target: who planted it chose where it goes."""
    for path in paths:
        for folder in path.relative_to(target).parents[:-1]:
            if (target / folder).is_symlink():
                raise ValueError(
                    f"{target / folder} is a symbolic link: below --to there may be folders only"
                )


def _write(path: Path, text: str) -> None:
    make_folders(path.parent, 0o755)
    replace(path, text, 0o644)
