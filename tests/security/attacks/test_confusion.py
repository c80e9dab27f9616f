"""Attacks on which key and which algorithm a signature is held against."""

import json
from typing import Any

import pytest
from joserfc.jwk import OctKey

from asapfn import Unavailable, verify
from asapfn._core.algorithms import ALGORITHMS
from asapfn._core.compact import encode_base64url
from asapfn.keys import export_public_jwk, export_public_pem, import_jwk, import_pem, import_secret
from asapfn.resolvers import jwks, keys_by_id, shared_secrets
from asapfn.types import Document, Resolver
from tests.support.forging import forge, forge_bytes
from tests.support.keyforms import known_to_others
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, KEY, clock, nobody_asks
from tests.support.victim import GOOD, MALLORY, by_hmac, service, told

BOTH = ("HS256", "RS256", "ES256")
SECRET = b"a secret that the two of them share"


def lax(token: str, resolver: Resolver) -> Any:
    """A verifier that is set up as the attacks want it: for secrets and public keys alike."""
    return verify(token, resolver, audience="service", algorithms=BOTH, now=clock)


def tenant(secret: str | bytes) -> Resolver:
    async def look_up(issuer: str) -> str | bytes:
        return secret

    return shared_secrets(look_up)


async def test_what_is_forged_here_is_taken_where_the_secret_is_one() -> None:
    """The control: by_hmac's tokens are refused below for their secret, and for nothing else."""
    assert await told(lax(by_hmac(CLAIMS, SECRET), tenant(SECRET))) is None
    assert await told(lax(by_hmac(CLAIMS, SECRET + b"?"), tenant(SECRET))) == "bad_signature"


@pytest.mark.parametrize("form", ["PEM", "DER", "SSH", "JWK", "base64"])
async def test_a_public_key_in_any_form_is_no_secret(form: str) -> None:
    """CVE-2022-29217 (PyJWT) and CVE-2024-33663 (python-jose) with the bypass of its mending by
    DER, CVE-2026-48526 (PyJWT, a JWK): HS256 with a public key that anybody knows."""
    forms = {name: data for name, data in known_to_others().items() if form in name}
    assert forms
    for name, data in forms.items():
        forged = by_hmac(CLAIMS, data)
        assert await told(lax(forged, tenant(data))) == "unsuitable_key", name
        with pytest.raises(ValueError, match="no shared secret"):
            import_secret(data)


@pytest.mark.parametrize("form", ["PEM", "DER", "SSH", "JWK"])
async def test_a_public_key_is_never_held_against_an_hmac(form: str) -> None:
    """CVE-2022-29217: the key is the right one and of its right type, the token says HS256."""
    public = import_pem(export_public_pem(key_for("RS256")), kid="issuer/RS256.pem")
    for name, data in known_to_others().items():
        if name.startswith("RS256") and form in name:
            forged = by_hmac(CLAIMS, data, kid=public.kid)
            assert await told(lax(forged, keys_by_id([public]))) == "unsuitable_key", name
            assert await service(forged, nobody_asks) == "unsupported_algorithm", name


async def test_a_secret_is_never_held_against_a_signature() -> None:
    """The same confusion the other way round: RS256 and ES256 where a secret was agreed on."""
    for algorithm in ("RS256", "ES256"):
        token = forge(CLAIMS, key_for(algorithm))
        assert await told(lax(token, tenant(SECRET))) == "unsuitable_key"


def test_secrets_and_public_keys_are_never_in_one_set() -> None:
    """RFC 8725, section 3.1: a set that holds both lets the token choose between them."""
    with pytest.raises(ValueError, match="one set"):
        keys_by_id([KEY, key_for("HS256")])


async def test_a_published_set_holds_no_secret() -> None:
    """CVE-2026-48526's other half: a symmetric key that is published, with public ones."""
    secret = {"kty": "oct", "kid": "s", "k": encode_base64url(SECRET).decode()}

    async def fetch(url: str, accept: str) -> Document:
        keys = [export_public_jwk(KEY), secret]
        return Document(200, "application/json", json.dumps({"keys": keys}).encode())

    with pytest.raises(Unavailable, match="symmetric"):
        await lax(by_hmac(CLAIMS, SECRET, kid="s"), jwks("https://keys.example/set", fetch))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "n\u043ene"])
async def test_none_is_no_algorithm_in_any_case(algorithm: str) -> None:
    """CVE-2018-1000531 (prime-jwt), and Auth0's API in 2020, which took `nonE`: unsigned tokens."""
    signed = forge(CLAIMS, KEY, alg=algorithm, signed_as="ES256")
    for token in (signed, signed.rpartition(".")[0] + ".", signed.rpartition(".")[0]):
        assert await service(token, nobody_asks) == "unsupported_algorithm"
        assert await told(lax(token, nobody_asks)) == "unsupported_algorithm"
    with pytest.raises(ValueError, match="unknown algorithm"):
        await verify(signed, nobody_asks, algorithms=["ES256", algorithm])


async def test_a_token_without_an_algorithm_or_a_signature_is_none() -> None:
    """CVE-2020-28042 (ServiceStack): the signature is left out, and the algorithm stays."""
    unsigned = GOOD.rpartition(".")[0]
    for token in (unsigned, unsigned + ".", forge_bytes(b"{}", CLAIMS, KEY)):
        assert await service(token, nobody_asks) == "malformed"


@pytest.mark.parametrize("algorithm", ["hs256", "Es256", "ES256 ", "ES256\0", "ES256K", "RS1"])
async def test_an_algorithm_has_one_spelling(algorithm: str) -> None:
    """RFC 7515, section 4.1.1: a name that one comparison takes for ES256, and another not."""
    token = forge(CLAIMS, KEY, alg=algorithm, signed_as="ES256")
    assert await service(token, nobody_asks) == "unsupported_algorithm"


@pytest.mark.parametrize("secret", [b"", b"0" * 31])
async def test_an_empty_secret_or_a_short_one_verifies_nothing(secret: bytes) -> None:
    """CVE-2026-49852 (joserfc): where no secret is set, anybody can compute the HMAC."""
    forged = by_hmac(CLAIMS, secret)
    for given in (secret, secret.decode()):
        assert await told(lax(forged, tenant(given))) == "unsuitable_key"
        with pytest.raises(ValueError, match="at least 32 bytes"):
            import_secret(given)
    with pytest.raises(ValueError, match="make no key"):
        import_jwk({"kty": "oct", "k": encode_base64url(secret).decode()})
    # Not even where joserfc's own key gets past our import.
    bare = OctKey(secret, secret, {"kid": "s"})
    assert await told(lax(by_hmac(CLAIMS, secret, kid="s"), keys_by_id([bare]))) == "unsuitable_key"


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_a_key_serves_one_algorithm(algorithm: str) -> None:
    """RFC 8725, section 3.1: the token chooses neither family, hash, padding nor curve."""
    key = key_for(algorithm)
    for other in ALGORITHMS.keys() - {algorithm}:
        signer = key_for(other)
        token = forge(CLAIMS, signer, kid=key.kid)
        said = await told(
            verify(token, keys_by_id([key]), audience="service", algorithms=ALGORITHMS, now=clock)
        )
        assert said == "unsuitable_key", other


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"])
async def test_a_key_in_the_header_is_not_trusted(name: str) -> None:
    """CVE-2026-27962 (Authlib), CVE-2018-0114 (node-jose): a token that brings its own key."""
    url = "https://mallory.example/keys"
    given: Any = {"jwk": export_public_jwk(MALLORY), "x5c": ["MIIB"]}.get(name, url)
    header = {name: given, "kid": KEY.kid}
    assert await service(forge(CLAIMS, MALLORY, **header)) == "bad_signature"
    assert await service(forge(CLAIMS, MALLORY, **header | {"kid": None})) == "missing_claim"
    # Nor does it change which key is found for a token that is good.
    assert await service(forge(CLAIMS, KEY, **header)) is None


async def test_a_token_is_looked_up_by_its_key_id_and_issuer_alone() -> None:
    """CVE-2026-27962: a resolver that is shown a `jku` fetches from nowhere but its own source."""
    asked = []

    async def fetch(url: str, accept: str) -> Document:
        asked.append(url)
        return Document(404, "", b"")

    token = forge(CLAIMS, MALLORY, jku="https://mallory.example", x5u="https://mallory.example")
    keys = jwks("https://keys.example/set", fetch)
    with pytest.raises(Unavailable):
        await verify(token, keys, audience="service", now=clock)
    assert asked == ["https://keys.example/set"]
