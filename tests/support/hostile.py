"""Small inputs that are expensive to read, or were: keys, key sets, documents and tokens."""

import base64
import functools
import json
from typing import Any

from asapfn._core import compact

# Object identifiers: PKCS #3's dhKeyAgreement, X9.57's id-dsa, PKCS #1's rsaEncryption and
# id-RSASSA-PSS, X9.62's id-ecPublicKey and prime-field, RFC 8410's X25519, X448 and Ed448.
DH, DSA = "2a864886f70d010301", "2a8648ce380401"
RSA, PSS = "2a864886f70d010101", "2a864886f70d01010a"
EC, PRIME_FIELD = "2a8648ce3d0201", "2a8648ce3d0101"
P256, P224, SECP256K1, SECT571 = "2a8648ce3d030107", "2b81040021", "2b8104000a", "2b81040027"
ED25519, X25519, X448, ED448 = "2b6570", "2b656e", "2b656f", "2b6571"
MOST_BYTES = 65_536


def tlv(tag: int, *contents: bytes) -> bytes:
    """An element of DER (X.690, section 8.1)."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content


def sequence(*contents: bytes) -> bytes:
    return tlv(0x30, *contents)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def oid(octets: str) -> bytes:
    return tlv(0x06, bytes.fromhex(octets))


def spki(identifier: bytes, bits: bytes) -> bytes:
    """SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7)."""
    return sequence(sequence(identifier), tlv(0x03, b"\0", bits))


def pkcs8(identifier: bytes, private: bytes) -> bytes:
    return sequence(integer(0), sequence(identifier), tlv(0x04, private))


def pem(der: bytes, label: str = "PUBLIC KEY") -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


@functools.cache
def modp_8192() -> int:
    """The prime of RFC 3526, section 7: 2^8192 - 2^8128 - 1 + 2^64 * ([2^8062 pi] + 4743158)."""
    scale = 1 << (8062 + 64)

    def arctan(inverse: int) -> int:
        total = term = scale // inverse
        for n in range(3, 20_000, 2):
            term //= -(inverse * inverse)
            if term in (0, -1):
                break
            total += term // n
        return total

    pi = (16 * arctan(5) - 4 * arctan(239)) >> 64
    return int(2**8192 - 2**8128 - 1 + 2**64 * (pi + 4743158))


def dh_parameters() -> bytes:
    return oid(DH) + sequence(integer(modp_8192()), integer(5))


def rsa_numbers(modulus: int, exponent: int) -> bytes:
    return sequence(integer(modulus), integer(exponent))


def rsa_private(p: int, q: int, exponent: int = 65537) -> bytes:
    """PKCS #1's RSAPrivateKey (RFC 8017, appendix A.1.2), coherent where p and q are primes."""
    d = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = (0, p * q, exponent, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    return sequence(*map(integer, numbers))


def mersenne_private() -> bytes:
    """An RSA key of 31,500 bits: a primality test of each takes OpenSSL many seconds."""
    return rsa_private(2**21701 - 1, 2**9941 - 1)


def explicit_curve(bits: int = 8192) -> bytes:
    """Elliptic curve parameters that are given one by one (RFC 3279, section 2.3.5)."""
    p = modp_8192() >> (8192 - bits) | 1
    field = sequence(oid(PRIME_FIELD), integer(p))
    number = p.to_bytes(bits // 8)
    curve = sequence(tlv(0x04, number), tlv(0x04, number))
    return sequence(integer(1), field, curve, tlv(0x04, b"\x04" + number * 2), integer(p))


@functools.cache
def public_keys() -> dict[str, bytes]:
    """Public keys in DER that nobody should wait for."""
    rsa = oid(RSA) + b"\x05\x00"
    huge = (1 << 8 * 46_000) - 1
    prime = modp_8192()
    point = b"\x04" + (2**64 - 1).to_bytes(1024) * 2
    return {
        "DH": spki(dh_parameters(), integer(prime - 2)),
        "DSA": spki(
            oid(DSA) + sequence(integer(prime), integer(2**256 - 189), integer(5)), integer(7)
        ),
        "RSA of a huge modulus": spki(rsa, rsa_numbers(huge, 65537)),
        "RSA of a huge exponent": spki(rsa, rsa_numbers((1 << 2048) - 1, huge)),
        "RSA of 24,000 bits each": spki(rsa, rsa_numbers((1 << 24_000) - 1, (1 << 24_000) - 3)),
        "RSA of 16,385 bits": spki(rsa, rsa_numbers((1 << 16_385) - 1, 65537)),
        "RSA of an exponent of 33 bits": spki(rsa, rsa_numbers((1 << 2048) - 1, 2**32 + 1)),
        "RSA of an exponent of 16,384 bits": spki(
            rsa, rsa_numbers((1 << 16_384) - 1, (1 << 16_383) + 1)
        ),
        "RSA of a negative exponent": spki(rsa, rsa_numbers((1 << 2048) - 1, -3)),
        "RSA of a negative modulus": spki(rsa, rsa_numbers(-((1 << 2048) - 1), 3)),
        "RSA of exponent one": spki(rsa, rsa_numbers((1 << 2048) - 1, 1)),
        "RSA of an even exponent": spki(rsa, rsa_numbers((1 << 2048) - 1, 65536)),
        "RSA of an even modulus": spki(rsa, rsa_numbers((1 << 2048) - 2, 65537)),
        "RSA of 2,047 bits": spki(rsa, rsa_numbers((1 << 2047) - 1, 65537)),
        "RSA without parameters": spki(oid(RSA), rsa_numbers((1 << 2048) - 1, 65537)),
        "RSA-PSS": spki(oid(PSS), rsa_numbers((1 << 2048) - 1, 65537)),
        "RSA with DH's parameters": spki(
            oid(RSA) + sequence(integer(prime), integer(5)), rsa_numbers((1 << 2048) - 1, 65537)
        ),
        "EC of explicit parameters": spki(oid(EC) + explicit_curve(), point),
        "EC without parameters": spki(oid(EC), b"\x04" + bytes(64)),
        "EC of P-224": spki(oid(EC) + oid(P224), b"\x04" + bytes(56)),
        "EC of secp256k1": spki(oid(EC) + oid(SECP256K1), b"\x04" + bytes(64)),
        "EC of sect571r1": spki(oid(EC) + oid(SECT571), b"\x04" + bytes(144)),
        "EC of a point of 45,000 bytes": spki(oid(EC) + oid(P256), b"\x04" + bytes(45_000)),
        "EC of a point that is none": spki(oid(EC) + oid(P256), b"\x04" + bytes(64)),
        "EC of the point at infinity": spki(oid(EC) + oid(P256), b"\0"),
        "X25519": spki(oid(X25519), bytes(32)),
        "X448": spki(oid(X448), bytes(56)),
        "Ed448": spki(oid(ED448), bytes(57)),
        "Ed25519 of 45,000 bytes": spki(oid(ED25519), bytes(45_000)),
        "a row of many elements": sequence(b"\x05\x00" * 22_000),
        "deep sequences": functools.reduce(lambda inner, _: sequence(inner), range(9000), b""),
        "an identifier of 45,000 bytes": spki(oid("81" * 45_000), b""),
        "SPKI of a long length": b"\x30\x84\xff\xff\xff\xff" + bytes(40),
    }


@functools.cache
def private_keys() -> dict[str, tuple[str, bytes]]:
    """Private keys in DER, with their labels."""
    prime = modp_8192()
    dsa = sequence(*map(integer, (0, prime, 2**256 - 189, 5, 7, 3)))
    return {
        "RSA of two Mersenne primes": ("RSA PRIVATE KEY", mersenne_private()),
        "RSA of two Mersenne primes, PKCS #8": (
            "PRIVATE KEY",
            pkcs8(oid(RSA) + b"\x05\x00", mersenne_private()),
        ),
        "RSA of one large prime": ("RSA PRIVATE KEY", rsa_private(2**4423 - 1, 2**61 - 1)),
        "RSA of a huge d": (
            "RSA PRIVATE KEY",
            sequence(*map(integer, (0, (1 << 2048) - 1, 3, (1 << 300_000) - 1, 5, 7, 1, 1, 1))),
        ),
        "RSA of negative numbers": (
            "RSA PRIVATE KEY",
            sequence(*map(integer, (0, (1 << 2048) - 1, 3, 5, -5, -7, 1, 1, 1))),
        ),
        "DH": ("PRIVATE KEY", pkcs8(dh_parameters(), integer(prime // 3))),
        "DSA": ("DSA PRIVATE KEY", dsa),
        "DSA under RSA's label": ("RSA PRIVATE KEY", dsa),
        "EC of explicit parameters": (
            "EC PRIVATE KEY",
            sequence(integer(1), tlv(0x04, bytes(1024)), tlv(0xA0, explicit_curve())),
        ),
        "EC of explicit parameters, PKCS #8": (
            "PRIVATE KEY",
            pkcs8(oid(EC) + explicit_curve(), sequence(integer(1), tlv(0x04, b"\1" * 1024))),
        ),
        "X25519": ("PRIVATE KEY", pkcs8(oid(X25519), tlv(0x04, bytes(32)))),
    }


def base64url(value: int) -> str:
    return compact.encode_base64url(value.to_bytes((value.bit_length() + 7) // 8)).decode()


@functools.cache
def jwks() -> dict[str, dict[str, Any]]:
    """JWKs that nobody should wait for."""
    huge = base64url((1 << 8 * 24_000) - 1)
    modulus = base64url((1 << 2048) - 1)
    return {
        "a huge n": {"kty": "RSA", "n": huge, "e": "AQAB"},
        "a huge e": {"kty": "RSA", "n": modulus, "e": huge},
        "a huge n and e": {"kty": "RSA", "n": huge, "e": huge},
        "an n of 16,385 bits": {"kty": "RSA", "n": base64url((1 << 16_385) - 1), "e": "AQAB"},
        "an e of 33 bits": {"kty": "RSA", "n": modulus, "e": base64url(2**32 + 1)},
        "a huge d": {"kty": "RSA", "n": modulus, "e": "AQAB", "d": huge},
        "a wrong d": {"kty": "RSA", "n": modulus, "e": "AQAB", "d": "BBBB"},
        "a private n of 8,193 bits": {
            "kty": "RSA",
            "n": base64url((1 << 8193) - 1),
            "e": "AQAB",
            "d": huge[:1300],
        },
        "a huge p": {"kty": "RSA", "n": modulus, "e": "AQAB", "d": "AQAB", "p": huge, "q": "AQAB"},
        "a huge point": {"kty": "EC", "crv": "P-521", "x": huge, "y": huge},
        "a point that is none": {"kty": "EC", "crv": "P-521", "x": "AQ", "y": "AQ"},
        "a huge x": {"kty": "OKP", "crv": "Ed25519", "x": huge},
    }


def filled(member: str) -> bytes:
    """A key set of `MOST_BYTES` bytes, or little less, of as many members as fit."""
    most = (MOST_BYTES - 11) // (len(member) + 1)
    return f'{{"keys":[{",".join([member] * most)}]}}'.encode()


@functools.cache
def key_sets() -> dict[str, bytes]:
    """Key sets of up to `MOST_BYTES` bytes."""
    texts = {name: json.dumps(jwk, separators=(",", ":")) for name, jwk in jwks().items()}
    return {
        **{f"keys of {name}": filled(text) for name, text in texts.items()},
        "empty keys": filled("{}"),
        "numbers": filled("1"),
        "lists": filled("[]"),
        "deep lists": b'{"keys":[' + b"[" * 32_000 + b"]" * 32_000 + b"]}",
        "deep lists without end": b'{"keys":[' + b'["",' * 16_000,
        "deep objects": b'{"keys":[' + b'{"a":' * 8000 + b"1" + b"}" * 8000 + b"]}",
        "a long integer": b'{"keys":[' + b"1" * 65_000 + b"]}",
        "long integers": b'{"keys":[' + b",".join([b"1" * 4300] * 15) + b"]}",
        "a long fraction": b'{"keys":[0.' + b"1" * 65_000 + b"]}",
        "fractions": b'{"keys":[' + b",".join([b"0." + b"1" * 700 + b"e-310"] * 90) + b"]}",
        "a long exponent": b'{"keys":[1e' + b"1" * 65_000 + b"]}",
        "quotes": b'{"keys":' + b'"' * 65_000,
        "escaped quotes": b'{"keys":["' + b'\\"' * 32_000 + b'"]}',
        "backslashes": b'{"keys":["' + b"\\\\" * 32_000 + b'"]}',
        "surrogates": b'{"keys":["' + b"\\ud83d\\ude00" * 5400 + b'"]}',
        "members": b"{" + b",".join(b'"%x":1' % n for n in range(6000)) + b',"keys":[]}',
        "white space": b'{"keys":[' + b" " * 65_000 + b"]}",
    }


@functools.cache
def pems() -> dict[str, bytes]:
    """What a key repository could answer: PEM, or what looks like it, of up to `MOST_BYTES`."""
    begin, end = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
    return {
        **{name: pem(der)[:MOST_BYTES] for name, der in public_keys().items()},
        **{f"private {name}": pem(der, label) for name, (label, der) in private_keys().items()},
        "PKCS #1 of a huge modulus": pem(rsa_numbers((1 << 380_000) - 1, 3), "RSA PUBLIC KEY"),
        "beginnings": b"-----BEGIN A-----" * 3800,
        "a long label": b"-----BEGIN " + b"A" * 65_000,
        "long labels": (b"-----BEGIN " + b"A " * 1000) * 32,
        "dashes": b"-" * 65_000,
        "blocks": (begin + end).encode() * 1300,
        "white space": f"{begin}{' ' * 65_000}{end}".encode(),
        "line feeds that are escaped": begin.encode() + b"\\n" * 32_000 + end.encode(),
        "backslashes": b"\\" * 65_000,
        "backslashes before other letters": b"\\\\x" * 21_000,
        "backslashes in a block": f"{begin}{chr(92) * 65_000}{end}".encode(),
        "no base64": f"{begin}{'!' * 65_000}{end}".encode(),
        "no UTF-8": b"\xff" * 65_000,
    }
