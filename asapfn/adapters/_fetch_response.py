"""From an HTTP response to a `Document`: its size, its encoding, and how long it may be kept.

A directive of how long it may be kept is applied as written or not at all: what is malformed counts
as absent, and of a directive that is given twice the smallest counts, so that no oddity keeps a key
longer than its owner meant.
"""

import re
import time
import zlib
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint

from asapfn.adapters._fetch_request import IncomingResponse
from asapfn.errors import Unavailable, escaped
from asapfn.types import Document

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_MEMBERS: Final = 16
_PIECES_AT_ONCE: Final = 64
_UTF8_BOM: Final = b"\xef\xbb\xbf"
# An element of a list ends at a comma that is not within a quoted string (RFC 9110, section 5.6).
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
# A recipient accepts both forms of an argument (RFC 9111, section 5.2).
_ARGUMENT: Final = re.compile(r'([0-9]+)|"([0-9]+)"')
# What a number too large counts as (RFC 9111, section 1.2.2).
_LARGEST: Final = 2**31
# The longest pause that is believed: a day.
_LONGEST_PAUSE: Final = 86_400.0
# Both are directives by which an answer is not to be used when it is stale, or not to be kept.
_NEVER_STALE: Final = frozenset(("must-revalidate", "no-cache", "no-store"))


async def read(response: IncomingResponse, source: str, max_bytes: int) -> Document:
    """Read a response to its end and close it.

    Args:
        response: The response, of which only the head was read.
        source: What was asked, for errors.
        max_bytes: The most bytes the body may have, when decoded.

    Returns:
        The document. gzip and deflate are decoded, and a byte order mark before JSON is dropped.

    Raises:
        Unavailable: If the response is a redirect, or its body is too large, or is encoded in
            another way or not as it says.
    """
    headers = response.headers
    try:
        if response.status_code in _REDIRECTS and "Location" in headers:
            raise Unavailable(source, _redirect(response), answered=True)
        encoding = _encoding(headers.get("Content-Encoding", ""), source)
        # Encoded, a body that cannot be compressed is larger: by a header, and in proportion.
        largest = max_bytes if encoding is None else max_bytes + max_bytes // 64 + 1024
        length = headers.get("Content-Length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > largest):
            raise _too_large(source, max_bytes)
        body = await _body(response, source, largest, max_bytes)
    finally:
        with anyio.CancelScope(shield=True):
            await response.aclose()
    body = body if encoding is None else _decoded(body, encoding, source, max_bytes)
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type.endswith("json"):
        body = body.removeprefix(_UTF8_BOM)
    return Document(
        response.status_code,
        media_type,
        body,
        *freshness(headers.get("Cache-Control", ""), headers.get("Age", "")),
        retry_after(headers.get("Retry-After", ""), headers.get("Date", ""), time.time()),
    )


def _redirect(response: IncomingResponse) -> str:
    """What a redirect says; of where it points only the host, since a query may hold a secret."""
    status = response.status_code
    try:
        host = urlsplit(response.headers["Location"]).hostname
    except ValueError:
        host = None
    to = "the same host" if host is None else escaped(host)
    phrase = HTTPStatus(status).phrase
    return f"status {status} ({phrase}), a redirect to {to}: redirects are not followed"


def _encoding(value: str, source: str) -> str | None:
    """The one encoding of a body, gzip or deflate; None where there is none."""
    names = [name.strip().lower() for name in value.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return None
    if names in (["gzip"], ["x-gzip"], ["deflate"]):
        return names[0]
    accepted = "gzip or deflate, once, or none"
    detail = f"the answer has the Content-Encoding {escaped(value)}; {accepted} is accepted"
    raise Unavailable(source, detail, answered=True)


async def _body(response: IncomingResponse, source: str, largest: int, max_bytes: int) -> bytes:
    body = bytearray()
    # Leaving the loop early would leave httpx's generators unfinished, which trio warns of: what is
    # too large is cut off by cancelling the next read instead.
    pieces = 0
    with anyio.CancelScope() as reading:
        async for piece in response.aiter_raw():
            body += piece
            pieces += 1
            if pieces % _PIECES_AT_ONCE == 0:
                # What has been received is read without waiting, however small its pieces are.
                await cancel_shielded_checkpoint()
            if len(body) > largest:
                body.clear()
                reading.cancel()
    if reading.cancel_called:
        raise _too_large(source, max_bytes)
    return bytes(body)


def _decoded(body: bytes, encoding: str, source: str, max_bytes: int) -> bytes:
    """The body without its encoding (RFC 9110, section 8.4.1), never much more than is allowed."""
    decoded = bytearray()
    # Members of gzip, one after the other, are one body (RFC 1952, section 2.2). For each, what is
    # left of the body is copied.
    members = 1 if encoding == "deflate" else _MOST_MEMBERS
    try:
        for _ in range(members):
            if not body:
                break
            decoder = zlib.decompressobj(_window(body, encoding))
            decoded += decoder.decompress(body, max_bytes + 1 - len(decoded))
            if len(decoded) > max_bytes:
                raise _too_large(source, max_bytes)
            if not decoder.eof:
                raise zlib.error("incomplete")
            body = decoder.unused_data
        if body:
            raise zlib.error("more than is to be decoded")
    except zlib.error:
        what = f"{encoding} of at most {members} parts"
        detail = f"the answer is not {what}, as its Content-Encoding says, or is cut off"
        raise Unavailable(source, detail, answered=True) from None
    return bytes(decoded)


def _window(body: bytes, encoding: str) -> int:
    if encoding != "deflate":
        return 16 + zlib.MAX_WBITS
    # Some servers leave out the zlib header that "deflate" has (RFC 1950, section 2.2).
    has_header = body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _too_large(source: str, max_bytes: int) -> Unavailable:
    return Unavailable(source, f"the answer is larger than {max_bytes} bytes", answered=True)


class Freshness(NamedTuple):
    """How long an answer may be kept, in seconds; None where it does not say.

    Attributes:
        max_age: It is fresh for so long from now.
        stale_while_revalidate: It may be used while it is being refreshed (RFC 5861, section 3).
        stale_if_error: It may be used when it cannot be refreshed (RFC 5861, section 4).
        must_revalidate: It must not be used once it is no longer fresh (RFC 9111, section 4.2.4).
    """

    max_age: float | None
    stale_while_revalidate: float | None
    stale_if_error: float | None
    must_revalidate: bool = False


def freshness(cache_control: str, age: str = "") -> Freshness:
    """Read how long an answer may be kept (RFC 9111, sections 4.2 and 5.2.2; RFC 5861).

    Args:
        cache_control: The value of `Cache-Control`; several header lines joined by commas.
        age: The value of `Age`: how old the answer is already, in seconds.

    Returns:
        The times. `max_age` has the age subtracted and is never negative; it is 0 for `no-store`
        and `no-cache`. `must_revalidate` is set by `must-revalidate`,
        `no-cache` and `no-store` (RFC 9111, section 4.2.4).
    """
    given: dict[str, int] = {}
    must_revalidate = False
    for element in _ELEMENT.findall(cache_control):
        name, _, argument = element.strip(" \t").partition("=")
        name = name.lower()
        seconds = _seconds(argument)
        must_revalidate |= name in _NEVER_STALE
        if name in ("no-store", "no-cache"):
            name, seconds = "max-age", 0
        if seconds is not None:
            given[name] = min(seconds, given.get(name, seconds))
    max_age = given.get("max-age")
    if max_age is not None:
        # Of several ages the first counts; one that is malformed is ignored (section 5.1).
        max_age = max(0, max_age - (_seconds(age.partition(",")[0].strip(" \t")) or 0))
    revalidate, error = given.get("stale-while-revalidate"), given.get("stale-if-error")
    return Freshness(max_age, revalidate, error, must_revalidate)


def retry_after(value: str, date: str, now: float) -> float | None:
    """How long a server asks to be left alone (RFC 9110, section 10.2.3).

    Args:
        value: The value of `Retry-After`: seconds, or a date.
        date: The value of `Date`, which a date is compared with where it is one.
        now: What it is compared with otherwise, in seconds since the epoch.

    Returns:
        Seconds, never negative and at most a day; None where the value is neither.
    """
    if value.strip(" \t").isdecimal():
        seconds = _seconds(value.strip(" \t"))
        return None if seconds is None else min(float(seconds), _LONGEST_PAUSE)
    until, since = _timestamp(value), _timestamp(date)
    if until is None:
        return None
    return min(max(0.0, until - (now if since is None else since)), _LONGEST_PAUSE)


def _timestamp(date: str) -> float | None:
    if len(date) > 64:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _seconds(argument: str) -> int | None:
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        return None
    digits = (match[1] or match[2]).lstrip("0") or "0"
    return min(int(digits[:11]), _LARGEST)
