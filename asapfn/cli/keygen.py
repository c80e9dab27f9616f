"""`asapfn keygen`: a new key pair, the private key for its owner's eyes alone.

The private key is put aside, where nothing signs with it until it is activated, and the public one
where `publish` reads it from; both are named after the key id. Nothing that exists is written over.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Final

from asapfn._core.algorithms import ALGORITHMS, ASAP
from asapfn.cli.layout import SUFFIXES, create, make_folders, require_last
from asapfn.cli.options import Commands, Once, Options, add_command, option
from asapfn.cli.output import answer
from asapfn.keys import export_data_uri, export_private_pem, export_public_pem, generate, is_key_id
from asapfn.types import Key

_ALGORITHMS: Final = [name for name in ALGORITHMS if name in ASAP]


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "keygen",
        "make a key pair",
        "Make a key pair for an issuer: the private key in DIR/staged/ISSUER/NAME, which only its"
        " owner may read, the public key in DIR/public/ISSUER/NAME. The key id is ISSUER/NAME."
        " The key signs nothing until it is published and activated.",
        run,
        "asapfn keygen --issuer orders",
        "asapfn keygen --issuer orders --algorithm ES256",
    )
    option(parser, "--issuer NAME", "the service that signs", required=True)
    name = "the key's file name, default the time in UTC and .pem; the name that sorts last signs"
    option(parser, "--name NAME", name)
    option(parser, "--algorithm NAME", f"one of {', '.join(_ALGORITHMS)}", default="RS256")
    option(parser, "--directory DIR", default="keys")
    form = "the private key's form: PEM, ASAP's data URI for an environment variable, or a JWK"
    parser.add_argument("--format", choices=list(SUFFIXES), default="pem", help=form, action=Once)


async def run(options: Options) -> int:
    """Run the command; ValueError if the names make no key id, or a file exists."""
    folder = Path(options.directory)
    kid = _key_id(options, folder)
    private, public = folder / "staged" / (kid + SUFFIXES[options.format]), folder / "public" / kid
    key = generate(options.algorithm, kid=kid)
    make_folders(public.parent, 0o755)  # first: what is above both holds public keys too
    make_folders(private.parent, 0o700)
    create(private, _private_text(key, options.format), 0o600)
    try:
        create(public, export_public_pem(key), 0o644)
    except OSError:
        private.unlink()  # or its name would be taken
        raise
    members = {"kid": kid, "algorithm": key.alg, "private": str(private), "public": str(public)}
    where = "" if options.directory == "keys" else f" --directory {quote(str(folder))}"
    lines = (
        ("key id   ", f"{kid}  {key.alg}", "bold"),
        ("private  ", f"{private}  keep it secret", "bold"),
        ("public   ", str(public), "bold"),
        ("next     ", f"asapfn publish {quote(str(folder / 'public'))} --to DIR", "command"),
        ("         ", f"asapfn activate {kid} --repository URL{where}", "command"),
    )
    answer(options, members, lines)
    return 0


def _key_id(options: Options, folder: Path) -> str:
    """The key id, provided that a key of this id can sign."""
    if options.algorithm not in _ALGORITHMS:
        known = options.algorithm if options.algorithm in ALGORITHMS else "that algorithm"
        raise ValueError(f"ASAP does not sign with {known}: it has {', '.join(_ALGORITHMS)}")
    name = options.name or datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ.pem")
    kid = f"{options.issuer}/{name}"
    if not is_key_id(kid):
        raise ValueError("issuer and name make no key id: parts of A-Z a-z 0-9 _ . - + between /")
    if "/" in name:
        raise ValueError("the name is that of one file, without a slash: signers read no folders")
    if any(part.startswith(".") for part in kid.split("/")):
        raise ValueError("no part of the key id begins with a dot: publish leaves out hidden files")
    if not name.endswith(".pem"):
        raise ValueError("the name ends in .pem: signers read *.pem alone")
    paths = [folder / place / kid for place in ("staged", "private", "public")]
    for path in [path.with_name(f"{name}{s}") for path in paths for s in SUFFIXES.values()]:
        if path.exists():
            raise ValueError(f"{path} exists: a key is never written over; choose another name")
    require_last(folder, kid, "private", "staged")
    return kid


def _private_text(key: Key, form: str) -> str:
    if form == "jwk":
        return json.dumps(key.as_dict(private=True)) + "\n"
    return export_private_pem(key) if form == "pem" else export_data_uri(key) + "\n"
