"""`asapfn publish`: a directory that a web server can serve as a key repository, and its check.

Each key is at `{kid}`, all of them are at `.well-known/jwks.json`. Each file is written from the
public part of a key, and replaces the old one in one step, so that nobody reads half a file.
"""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from asapfn.cli.layout import make_folders, replace, right_place
from asapfn.cli.options import Commands, add_command, option
from asapfn.cli.output import answer
from asapfn.cli.parsing import required
from asapfn.cli.sources import add_cacert, checked, network, why
from asapfn.errors import Unavailable
from asapfn.keys import export_jwks, export_public_pem, import_pem, is_key_id
from asapfn.resolvers import pem_repository
from asapfn.types import Document, Fetch, Key, Unverified

_JWKS: Final = ".well-known/jwks.json"
_SECRET: Final = ("private", "staged")
# The folders of keygen, and which other one is beside each.
_BESIDE: Final = {"private": "public", "staged": "public", "public": "staged"}


class Served(NamedTuple):
    """What a mirror answered when it was asked for a key.

    Attributes:
        url: The URL of the key.
        problem: Why a verifier would not find this key there; empty if it would.
        answered: Whether there was an answer, other than that the server failed.
        max_age: For how many seconds receivers may keep the key, as the answer says.
    """

    url: str
    problem: str
    answered: bool
    max_age: float | None


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
    option(parser, "directory", "DIR...", "public keys, as keygen writes them")
    option(parser, "--to", "DIR", "the key repository")
    option(parser, "--check", "URL...", "a key repository", default=[])
    add_cacert(parser)


async def run(options: argparse.Namespace) -> int:
    """Run the command: 0, or what the check says."""
    required(options.to or options.check, "--to DIR, or --check URL, or both")
    bases = checked("--check", options.check) if options.check else []
    target = None if options.to is None else Path(options.to)
    if target is not None:
        _refuse_target(target)
    published = _read(target) if target is not None and target.is_dir() else {}
    for kid, key in published.items():
        if key.is_private:
            path = f"{options.to}/{kid}"
            raise ValueError(f"{path} is a private key, and published: replace it at once")
    # Of a key whose files were deleted, the set is what is left: it is written also without a key.
    withdrawn = target is not None and (target / _JWKS).is_file()
    new = _new(options.directory, published, withdrawn)
    everything = dict(sorted({**published, **new}.items()))
    members: dict[str, Any] = {"keys": list(everything), "new": sorted(new.keys() - published)}
    lines: list[tuple[str, str]] = []
    if target is not None:
        _lay_out(target, new, everything)
        lines = [
            ("kept  " if kid in published else "new   ", f"{target / kid}") for kid in everything
        ]
        lines.append(("set   ", str(target / _JWKS)))
        members["jwks"] = str(target / _JWKS)
    found: list[Served] = []
    if bases:
        async with network(options.cacert) as fetch:
            found = [
                await served(base, key, fetch) for base in bases for key in everything.values()
            ]
        members["checked"] = [each._asdict() for each in found]
    answer(options, members, [*lines, *map(_line, found)])
    return exit_code(found)


def _line(each: Served) -> tuple[str, str]:
    if each.problem:
        return "wrong ", f"{each.url}  {each.problem}"
    kept = "600 s: the server says nothing" if each.max_age is None else f"{each.max_age:g} s"
    return "ok    ", f"{each.url}  kept for {kept}"


def _new(directories: list[str], published: Mapping[str, Key], withdrawn: bool) -> dict[str, Key]:
    """The public keys of directories, by key id; there may be none where one was withdrawn."""
    new: dict[str, Key] = {}
    for directory in directories:
        if right := right_place(directory, "public"):
            where = f"{directory} is not where the public keys are"
            raise ValueError(f"{where}: publish {right} instead")
        found = _read(Path(directory), links=False)
        if not found and not withdrawn:
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


def _refuse_target(target: Path) -> None:
    """Refuse to publish into the folders where keygen keeps keys, or around them."""
    here = Path(os.path.abspath(target))
    around = (here / "public").is_dir() and any((here / name).is_dir() for name in _SECRET)
    within = (p for p in (here, *here.parents) if p.name in _BESIDE)
    if around or any((p.parent / _BESIDE[p.name]).is_dir() for p in within):
        raise ValueError(
            f"--to {target} is where keygen keeps keys: give the folder that a web server serves"
        )


def _lay_out(target: Path, new: Mapping[str, Key], everything: Mapping[str, Key]) -> None:
    """Write keys and their set; nothing through a link: who planted it chose where it goes."""
    for folder in (target / above for name in (*new, _JWKS) for above in Path(name).parents[:-1]):
        if folder.is_symlink():
            raise ValueError(f"{folder} is a symbolic link: below --to there may be folders only")
    for kid, key in new.items():
        _write(target / kid, export_public_pem(key))
    # What others publish meanwhile belongs into the set: who writes it last looks again.
    while True:
        key_set = export_jwks(everything[kid] for kid in sorted(everything))
        _write(target / _JWKS, json.dumps(key_set, indent=2) + "\n")
        there = _read(target)
        if there.keys() == everything.keys():
            return
        everything = there


def _read(root: Path, *, links: bool = True) -> dict[str, Key]:
    """The keys of a directory by their key ids; hidden and linked folders are not read.

    Without `links` a linked folder is an error, or its keys would be missing without a word.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a directory")
    keys = {}
    for path in sorted(root.rglob("*")):
        kid = path.relative_to(root).as_posix()
        hidden = any(part.startswith(".") for part in kid.split("/"))
        if path.is_dir() and path.is_symlink() and not (hidden or links):
            raise ValueError(f"{path} is a link to a folder, which is not followed")
        if path.is_dir() or hidden:
            continue
        if not is_key_id(kid):
            raise ValueError(f"{path}: the name makes no key id")
        try:
            keys[kid] = import_pem(path.read_bytes(), kid=kid)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return keys


async def served(base: str, key: Key, fetch: Fetch) -> Served:
    """Ask a mirror for a key."""
    documents: list[Document] = []
    problem, answered = "", False

    async def noting(url: str, accept: str) -> Document:
        nonlocal answered
        try:
            documents.append(await fetch(url, accept))
        except Unavailable as error:
            answered = error.answered  # such as a redirect
            raise
        answered = documents[-1].status < 500
        return documents[-1]

    try:
        asked = Unverified({"kid": key.kid}, {}, b"", b"")
        found = await pem_repository(base, noting)(asked)
    except Unavailable as error:
        problem = why(error)
    else:
        if found is None:
            problem = f"no such key (status {documents[0].status})"
        elif export_public_pem(found) != export_public_pem(key):
            problem = "another key is served under this key id"
    max_age = documents[0].max_age if documents else None
    return Served(f"{base}{key.kid}", problem, answered, max_age)


def exit_code(found: list[Served]) -> int:
    """0 if each mirror serves each key, 3 if one did not answer, else 1."""
    if all(each.answered for each in found):
        return 1 if any(each.problem for each in found) else 0
    return 3


def _write(path: Path, text: str) -> None:
    # What a web server cannot read is a 403, so for verifiers there would be no such key.
    make_folders(path.parent, 0o755, exact=True)
    replace(path, text, 0o644)
