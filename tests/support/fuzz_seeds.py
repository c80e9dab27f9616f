"""What fuzzing starts from: good inputs for each target, and how to damage them.

The keys are made of plain numbers, so that they are the same each time, and an input that was kept
is good for ever.
"""

import base64
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from asapfn import keys
from asapfn.types import Key
from tests.support.forging import forge

NOW: Final = 1_700_000_000
LEEWAY: Final = 5
LONGEST: Final = 100

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8 = serialization.PrivateFormat.PKCS8
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
OPENSSH = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
CLEAR = serialization.NoEncryption()

# Lengths, tags and numbers of DER that lead somewhere else, and what a text may gain or lose.
PIECES: Final = (
    *(b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x02\x01\0", b"\x02\x01\xff", b"\x05\0"),
    *(b"\0", b"\n", b"=", b".", b"%", b"%ff", b"&", b",", b'"', b"[", b'{"', b"1e999", b"\\ud800"),
)


def damaged(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """The data, where at each place so many bytes are cut out and others put in."""
    for place, cut, put in changes:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + cut :]
    return data


def mutations(name: str, count: int, seed: int) -> Iterator[bytes]:
    """Damaged seeds of a target, the same ones for the same number."""
    chance = random.Random(f"{name} {seed}")
    seeds = [*SEEDS[name], *REFUSED.get(name, [])]
    for _ in range(count):
        changes = [
            (
                chance.randrange(4_000),
                chance.randrange(5),
                chance.choice([*PIECES, chance.randbytes(chance.randrange(3))]),
            )
            for _ in range(chance.randint(1, 3))
        ]
        yield damaged(chance.choice(seeds), changes)


def _rsa_key() -> rsa.RSAPrivateKey:
    p, q, e = 2**1024 - 105, 3 * 2**1022 + 1037, 65537
    d = rsa.rsa_recover_private_exponent(e, p, q)
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(e, p * q)).private_key()


_NATIVE: Final[Mapping[str, Any]] = {
    "RS256": _rsa_key(),
    "ES256": ec.derive_private_key(2**200 + 7, ec.SECP256R1()),
    "ES384": ec.derive_private_key(2**300 + 7, ec.SECP384R1()),
    "ES512": ec.derive_private_key(2**400 + 7, ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
}
PRIVATE: Final[Mapping[str, bytes]] = {
    name: native.private_bytes(DER, PKCS8, CLEAR) for name, native in _NATIVE.items()
}
PUBLIC: Final[Mapping[str, bytes]] = {
    name: native.public_key().public_bytes(DER, SPKI) for name, native in _NATIVE.items()
}
KEY_PAIRS: Final[Mapping[str, Key]] = {
    name: keys.import_pem(native.private_bytes(PEM, PKCS8, CLEAR), kid=name, algorithm=name)
    for name, native in _NATIVE.items()
}
SECRET: Final = keys.import_secret(bytes(range(32)), kid="HS256")
KEYS: Final[Mapping[str, Key]] = {"HS256": SECRET, **KEY_PAIRS}


_NAMES: Final = {"iss": "issuer", "sub": "issuer", "jti": "one", "aud": "service"}
_TIMES: Final = {"nbf": NOW, "iat": NOW, "exp": NOW + 60}
CLAIMS: Final[Mapping[str, Any]] = {**_NAMES, **_TIMES}


def _parted(header: bytes = b'{"alg":"HS256","typ":"JWT"}', **claims: Any) -> bytes:
    return header + b"\0" + json.dumps({**CLAIMS, **claims}).encode()


_TOKENS: Final = [
    _parted(),
    _parted(aud=["other", "service"], exp=NOW + 0.5, more=[{"a": None, "b": -1e2}, 'é"\\']),
    # ECDSA is not among them: its signatures are others each time.
    *(forge(CLAIMS, KEYS[n], alg=n, signed_as=n).encode() for n in ("HS256", "RS256", "EdDSA")),
]


SEEDS: Final[Mapping[str, list[bytes]]] = {
    "peek": _TOKENS,
    "verify": _TOKENS,
    "canonical_request": [
        b"get\0https://app.example:8080/jira/issue/?b=2&a=1&a=%C3%A9+%2f&jwt=e.y.J#part\0/jira",
        b"POST\0/jira/a%20b&c?\0https://h/jira/\0x=1&y=%F0%9F%98%80,&x==&=",
        b"M-SEARCH\0//a/b?flag&\xc3\xa9=&&",
    ],
    "freshness": [
        b'public, max-age=300, stale-while-revalidate=200, stale-if-error="100"\x00100, 200',
        b'private="x, max-age=1\\"", no-cache\0',
        b"MAX-AGE=99999999999,max-age=7\t, s-maxage=9\0 3",
    ],
    "import_pem": [
        *(keys.export_private_pem(key).encode() for key in KEY_PAIRS.values()),
        *(keys.export_public_pem(key).encode() for key in KEY_PAIRS.values()),
        *(b"PRIVATE KEY\0" + der for der in PRIVATE.values()),
        *(b"PUBLIC KEY\0" + der for der in PUBLIC.values()),
    ],
    "import_data_uri": [
        *(keys.export_data_uri(key).encode() for key in KEY_PAIRS.values()),
        *(b"issuer%2Fa+b.pem\0" + der for der in PRIVATE.values()),
    ],
    "import_jwk": [
        *(json.dumps(key.as_dict(private=True)).encode() for key in KEYS.values()),
        *(json.dumps(keys.export_public_jwk(key)).encode() for key in KEY_PAIRS.values()),
    ],
    "import_secret": [b"a secret of 32 bytes or more, and", bytes(range(64))],
}

# What must not be taken, where that is as good a start.
_ODD_TOKENS: Final = [
    # Other bits in the last character of the signature, of which base64 has two to spare.
    _TOKENS[2][:-1] + bytes([_TOKENS[2][-1] + 1]),
    _TOKENS[2] + b"=",
    _parted(exp=True),
    _parted(b'{"alg":"none"}'),
    _parted(b'{"alg":"HS256","crit":["exp"]}'),
    _parted(b'{"alg":"HS256","alg":"HS256"}'),
    _parted().replace(b'"sub"', b'"iss"'),
]
# An Ed448 key of Ed25519's size, which cryptography answers with an InternalError.
_ODD_KEY: Final = PRIVATE["EdDSA"].replace(b"\x2b\x65\x70", b"\x2b\x65\x71")
REFUSED: Final[Mapping[str, list[bytes]]] = {
    "peek": _ODD_TOKENS,
    "verify": [
        *_ODD_TOKENS,
        _parted(iat=NOW - 50, nbf=NOW - 50, exp=NOW - LEEWAY),
        _parted(iat=NOW + LEEWAY + 1),
        _parted(nbf=NOW + LEEWAY + 1),
        _parted(exp=NOW + LONGEST + 1),
        _parted(exp=NOW, nbf=NOW - 1),
        _parted(aud="other service"),
        _parted(b'{"alg":"HS256","kid":"EdDSA"}'),
    ],
    "import_jwk": [
        json.dumps({**KEY_PAIRS[name].as_dict(private=True), **changed}).encode()
        for name, changed in {
            "EdDSA": {"x": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"},
            "ES256": {"x": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"},
            "ES384": {"use": "enc"},
            "RS256": {"d": "AQAB"},
        }.items()
    ],
    "import_pem": [b"PRIVATE KEY\0" + _ODD_KEY],
    "import_data_uri": [b"issuer\0" + _ODD_KEY],
    "import_secret": [
        _ODD_KEY,
        *PRIVATE.values(),
        *PUBLIC.values(),
        *(base64.b64encode(der) for der in PUBLIC.values()),
        *(native.public_key().public_bytes(*OPENSSH) for native in _NATIVE.values()),
        *(keys.export_public_pem(key).encode() for key in KEY_PAIRS.values()),
        *(json.dumps(keys.export_public_jwk(key)).encode() for key in KEY_PAIRS.values()),
    ],
}
