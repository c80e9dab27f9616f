"""Attacks on the event loop: a few bytes that are read for a long time, while all others wait."""

import contextlib
import functools
import gzip
import json
import pathlib
import sys
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import anyio
import httpx
import pytest
from cryptography import x509

from asapfn import (
    Document,
    Request,
    TokenRejected,
    Unavailable,
    asap,
    bearer,
    canonical_request,
    connect,
    explain,
    peek,
    policy,
)
from asapfn._core.algorithms import verify_signature
from asapfn._core.compact import encode_base64url
from asapfn.adapters.httpx import fetcher
from asapfn.connect.installation import read_installation
from asapfn.keys import export_public_jwk, import_data_uri, import_jwk, import_pem, import_secret
from asapfn.resolvers import certificates, jwks, keys_by_id, shared_secrets
from asapfn.types import Unverified
from tests.support.forging import forge, forge_bytes
from tests.support.hostile import (
    RSA,
    base64url,
    filled,
    key_sets,
    oid,
    pem,
    pems,
    private_keys,
    rsa_numbers,
    sequence,
    spki,
    tlv,
)
from tests.support.hostile import jwks as hostile_jwks
from tests.support.keyforms import PEM, certificate
from tests.support.keyring import key_for
from tests.support.servers import answers, raw_server, trusting
from tests.support.verifying import CLAIMS, KEY, NOW
from tests.support.victim import GOOD, service

# Seconds. A tracer, such as that of coverage, makes Python several times slower.
VECTORS = pathlib.Path(__file__).parents[2] / "support" / "vectors"
MOST = 0.05 if sys.gettrace() is None else 0.25
REPEATS = 5


async def held(attempt: Callable[[], Awaitable[object]]) -> float:
    """How long the event loop is held: the least processor time that attempts take."""
    times = []
    for _ in range(REPEATS):
        # All threads' time: a thread that does not give up the interpreter holds the loop as well.
        start = time.process_time()
        with contextlib.suppress(TokenRejected, Unavailable, ValueError):
            await attempt()
        times.append(time.process_time() - start)
        if times[-1] < MOST:
            break
    return min(times)


def took(attempt: Callable[[], object]) -> float:
    """`held`, of a plain function."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        with contextlib.suppress(TokenRejected, Unavailable, ValueError):
            attempt()
        times.append(time.process_time() - start)
        if times[-1] < MOST:
            break
    return min(times)


def repository(body: bytes, media_type: str) -> Any:
    async def fetch(url: str, accept: str) -> Document:
        return Document(200, media_type, body)

    return fetch


@pytest.mark.parametrize("name", pems())
async def test_no_answer_of_a_key_repository_holds_the_event_loop(name: str) -> None:
    """A Diffie-Hellman key in 2.9 KB of PEM held it 23 seconds: OpenSSL looks for primes as it
    reads one. The token needs no valid signature."""

    async def attempt() -> None:
        fetch = repository(pems()[name], "application/x-pem-file")
        assert await service(GOOD, asap.repository("https://keys.example/", fetch)) is None

    assert await held(attempt) < MOST
    fetch = repository(pems()[name], "application/x-pem-file")
    with pytest.raises(Unavailable):
        await service(GOOD, asap.repository("https://keys.example/", fetch))


@pytest.mark.parametrize("name", key_sets())
async def test_no_published_key_set_holds_the_event_loop(name: str) -> None:
    async def attempt() -> None:
        fetch = repository(key_sets()[name], "application/json")
        assert await service(GOOD, jwks("https://keys.example/set", fetch)) != ""

    assert await held(attempt) < MOST


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
async def test_copies_of_one_key_in_a_set_do_not_hold_the_event_loop(name: str) -> None:
    members = export_public_jwk(key_for(name))
    text = json.dumps({n: members[n] for n in members.keys() & {"kty", "crv", "x", "y", "n", "e"}})
    body = filled(text.replace(" ", ""))
    keys = jwks("https://keys.example/set", repository(body, "application/json"))
    unnamed = Unverified({"alg": name}, {"iss": "issuer"}, b"h.c", b"s")

    async def attempt() -> None:
        assert await keys(unnamed) is not None

    assert await held(attempt) < MOST


CERTIFICATES = {
    name: (VECTORS / "certificates" / f"{name}.pem").read_text()
    for name in ("rsa", "ec", "ed25519", "weak", "encipher")
}


def map_of(text: str) -> bytes:
    """As many members as fit into what is fetched."""
    each = json.dumps(text)
    many = min(1000, (65_536 - 2) // (len(each) + 7))
    return ("{" + ",".join(f'"{number:03}":{each}' for number in range(many)) + "}").encode()


NAMES = x509.SubjectAlternativeName([x509.DirectoryName(x509.Name([]))] * 3_900)

HOSTILE_MAPS = {
    **{f"of {name} certificates": map_of(text) for name, text in CERTIFICATES.items()},
    "of nothing": map_of(""),
    "of beginnings": map_of("-----BEGIN CERTIFICATE-----"),
    "of one text of beginnings": map_of("-----BEGIN CERTIFICATE-----" * 2_400),
    "of a label without end": map_of("-----BEGIN " + "A " * 32_000),
    "of dashes": map_of("-" * 65_000),
    "of backslashes": map_of("\\" * 32_000),
    "of a certificate of elements": map_of(
        pem(tlv(0x30, tlv(0x30, b"\x02\x01\x01" * 4_000), tlv(0x30), tlv(0x03, b"\0"))).decode()
    ),
    "of a certificate of extensions": map_of(
        pem(sequence(sequence(tlv(0xA3, sequence(sequence() * 8_000))), sequence())).decode()
    ),
    "of a certificate of names": map_of(certificate("ES256", PEM, NAMES).decode()),
}


@pytest.mark.parametrize("name", HOSTILE_MAPS)
async def test_no_published_map_of_certificates_holds_the_event_loop(name: str) -> None:
    assert len(HOSTILE_MAPS[name]) <= 66_000

    async def attempt() -> None:
        fetch = repository(HOSTILE_MAPS[name], "application/json")
        keys = certificates("https://keys.example/map", fetch)
        assert await service(GOOD, keys) == "unknown_key"

    assert await held(attempt) < MOST


@pytest.mark.parametrize("name", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
async def test_a_key_set_of_as_many_keys_as_fit_does_not_hold_the_event_loop(name: str) -> None:
    members = export_public_jwk(key_for(name))
    text = json.dumps({n: members[n] for n in members.keys() & {"kty", "crv", "x", "y", "n", "e"}})
    body = filled(text.replace(" ", ""))

    async def attempt() -> None:
        keys = jwks("https://keys.example/set", repository(body, "application/json"))
        assert await service(GOOD, keys) == "unknown_key"

    assert await held(attempt) < MOST


@pytest.mark.parametrize("name", private_keys())
def test_no_private_key_is_read_for_long(name: str) -> None:
    """Two Mersenne primes in 10 KB of PEM: 25 seconds. It would be the operator's own mistake."""
    label, der = private_keys()[name]
    assert took(lambda: import_pem(pem(der, label))) < MOST
    uri = f"data:application/pkcs8;kid=a/b;base64,{pem(der).decode().partition(chr(10))[2]}"
    uri = uri.partition("-----END")[0].replace("\n", "")
    assert took(lambda: import_data_uri(uri)) < MOST
    with pytest.raises(ValueError, match=r"holds no|not accepted"):
        import_pem(pem(der, label))
    with pytest.raises(ValueError, match="holds no"):
        import_data_uri(uri)


@pytest.mark.parametrize("name", hostile_jwks())
def test_no_jwk_is_read_for_long(name: str) -> None:
    assert took(lambda: import_jwk(hostile_jwks()[name])) < MOST
    with pytest.raises(ValueError, match="make no key"):
        import_jwk(hostile_jwks()[name])


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "PS512"])
def test_a_signature_by_the_largest_key_is_verified_at_once(algorithm: str) -> None:
    """OpenSSL takes a modulus of 16,384 bits and, up to 3,072, an exponent of any size."""
    for bits, exponent in ((16_384, 2**32 - 1), (3072, 2**32 - 1), (2048, 2**32 - 1)):
        modulus = (1 << bits) - 0x1234567
        key = import_pem(pem(spki(oid(RSA) + b"\x05\x00", rsa_numbers(modulus, exponent))))
        signature = (modulus - 2).to_bytes(bits // 8)
        assert took(functools.partial(verify_signature, algorithm, key, b"m", signature)) < MOST
        assert verify_signature(algorithm, key, b"m", signature) is False
        assert (
            took(functools.partial(verify_signature, algorithm, key, b"m", b"\xff" * 12_000)) < MOST
        )
        jwk = {"kty": "RSA", "n": base64url(modulus), "e": base64url(exponent)}
        assert export_public_jwk(import_jwk(jwk)) == export_public_jwk(key)


@functools.cache
def tokens() -> Mapping[str, str]:
    """Tokens of 16 KiB, or little less."""
    shapes = {
        "many audiences": json.dumps(CLAIMS | {"aud": [f"{n}" for n in range(1700)]}).encode(),
        "empty audiences": b'{"aud":[' + b'"",' * 3900 + b'"service"],"exp":%d}' % (NOW + 60),
        "one audience": json.dumps(CLAIMS | {"aud": "a" * 11_000}).encode(),
        "many claims": json.dumps(CLAIMS | {f"{n}": n for n in range(900)}).encode(),
        "a long name": json.dumps(CLAIMS | {"a" * 11_000: 1}).encode(),
        "deep": b"[" * 12_000,
        "deep objects": b'{"a":' * 2300,
        "deep and shallow": b'{"a":' + b"[]," * 4000 + b"1}",
        "brackets in strings": b'{"a":"' + b"[" * 11_000 + b'"}',
        "quotes": b'"' * 12_000,
        "escapes": b'{"a":"' + b"\\u0061" * 1900 + b'"}',
        "lone surrogates": b'{"a":"' + b"\\ud800" * 1900 + b'"}',
        "a long integer": b'{"exp":' + b"1" * 11_000 + b"}",
        "an integer of 4,300 digits": b'{"exp":' + b"1" * 4300 + b"}",
        "a long fraction": b'{"exp":0.' + b"1" * 11_000 + b"}",
        "a long exponent": b'{"exp":1e' + b"1" * 11_000 + b"}",
        "white space": b" " * 11_000 + b"{}",
        "twice": b'{"a":1,"a":1,' * 900,
        "no UTF-8": b"\xff" * 12_000,
    }
    return {
        **{f"claims: {name}": forge(data, KEY) for name, data in shapes.items()},
        **{f"header: {name}": forge_bytes(data, CLAIMS, KEY) for name, data in shapes.items()},
        "a long key id": forge(CLAIMS, KEY, kid="a/" * 5000 + "a"),
        "a long issuer": forge(CLAIMS | {"iss": "a" * 10_000}, KEY),
        "a long signature": f"{GOOD.rpartition('.')[0]}.{'A' * 15_000}",
        "dots": "." * 16_000,
        "no ASCII": "\u00e9" * 16_000,
        "a megabyte": "A" * 1_000_000,
    }


@pytest.mark.parametrize("name", tokens())
async def test_no_token_holds_the_event_loop(name: str) -> None:
    token = tokens()[name]

    async def attempt() -> None:
        await service(token, keys_by_id([KEY]), audience={"service", "other"})

    assert await held(attempt) < MOST
    assert took(lambda: peek(token)) < MOST


@pytest.mark.parametrize("name", key_sets())
def test_no_body_of_an_install_holds_the_event_loop(name: str) -> None:
    assert took(lambda: read_installation(key_sets()[name])) < MOST


QUERIES = {
    "names": "&".join(f"{n}" for n in range(12_000)),
    "values of one name": "&".join(["a=%C3%A9"] * 7000),
    "plain values of one name": "a=x&" * 16_000,
    "empty parameters": "&" * 65_000,
    "escapes": "%41" * 21_000,
    "escapes that are none": "%" * 65_000,
    "commas": "," * 65_000,
    "half an escape": "%C3" * 21_000,
    "no ASCII": "\u00e9" * 32_000,
    "equals signs": "=" * 65_000,
    "plus signs": "+" * 65_000,
}


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_holds_the_event_loop(name: str) -> None:
    query = QUERIES[name]
    assert took(lambda: canonical_request("GET", f"/a?{query}", base_url="/a")) < MOST
    assert took(lambda: canonical_request("POST", "/a", form=query)) < MOST
    assert took(lambda: canonical_request("GET", "/" + query.replace("&", "/"))) < MOST


UNITS = ["0\x82", "%30", "3082", "MII", "\0a", "-----BEGIN ", "ssh-", '"kty', "\\u00", "data:"]


@pytest.mark.parametrize("unit", UNITS)
def test_no_secret_is_looked_at_for_long(unit: str) -> None:
    text = unit * (65_000 // len(unit))
    nested = text.encode()[:24_000]
    for _ in range(4):
        nested = encode_base64url(nested).hex().encode()[:60_000]
    for secret in (text, text.encode("utf-16"), nested):
        assert took(functools.partial(import_secret, secret)) < MOST


class Raw(httpx.AsyncByteStream):
    """A body that is sent as it is."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body


async def secret_of(issuer: str) -> str:
    return "a secret of at least thirty-two bytes"


UNSIGNED = [
    *[(f"{unit}, in the query", f"/connect?{unit * (65_000 // len(unit))}", "JWT x.y.z")
      for unit in ("&", "a&", "%6a&", "jwt&", "jwt=%2B&", "%41=")],
    *[(f"{unit}, a megabyte of them", f"/connect?{unit * (10**6 // len(unit))}", "JWT x.y.z")
      for unit in ("&", "%6a&", "a")],
    ("spaces after the scheme", "/connect", "JWT " + " " * 10**7 + "x.y.z"),
    ("spaces after the token", "/connect", "JWT x.y.z" + " " * 10**7),
    ("many tokens", "/connect", "JWT" + " x" * 10**6),
    ("a long scheme", "/connect", "J" * 10**7),
    ("a long token", "/connect", "JWT " + "J" * 10**7),
]  # fmt: skip


@pytest.mark.parametrize(("target", "value"), [row[1:] for row in UNSIGNED],
                         ids=[row[0] for row in UNSIGNED])  # fmt: skip
async def test_no_unsigned_request_holds_the_event_loop(target: str, value: str) -> None:
    """A megabyte of & in a query held it half a second, before anything was verified; and a header
    has as many bytes as they like where the server has no limit, as uvicorn with httptools."""
    request = Request("GET", target, (("Authorization", value),))
    resolver = shared_secrets(secret_of)
    app = connect.authenticator(resolver, base_url="https://app.example/connect")
    verify = asap.verifier(keys_by_id([KEY]), "service", issuers=None)
    for authenticate in (app, connect.context_authenticator(resolver), bearer(verify)):
        assert await held(functools.partial(authenticate, request)) < MOST


@pytest.mark.parametrize(
    "header", [b'{"alg":"ES256","a":' + b"[" * 10**6, b"[" * 10**6], ids=["JSON", "brackets"]
)
async def test_no_token_that_is_explained_holds_the_event_loop(header: bytes) -> None:
    """What is longer than any token was read once more, for its algorithm: 13 MB for 4 seconds."""
    token = encode_base64url(header) + b".e30.AA"
    rules = policy(keys_by_id([KEY]))
    assert await held(functools.partial(explain, token, rules)) < MOST
    assert (await explain(token, rules)).hint


# Bodies of many parts, each of which says nothing.
ENCODED = {
    "empty blocks of deflate": ("deflate", b"\x03\x00"),
    "empty streams of deflate": ("deflate", zlib.compress(b"")),
    "empty members of gzip": ("gzip", gzip.compress(b"", mtime=0)),
}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("size", [65_536, 2**20])
async def test_no_encoded_answer_holds_the_event_loop(name: str, size: int) -> None:
    """64 KiB of deflate's empty blocks, two bytes each: 89 ms, and four times that for twice as
    many, since what is left was copied for each."""
    encoding, part = ENCODED[name]
    body = part * (size // len(part))

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": encoding}, stream=Raw(body))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        fetch = fetcher(client, max_bytes=size)
        assert await held(lambda: fetch("https://keys.example/set", "*/*")) < MOST
        with pytest.raises(Unavailable, match=f"not {encoding}"):
            await fetch("https://keys.example/set", "*/*")


async def test_no_answer_in_small_pieces_holds_the_event_loop() -> None:
    """Chunks of one byte: 20,000 of them were read from one buffer without a pause, in 0.12 s."""
    body = b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    waits: list[float] = []

    async def watch() -> None:
        while True:
            began = time.thread_time()
            await anyio.sleep(0)
            waits.append(time.thread_time() - began)

    with raw_server(answers(head + body)) as origin:
        async with httpx.AsyncClient(verify=trusting()) as client:
            fetch = fetcher(client, timeout=30)
            assert len((await fetch(f"{origin}/first", "*/*")).body) == 20_000
            for _ in range(REPEATS):
                waits.clear()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(watch)
                    await fetch(f"{origin}/key", "*/*")
                    tasks.cancel_scope.cancel()
                # Another process may hold the processor, but not each time.
                if max(waits) < MOST:
                    break
    assert max(waits) < MOST
