"""The strict codec of JWS's compact serialization (RFC 7515, section 7.1).

Every byte of a token is read once, here, and what was read is what is verified. Whatever two
parsers could understand in two ways is rejected: lax base64url, duplicate members, NaN, infinite
numbers, lone surrogates, deep nesting. The header comes first: an algorithm that is not accepted is
reported whatever else is wrong.
"""

import binascii
import itertools
import json
import math
import re
import sys
from collections.abc import Collection, Mapping
from json.encoder import encode_basestring
from typing import Any, Final, Never

from asapfn._core.algorithms import ALGORITHMS
from asapfn.errors import TokenRejected, one_of, shown

MAX_BYTES: Final = 16 * 1024
MAX_DEPTH: Final = 32

_MOST_HEADERS: Final = 256
_LONGEST_HEADER: Final = 512

_SCHEME: Final = re.compile(rb"\s*(?:authorization: *)?(?:bearer|jwt) ", re.IGNORECASE)
_QUOTES: Final = (b'"', b"'")
# In UTF-8; and of its bytes read as latin-1, as servers read a header.
_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", "\xef\xbb\xbf".encode())
_WHITE_SPACE: Final = " \t\r\n"

# What each bracket adds to the depth, as a signed byte; and all other bytes, to be deleted.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[{]}"))

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
# Translates base64url to base64; the characters that base64url does not have become invalid.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING: Final = (b"", b"", b"==", b"=")
# The last characters whose unused bits are zero, by the length of the text modulo 4.
_LAST: Final = ((), (), b"AQgw", b"AEIMQUYcgkosw048")


def encode_base64url(data: bytes) -> bytes:
    """Unpadded base64url (RFC 7515, section 2)."""
    return binascii.b2a_base64(data).rstrip(b"=\n").translate(_TO_URL)


def decode_base64url(text: bytes) -> bytes:
    """What unpadded base64url stands for, provided that this is its one spelling.

    A ValueError on padding, white space, a foreign character, an impossible length, or bits left
    over in the last character that are not zero (RFC 4648, section 3.5).
    """
    over = len(text) % 4
    if over and text[-1] not in _LAST[over]:
        raise ValueError("not unpadded base64url in its one spelling")
    try:
        return binascii.a2b_base64(text.translate(_TO_STANDARD) + _PADDING[over], strict_mode=True)
    except binascii.Error:
        raise ValueError("not base64url") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_number
).raw_decode
# Of members that occur twice it keeps the last.
_decode_flat = json.JSONDecoder(parse_constant=_constant, parse_float=_number).raw_decode

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _depth(data: bytes) -> int:
    """How deep brackets nest, those within strings aside."""
    outside = data.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]
    steps = b"".join(outside).translate(_STEPS, _NO_BRACKETS)
    return max(itertools.accumulate(memoryview(steps).cast("b"), initial=0))


def _fault(error: ValueError) -> str:
    """What is wrong with JSON, in words that quote nothing of it."""
    if isinstance(error, (UnicodeError, json.JSONDecodeError)):
        return f"not UTF-8 JSON ({type(error).__name__})"
    if str(error).startswith("Exceeds the limit"):
        return f"a number has more than {sys.get_int_max_str_digits()} digits"
    return str(error)


def decode_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object strictly (RFC 8259, RFC 7493): UTF-8, without a byte order mark.

    A ValueError if it is not UTF-8, not JSON, not an object, repeats a member at any depth, holds
    NaN, a number that is too large or a lone surrogate, or nests more than `MAX_DEPTH` deep.
    """
    # Counting brackets is a bound on the depth that costs next to nothing.
    brackets = data.count(b"{") + data.count(b"[")
    if brackets > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise ValueError("nested too deep")
    try:
        text = data.decode().strip(_WHITE_SPACE)
        members, end = _decode_flat(text) if brackets == 1 else _decode(text)
        # As many members as colons: then each colon belongs to one, and none was left out.
        if brackets == 1 and type(members) is dict and len(members) != text.count(":"):
            members, end = _decode(text)
        if "\\" in text:
            json.dumps(members, ensure_ascii=False).encode()  # fails on a lone surrogate
    except ValueError as error:
        fault = _fault(error)
    else:
        if type(members) is not dict or end != len(text):
            raise ValueError("not a JSON object")
        return members
    # Raised here rather than above: chained, some errors would carry all of the text along.
    raise ValueError(fault)


def read_header(head: bytes, algorithms: Collection[str] = ALGORITHMS) -> dict[str, Any]:
    """Read a token's first segment.

    TokenRejected `unsupported_algorithm` if `alg` is not among the algorithms, and `malformed` if
    `kid` or `typ` is not a string; a ValueError if it is not strict base64url of a strict JSON
    object with an `alg`, or asks for an extension.
    """
    header = decode_object(decode_base64url(head))
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise ValueError("the header has no alg")
    if algorithm not in algorithms:
        detail = f"expected {one_of(algorithms)}, got {shown(algorithm)}"
        raise TokenRejected("unsupported_algorithm", detail, claim="alg")
    # No extension is understood here, so none may be critical (RFC 7515, section 4.1.11).
    if "crit" in header or "b64" in header:
        raise ValueError("the header asks for an extension")
    for name in ("kid", "typ"):
        if not isinstance(header.get(name, ""), str):
            raise TokenRejected("malformed", f"the header's {name} is not a string", claim=name)
    return header


def parse(
    token: str | bytes,
    algorithms: Collection[str] = ALGORITHMS,
    headers: dict[bytes, dict[str, Any]] | None = None,
) -> tuple[dict[str, Any], bytes, bytes, bytes]:
    """Split a token into its parts; nothing is verified.

    `headers` are those that were read before for the same algorithms, by their segment, since the
    tokens of one signer begin alike; more are added within bounds. The header that is returned is
    the caller's own; the others are the payload, the signing input and the signature.

    TokenRejected `unsupported_algorithm` if the header names an algorithm that is not accepted,
    whatever else is wrong; `malformed` if the token is longer than `MAX_BYTES`, does not have three
    segments, a segment is not strict base64url, the header is not what `read_header` accepts, or
    the signature is empty. A TypeError if the token is neither str nor bytes.
    """
    # A character that is not ASCII becomes one that is not base64url's either.
    data = token.encode("ascii", "replace") if isinstance(token, str) else token
    if not isinstance(data, bytes):
        raise TypeError(f"a token is a str or bytes, not {type(token).__name__}")
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"longer than {MAX_BYTES} bytes")
        head, _, rest = data.partition(b".")
        header = headers.get(head) if headers else None
        header = _new_header(head, algorithms, headers) if header is None else header.copy()
        body, _, tail = rest.partition(b".")
        decoded = []
        for segment in (body, tail):  # as `decode_base64url`, without calling it
            over = len(segment) % 4
            if over and segment[-1] not in _LAST[over]:
                raise ValueError("not unpadded base64url in its one spelling")
            standard = segment.translate(_TO_STANDARD) + _PADDING[over]
            decoded.append(binascii.a2b_base64(standard, strict_mode=True))
        payload, signature = decoded
        if not signature:
            raise ValueError("no signature")
    except binascii.Error:
        raise _malformed(token, data, "not base64url") from None
    except ValueError as error:
        raise _malformed(token, data, str(error)) from None
    return header, payload, data[: -len(tail) - 1], signature


def _malformed(token: str | bytes, data: bytes, fault: str) -> TokenRejected:
    """The error for a token that cannot be read, with what is often copied along with one."""
    start = token[:3].encode(errors="replace") if isinstance(token, str) else token[:3]
    along = {
        "its scheme": _SCHEME.match(data),
        "quotes": data.startswith(_QUOTES) or data.endswith(_QUOTES),
        "a byte order mark": start.startswith(_BYTE_ORDER_MARKS),
    }
    for what in filter(along.get, along):
        fault = f"expected the token alone, without {what}; {fault}"
    return TokenRejected("malformed", fault)


def _new_header(
    head: bytes, algorithms: Collection[str], headers: dict[bytes, dict[str, Any]] | None
) -> dict[str, Any]:
    """Read a header, and remember a copy if it is short and holds strings alone."""
    header = read_header(head, algorithms)
    if headers is None or len(head) > _LONGEST_HEADER:
        return header
    if all(type(value) is str for value in header.values()):
        if len(headers) >= _MOST_HEADERS:
            headers.clear()
        headers[head] = header.copy()
    return header


def encode_segment(members: Mapping[str, Any]) -> bytes:
    """A JSON object as a segment of a token: the header, or the claims (RFC 7515, section 7.1).

    A TypeError if a value is not JSON's; a ValueError if `decode_object` would not read it back: a
    number that is not finite or too long, a lone surrogate, two keys that become one name, too deep
    nesting.
    """
    try:
        flat = _flat_object(members) if type(members) is dict else None
        text = _encode(dict(members)) if flat is None else flat
        data = text.encode()
    except (RecursionError, UnicodeEncodeError) as error:
        # Not from this, which may hold all of the text.
        deep = isinstance(error, RecursionError)
    else:
        # What is flat reads as it was written. All else is read back, or a token would be signed
        # that nobody accepts.
        if flat is None:
            decode_object(data)
        return encode_base64url(data)
    raise ValueError("nested too deep" if deep else "a text holds a lone surrogate")


def _flat_object(members: dict[str, Any]) -> str | None:
    """The JSON of an object of strings and integers, as most claims are; None for all others."""
    written = []
    for name, value in members.items():
        if type(name) is not str:
            return None
        if type(value) is str:
            written.append(f"{encode_basestring(name)}:{encode_basestring(value)}")
        elif type(value) is int:
            written.append(f"{encode_basestring(name)}:{value}")
        else:
            return None
    return f"{{{','.join(written)}}}"
