"""Find the request that a wrong `qsh` was made of, for `asapfn explain connect`.

A hash cannot be undone, but the ways in which two sides come to differ are few: another base URL, a
slash, a space, a sort, another method. Each part of the canonical request is varied in those ways,
all combinations are hashed, and the one that matches with the fewest differences is reported.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from asapfn._core.canonical import base_path, canonical_query, canonical_request
from asapfn._core.destinations import split

_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
_MOST: Final = 50  # parameters, and parts of a path, that are varied one by one

# A part of a canonical request, and in what it differs from the expected one: in nothing, if it is
# empty; in two ways, if there is a semicolon.
_Part = tuple[str, str]


class Variant(NamedTuple):
    """A canonical request whose hash a token has.

    Attributes:
        canonical: The canonical request.
        differences: In what it differs from the one that was expected, in words.
    """

    canonical: str
    differences: tuple[str, ...]


def find_variant(
    given: str, method: str, url: str, *, base_url: str = "", form: str | None = None
) -> Variant | None:
    """Find what a token's `qsh` is the hash of.

    Args:
        given: The token's `qsh`.
        method: The method of the given request.
        url: Its URL or target.
        base_url: The app's base URL.
        form: The body of a form that came with it, if one did.

    Returns:
        The nearest variant with that hash; None if none has it.

    Raises:
        ValueError: If the URL or the base URL is malformed.
    """
    expected = canonical_request(method, url, base_url=base_url)
    _, path, query = expected.split("&", 2)
    wanted = given.lower()
    hashes = () if given == wanted else ("the hash is in upper case",)
    parts = itertools.product(
        _methods(method), _paths(path, url, base_url), _queries(query, url, form)
    )
    for each in sorted(parts, key=_differences):
        canonical = "&".join(text for text, _ in each)
        if hashlib.sha256(canonical.encode()).hexdigest() == wanted:
            return Variant(canonical, (*filter(None, (why for _, why in each)), *hashes))
    return None


def _differences(parts: Iterable[_Part]) -> int:
    return sum(why.count(";") + 1 for _, why in parts if why)


def _methods(method: str) -> list[_Part]:
    cases = (method, method.lower(), method.capitalize())
    parts = [(method.upper(), "")]
    parts += [(each, f"the method is in another case, {each}") for each in cases]
    return _distinct(parts + [(each, f"the method is {each}") for each in _METHODS])


def _paths(path: str, url: str, base_url: str) -> list[_Part]:
    whole = canonical_request("GET", url).split("&", 2)[1]
    base = base_path(base_url)
    parts = [(path, ""), (whole, "the path of the base URL is not removed")]
    names = whole.strip("/").split("/")[:_MOST]
    for count in range(1, len(names) + 1):
        prefix = "/" + "/".join(names[:count])
        rest = whole[len(prefix) :] or "/"
        parts.append((rest, f"another base URL: {prefix} is removed from the path"))
    if base:
        parts.append((f"{base}{path}".removesuffix("/"), f"the path begins with {base}"))
        parts.append((f"{base}{whole}".removesuffix("/"), f"the path begins with {base} once more"))
    parts += [
        (each, f"{why}; {slash} of the path" if why else f"{slash} of the path")
        for text, why in parts
        for each, slash in (
            (f"{text}/", "a slash more at the end"),
            (f"/{text}", "a slash more at the start"),
            (text[1:], "a slash less at the start"),
        )
    ]
    parts += [
        (path.replace("%26", "&"), "an & in the path is left as it is"),
        (unquote(path), "the path was decoded before hashing"),
        (quote(path), "the path is encoded once more"),
        (path.lower(), "the path is in lower case"),
    ]
    if origin := url.removesuffix(split(url)[1]):
        parts += [(origin + each, "scheme and host are in it") for each in (whole, path)]
    return _distinct(parts)


def _queries(query: str, url: str, form: str | None) -> list[_Part]:
    raw = url.partition("#")[0].partition("?")[2]
    sent = [pair for pair in raw.split("&") if pair and not pair.startswith("jwt=")]
    pairs = query.split("&")
    parts: list[_Part] = [
        (query, ""),
        ("", "the query is left out"),
        (query.replace("%20", "+"), "a space is written +"),
        (canonical_query(raw.replace("+", "%2B")), "a + is read as a plus sign, not a space"),
        ("&".join(map(canonical_query, sent)), "the parameters are not sorted"),
        ("&".join(sorted(map(canonical_query, sent))), "repeated parameters are not joined"),
        (_joined_as_sent(sent), "the values of a repeated parameter are not sorted"),
        ("&".join(sent), "the query is neither encoded again nor sorted"),
        ("&".join(sorted(sent)), "the query is sorted, but not encoded again"),
        (canonical_query(raw.replace("%", "%25")), "the query is encoded twice"),
        (unquote(query), "the query is not encoded"),
        (re.sub("%..", lambda escape: escape[0].lower(), query), "escapes are in lower case"),
        (query.replace(",", "%2C"), "the comma between values is encoded"),
        (query.replace("%2C", ","), "a comma in a value is not encoded"),
        (re.sub(r"=(?=&|\Z)", "", query), "a parameter without a value has no ="),
        (_like_java(query), "the query is encoded as Java's URLEncoder does"),
        (_like_java(query).replace("+", "%20"), "* is not encoded, or ~ is"),
        (_like_javascript(query), "!'()* are not encoded, as by JavaScript's encodeURIComponent"),
    ]
    parts += [
        ("&".join(p for p in pairs if p != pair), f"the parameter {pair.split('=')[0]} is left out")
        for pair in pairs[:_MOST]
    ]
    if form is not None:
        parts += [
            (canonical_query(form), "the form stands in for the query"),
            (canonical_query(f"{raw}&{form}"), "the form is added to the query"),
        ]
    return _distinct(parts)


def _joined_as_sent(sent: Iterable[str]) -> str:
    values: dict[str, list[str]] = {}
    for pair in map(canonical_query, sent):
        name, _, value = pair.partition("=")
        values.setdefault(name, []).append(value)
    return "&".join(f"{name}={','.join(values[name])}" for name in sorted(values))


def _like_java(query: str) -> str:
    return query.replace("%20", "+").replace("%2A", "*").replace("~", "%7E")


def _like_javascript(query: str) -> str:
    return re.sub("%(?:21|27|28|29|2A)", lambda escape: unquote(escape[0]), query)


def _distinct(parts: list[_Part]) -> list[_Part]:
    """Each text once, with its first explanation."""
    first: dict[str, str] = {}
    for text, why in parts:
        first.setdefault(text, why)
    return list(first.items())
