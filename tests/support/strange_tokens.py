"""Tokens that are good, mangled, or made to mislead, and truly signed before they are mangled."""

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st

from asapfn._core.compact import decode_base64url, encode_base64url
from tests.support.forging import forge_bytes
from tests.support.keyring import key_for


class Made(NamedTuple):
    """How a token is to be made. In header and claims, `@-40` is the time 40 seconds ago."""

    header: str
    claims: str
    signer: str
    changes: tuple[tuple[Callable[[bytes, int, int], bytes], int, int], ...]


HEADER = {"alg": '"{algorithm}"', "kid": '"issuer/key"', "typ": '"JWT"'}
CLAIMS = {"iss": '"issuer"', "aud": '"service"', "iat": "@-60", "exp": "@+600", "jti": '"one"'}
STRANGE = [
    "null", "true", "0", "-1", "1.5", "1e3", "1e999", "-1e999", "NaN", "Infinity", "-Infinity",
    "01", "+1", "9" * 5_000, "9" * 30, '""', '"text"', '"\\ud800"', '"\\ud83d\\ude00"', '"\u00e9"',
    '"\x01"', "'a'", "[]", "{}", '{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', "[" * 32 + "]" * 32,
    "[" * 31 + "]" * 31, "[" * 3_000 + "]" * 3_000, "[1,]", "",
]  # fmt: skip
ALGORITHMS = [
    "none", "None", "nOnE", "HS256", "hs256", "HS384", "RS256", "PS256", "ES256", "EdDSA", "",
]  # fmt: skip
TIMES = [
    "@-900",
    "@-40",
    "@-20",
    "@+20",
    "@+40",
    "@+900",
    "@+20.5",
    '"@+900"',
    "1e10",
    "1e18",
    "9e18",
    "1e19",
]
NAMES = [
    '"service"',
    '"other"',
    '"Service"',
    '["service"]',
    '["other","service"]',
    '["service",1]',
    '["other"]',
]
VALUES: dict[str, list[str]] = {
    "alg": [f'"{name}"' for name in ALGORITHMS],
    "aud": [*NAMES, '"serv"', '[["service"]]', '{"service":1}', '"services"'],
    **dict.fromkeys(("exp", "iat", "nbf"), TIMES),
    "crit": ['["exp"]', '["b64"]', "[]"],
    "b64": ["false", "true"],
    "jwk": ['{"kty":"oct","k":"AAAA"}'],
    "jku": ['"https://evil.example/keys"'],
    "x5u": ['"https://evil.example/key"'],
}


def objects(good: dict[str, str], others: list[str]) -> st.SearchStrategy[str]:
    """JSON text of the good members, some of them changed, repeated or taken out."""

    def changed(name: str) -> st.SearchStrategy[tuple[str, str]]:
        values = st.sampled_from(VALUES.get(name, ['"issuer"', '"other"']))
        return st.tuples(st.just(name), values | values | st.sampled_from(STRANGE))

    odd = ["", "null", "[]", '"text"', "{", "{}{}", "{},", "\ufeff{}", "{}\0", "\u00a0{}"]

    @st.composite
    def make(draw: st.DrawFn) -> str:
        if draw(st.integers(0, 19)) == 19:
            return draw(st.sampled_from(odd))
        pairs = list(good.items())
        for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
            name, value = draw(st.sampled_from([*good, *others]).flatmap(changed))
            if draw(st.booleans()) or name not in good:
                pairs = [pair for pair in pairs if pair[0] != name]
            if draw(st.integers(0, 5)):
                pairs.append((name, value))
        comma, space = draw(st.sampled_from([(",", ""), (", ", " "), (",\n", "\r\n\t")]))
        mark = draw(st.sampled_from([*[""] * 15, "\ufeff"]))
        text = comma.join(f'"{name}":{value}' for name, value in pairs)
        return f"{mark}{space}{{{text}}}{space}"

    return make()


def segment(change: Callable[[bytes, int], bytes]) -> Callable[[bytes, int, int], bytes]:
    """A change of one segment."""

    def changed(token: bytes, at: int, byte: int) -> bytes:
        parts = token.split(b".")
        parts[at % len(parts)] = change(parts[at % len(parts)], byte)
        return b".".join(parts)

    return changed


def next_last(part: bytes, byte: int) -> bytes:
    """The last character with other left-over bits, which a lax decoder drops."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[(alphabet.find(part[-1:]) + 1 + byte % 15) % 64 :][:1]


def reordered(token: bytes, at: int, byte: int) -> bytes:
    parts = token.split(b".")
    parts.insert(byte % len(parts), parts.pop(at % len(parts)))
    return b".".join(parts)


def other_s(part: bytes, byte: int) -> bytes:
    """ECDSA's other signature of the same (r, n - s), or one that holds for no key."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    try:
        data = decode_base64url(part)
    except ValueError:
        return part
    if len(data) != 64:
        return part
    r, s = int.from_bytes(data[:32]), int.from_bytes(data[32:])
    r, s = [(r, (order - s) % 2**256), (r, 0), (0, s), (order, order), (0, 0)][byte % 5]
    return encode_base64url(r.to_bytes(32) + s.to_bytes(32))


CHANGES: list[Callable[[bytes, int, int], bytes]] = [
    lambda token, at, byte: token[: at % len(token)] + bytes([byte]) + token[at % len(token) + 1 :],
    lambda token, at, byte: token[: at % len(token)] + bytes([byte]) + token[at % len(token) :],
    lambda token, at, byte: token[: at % len(token)] + token[at % len(token) + 1 :],
    lambda token, at, byte: token[: at % len(token) + 1],
    lambda token, at, byte: token + [b"\n", b" ", b".", b".AAAA", b"\0"][byte % 5],
    lambda token, at, byte: [b"\n", b" ", b".", b"AAAA.", b"Bearer "][byte % 5] + token,
    segment(lambda part, byte: part + b"=" * (byte % 3 + 1)),
    segment(lambda part, byte: part.replace(b"-", b"+").replace(b"_", b"/")),
    segment(lambda part, byte: part[: byte % 8] + b"\n" + part[byte % 8 :]),
    segment(next_last),
    segment(lambda part, byte: b""),
    reordered,
    segment(other_s),
]  # fmt: skip
bytes_ = st.sampled_from(b"ABxyz019-_+/=. \n\0\x7f\xff") | st.integers(0, 255)
change = st.tuples(st.sampled_from(CHANGES), st.integers(0, 1_000), bytes_)

made = st.builds(
    Made,
    objects(HEADER, ["crit", "b64", "jwk", "jku", "x5u", "cty", "mine"]),
    objects(CLAIMS, ["nbf", "sub", "mine", "__proto__"]),
    st.sampled_from(["issuer"] * 9 + ["unknown"]),
    st.lists(change, max_size=2).map(tuple) | st.just(()),
)


def token_of(how: Made, algorithm: str) -> bytes:
    now = int(time.time())

    def moment(match: re.Match[str]) -> str:
        return str(now + int(match[1]))

    header, claims = (
        re.sub(r"@([+-]\d+)", moment, text.replace("{algorithm}", algorithm))
        for text in (how.header, how.claims)
    )
    key = key_for(algorithm, how.signer)
    token = forge_bytes(header.encode(), claims.encode(), key).encode()
    for apply, at, byte in how.changes:
        token = apply(token, at, byte) or b"."
    return token


def text(good: dict[str, str], **changed: str) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in (good | changed).items()) + "}"


GOOD = Made(text(HEADER), text(CLAIMS), "issuer", ())
