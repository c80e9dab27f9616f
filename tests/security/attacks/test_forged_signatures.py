"""Attacks on the signature: made of nothing, changed without a key, or measured by the clock."""

import base64
import hashlib
import hmac
import itertools
import json
import string
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from asapfn import Request, connect, qsh, verify
from asapfn._core.compact import decode_base64url, encode_base64url
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id, shared_secrets
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, KEY, clock
from tests.support.victim import GOOD, by_hmac, service, told

SECRET = "a secret that the two of them share"
CURVES: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


def with_signature(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{encode_base64url(signature).decode()}"


@pytest.mark.parametrize("name", CURVES)
async def test_a_psychic_signature_holds_for_no_key(name: str) -> None:
    """CVE-2022-21449 (Java): r or s is zero, or the curve's order, which is zero to the curve."""
    order, size = CURVES[name].group_order, (CURVES[name].key_size + 7) // 8
    token, resolver = forge(CLAIMS, key_for(name)), keys_by_id([key_for(name)])
    for r, s in itertools.product((0, 1, order - 1, order, order + 1), repeat=2):
        forged = with_signature(token, r.to_bytes(size) + s.to_bytes(size))
        assert await service(forged, resolver) == "bad_signature"
    assert await service(token, resolver) is None


@pytest.mark.parametrize("name", ["RS256", "PS256", "EdDSA", "HS256"])
async def test_a_signature_of_nothing_holds_for_no_key(name: str) -> None:
    """CVE-2022-21449's kind for the other families: zeros, ones, a signature too short."""
    token, key = forge(CLAIMS, key_for(name)), key_for(name)
    size = len(decode_base64url(token.rpartition(".")[2].encode()))
    for signature in (
        b"\0",
        b"\0" * size,
        b"\1" + b"\0" * (size - 1),
        b"\xff" * size,
        b"\0" * 4096,
    ):
        forged = with_signature(token, signature)
        checked = verify(
            forged, keys_by_id([key]), audience="service", algorithms=[name], now=clock
        )
        assert await told(checked) == "bad_signature"


@pytest.mark.parametrize("name", CURVES)
async def test_the_replay_guard_knows_a_token_by_its_id_not_its_signature(name: str) -> None:
    """ECDSA malleability: of (r, s) anybody makes (r, n - s), which holds as well (BIP 62)."""
    order, size = CURVES[name].group_order, (CURVES[name].key_size + 7) // 8
    token, resolver = forge(CLAIMS, key_for(name)), keys_by_id([key_for(name)])
    signature = decode_base64url(token.rpartition(".")[2].encode())
    mirrored = order - int.from_bytes(signature[size:])
    twin = with_signature(token, signature[:size] + mirrored.to_bytes(size))
    assert twin != token
    assert await service(twin, resolver) is None
    for first, second in ((token, twin), (twin, token)):
        store = in_memory()
        assert await service(first, resolver, replay=store) is None
        assert await service(second, resolver, replay=store) == "replayed"


async def test_the_replay_guard_cannot_be_fooled_by_another_spelling_of_the_id() -> None:
    """Two (issuer, id) pairs whose letters run together alike are two; one is only ever one."""
    store, keys = in_memory(), keys_by_id({"issuer/k": KEY, "issuer1/k": KEY})
    for iss, jti, said in (
        ("issuer", "11", None),
        ("issuer1", "1", None),
        ("issuer", "11", "replayed"),
        ("issuer", "11\0", None),
    ):
        token = forge(CLAIMS | {"iss": iss, "jti": jti}, KEY, kid=f"{iss}/k")
        assert await service(token, keys, replay=store) == said
    escaped = json.dumps(CLAIMS | {"jti": "11"}).replace('"11"', '"1\\u0031"').encode()
    token = forge(escaped, KEY, kid="issuer/k")
    assert await service(token, keys, replay=store) == "replayed"


@pytest.mark.parametrize("segment", [0, 1, 2])
async def test_each_segment_has_one_spelling(segment: int) -> None:
    """Base64 malleability (RFC 4648, section 3.5): another text that stands for the same bytes."""
    store, alphabet = in_memory(), string.ascii_letters + string.digits + "-_"
    # Of a length that leaves bits over in the last letter of header, claims and signature alike.
    token = forge(CLAIMS | {"pad": ""}, KEY, typ="JW")
    parts = token.split(".")
    assert all(len(part) % 4 for part in parts)
    text = parts[segment]
    same = [text[:-1] + last for last in alphabet if last != text[-1]]
    value = decode_base64url(text.encode())
    padding = "=" * (-len(text) % 4)
    lax = [text + padding, text + "=", text + "\n", " " + text, text[:4] + "\r\n" + text[4:]]
    spellings = [t for t in same if base64.urlsafe_b64decode(t + "==") == value] + lax
    assert len(spellings) >= len(lax) + 3
    for spelling in spellings:
        parts[segment] = spelling
        assert await service(".".join(parts), replay=store) == "malformed"
    assert await service(token, replay=store) is None
    assert await service(token, replay=store) == "replayed"


@pytest.mark.parametrize("ending", ["\n", " ", ".", ".x", "\0", "\u00e9", "="])
async def test_nothing_stands_before_or_behind_a_token(ending: str) -> None:
    """The same malleability at the edges: a token that is stripped is another token to a cache."""
    assert await service(GOOD + ending) == "malformed"
    assert await service(ending + GOOD) == "malformed"


async def test_secrets_hashes_and_hmacs_are_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Timing of the comparisons (CWE-208; Keyczar, 2009), by structure: a clock would be flaky.
    The hash of the request and the HMAC each go through `hmac.compare_digest`, right or wrong."""
    compared: list[set[bytes]] = []
    constant_time = hmac.compare_digest

    def counting(left: Any, right: Any) -> bool:
        compared.append({bytes(left), bytes(right)})
        return constant_time(left, right)

    async def look_up(issuer: str) -> str:
        return SECRET

    monkeypatch.setattr(hmac, "compare_digest", counting)
    authenticate = connect.authenticator(
        shared_secrets(look_up), base_url="https://app.example", now=clock
    )
    expected = qsh("GET", "/page").encode()
    for given in (expected, expected[:-1] + b"!", b"!"):
        claims = {n: v for n, v in CLAIMS.items() if n != "aud"} | {"qsh": given.decode()}
        token = by_hmac(claims, SECRET.encode())
        compared.clear()
        request = Request("GET", "/page", (("Authorization", f"JWT {token}"),))
        reason = None if given == expected else "request_mismatch"
        assert await told(authenticate(request)) == reason
        head, _, tail = token.rpartition(".")
        made = hmac.digest(SECRET.encode(), head.encode(), hashlib.sha256)
        assert compared == [{made, decode_base64url(tail.encode())}, {expected, given}]
        compared.clear()
        wrong = Request("GET", "/page", (("Authorization", f"JWT {with_signature(token, b'?')}"),))
        assert await told(authenticate(wrong)) == "bad_signature"
        assert compared == [{made, b"?"}]
