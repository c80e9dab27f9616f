"""From an HTTP response to a `Document`: its size, its encoding, and how long it may be kept."""

import time
import zlib
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint

from asapfn.adapters._cache_control import freshness, retry_after
from asapfn.adapters._exchange import IncomingResponse
from asapfn.errors import Unavailable, escaped
from asapfn.types import Document

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_MEMBERS: Final = 16
_PIECES_AT_ONCE: Final = 64
_UTF8_BOM: Final = b"\xef\xbb\xbf"


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
        # What cannot be compressed grows by its encoding: by a name, and a little with its size.
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
