"""Tables of hosts: which products belong to an environment of Atlassian, and where its keys are.

A host that is in no table is refused: there is no default environment. A pattern is a host, with
its port unless that is 443; `*` stands for exactly one label.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar

T = TypeVar("T")

# A product's host, and where its install keys are: the first URL, and what is asked after it.
Hosts = Mapping[str, str | Sequence[str]]

_KEYS: Final = (
    "https://asap-distribution.us-west-2.prod.atl-asap.net/",
    "https://connect-install-keys.atlassian.com/",
)
_FEDRAMP_KEYS: Final = (
    "https://asap-distribution.us-west-2.prod.atl-auth-us-gov-mod.net/",
    "https://cs-migrations--fedrampcdn.us-east-1.prod.cdn.atlassian-us-gov-mod.com/",
)
_STAGING_KEYS: Final = (
    "https://asap-distribution.us-west-2.staging.atl-asap.net/",
    "https://cs-migrations--cdn.us-east-1.staging.public.atl-paas.net/",
)
_FEDRAMP_STAGING_KEYS: Final = (
    "https://asap-distribution.us-west-2.staging.atl-auth-us-gov-mod.net/",
    "https://cs-migrations--fedrampcdn.us-east-1.staging.cdn.atlassian-us-gov-mod.com/",
)

# Read-only, since they say who is trusted. Your own table is made by {**PRODUCTION_HOSTS, ...}.
PRODUCTION_HOSTS: Final[Hosts] = MappingProxyType({"*.atlassian.net": _KEYS, "*.jira.com": _KEYS})
FEDRAMP_HOSTS: Final[Hosts] = MappingProxyType({"*.atlassian-us-gov-mod.net": _FEDRAMP_KEYS})
STAGING_HOSTS: Final[Hosts] = MappingProxyType({"*.jira-dev.com": _STAGING_KEYS})
FEDRAMP_STAGING_HOSTS: Final[Hosts] = MappingProxyType(
    {"*.atlassian-stg-fedm.net": _FEDRAMP_STAGING_KEYS}
)

_LABEL: Final = "[a-z0-9_-]+"
_PATTERN: Final = re.compile(rf"(?:\*|{_LABEL})(?:\.(?:\*|{_LABEL}))*(?::[0-9]+)?")
# Nothing but a host, a port and a path: parsers differ about the rest, and so about the host.
_PRODUCT_URL: Final = re.compile(
    rf"https://({_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?)(?:/[\w.~%/-]*)?", re.ASCII | re.IGNORECASE
)


def find(table: Mapping[str, T], product_url: str) -> T | None:
    """What a table has for a product: the entry of the first pattern that matches its URL's host.

    None if no pattern does, or the URL is not plain https of a host and a path.
    """
    match = _PRODUCT_URL.fullmatch(product_url)
    host = match[1].lower().removesuffix(":443") if match else ""
    for pattern, entry in table.items():
        if re.fullmatch(re.escape(pattern).replace(r"\*", _LABEL), host):
            return entry
    return None


def require_patterns(table: Mapping[str, object]) -> None:
    """Raise ValueError for a table that is empty, or has a pattern that could never match.

    A pattern is a host in lower case, perhaps with a port, in which whole labels may be `*`.
    """
    if not table:
        raise ValueError("the table of hosts is empty: nothing would be accepted")
    for pattern in table:
        if not _PATTERN.fullmatch(pattern) or pattern.endswith(":443"):
            raise ValueError("a pattern is a host in lower case, such as *.example.com:8443")
