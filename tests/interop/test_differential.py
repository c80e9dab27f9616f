"""`verify` beside PyJWT and joserfc, on tokens that are good, mangled, or made to mislead.

All three have the key at hand and the same expectations. Whatever we accept, both peers accept,
and read the same claims in it. Where we alone refuse, what we say is in `STRICTER`, with the
reason.

ASAPFN_EXAMPLES is the number of tokens for each algorithm, ASAPFN_SEED where they start from.
"""

import os
import re
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt
import pytest
from forging import forge_bytes
from hypothesis import HealthCheck, event, example, given, seed, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwt import JWTClaimsRegistry
from joserfc.jwt import decode as joserfc_decode
from joserfc.registry import HeaderParameter
from keyring import key_for

from asapfn import verify
from asapfn.compact import decode_base64url, encode_base64url
from asapfn.errors import TokenRejected
from asapfn.types import Key, Unverified

EXAMPLES = int(os.environ.get("ASAPFN_EXAMPLES", "200"))
SEED = int(os.environ.get("ASAPFN_SEED", "20250117"))
LEEWAY = 30

Claims = dict[str, Any]

# What we refuse and a peer may take, by what we say.
STRICTER = {
    # RFC 7515, section 2: base64url without padding, line breaks or white space; and each value
    # has one spelling, or one token would have many that a replay guard holds for different.
    "malformed: not unpadded base64url in its one spelling",
    "malformed: not base64url",
    # RFC 7515 and RFC 7519, section 4: names are unique, or two parsers read two things.
    "malformed: a member occurs twice",
    "malformed: claims: a member occurs twice",
    # RFC 8259, section 6, and RFC 7493, section 2.2: no NaN, no Infinity, none that becomes one.
    *(
        f"malformed: {part}{what}"
        for part in ("", "claims: ")
        for what in ("NaN is not JSON", "Infinity is not JSON", "-Infinity is not JSON")
    ),
    "malformed: a number is too large",
    "malformed: claims: a number is too large",
    # RFC 7493, section 2.1: text is UTF-8, without a byte order mark, and no half of a pair.
    "malformed: not UTF-8 JSON (UnicodeEncodeError)",
    "malformed: claims: not UTF-8 JSON (UnicodeEncodeError)",
    "malformed: not UTF-8 JSON (JSONDecodeError)",
    "malformed: claims: not UTF-8 JSON (JSONDecodeError)",
    # A stack must not depend on the sender.
    "malformed: nested too deep",
    "malformed: claims: nested too deep",
    # RFC 7515, section 4.1.11: no extension is understood, so that none may be asked for.
    "malformed: the header asks for an extension",
    # RFC 7515, sections 4.1.4 and 4.1.9: strings.
    "malformed: the header's kid is not a string",
    "malformed: the header's typ is not a string",
    # RFC 7519, section 4.1: a claim of the wrong type is no claim that is absent.
    *(f"invalid_claim: {name} is not a string" for name in ("iss", "sub", "jti")),
    *(f"invalid_claim: {name} is not a time" for name in ("exp", "iat", "nbf")),
    "invalid_claim: aud is not a string or strings",
    # Times that leave no life are nobody's.
    "invalid_claim: exp is not after iat",
    "invalid_claim: nbf is not before exp",
    # RFC 7519, section 4.1.3: a token for somebody is not for whoever expects nobody.
    "wrong_audience: no audience is expected",
}


class Made(NamedTuple):
    """How a token is to be made. In header and claims, `@-40` is the time 40 seconds ago."""

    header: str
    claims: str
    signer: str
    changes: tuple[tuple[Callable[[bytes, int, int], bytes], int, int], ...]


# What peers say


def pyjwt(token: bytes, algorithm: str, key: Key, audience: str | None) -> Claims | None:
    try:
        return jwt.decode(
            token,
            key.raw_value if algorithm == "HS256" else key.public_key,
            algorithms=[algorithm],
            audience=audience,
            leeway=LEEWAY,
            options={"require": ["exp"]},
        )
    except Exception:  # it also lets out what is not its own: all the same, it does not accept
        return None


# joserfc checks the types of these, and may fetch or use none of them, no more than we do.
UNREAD = {
    name: HeaderParameter("not read", lambda value: None) for name in ("cty", "jku", "jwk", "x5u")
}


def joserfc(token: bytes, algorithm: str, key: Key, audience: str | None) -> Claims | None:
    # Else it takes no header that has members it does not know.
    registry = jws.JWSRegistry(UNREAD, algorithms=[algorithm], strict_check_header=False)
    rules = JWTClaimsRegistry(leeway=LEEWAY, exp={"essential": True})
    if audience is not None:
        rules.options["aud"] = {"essential": True, "value": audience}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            claims = joserfc_decode(token, key, registry=registry).claims
            rules.validate(claims)
        except Exception:  # as above
            return None
    return claims


PEERS = {"PyJWT": pyjwt, "joserfc": joserfc}


# Tokens

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
    st.sampled_from(["issuer"] * 9 + ["stranger"]),
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


each_algorithm = pytest.mark.parametrize("algorithm", ["RS256", "ES256", "HS256"])


def asked(token: bytes, algorithm: str, audience: str | None) -> dict[str, Claims | None]:
    """The claims that each peer reads in the token, or None where it refuses it."""
    key = key_for(algorithm, "issuer")
    return {name: peer(token, algorithm, key, audience) for name, peer in PEERS.items()}


async def verified(token: bytes, algorithm: str, audience: str | None) -> Claims:
    async def resolver(unverified: Unverified) -> Key:
        return key_for(algorithm, "issuer")

    allowed = [algorithm]
    answer = await verify(token, resolver, audience=audience, algorithms=allowed, leeway=LEEWAY)
    return answer.claims


@each_algorithm
async def test_a_good_token_is_taken_by_all(algorithm: str) -> None:
    token = token_of(GOOD, algorithm)
    claims = await verified(token, algorithm, "service")
    assert claims["jti"] == "one"
    assert asked(token, algorithm, "service") == {"PyJWT": claims, "joserfc": claims}


# What is compared has nothing to do with the event loop.
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@each_algorithm
@seed(SEED)
@settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(how=made, audience=st.sampled_from(["service", "service", "service", None]))
@example(GOOD._replace(claims=text(CLAIMS, exp="@-20")), "service")
@example(GOOD._replace(claims='{"exp":@+20,"exp":@+20}'), None)
@example(GOOD._replace(changes=((CHANGES[-1], 2, 0),)), "service")
async def test_what_we_accept_they_accept_and_what_we_alone_refuse_is_named(
    algorithm: str, how: Made, audience: str | None
) -> None:
    token = token_of(how, algorithm)
    theirs = asked(token, algorithm, audience)
    try:
        claims = await verified(token, algorithm, audience)
    except TokenRejected as error:
        takers = [name for name, read in theirs.items() if read is not None]
        event("refused by us alone" if takers else "refused by all")
        if takers:
            event(f"{' and '.join(takers)}: {error}")
            assert str(error) in STRICTER, takers
    else:
        event("accepted")
        assert theirs == {"PyJWT": claims, "joserfc": claims}
