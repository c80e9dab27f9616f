"""`asapfn keygen`: a new key pair, the private key for its owner's eyes alone.

The private key goes where `private_key_directory` finds it, the public one where `publish` reads it
from; both are named after the key id. Nothing that exists is written over.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from asapfn._core.algorithms import ALGORITHMS, ASYMMETRIC
from asapfn.cli.outputs import create, make_folders
from asapfn.cli.parsing import Commands, add_command
from asapfn.cli.style import painter
from asapfn.cli.text import as_json, safe
from asapfn.keys import export_data_uri, export_private_pem, export_public_pem, generate, is_key_id
from asapfn.types import Key


def add_to(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: What it is added to.
    """
    parser = add_command(
        commands,
        "keygen",
        "make a key pair",
        "Make a key pair for an issuer: the private key in DIR/private/ISSUER/NAME, which only its"
        " owner may read, the public key in DIR/public/ISSUER/NAME. The key id is ISSUER/NAME.",
        ("asapfn keygen --issuer orders", "asapfn keygen --issuer orders --algorithm ES256"),
        run,
    )
    parser.add_argument("--issuer", metavar="NAME", required=True, help="the service that signs")
    parser.add_argument(
        "--name",
        help="the key's own name, by default the time of the day in UTC: the last by name signs",
    )
    parser.add_argument(
        "--algorithm",
        choices=[name for name in ALGORITHMS if name in ASYMMETRIC],
        default="RS256",
        help="default RS256; EdDSA and Ed25519 are not for ASAP",
    )
    parser.add_argument("--directory", metavar="DIR", default="keys", help="default keys")
    parser.add_argument(
        "--format",
        choices=("pem", "data-uri", "jwk"),
        default="pem",
        help="the private key's form: PEM, ASAP's data URI for an environment variable, or a JWK",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: The command line.

    Returns:
        0.

    Raises:
        ValueError: If the names make no key id, or a file exists.
        OSError: If a file cannot be written.
    """
    name = options.name or datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ.pem")
    kid = f"{options.issuer}/{name}"
    if not is_key_id(kid):
        raise ValueError("issuer and name make no key id: parts of A-Z a-z 0-9 _ . - + between /")
    suffix = {"pem": "", "data-uri": ".uri", "jwk": ".jwk"}[options.format]
    folder = Path(options.directory)
    private, public = folder / "private" / f"{kid}{suffix}", folder / "public" / kid
    for path in (private, public):
        if path.exists():
            raise ValueError(f"{path} exists: a key is never written over; choose another name")
    key = generate(options.algorithm, kid=kid)
    make_folders(folder, 0o755)
    make_folders(private.parent, 0o700)
    make_folders(public.parent, 0o755)
    create(private, _private_text(key, options.format), 0o600)
    create(public, export_public_pem(key), 0o644)
    if options.json:
        answer = {"kid": kid, "algorithm": key.alg, "private": str(private), "public": str(public)}
        sys.stdout.write(as_json(answer))
        return 0
    paint = painter(sys.stdout)
    for title, text in (
        ("key id", f"{kid}  {key.alg}"),
        ("private", f"{private}  keep it secret"),
        ("public", f"{public}  publish it:"),
        ("", f"asapfn publish {folder / 'public'} --to DIR"),
    ):
        sys.stdout.write(f"{paint('bold', f'{title:<8}')} {safe(text)}\n")
    return 0


def _private_text(key: Key, form: str) -> str:
    if form == "jwk":
        return json.dumps(key.as_dict(private=True)) + "\n"
    return export_private_pem(key) if form == "pem" else export_data_uri(key) + "\n"
