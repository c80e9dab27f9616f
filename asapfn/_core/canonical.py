"""The canonical request of Atlassian Connect, and its hash, `qsh`.

A token that carries a `qsh` is good for one request: method, path and query. Both sides bring the
request into one form, `METHOD & URI & QUERY`, and hash it. The three parts follow three rules. The
method is put in upper case. The path is used as it was sent and never decoded. The query is
decoded, sorted, and encoded again, because clients, proxies and servers write the same query in
different ways.

The rules are those of "Understanding JWT for Connect apps", and where that text and Atlassian's
own implementations (Java, JavaScript) differ, those of the implementations. Nothing is left out
and nothing is guessed: what has no one reading is a `ValueError`, whose message repeats no part of
the URL, since a URL may hold a token.
"""

import hashlib
import re
from urllib.parse import unquote_to_bytes

# RFC 3986, sections 3.1 to 3.2.3, but for a backslash, which browsers read as a slash: where the
# host ends would depend on who reads.
_ORIGIN = re.compile(
    r"[A-Za-z][A-Za-z0-9+.\-]*://"
    r"(?:[^\x00-\x20\x7f/?#\\@\[\]]*@)?"
    r"(?:\[[0-9A-Fa-f:.]+\]|[^\x00-\x20\x7f/?#\\@\[\]:]+)"
    r"(?::[0-9]*)?(?=[/?#]|\Z)"
)
_COLON_IN_FIRST_SEGMENT = re.compile(r"[^/?#]*:")
_BASE_URL = re.compile(r"(?:[^/?#]*:/)?/[^?#]*")
_PATH = re.compile(r"(?:[!-$&-~]++|%[0-9A-Fa-f]{2})*+")
_QUERY = re.compile(r"(?:[ -$&-~\x80-\ud7ff\ue000-\U0010ffff]++|%[0-9A-Fa-f]{2})*+")

# In most queries nothing needs to be encoded otherwise than it is: unreserved characters stand for
# themselves, and the escapes are those, in upper case, of the ASCII that is reserved. Else it is
# runs of other characters and escapes. A run's first character is of a plain class, as the regular
# expression engine skips to one of those quickly.
_AS_IS = r"A-Za-z0-9\-._~&="
_RESERVED = "2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-D]"
_OTHER_ESCAPE = rf"(?!{_RESERVED})[0-9A-Fa-f]{{2}}"
_ENCODED_QUERY = re.compile(rf"(?:[{_AS_IS}]++|%(?:{_RESERVED}))*+")
_TO_ENCODE = re.compile(
    rf"[^{_AS_IS}](?:(?<!%)|{_OTHER_ESCAPE})(?:[^{_AS_IS}%]|%{_OTHER_ESCAPE})*+"
)

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ENCODED = [chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256)]


def qsh(method: str, url: str, *, base_url: str = "", form: str | bytes | None = None) -> str:
    """The query string hash of a request: what the claim `qsh` holds.

    Args:
        method: The HTTP method, in any case.
        url: The URL, whole (`https://host/path?query`) or from the path on (`/path?query`).
        base_url: The URL, or the path, that the app or the product is installed at.
        form: The body of a form, as for `canonical_request`.

    Returns:
        The SHA-256 of the canonical request's UTF-8, in lower-case hexadecimal.

    Raises:
        TypeError: As `canonical_request`.
        ValueError: As `canonical_request`.

    Source: Atlassian Connect, "Understanding JWT", "Creating a query string hash".
    """
    request = canonical_request(method, url, base_url=base_url, form=form)
    return hashlib.sha256(request.encode()).hexdigest()


def canonical_request(
    method: str, url: str, *, base_url: str = "", form: str | bytes | None = None
) -> str:
    """The canonical form of a request: `METHOD&URI&QUERY`.

    The URI is the path without that of `base_url`, with a slash at its start and none at its end,
    and with `&` written as `%26`; nothing else in it is decoded or encoded.

        >>> canonical_request("get", "https://app.example/jira/issue/?b=2&a=1&jwt=e.y.J",
        ...                   base_url="https://app.example/jira")
        'GET&/issue&a=1&b=2'

    Args:
        method: The HTTP method, in any case.
        url: The URL, whole (`https://host/path?query`) or from the path on (`/path?query`).
            `//a/b` is a path. Scheme, host and fragment play no part.
        base_url: The URL, or the path, that the app or the product is installed at. Its path is
            removed once from the start of the URL's, where a segment of that ends: `/jira` is no
            prefix of `/jiraffe`.
        form: The body of a form. It stands in for the query when the URL has no parameters and
            the method is POST or PUT; else it is not looked at.

    Returns:
        The canonical request.

    Raises:
        TypeError: If the method or a URL is no str, or a form that is needed neither str nor bytes.
        ValueError: If the method is no HTTP method; if a URL is neither whole nor a path, or holds
            what cannot be sent in one; if `base_url` has a query or a fragment; or if the query or
            the form is not what `canonical_query` accepts.

    Source: Atlassian Connect, "Understanding JWT", "Creating a query string hash".
    """
    if not isinstance(method, str):
        raise TypeError(f"method must be a str, not {type(method).__name__}")
    if not (method.isascii() and method.replace("-", "").isalpha()):
        raise ValueError("method must be an HTTP method, such as GET: letters and hyphens only")
    method = method.upper()
    path, query = _path_and_query(url, "url")
    base = base_path(base_url)
    if is_below(path, base):
        path = path[len(base) :]
    if form is not None and method in ("POST", "PUT") and not query.strip("&"):
        query = _form_text(form)
    # RFC 3986 lets `&` stand in a path: left as it is, a path could pass for a query.
    uri = (path.removesuffix("/") or "/").replace("&", "%26")
    return f"{method}&{uri}&{canonical_query(query)}"


def canonical_query(query: str) -> str:
    """The canonical form of a query: decoded, without `jwt`, sorted, and encoded again.

    Repeats of a parameter become one, their values joined by commas. Parameters sort by their
    encoded names, and the values of one by their decoded form.

        >>> canonical_query("b=x+y&a=2&a=1&flag&jwt=e.y.J")
        'a=1,2&b=x%20y&flag='

    Args:
        query: The query of a URL, without its question mark, or the body of a form. Only `&`
            separates parameters, and empty ones (`&&`) do not count.

    Returns:
        The canonical query.

    Raises:
        ValueError: If a `%` is not followed by two hexadecimal digits (RFC 3986, section 2.1), if
            what is encoded is not UTF-8, or if there is a control character or half a surrogate
            pair.

    Source: Atlassian Connect, "Understanding JWT", "Creating a query string hash"; RFC 3986,
    section 2.3, for what is encoded.
    """
    query = query.replace("+", "%20")
    if not _ENCODED_QUERY.fullmatch(query):
        query = _reencoded(query)
    # Two names are the same when their encoded forms are.
    parameters: dict[str, list[str]] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            parameters.setdefault(name, []).append(value.replace("=", "%3D"))
    parameters.pop("jwt", None)
    return "&".join([f"{name}={_joined(parameters[name])}" for name in sorted(parameters)])


def base_path(base_url: str) -> str:
    """The path of a base URL, without a slash at its end; ValueError if the URL is malformed."""
    if base_url == "":
        return ""
    base = _path_and_query(base_url, "base_url")[0].removesuffix("/")
    # A `host/path` that lacks its scheme is refused: read as a path, it would match nothing.
    if not _BASE_URL.fullmatch(base_url):
        raise ValueError("base_url must be scheme://host/path or /path, without query or fragment")
    return base


def is_below(path: str, base: str) -> bool:
    """Whether a path is that of a base, or below it: `/jira` is not above `/jiraffe`."""
    return path == base or path.startswith(f"{base}/")


def _path_and_query(url: str, name: str) -> tuple[str, str]:
    """The path of a URL, with a slash at its start, and its query, both as they were sent."""
    if not isinstance(url, str):
        raise TypeError(f"{name} must be a str, not {type(url).__name__}")
    if _COLON_IN_FIRST_SEGMENT.match(url):
        origin = _ORIGIN.match(url)
        if not origin:
            raise ValueError(f"{name} must be scheme://host/path or /path, and is neither")
        url = url[origin.end() :]
    path, _, query = url.partition("#")[0].partition("?")
    if not _PATH.fullmatch(path):
        raise ValueError(
            f"the path of {name} must be as it is sent: ASCII without spaces and control"
            " characters, every % followed by two hexadecimal digits"
        )
    return path if path.startswith("/") else f"/{path}", query


def _form_text(form: str | bytes) -> str:
    if isinstance(form, str):
        return form
    if not isinstance(form, bytes):
        raise TypeError(f"form must be the encoded body, str or bytes, not {type(form).__name__}")
    return _utf8(form)


def _reencoded(query: str) -> str:
    """The query with all but its `&` and `=` decoded and encoded again."""
    if not _QUERY.fullmatch(query):
        raise ValueError(
            "the query or form is malformed: it must hold no control character and no lone"
            " surrogate, and every % must be followed by two hexadecimal digits"
        )
    return _TO_ENCODE.sub(_run_reencoded, query)


def _run_reencoded(run: re.Match[str]) -> str:
    # UTF-8 never mixes ASCII into a character's bytes, so that a character lies within one run.
    data = unquote_to_bytes(run[0])
    _utf8(data)
    return data.decode("latin-1").translate(_ENCODED)


def _joined(values: list[str]) -> str:
    if len(values) > 1:
        values.sort(key=_decoded_order)
    return ",".join(values)


def _decoded_order(value: str) -> bytes:
    # Java and JavaScript compare UTF-16, which for characters beyond U+FFFF is another order than
    # Python's. Jira and Confluence are the ones to agree with.
    return unquote_to_bytes(value).decode().encode("utf-16-be")


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        # Raised below rather than here: chained, the cause would carry the data along.
        pass
    raise ValueError("the query or form is malformed: what it encodes is not UTF-8")
