"""The part of DER that keys are made of (X.690, sections 8 and 10): rows of tagged elements.

What comes from outside is read here, within bounds, before cryptography reads any of it.
"""

from typing import Final, NamedTuple

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30

# No key has more in one row: a private RSA key has nine.
_MOST: Final = 16


class Element(NamedTuple):
    """An element: its tag, its content, and its end within what it was read from."""

    tag: int
    content: bytes
    end: int


def element(data: bytes, start: int = 0) -> Element:
    """Read one element; a ValueError if there is none, or its length is not in its one form."""
    if len(data) < start + 2:
        raise ValueError("expected a DER element; nothing is left")
    tag, length, begin = data[start], data[start + 1], start + 2
    if length & 0x80:
        octets = data[begin : begin + (length & 0x7F)]
        begin, length = begin + len(octets), int.from_bytes(octets[:5])
        if not 1 <= len(octets) <= 4 or length < 0x80 or octets[0] == 0:
            raise ValueError("expected DER; the length of an element is not in its shortest form")
    end = begin + length
    if end > len(data):
        raise ValueError("expected DER; an element is cut off")
    return Element(tag, data[begin:end], end)


def row(data: bytes, most: int = _MOST) -> list[Element]:
    """Read a row of elements; a ValueError if it is not one, or longer than a key's by default."""
    elements: list[Element] = []
    end = 0
    while end < len(data):
        if len(elements) == most:
            raise ValueError(f"expected at most {most} DER elements in a row")
        elements.append(element(data, end))
        end = elements[-1].end
    return elements


def sequence(data: bytes) -> list[Element]:
    """Read the elements of one SEQUENCE that is all of the data; a ValueError if it is not."""
    return row(only_sequence(data))


def only_sequence(data: bytes) -> bytes:
    """The content of one SEQUENCE that is all of the data; a ValueError if it is not."""
    whole = element(data)
    if whole.tag != SEQUENCE or whole.end != len(data):
        raise ValueError("expected one DER SEQUENCE and nothing behind it")
    return whole.content


def tags(elements: list[Element]) -> tuple[int, ...]:
    """The elements' tags."""
    return tuple(each.tag for each in elements)


def integer(each: Element) -> int:
    """The value of an INTEGER; a ValueError if it is none, or not in its shortest form."""
    value = int.from_bytes(each.content, signed=True)
    # With the bit for the sign (section 8.3.2).
    shortest = (value if value >= 0 else ~value).bit_length() // 8 + 1
    if each.tag != INTEGER or len(each.content) != shortest:
        raise ValueError("expected a DER INTEGER in its shortest form")
    return value


def dotted(identifier: bytes) -> str:
    """An object identifier as it is written (section 8.19), cut off where it is long."""
    numbers, number = [], 0
    for octet in identifier[:20]:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    if not numbers:
        return "none"
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
