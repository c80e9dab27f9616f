"""`asapfn publish`: a directory that a web server can serve as a key repository, and its check.

Each key is at `{kid}`, all of them are at `.well-known/jwks.json`. Each file is written from the
public part of a key, and replaces the old one in one step, so that nobody reads half a file.
"""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from asapfn.cli.layout import is_of_keygen, make_folders, replace, wanted_directory
from asapfn.cli.options import Commands, Options, add_command, option
from asapfn.cli.output import Line, answer
from asapfn.cli.parsing import required
from asapfn.cli.sources import add_cacert, named, network, why
from asapfn.errors import Unavailable
from asapfn.keys import export_jwks, export_public_pem, import_pem, is_key_id
from asapfn.resolvers import pem_repository
from asapfn.resolvers.sources import PEM_MEDIA_TYPE, mirrors
from asapfn.types import Document, Fetch, Key, Unverified

_JWKS: Final = ".well-known/jwks.json"


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
        run,
        "asapfn publish keys/public --to /var/www/keys",
        "asapfn publish keys/public --check https://keys.example/",
    )
    option(parser, "directory DIR...", "public keys, as keygen writes them")
    option(parser, "--to DIR", "the key repository")
    option(parser, "--check URL...", "a key repository", default=[])
    add_cacert(parser)


async def run(options: Options) -> int:
    """Run the command: 0, or what the check says."""
    required(options.to or options.check, "--to DIR, or --check URL, or both")
    bases = named("--check", mirrors, options.check) if options.check else []
    target = None if options.to is None else Path(options.to)
    published = {} if target is None else _published(target)
    # A key whose files were deleted is still in the set: it is written again, even if it is empty.
    withdrawn = target is not None and (target / _JWKS).is_file()
    new = _new(options.directory, published, withdrawn)
    keys = dict(sorted((published | new).items()))
    members: dict[str, Any] = {"keys": list(keys), "new": sorted(new.keys() - published)}
    lines: list[Line] = []
    if target is not None:
        _lay_out(target, new, keys)
        lines += [("kept  " if kid in published else "new   ", f"{target / kid}") for kid in keys]
        members["jwks"] = str(target / _JWKS)
        lines.append(("set   ", members["jwks"]))
    found: list[Served] = []
    if bases:
        async with network(options.cacert) as fetch:
            asked = itertools.product(bases, keys.values())
            found = [await served(base, key, fetch) for base, key in asked]
        members["checked"] = [each._asdict() for each in found]
        lines += map(_line, found)
    answer(options, members, lines)
    return exit_code(found)


def _line(each: Served) -> tuple[str, str]:
    if each.problem:
        return "wrong ", f"{each.url}  {each.problem}"
    kept = "600 s: the server says nothing" if each.max_age is None else f"{each.max_age:g} s"
    return "ok    ", f"{each.url}  kept for {kept}"


def _new(directories: list[str], published: Mapping[str, Key], withdrawn: bool) -> dict[str, Key]:
    """The public keys of directories, by key id; none is an error unless one was withdrawn."""
    new: dict[str, Key] = {}
    for directory in directories:
        if right := wanted_directory(directory, "public"):
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


def _published(target: Path) -> dict[str, Key]:
    """The keys that are published already; nothing is published where keygen keeps keys."""
    if is_of_keygen(target):
        raise ValueError(
            f"--to {target} is where keygen keeps keys: give the folder that a web server serves"
        )
    published = _read(target) if target.is_dir() else {}
    for kid, key in published.items():
        if key.is_private:
            raise ValueError(f"{target / kid} is a private key, and published: replace it at once")
    return published


def _lay_out(target: Path, new: Mapping[str, Key], keys: Mapping[str, Key]) -> None:
    """Write keys and their set. No link is followed: its owner would choose where a file goes."""
    for folder in (target / above for name in (*new, _JWKS) for above in Path(name).parents[:-1]):
        if folder.is_symlink():
            raise ValueError(f"{folder} is a symbolic link: below --to there may be folders only")
    for kid, key in new.items():
        _write(target / kid, export_public_pem(key))
    # Others may publish keys at the same time: the set is written until it has all that are there.
    while True:
        key_set = json.dumps(export_jwks(keys.values()), indent=2)
        _write(target / _JWKS, f"{key_set}\n")
        there = _read(target)
        if there.keys() == keys.keys():
            return
        keys = there


def _read(root: Path, *, links: bool = True) -> dict[str, Key]:
    """The keys of a directory by their key ids, in order; hidden and linked folders are not read.

    Without `links` a linked folder is an error, or its keys would be missing without a word.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a directory")
    keys = {}
    for kid, path in sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*")):
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
    url, problem = f"{base}{key.kid}", ""
    try:
        document = await fetch(url, PEM_MEDIA_TYPE)
    except Unavailable as error:  # which is an answer too if it is such as a redirect
        return Served(url, why(error), error.answered, None)

    async def fetched(url: str, accept: str) -> Document:
        return document

    try:
        found = await pem_repository(base, fetched)(Unverified({"kid": key.kid}, {}, b"", b""))
    except Unavailable as error:
        problem = why(error)
    else:
        if found is None:
            problem = f"no such key (status {document.status})"
        elif export_public_pem(found) != export_public_pem(key):
            problem = "another key is served under this key id"
    return Served(url, problem, document.status < 500, document.max_age)


def exit_code(found: list[Served]) -> int:
    """0 if each mirror serves each key, 3 if one did not answer, else 1."""
    if all(each.answered for each in found):
        return 1 if any(each.problem for each in found) else 0
    return 3


def _write(path: Path, text: str) -> None:
    # What a web server cannot read is a 403, so for verifiers there would be no such key.
    make_folders(path.parent, 0o755, exact=True)
    replace(path, text, 0o644)
