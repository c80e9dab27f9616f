"""Certificates (RFC 5280, section 4.1) as carriers of a public key, with the time they are valid.

Nothing vouches for a certificate here: no chain is built, its signature is not looked at, nor is
its name. It is believed as a bare public key is, for the place where it was found. It is read
without cryptography, and what could be read in two ways is refused.
"""

import datetime
import re
from typing import Any, Final

from asapfn._core import der
from asapfn._core.key_material import read_public_key

MOST_BYTES: Final = 16 * 1024

_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
# The two unique identifiers, which nobody uses, and the extensions.
_ENDINGS: Final = (0x81, 0x82, _EXTENSIONS)
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_HEAD: Final = (der.INTEGER, *(der.SEQUENCE,) * 5)
_MOST_EXTENSIONS: Final = 32
_KEY_USAGE: Final = b"\x55\x1d\x0f"
_DIGITAL_SIGNATURE: Final = 0x80
# In DER both end with Z, and have seconds and no fractions of them (sections 4.1.2.5.1 and 2).
_TIMES: Final = {
    _UTC_TIME: re.compile(rb"([0-9]{2})" + rb"([0-9]{2})" * 5 + rb"Z"),
    _GENERALIZED_TIME: re.compile(rb"([0-9]{4})" + rb"([0-9]{2})" * 5 + rb"Z"),
}


def read_certificate(data: bytes) -> tuple[Any, float, float]:
    """Read a certificate from DER: its public key, and from when to when it is valid.

    The times are seconds since the epoch. A ValueError if it is no certificate, is too large, its
    key is none that `read_public_key` reads, or its keyUsage does not allow signatures.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"expected a certificate of at most {MOST_BYTES} bytes; it has {len(data)}"
        )
    whole = der.sequence(data)
    if der.tags(whole) != (der.SEQUENCE, der.SEQUENCE, der.BIT_STRING):
        raise ValueError("expected an X.509 certificate")
    body = whole[0].content
    members = der.row(body)
    if members and members[0].tag == _VERSION:
        members = members[1:]
    endings = der.tags(members[6:])
    if der.tags(members[:6]) != _HEAD or list(endings) != [t for t in _ENDINGS if t in endings]:
        raise ValueError("expected the members of an X.509 certificate")
    validity = der.row(members[3].content)
    if len(validity) != 2:
        raise ValueError(f"expected a certificate with 2 times; it has {len(validity)}")
    if _EXTENSIONS in endings:
        _require_signatures(members[-1].content)
    key = read_public_key(body[members[4].end : members[5].end])
    return key, _seconds(validity[0]), _seconds(validity[1])


def _seconds(time: der.Element) -> float:
    """A time in seconds since the epoch; two digits of a year are of 1950 to 2049."""
    match = _TIMES[time.tag].fullmatch(time.content) if time.tag in _TIMES else None
    if match is None:
        raise ValueError("expected a certificate with times as RFC 5280, 4.1.2.5, has them")
    year, *others = map(int, match.groups())
    if time.tag == _UTC_TIME:
        year += 1900 if year >= 50 else 2000
    try:
        month, day, hour, minute, second = others
        time_of = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError as error:
        raise ValueError(f"expected a certificate with times that exist: {error}") from None
    return time_of.timestamp()


def _require_signatures(wrapped: bytes) -> None:
    """Refuse, by a ValueError, a key that is meant for something else (section 4.2.1.3)."""
    found = [each for each in _extensions(wrapped) if each[0].content == _KEY_USAGE]
    if len(found) > 1:
        raise ValueError("expected a certificate with one keyUsage; it has more")
    for extension in found:
        bits = der.element(extension[-1].content)
        if bits.tag != der.BIT_STRING or bits.end != len(extension[-1].content):
            raise ValueError("expected a certificate with a keyUsage in DER")
        if len(bits.content) < 2 or not bits.content[1] & _DIGITAL_SIGNATURE:
            raise ValueError("the certificate's keyUsage does not allow digital signatures")


def _extensions(wrapped: bytes) -> list[list[der.Element]]:
    """The parts of each extension: its identifier, whether it is critical, its value."""
    extensions = []
    for each in der.row(der.only_sequence(wrapped), _MOST_EXTENSIONS):
        parts = der.row(each.content)
        tags = tuple(tag for tag in der.tags(parts) if tag != der.BOOLEAN)
        if each.tag != der.SEQUENCE or tags != (der.OBJECT_IDENTIFIER, der.OCTET_STRING):
            raise ValueError("expected a certificate with extensions in DER")
        extensions.append(parts)
    return extensions
