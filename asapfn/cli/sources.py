"""The flags of `verify` and `explain` that say where keys are, and the resolvers for them."""

import os
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import httpx

from asapfn import forge, jitsi
from asapfn.adapters._causes import described
from asapfn.adapters.httpx import fetcher
from asapfn.cli.inputs import WHERE, add_token, read_file, read_key, read_secret
from asapfn.cli.layout import require_keys
from asapfn.cli.options import Arguments, Options, option
from asapfn.cli.parsing import call, one_at_most, required
from asapfn.errors import Unavailable, cause
from asapfn.resolvers import discovered, jwks, pem_directory, pem_repository
from asapfn.resolvers.jwks import always, key_sets, read_jwks
from asapfn.resolvers.sources import mirrors
from asapfn.types import Document, Fetch, Key, Resolver, Unverified

T = TypeVar("T")

_TRUST: Final = "; --cacert FILE names the authorities to trust"


def add_arguments(parser: Arguments, *, secret: bool = False) -> Arguments:
    """Add the token, the flags that say where keys are, and a group for what it must be."""
    add_token(parser)
    group = parser.add_argument_group("where the key is, one of")
    option(group, "--repository URL...", "a key repository, and each mirror")
    option(group, "--jwks URL", "a key set, at an https URL or in a file")
    option(group, "--key-directory DIR", "a directory with public keys by id")
    option(group, "--public-key WHERE", f"the one key, PEM or JWK: {WHERE}")
    if secret:
        option(group, "--secret-from WHERE", f"the shared secret: {WHERE} (ASAPFN_SECRET)")
    add_cacert(parser)
    return parser.add_argument_group("what the token must be")


def add_cacert(parser: Arguments) -> None:
    """Add the flag that says whose certificates are trusted."""
    what = "trust the certificate authorities in this file, and no others (SSL_CERT_FILE)"
    option(parser, "--cacert FILE", what)


def why(error: Unavailable) -> str:
    """What caused an outage, and the flag that ends it, if one does."""
    what = error.detail or cause(error)
    return f"{what}{_TRUST}" if re.search("self.signed|issuer certificate", what) else what


@asynccontextmanager
async def network(cacert: str | None) -> AsyncIterator[Fetch]:
    """Open the way to the network, trusting the authorities in a file, or else the usual ones."""
    if cacert is None:
        yield fetcher()
        return
    async with client_for(cacert) as client:
        yield fetcher(client)


def client_for(cacert: str | None, **more: Any) -> httpx.AsyncClient:
    """A client of these settings; ValueError if they or the environment's are of no use."""
    try:
        trusted = True if cacert is None else ssl.create_default_context(cafile=cacert)
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise ValueError(
            f"--cacert {cacert}: no certificate authority in PEM can be read: {what}"
        ) from None
    try:
        return httpx.AsyncClient(verify=trusted, **more)
    except OSError as error:
        what = f"SSL_CERT_FILE or SSL_CERT_DIR: {described(error)}"
    except ImportError as error:
        what = str(error)
    except (httpx.InvalidURL, ValueError) as error:
        # Not quoted: where it is malformed, a part of a password may be taken for the port.
        what = f"HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is not a proxy's URL: {type(error).__name__}"
    raise ValueError(what)


def repositories(options: Options) -> list[str]:
    """The URLs of the key repository, by --repository or else the environment."""
    local = "key_directory" in options
    given = {"--repository": options.repository}
    if not options.repository:
        names = ("ASAP_PUBLIC_KEY_REPOSITORY_URL", "ASAP_PUBLIC_KEY_FALLBACK_REPOSITORY_URL")
        given = {name: os.environ[name] for name in names if os.environ.get(name)}
    return [url for name, urls in given.items() for url in named(name, mirrors, urls, local=local)]


def named(where: str, make: Callable[..., T], *given: Any, local: bool = False) -> T:
    """Call `make` on the value of a flag or a variable; its ValueError begins with that name.

    With `local` it ends with the flag for keys of this machine.
    """
    try:
        return make(*given)
    except ValueError as error:
        text = str(error).partition("; for development")[0]
        otherwise = "; for development use --key-directory DIR" if local else ""
        raise ValueError(f"{where}: {text}{otherwise}") from None


def source(options: Options, fetch: Fetch) -> tuple[Resolver, str]:
    """Make the resolver that the flags ask for, else that of the profile's usual place.

    The second value is the name of that place, to be shown. It raises ValueError if there is none
    or more than one, or it cannot be used.
    """
    one_at_most(options, "repository", "jwks", "key_directory", "public_key", "secret_from")
    if options.jwks is not None:
        return _key_set(options.jwks, fetch)
    if options.key_directory is not None:
        require_keys(options.key_directory, "public")
        return pem_directory(options.key_directory), options.key_directory
    if options.public_key is not None:
        return partial(_only_key, read_key(options.public_key, "public key", None)), "--public-key"
    usual = None if options.repository else options.profile
    if usual == "connect" and (secret := read_secret(options)):
        return partial(_only_key, secret), "the shared secret"
    if usual == "forge":
        return call(forge.keys, options, fetch), "Forge's key set" + " of staging" * options.staging
    if usual == "oidc":
        return call(discovered, options, fetch=fetch), options.metadata_url or options.issuer
    last = ", --public-key, or --secret-from" if usual == "connect" else ", or --public-key"
    flags = f"--repository, --jwks, --key-directory{last}"
    urls = required(" | ".join(repositories(options)), f"the place of the key: {flags}")
    make = jitsi.repository if options.profile == "jitsi" else pem_repository
    return make(urls, fetch), urls


def _key_set(where: str, fetch: Fetch) -> tuple[Resolver, str]:
    if "://" in where:
        return named("--jwks", jwks, where, fetch, local=True), where
    data = read_file(where)

    async def fetch_file(url: str, accept: str) -> Document:
        return Document(200, "application/json", data)

    # By the same rules as one that is published.
    url_of = partial(always, where)
    return key_sets(url_of, where, fetch_file, read=read_jwks("sig")), where


async def _only_key(key: Key, unverified: Unverified) -> Key:
    """The one key there is, whatever key id a token names."""
    return key
