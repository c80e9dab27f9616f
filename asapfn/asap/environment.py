"""ASAP set up from environment variables, by the names its other implementations use."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Final

from asapfn.asap.incoming import repository, verifier
from asapfn.asap.outgoing import signer
from asapfn.keys import import_data_uri, import_pem, is_data_uri
from asapfn.resolvers.sources import mirrors
from asapfn.types import Fetch, Key, Names, ReplayStore, Verify

_REPOSITORY: Final = "ASAP_PUBLIC_KEY_REPOSITORY_URL"
_FALLBACK: Final = "ASAP_PUBLIC_KEY_FALLBACK_REPOSITORY_URL"


def signer_from_env(environ: Mapping[str, str] | None = None) -> Callable[[Names | None], str]:
    """Make a signer from `ASAP_PRIVATE_KEY` and its companions.

    Args:
        environ: Holds `ASAP_ISSUER`; `ASAP_PRIVATE_KEY`, a data URI, or PEM or a data URI without
            key id together with `ASAP_KEY_ID`, in the forms that `import_data_uri` and
            `import_pem` read; `ASAP_AUDIENCE`, a comma list, and `ASAP_SUBJECT`, both optional.
            None stands for the process's own environment.

    Returns:
        A function from an audience to a token; None stands for `ASAP_AUDIENCE`.

    Raises:
        ValueError: If a variable is missing or empty, the key cannot be used, or `ASAP_KEY_ID`
            differs from the data URI's. The returned function raises it too, when there is
            neither an audience nor an `ASAP_AUDIENCE`.
    """
    environ = os.environ if environ is None else environ
    key = _private_key(environ)
    sign_for = signer(
        _required(environ, "ASAP_ISSUER"), key, subject=environ.get("ASAP_SUBJECT") or None
    )
    default = comma_list(environ.get("ASAP_AUDIENCE", ""))

    def sign_for_audience(audience: Names | None = None) -> str:
        if audience is None and not default:
            raise ValueError("give an audience, or set ASAP_AUDIENCE")
        return sign_for(default if audience is None else audience)

    return sign_for_audience


def verifier_from_env(
    fetch: Fetch | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    issuers: Names | None = None,
    replay: ReplayStore | None = None,
) -> Verify:
    """Make a verifier from `ASAP_PUBLIC_KEY_REPOSITORY_URL` and its companions.

    Args:
        fetch: The way to the network; None stands for `adapters.httpx.fetcher()`.
        environ: Holds `ASAP_PUBLIC_KEY_REPOSITORY_URL`, one URL or `url1 | url2`;
            `ASAP_SERVER_AUDIENCE`, a comma list; and, all optional,
            `ASAP_PUBLIC_KEY_FALLBACK_REPOSITORY_URL`, `ASAP_VALID_ISSUERS`, a comma list, and
            `ASAP_SERVER_LEEWAY_SECONDS`, such as `10` or `2.5`. None stands for the process's own
            environment.
        issuers: The issuers that are allowed; None stands for `ASAP_VALID_ISSUERS`, and without
            that allows each that has a key there.
        replay: Where used tokens are remembered, so that each is accepted once.

    Returns:
        An async function from a token to a verified `Token`, as `verifier` makes it.

    Raises:
        ValueError: If a variable is missing, empty or malformed.
    """
    environ = os.environ if environ is None else environ
    if fetch is None:
        # Imported here: a caller with a fetcher of their own does not need this client.
        from asapfn.adapters.httpx import fetcher

        fetch = fetcher()
    if issuers is None and "ASAP_VALID_ISSUERS" in environ:
        issuers = comma_list(environ["ASAP_VALID_ISSUERS"])
        if not issuers:
            raise ValueError("ASAP_VALID_ISSUERS names no issuer: unset it to allow each")
    urls = _mirrors(environ, _REPOSITORY)
    if environ.get(_FALLBACK):
        urls += _mirrors(environ, _FALLBACK)
    return verifier(
        repository(urls, fetch),
        comma_list(_required(environ, "ASAP_SERVER_AUDIENCE")),
        issuers=issuers,
        leeway=leeway_from_env(environ),
        replay=replay,
    )


def _mirrors(environ: Mapping[str, str], name: str) -> list[str]:
    """The URLs of a variable; ValueError, with its name, if one cannot be used."""
    urls = _required(environ, name)
    try:
        return mirrors(urls)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def leeway_from_env(environ: Mapping[str, str]) -> float:
    """The seconds of `ASAP_SERVER_LEEWAY_SECONDS`, 10 if it is not set."""
    text = environ.get("ASAP_SERVER_LEEWAY_SECONDS") or "10"
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text.strip()):
        raise ValueError(
            "ASAP_SERVER_LEEWAY_SECONDS must be a number of seconds such as 10 or 2.5,"
            f" not {text[:20]!a}"
        )
    return float(text)


def _private_key(environ: Mapping[str, str]) -> Key:
    text = _required(environ, "ASAP_PRIVATE_KEY")
    if not is_data_uri(text):
        return import_pem(text, kid=_required(environ, "ASAP_KEY_ID"))
    return import_data_uri(text, kid=environ.get("ASAP_KEY_ID", "").strip() or None)


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise ValueError(f"{name} is not set")
    return value


def comma_list(names: str) -> list[str]:
    """The names in a comma list, which may have spaces between them."""
    return [name.strip() for name in names.split(",") if name.strip()]
