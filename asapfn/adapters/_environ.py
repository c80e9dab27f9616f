"""Read from a WSGI environ what was sent: the request target, and each Authorization header."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from asapfn._core.credentials import TOKEN

# Servers join a field that comes twice by commas (RFC 3875, section 4.1.18). A comma may also
# stand within one field's value, but a scheme and its credentials follow only where another begins.
_NEXT_CREDENTIALS: Final = re.compile(rf",[ \t]*(?=$|{TOKEN}[ \t]+[^ \t=])")
_ENCODED_SLASH: Final = re.compile("%2[Ff]")


def split_credentials(value: str) -> list[str]:
    """The values of the `Authorization` headers that a server has joined to one."""
    return _NEXT_CREDENTIALS.split(value)


def target_of(environ: Mapping[str, Any]) -> tuple[str | None, str]:
    """The target from `REQUEST_URI` or `RAW_URI`, and what the application reads otherwise."""
    target = environ.get("REQUEST_URI", environ.get("RAW_URI"))
    if target is None:
        return None, ""
    # A native string of WSGI holds bytes. One that is no UTF-8 stays recognizable, and is
    # refused where the target is read.
    return target.encode("latin-1").decode("utf-8", "surrogateescape"), _mismatch(target, environ)


def _mismatch(target: str, environ: Mapping[str, Any]) -> str:
    path, _, query = target.partition("?")
    if query != environ.get("QUERY_STRING", ""):
        return "the query that the application reads, QUERY_STRING, is not the target's"
    if "HTTP_SCRIPT_NAME" in environ:
        # From a peer that it trusts, such as any on loopback, gunicorn lets this header say which
        # part of the path the application does not see.
        return (
            "there is a SCRIPT_NAME header, which could choose the path that the application routes"
            " by: have the proxy drop it, and set gunicorn's by its environment variable"
        )
    mount, rest = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    # cheroot decodes all but slashes.
    for slash in ("/", "%2F"):
        sent = slash.join(map(_decoded, _ENCODED_SLASH.split(path)))
        # A server may be set to a mount that a proxy removes from the path.
        if sent in (mount + rest, rest):
            return ""
    return "the path that the application routes by, SCRIPT_NAME and PATH_INFO, is not the target's"


def _decoded(path: str) -> str:
    return unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
