"""The strict codec of JWS's compact serialization (RFC 7515, section 7.1).

Every byte of a token is read once, here, and what was read is what is verified. Whatever two
parsers could understand in two ways is refused: lax base64url, duplicate members, numbers that are
none, lone surrogates, endless nesting. The header speaks first: an algorithm that is not taken is
told before anything else is looked at.
"""

import binascii
import json
from collections.abc import Collection, Mapping
from typing import Any, Final, Never

from asapfn.algorithms import ALGORITHMS
from asapfn.errors import TokenRejected

MAX_BYTES: Final = 16 * 1024
MAX_DEPTH: Final = 32

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def encode_base64url(data: bytes) -> bytes:
    """Unpadded base64url (RFC 7515, section 2)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=\n").translate(_TO_URL)


def decode_base64url(text: bytes) -> bytes:
    """What unpadded base64url stands for, provided that this is its one spelling.

    Args:
        text: The encoded bytes.

    Returns:
        The decoded bytes.

    Raises:
        ValueError: On padding, white space, a foreign character, an impossible length, or bits
            left over in the last character that are not zero (RFC 4648, section 3.5).
    """
    try:
        data = binascii.a2b_base64(text.translate(_TO_STANDARD) + b"==")
    except binascii.Error:
        raise ValueError("not base64url") from None
    # The decoder passes over what it does not know; the one spelling is the one it encodes to.
    if encode_base64url(data) != text:
        raise ValueError("not unpadded base64url in its one spelling")
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return value


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_number
).decode


def _depth(data: bytes) -> int:
    """How deep brackets nest, those within strings aside."""
    deepest = depth = 0
    for index, part in enumerate(data.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')):
        if index % 2 == 0:
            for byte in part:
                depth += (byte in b"[{") - (byte in b"]}")
                deepest = max(deepest, depth)
    return deepest


def decode_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object strictly (RFC 8259, RFC 7493).

    Args:
        data: UTF-8 JSON text, without a byte order mark.

    Returns:
        The object's members.

    Raises:
        ValueError: If it is not UTF-8, not JSON, not an object, repeats a member at any depth,
            holds a number that is none or too large, a lone surrogate, or nests more than
            `MAX_DEPTH` deep.
    """
    # Counting brackets is a bound on the depth that costs next to nothing.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise ValueError("nested too deep")
    try:
        members = _decode(data.decode())
        if b"\\u" in data:
            json.dumps(members, ensure_ascii=False).encode()  # fails on a lone surrogate
    except (UnicodeError, json.JSONDecodeError) as error:
        # Their messages quote the text: keep to their names.
        raise ValueError(f"not UTF-8 JSON ({type(error).__name__})") from None
    if type(members) is not dict:
        raise ValueError("not a JSON object")
    return members


def parse(
    token: str | bytes, algorithms: Collection[str] = ALGORITHMS
) -> tuple[dict[str, Any], bytes, bytes, bytes]:
    """Take a token apart. Nothing is verified.

    Args:
        token: The token.
        algorithms: Names of the algorithms that are taken.

    Returns:
        The header, the payload, the signing input and the signature.

    Raises:
        TokenRejected: `unsupported_algorithm`: the header names an algorithm that is not taken,
            whatever else is wrong. `malformed`: the token is longer than `MAX_BYTES`, does not
            have three segments, a segment is not strict base64url, the header is not a strict
            JSON object with an `alg`, names `crit` or `b64`, or the signature is empty.
        TypeError: If the token is neither str nor bytes.
    """
    if not isinstance(token, (str, bytes)):
        raise TypeError(f"a token is a str or bytes, not {type(token).__name__}")
    try:
        data = token.encode("ascii") if isinstance(token, str) else token
    except UnicodeError:
        raise TokenRejected("malformed", "not ASCII") from None
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"longer than {MAX_BYTES} bytes")
        head, _, rest = data.partition(b".")
        header = decode_object(decode_base64url(head))
        algorithm = header.get("alg")
        if not isinstance(algorithm, str):
            raise ValueError("the header has no alg")
        if algorithm not in algorithms:
            raise TokenRejected("unsupported_algorithm", claim="alg")
        # No extension is understood here, so none may be critical (RFC 7515, section 4.1.11).
        if "crit" in header or "b64" in header:
            raise ValueError("the header asks for an extension")
        body, _, tail = rest.partition(b".")
        payload, signature = decode_base64url(body), decode_base64url(tail)
        if not signature:
            raise ValueError("no signature")
    except ValueError as error:
        raise TokenRejected("malformed", str(error)) from None
    return header, payload, data[: -len(tail) - 1], signature


def signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bytes:
    """The bytes to sign: header and claims, encoded and joined by a dot.

    Args:
        header: The JOSE header.
        claims: The claims.

    Returns:
        The signing input (RFC 7515, section 5.1).

    Raises:
        TypeError: If a value is not JSON's.
        ValueError: If a number is not finite, or a string holds a lone surrogate.
    """
    return b".".join(
        encode_base64url(
            json.dumps(part, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        )
        for part in (header, claims)
    )
