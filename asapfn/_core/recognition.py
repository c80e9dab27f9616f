"""Recognize a key or a certificate in the bytes of a shared secret: others may know it.

These forms are recognized: PEM's header line, an SSH line or its binary form, a JWK, DER of the
shapes that keys and certificates have, and an uncompressed point of a curve. cryptography gets
nothing but such a point. Bytes in base64, base64url, hexadecimal digits, percent-encoding, JSON's
escapes, a data URI or UTF-16 are decoded, several times over, and looked at again. The numbers of
a key, an RSA modulus or an Ed25519 key's 32 bytes, look like random bytes: no test can distinguish
them from a good secret.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from asapfn._core import der

# A byte order mark counts as an encoding of its own.
_DEEPEST: Final = 6

# The header lines of PEM and SSH, SSH's lines and binary forms, members of a JWK or a set.
_MARKS: Final = re.compile(
    rb"----[ ]?-?BEGIN[ +] | \A openssh-key-v1"
    rb"| (?: \A | \s | \A \0{3} . )"
    rb"  (?: ssh-(?:rsa|dss|ed25519|ed448) | ecdsa-sha2- | sk-(?:ssh|ecdsa)- )"
    rb"| [\"'] (?:kty|keys) \\* [\"'] \s* :",
    re.DOTALL | re.VERBOSE,
)
_BYTE_ORDERS: Final = (b"\xff\xfe\0\0", b"\0\0\xfe\xff", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
_ESCAPE: Final = re.compile(rb"(?:%|\\u00)([0-9A-Fa-f]{2})")
_DATA_URI: Final = re.compile(rb"\W{0,3}data:[^,]*,", re.IGNORECASE)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+")
_HEX: Final = re.compile(rb"(?:0[xX])?((?:[0-9A-Fa-f]{2})+)")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
# White space, and what stands around and within texts that are copied: quotes and their
# backslashes, commas.
_AROUND: Final = b" \t\r\n\v\f\"',;\\"
_POINTS: Final = {65: ec.SECP256R1(), 97: ec.SECP384R1(), 133: ec.SECP521R1()}

# By the tags that their elements begin with, the forms of keys: SubjectPublicKeyInfo (RFC 5280), an
# encrypted private key and PKCS#8 (RFC 5958), a certificate and a request, PKCS#1 and DSA's private
# key (RFC 8017), SEC1 (RFC 5915), PKCS#12 (RFC 7292), PKCS#7's certificates (RFC 5652). Of random
# secrets, less than one in 2^30 looks like one of them.
_SHAPES: Final = (
    (der.SEQUENCE, der.BIT_STRING),
    (der.SEQUENCE, der.OCTET_STRING),
    (der.INTEGER, der.SEQUENCE, der.OCTET_STRING),
    (der.SEQUENCE, der.SEQUENCE, der.BIT_STRING),
    (der.INTEGER, der.INTEGER),
    (der.INTEGER, der.OCTET_STRING),
    (der.INTEGER, der.SEQUENCE, der.SEQUENCE),
    (der.OBJECT_IDENTIFIER, 0xA0),
)


def is_key(data: bytes) -> bool:
    """Whether the data is a key or a certificate, as it is or encoded."""
    forms = {data}
    for _ in range(_DEEPEST):
        if not forms:
            break
        if any(_MARKS.search(form) or _is_der(form) or _is_point(form) for form in forms):
            return True
        forms = {decoded for form in forms for decoded in _decoded(form)}
    return False


def _decoded(data: bytes) -> Iterator[bytes]:
    """What the data stands for, by each encoding that it may be in."""
    for mark in _BYTE_ORDERS:
        if data.startswith(mark):
            yield data[len(mark) :]
    if 0 in data:
        yield from _narrowed(data)
    if _ESCAPE.search(data):
        yield _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), data)
    if uri := _DATA_URI.match(data):
        yield data[uri.end() :]
    # Each end for itself: a key in binary may end with a byte that is white space.
    if data[:1].isspace():
        yield data.lstrip()
    if data[-1:].isspace():
        yield data.rstrip()
        yield data[:-1]
    text = data.replace(b"\\r", b"").replace(b"\\n", b"").translate(_TO_STANDARD, _AROUND)
    if match := _HEX.fullmatch(text.replace(b":", b"")):
        yield bytes.fromhex(match[1].decode())
    body = text.rstrip(b"=")
    if len(body) % 4 != 1 and _BASE64.fullmatch(body):
        yield binascii.a2b_base64(body + b"==")


def _narrowed(data: bytes) -> Iterator[bytes]:
    """What UTF-32 or UTF-16, of either byte order, stands for, of one-byte characters."""
    for width in (4, 2):
        for at in (0, width - 1):
            kept = data[at::width]
            if data.count(0) - kept.count(0) == len(data) - len(kept) and len(data) % width == 0:
                yield kept


def _is_der(data: bytes) -> bool:
    # Behind a key there may be more, such as an editor's line feed: the DER says where it ends.
    if data[:1] != b"\x30":
        return False
    try:
        elements = der.row(der.element(data).content)
        if elements and elements[0].tag == der.SEQUENCE and not der.row(elements[0].content):
            return False
    except ValueError:
        return False
    tags = der.tags(elements)
    return any(tags[: len(shape)] == shape for shape in _SHAPES)


def _is_point(data: bytes) -> bool:
    if data[:1] != b"\x04" or len(data) not in _POINTS:
        return False
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(_POINTS[len(data)], data)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
