"""`asapfn publish`: a directory that any web server can serve as a key repository.

Each key is at `{kid}`, all of them are at `.well-known/jwks.json`. Each file is written from the
public part of a key, and replaces the old one in one step, so that nobody reads half a file.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from asapfn.cli.outputs import make_folders, replace
from asapfn.cli.parsing import Commands, add_command
from asapfn.cli.text import as_json, safe
from asapfn.keys import export_jwks, export_public_pem, import_pem, is_key_id
from asapfn.types import Key

_JWKS: Final = ".well-known/jwks.json"


def add_to(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: What it is added to.
    """
    parser = add_command(
        commands,
        "publish",
        "lay out public keys as a key repository",
        "Copy the public keys of directories, each file named by its key id, into a directory that"
        " a web server can serve as a key repository, and write the key set beside them. Keys"
        " that are there already stay; to withdraw one, delete its file and publish again.",
        ("asapfn publish keys/public --to /var/www/keys",),
        run,
    )
    parser.add_argument(
        "directory", metavar="DIR", nargs="+", help="with keys as keygen wrote them"
    )
    parser.add_argument("--to", metavar="DIR", required=True, help="the key repository")


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: The command line.

    Returns:
        0.

    Raises:
        ValueError: If a file is no key, a key would replace another, there is no key, a private
            one lies published, or a folder of the repository is a link.
        OSError: If a file cannot be read or written.
    """
    target = Path(options.to)
    published = _read(target) if target.is_dir() else {}
    for kid, key in published.items():
        if key.is_private:
            raise ValueError(f"{target / kid} is a private key, and published: replace it at once")
    new: dict[str, Key] = {}
    for directory in options.directory:
        found = _read(Path(directory))
        if not found:
            raise ValueError(f"{directory} holds no key")
        for kid, key in found.items():
            other = {**published, **new}.get(kid)
            if other is not None and export_public_pem(other) != export_public_pem(key):
                raise ValueError(f"{kid} is another key already: a key id keeps its key for ever")
        new |= found
    _refuse_links(target, (target / name for name in (*new, _JWKS)))
    for kid, key in new.items():
        _write(target / kid, export_public_pem(key))
    everything = published | new
    key_set = export_jwks(everything[kid] for kid in sorted(everything))
    _write(target / _JWKS, json.dumps(key_set, indent=2) + "\n")
    if options.json:
        answer = {"keys": sorted(everything), "new": sorted(new.keys() - published.keys())}
        sys.stdout.write(as_json(answer | {"jwks": str(target / _JWKS)}))
        return 0
    for kid in sorted(everything):
        sys.stdout.write(f"{'kept' if kid in published else 'new '}  {safe(str(target / kid))}\n")
    sys.stdout.write(f"set   {safe(str(target / _JWKS))}\n")
    return 0


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
