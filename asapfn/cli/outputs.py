"""Files and folders that a command writes, with modes that no umask widens."""

import os
import secrets
from pathlib import Path


def make_folders(path: Path, mode: int) -> None:
    """Make a folder and those above it that do not exist, each with the mode less the umask."""
    if not path.is_dir():
        make_folders(path.parent, mode)
        path.mkdir(mode, exist_ok=True)


def create(path: Path, text: str, mode: int) -> None:
    """Write a file that does not exist yet; a link by its name is not followed."""
    # Made with its mode, so that a private key is never readable by others, not even briefly.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)


def replace(path: Path, text: str, mode: int) -> None:
    """Write a file under a name that nobody can foresee, and put it in its place in one step."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    create(new, text, mode)
    try:
        os.replace(new, path)
    except OSError:
        new.unlink()
        raise
