"""Attacks on whoever reads: too much, too deep, no number, twice, or under an extension."""

from typing import Any

import pytest

from asapfn import Document, TokenRejected, Unavailable, asap, peek, verify
from asapfn.connect.installation import read_installation
from asapfn.keys import export_public_jwk, export_public_pem
from asapfn.resolvers import jwks
from tests.support.forging import forge, forge_bytes
from tests.support.verifying import CLAIMS, KEY, NOW, clock, nobody_asks
from tests.support.victim import GOOD, service, told

LAXEST: dict[str, Any] = {"audience": "service", "required": (), "now": clock}


def claims_with(member: str) -> bytes:
    return f'{{"aud":"service","exp":{NOW + 60},{member}}}'.encode()


async def refused(claims: bytes) -> str | None:
    return await told(verify(forge(claims, KEY), nobody_asks, **LAXEST))


@pytest.mark.parametrize("name", ["crit", "b64"])
@pytest.mark.parametrize(
    "value", ["[]", '["b64"]', '["exp"]', '["x"]', "null", "false", "true", '"b64"', "{}"]
)
async def test_an_extension_is_never_passed_over(name: str, value: str) -> None:
    """CVE-2026-32597 (PyJWT), CVE-2025-59420 (Authlib): what is critical and not understood must
    refuse the token (RFC 7515, section 4.1.11), and `b64` changes what was signed (RFC 7797)."""
    header = f'{{"alg":"ES256","kid":"{KEY.kid}","{name}":{value}}}'.encode()
    assert await service(forge_bytes(header, CLAIMS, KEY), nobody_asks) == "malformed"
    both = f'{{"alg":"ES256","kid":"{KEY.kid}","b64":false,"crit":["b64"]}}'.encode()
    assert await service(forge_bytes(both, CLAIMS, KEY), nobody_asks) == "malformed"


@pytest.mark.parametrize("size", [20_000, 5_000_000])
@pytest.mark.parametrize("segment", [0, 1, 2])
async def test_no_segment_is_unbounded(segment: int, size: int) -> None:
    """CVE-2025-61920 (Authlib), CVE-2026-48525 (PyJWT): megabytes that are decoded, and parsed,
    before anything tells that nobody signed them."""
    parts = GOOD.split(".")
    parts[segment] = "A" * size
    assert await service(".".join(parts), nobody_asks) == "malformed"
    with pytest.raises(TokenRejected, match="longer than"):
        peek(".".join(parts))


async def test_segments_without_end_are_not_split() -> None:
    """CVE-2025-30204 (golang-jwt): a token of a million dots, each of which costs memory."""
    for token in ("." * 5_000_000, GOOD + "." * 1000, "a." * 5000):
        assert await service(token, nobody_asks) == "malformed"


@pytest.mark.parametrize("member", ["alg", "kid", "typ", "x"])
async def test_no_member_of_a_header_occurs_twice(member: str) -> None:
    """RFC 8725, section 2.4, RFC 7515, section 4: two parsers read two different headers."""
    for first, second in (("ES256", "none"), ("ES256", "ES256"), (KEY.kid, "mallory/k")):
        named = f'"{member}":"{first}","{member}":"{second}"'
        header = f'{{"alg":"ES256","kid":"{KEY.kid}",{named}}}'.encode()
        assert await service(forge_bytes(header, CLAIMS, KEY), nobody_asks) == "malformed"


@pytest.mark.parametrize("member", ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "x"])
async def test_no_claim_occurs_twice(member: str) -> None:
    """RFC 7519, section 4: the gateway believes the first, the service behind it the last."""
    assert await refused(claims_with(f'"{member}":1,"{member}":2')) == "malformed"
    # Nor in another spelling, nor further down.
    assert await refused(claims_with(f'"{member}":1,"\\u{ord(member[0]):04x}{member[1:]}":2')) == (
        "malformed"
    )
    assert await refused(claims_with(f'"y":[{{"{member}":1,"{member}":1}}]')) == "malformed"


async def test_no_member_of_a_published_set_or_an_install_occurs_twice() -> None:
    """The same for keys: which of two is looked at depends on who looks."""
    good = ",".join(f'"{name}":"{value}"' for name, value in export_public_jwk(KEY).items())
    for body in (
        f'{{"keys":[],"keys":[{{{good}}}]}}',
        f'{{"keys":[{{{good},"kid":"{KEY.kid}"}}]}}',
        f'{{"keys":[{{{good},"kty":"oct"}}]}}',
    ):

        async def fetch(url: str, accept: str, body: str = body) -> Document:
            return Document(200, "application/json", body.encode())

        with pytest.raises(Unavailable, match="occurs twice"):
            await verify(GOOD, jwks("https://keys.example/set", fetch), **LAXEST)
    with pytest.raises(TokenRejected, match="occurs twice"):
        read_installation(b'{"clientKey":"a","clientKey":"b"}')


@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "x"])
@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "-" + "9" * 5000],
    ids=lambda value: value[:9],
)
async def test_a_number_is_a_number(name: str, value: str) -> None:
    """CVE-2020-10735 (Python's integers of many digits), and that with NaN nothing is expired."""
    claims = f'{{"aud":"service","{name}":{value}}}'.encode()
    assert await refused(claims) == "malformed"
    header = f'{{"alg":"ES256","kid":"{KEY.kid}","x":{value}}}'.encode()
    assert await service(forge_bytes(header, CLAIMS, KEY), nobody_asks) == "malformed"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [40, 1500])
async def test_nothing_nests_too_deep(opening: str, closing: str, depth: int) -> None:
    """CVE-2025-52999 (jackson-core) was of this kind: nesting that ends the reader's stack."""
    for nested in (opening * depth + "1" + closing * depth, opening * depth):
        assert await refused(claims_with(f'"x":{nested}')) == "malformed"
        header = f'{{"alg":"ES256","kid":"{KEY.kid}","x":{nested}}}'.encode()
        assert await service(forge_bytes(header, CLAIMS, KEY), nobody_asks) == "malformed"

        async def fetch(url: str, accept: str, nested: str = nested * 10) -> Document:
            return Document(200, "application/json", f'{{"keys":{nested}}}'.encode())

        with pytest.raises(Unavailable, match="too deep"):
            await verify(GOOD, jwks("https://keys.example/set", fetch), **LAXEST)


@pytest.mark.parametrize(
    "kid",
    [
        "issuer/../mallory/k",
        "issuer/..",
        "issuer/./k",
        "issuer//k",
        "issuer/",
        "issuer/k/",
        "issuer/%2e%2e/mallory/k",
        "issuer/%2fk",
        "issuer/k%00",
        "issuer/k\n",
        "issuer/k\r\nHost: mallory.example",
        "issuer/k\0",
        "issuer/k?x=",
        "issuer/k#",
        "issuer\\..\\k",
        "issuer/k k",
        "issuer/\u043a",
        "issuer/\uff0e\uff0e/k",
        "issuer/\u0665",
        "issuer/\u017fervice",
        "issuer/' OR 1=1 --",
        "issuer/@mallory.example/k",
        "issuer/:k",
    ],
    ids=ascii,
)
async def test_a_key_id_is_no_path_no_url_and_no_query(kid: str) -> None:
    """CWE-22 by `kid` (ASAP, "Key identifier"): traversal, a new line, letters that are not ASCII,
    percent-encoding. Asked for over the network it would name another's key, or another host."""

    async def fetch(url: str, accept: str) -> Document:
        raise AssertionError("the repository was asked")

    token = forge(CLAIMS, KEY, kid=kid)
    keys = asap.repository("https://keys.example/", fetch)
    assert await service(token, keys) == "invalid_claim"
    assert await service(token, nobody_asks) == "invalid_claim"


@pytest.mark.parametrize("kid", ["/etc/issuer/k", "../issuer/k", "", "issuer", "https://m.example"])
async def test_a_key_id_is_under_the_name_of_its_issuer(kid: str) -> None:
    """CWE-22 by `kid`: one that begins elsewhere is not the issuer's, well formed or not."""
    token = forge(CLAIMS, KEY, kid=kid)
    assert await service(token, nobody_asks) in ("invalid_claim", "key_not_owned")


async def test_another_issuers_key_is_not_taken_nor_when_it_is_remembered() -> None:
    """ASAP, "Key identifier": mallory, who has a key of her own, signs with it as the issuer. The
    repository has her key at hand, from a token of hers that was good."""
    mallory, asked = KEY, []

    async def fetch(url: str, accept: str) -> Document:
        asked.append(url)
        return Document(200, "application/x-pem-file", export_public_pem(mallory).encode())

    keys = asap.repository("https://keys.example/", fetch)
    for iss, kid, said in (
        ("mallory", "mallory/k", None),
        ("issuer", "mallory/k", "key_not_owned"),
        ("mallory/k", "mallory/k", "key_not_owned"),
        ("mall", "mallory/k", "key_not_owned"),
        ("", "mallory/k", "key_not_owned"),
        ("mallory", "mallory/k", None),
    ):
        token = forge(CLAIMS | {"iss": iss}, mallory, kid=kid)
        assert await service(token, keys) == said, iss
    assert asked == ["https://keys.example/mallory/k"]
