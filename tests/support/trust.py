"""Clients that are made without a context of their own."""

from pathlib import Path

import pytest

from tests.support.servers import authority


def trust(environment: pytest.MonkeyPatch, folder: Path) -> None:
    """Have them trust the tests' authority, whose certificate is put into a folder."""
    authority().cert_pem.write_to_path(str(folder / "authority.pem"))
    environment.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
