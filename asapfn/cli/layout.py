"""Where `keygen`, `activate` and `publish` keep keys, and under which names.

Below one directory a key pair has three places: `staged/KID`, the private key that nothing signs
with yet; `private/KID`, the private keys that services sign with; `public/KID`, the public keys.
Files and folders are written with modes that no umask widens, and nothing is left behind of a file
that cannot be written whole, as on a full disk.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from asapfn.asap import private_key_directory
from asapfn.types import Key

_PLACES: Final = ("staged", "private", "public")
# What a private key's file has behind its key id, by the form of the key.
SUFFIXES: Final = {"pem": "", "data-uri": ".uri", "jwk": ".jwk"}


def require_last(root: Path, kid: str, *places: str) -> None:
    """Refuse a key id whose name does not sort behind the others: the last by name signs."""
    issuer, _, name = kid.rpartition("/")
    for place in places:
        others = (root / place / issuer).glob("*.pem*")
        last = max(others, key=lambda path: path.name, default=None)
        if last is not None and last.name >= name:
            raise ValueError(
                f"{name} would never sign: {last} sorts after it, and signers use the last by"
                f" name; choose a name behind it, such as {last.name.partition('.pem')[0]}_2.pem"
            )


def wanted_directory(given: str, wanted: str) -> str:
    """The directory of the wanted keys, if `given` is another one of keygen's; else empty."""
    here = Path(os.path.abspath(given))
    place = next((each for each in (here, *here.parents) if each.name in _PLACES), None)
    home = here if place is None else place.parent
    is_keygens = any((home / name).is_dir() for name in _PLACES if name != wanted)
    if here == home / wanted or not (home / wanted).is_dir() or not is_keygens:
        return ""
    return str(home / wanted) if os.path.isabs(given) else os.path.relpath(home / wanted)


def is_of_keygen(folder: Path) -> bool:
    """Whether keygen keeps keys in a folder, around it or below it, or where a link leads."""
    places: list[Path] = []
    for here in (Path(os.path.abspath(folder)), Path(os.path.realpath(folder))):
        below = (here / name for name in _PLACES)
        places += (here, *here.parents, *(each for each in below if each.is_dir()))
    beside = {"private": "public", "staged": "public", "public": "staged"}
    return any((p.parent / beside[p.name]).is_dir() for p in places if p.name in beside)


def require_keys(given: str, wanted: Literal["private", "public"]) -> None:
    """Refuse a --key-directory that is none, or has the other half of the keys."""
    path, flag = Path(given), f"--key-directory {given}"
    other = "public" if wanted == "private" else "private"
    if not path.is_dir():
        raise ValueError(f"{flag} is not a directory")
    right = wanted_directory(given, wanted)
    if right and (path / wanted).is_dir():
        raise ValueError(f"{flag} is not where the {wanted} keys are: {right} is")
    above = next((each for each in path.absolute().parents if each.name == wanted), None)
    if above is not None and any(path.glob("*.pem")):
        named = str(above) if path.is_absolute() else os.path.relpath(above)
        raise ValueError(f"{flag}: give DIR without the issuer: {named}")
    first = next((file for file in path.glob("*/**/*") if file.is_file()), None)
    if first is not None and f"{other.upper()} KEY-----".encode() in first.read_bytes():
        use, where = "signing" if wanted == "private" else "verifying", f": {right}" * bool(right)
        raise ValueError(f"{flag} has {other} keys, and {use} needs the {wanted} ones{where}")


def signing_key(given: str, issuer: str) -> Key:
    """The key in use of a --key-directory with private keys."""
    try:
        key = private_key_directory(given, issuer)()
    except ValueError as error:
        if " is staged: " not in str(error):
            require_keys(given, "private")
        raise ValueError(f"--key-directory: {error}") from None
    here, kid = Path(os.path.abspath(given)), key.kid
    if here.name == "staged" and (here.parent / "public").is_dir():
        raise ValueError(f"--key-directory {given}: {kid} is staged: asapfn activate {kid}")
    return key


def make_folders(path: Path, mode: int, *, exact: bool = False) -> None:
    """Make a folder and those above it that do not exist, each with the mode less the umask.

    With `exact` it is the mode itself, for what a web server is to read.
    """
    if not path.is_dir():
        make_folders(path.parent, mode, exact=exact)
        with _mode_as_given(exact):
            path.mkdir(mode, exist_ok=True)


@contextmanager
def _mode_as_given(exact: bool) -> Iterator[None]:
    """With `exact`, let what is made have its mode whatever the umask.

    Nothing is changed later by its name, under which another who may write there, such as a
    service, can have put a link to any file: whoever runs the command, such as root, may change it.
    """
    umask = os.umask(0) if exact else None
    try:
        yield
    finally:
        if umask is not None:
            os.umask(umask)


def create(
    path: Path,
    text: str,
    mode: int,
    *,
    exact: bool = False,
    owner: tuple[int, int] | None = None,
) -> None:
    """Write a file that does not exist yet; a link by its name is not followed."""
    # Made with its mode, so that a private key is never readable by others, not even briefly.
    with _mode_as_given(exact):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:
            if owner is not None and owner[0] != os.fstat(descriptor).st_uid:
                os.fchown(descriptor, *owner)
            file.write(text.encode("ascii", "surrogateescape"))
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None


def replace(path: Path, text: str, mode: int, *, owner: tuple[int, int] | None = None) -> None:
    """Write a file under a name that nobody can foresee, and put it in its place in one step.

    It has exactly the mode, whatever the umask, and is that of another user and group if these are
    given.
    """
    # Not made of the file's own name, which may have the greatest length that a name can have.
    new = path.with_name(f".{secrets.token_hex(8)}.new")
    create(new, text, mode, exact=True, owner=owner)
    try:
        os.replace(new, path)
    except OSError:
        new.unlink()
        raise
