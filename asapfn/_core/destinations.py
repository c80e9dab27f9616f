"""Where a token may go: below a base URL, however the URL it is to be sent to is written."""

import re
from typing import Final

from asapfn._core.canonical import is_below

# Scheme, host and port, the port always given.
Origin = tuple[str, str, int]

_ORIGIN: Final = re.compile(
    r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(?=[/?#]|\Z)",
    re.ASCII | re.IGNORECASE,
)
# A segment of a path that leads up or nowhere, to whoever may read the path on its way: encoded,
# twice too; between backslashes, as browsers have it; with parameters, which Tomcat and others take
# off first; with white space or a zero byte behind it, which some cut off.
_SLASH: Final = r"(?:[/\\]|%(?:25)*(?:2f|5c))"
_END: Final = rf"(?:%(?:25)*20)*(?:{_SLASH}|;|%(?:25)*(?:3b|[01][0-9a-f])|\Z)"
_DOTS: Final = re.compile(rf"{_SLASH}(?:\.|%(?:25)*2e){{1,2}}(?={_END})", re.IGNORECASE)


def split(url: str) -> tuple[Origin | None, str]:
    """The origin of a URL, None if it has none, and what follows that."""
    match = _ORIGIN.match(url)
    if match is None:
        return None, url
    scheme, host = match[1].lower(), match[2].lower()
    return (scheme, host, int(match[3] or {"http": 80, "https": 443}[scheme])), url[match.end() :]


def is_within(url: str, origin: Origin | None, base: str) -> bool:
    """Whether a URL, or a URL from its path on, is certainly of an origin and below a path.

    Args:
        url: The URL.
        origin: The origin; None if there is none, and then a URL must not have one either.
        base: The path, without a slash at its end.
    """
    found, rest = split(url)
    path = re.split("[?#]", rest, maxsplit=1)[0]
    if found is None:
        # What begins with // names a host (RFC 3986, section 4.2).
        inside = path.startswith("/") and path[1:2] not in ("/", "\\")
    else:
        inside, path = found == origin, path or "/"
    return inside and is_below(path, base) and not (base and _DOTS.search(path))
