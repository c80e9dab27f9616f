"""Where a token may go: to an origin, or below a base URL, however a URL is written.

An origin is `scheme://host[:port]` (RFC 6454, section 6); one slash after it is ignored. Anything
else that is given as one is refused rather than trimmed: a token that goes to the wrong place
cannot be called back.
"""

import re
from typing import Final
from urllib.parse import unquote

from asapfn._core.canonical import is_below
from asapfn.types import Names, as_names

# Scheme, host and port, the port always given.
Origin = tuple[str, str, int]

_ORIGIN: Final = re.compile(
    r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(?=[/?#]|\Z)",
    re.ASCII | re.IGNORECASE,
)
# A dot segment, as any proxy or server may read one: encoded, also twice; between backslashes, as
# browsers read it; with parameters, which Tomcat and others remove first; before white space or a
# zero byte, which some cut off; or before a query that is one only after decoding.
_SLASH: Final = r"(?:[/\\]|%(?:25)*(?:2f|5c))"
_CUT: Final = r"[;?#\x00-\x1f]|%(?:25)*(?:3b|3f|23|[01][0-9a-f])"
_END: Final = rf"(?: |%(?:25)*20)*(?:{_SLASH}|{_CUT}|\Z)"
_DOTS: Final = re.compile(rf"{_SLASH}(?:\.|%(?:25)*2e){{1,2}}(?={_END})", re.IGNORECASE)
_NO_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Bytes that UTF-8 never has, in which lenient decoders read dots and slashes (RFC 3629, section 3).
_OVERLONG: Final = re.compile("[\xc0\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]")
_MOST_DECODINGS: Final = 8


def split(url: str) -> tuple[Origin | None, str]:
    """The origin of a URL, None if it has none, and what follows that."""
    match = _ORIGIN.match(url)
    if match is None:
        return None, url
    scheme, host = match[1].lower(), match[2].lower()
    return (scheme, host, int(match[3] or {"http": 80, "https": 443}[scheme])), url[match.end() :]


def origin_of(text: str) -> Origin | None:
    """The origin that a text spells, host and scheme in lower case, a default port filled in.

    None for what is not `scheme://host[:port]` of http or https, and nothing more; the host of an
    international name is in its ASCII form.
    """
    origin, rest = split(text)
    return None if origin is None or rest or origin[2] > 65_535 else origin


def parse_origins(origins: Names) -> frozenset[Origin]:
    """The origins that a caller names, one or several.

    A TypeError if one is not a str; a ValueError if there is none, or one has a path, a user, no
    scheme, or another scheme than http and https. A slash alone is no path: browsers and `urlsplit`
    show origins with it.
    """
    parsed = [origin_of(name.removesuffix("/")) for name in as_names(origins, "origins")]
    if None in parsed:
        raise ValueError(
            "an origin is scheme://host[:port], without a path or a user, its host in ASCII: "
            "write https://api.example.com"
        )
    return frozenset(origin for origin in parsed if origin is not None)


def is_within(url: str, origin: Origin | None, base: str) -> bool:
    """Whether a URL, or a URL from its path on, is certainly of an origin and below a path.

    Without an origin the URL must not have one either. The path has no slash at its end.
    """
    found, rest = split(url)
    path = re.split("[?#]", rest, maxsplit=1)[0]
    if found is None:
        # What begins with // names a host (RFC 3986, section 4.2).
        inside = path.startswith("/") and path[1:2] not in ("/", "\\")
    else:
        inside, path = found == origin, path or "/"
    return inside and is_below(path, base) and not (base and _may_lead_out(path))


def _may_lead_out(path: str) -> bool:
    """Whether any server may read dot segments in a path, however often it decodes the path."""
    if _NO_ESCAPE.search(path):
        return True
    for _ in range(_MOST_DECODINGS):
        if _DOTS.search(path) or _OVERLONG.search(path):
            return True
        # By bytes, for which latin-1 has one character each.
        decoded = unquote(path, "latin-1")
        if decoded == path:
            return False
        path = decoded
    return True
