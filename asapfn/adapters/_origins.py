"""Which origins a token may go to.

An origin is `scheme://host[:port]` (RFC 6454, section 6); one slash after it is ignored. Anything
else that is given as one is refused rather than trimmed: a token that goes to the wrong place
cannot be called back.
"""

from asapfn._core.destinations import Origin, split
from asapfn.types import Names, as_names

__all__ = ["Origin", "origin_of", "parse_origins"]


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
