"""A key that is published and cannot be used: the refusal says so, and why."""

import json
from typing import Any

import pytest

from asapfn import explain, policy, sign, verifier
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_public_jwk, import_jwk
from asapfn.resolvers import cached, first_of, jwks, keys_by_id, prefetch
from asapfn.types import Document, Key, Unverified
from tests.support.keyforms import rsa_jwk, weak_pair
from tests.support.keyring import key_for
from tests.support.keysets import EC, NEW, RSA, Client
from tests.support.keysources import asking

JWK = export_public_jwk(EC) | {"kid": "k"}


def key_without_kid(name: str) -> Key:
    return import_jwk({**key_for(name).as_dict(private=True), "kid": None})


CAUSES: dict[str, tuple[list[Any], str]] = {
    "padded base64": ([JWK | {"x": JWK["x"] + "="}], "x is not unpadded base64url"),
    "base64 in place of base64url": (
        [JWK | {"x": "+/" + JWK["x"][2:]}],
        "x is not unpadded base64url",
    ),
    "another use": ([JWK | {"use": "enc"}], "not for signatures"),
    "other operations": ([JWK | {"key_ops": ["encrypt"]}], "key_ops do not allow"),
    "a curve that is not known": ([JWK | {"crv": "secp256k1"}], "no algorithm here has a key of"),
    "a type that is not known": ([{"kty": "AKP", "pub": "AAAA", "kid": "k"}], "kty is none of"),
    "no type": ([{"kid": "k"}], "kty is none of"),
    "a member that is missing": ([JWK | {"y": None}], "y is missing or not a string"),
    "not on its curve": ([JWK | {"x": JWK["y"]}], "make no key"),
    "another algorithm": ([JWK | {"alg": "ES384"}], "needs a key of the curve P-384"),
    "an algorithm that is not known": ([JWK | {"alg": "ES256K"}], "unknown algorithm"),
    "too weak": ([rsa_jwk(weak_pair()) | {"kid": "k"}], "this one has 1024"),
    "of another type": ([export_public_jwk(RSA) | {"kid": "k"}], "ES256 needs a key of type EC"),
    "two keys of one id": (
        [JWK, export_public_jwk(NEW) | {"kid": "k"}],
        "more than one key of it fits ES256",
    ),
    "two keys of one id, both unusable": (
        [JWK | {"use": "enc"}, export_public_jwk(RSA) | {"kid": "k"}],
        "ES256 needs a key of type EC, not RSA; the JWK is not for signatures",
    ),
}


@pytest.mark.parametrize(("members", "cause"), CAUSES.values(), ids=CAUSES)
async def test_the_refusal_says_why_a_published_key_cannot_be_used(
    members: list[Any], cause: str
) -> None:
    client = Client({"keys": [export_public_jwk(RSA), *members]})
    rules = policy(client.resolve, required=())
    token = sign({"iss": "issuer"}, EC, kid="k")
    with pytest.raises(TokenRejected) as caught:
        await verifier(rules)(token)
    error = caught.value
    assert (error.reason, error.claim, error.status) == ("unknown_key", "kid", 401)
    assert error.detail.startswith("the key set has this kid, but ")
    assert cause in error.detail
    for member in members:
        assert not any(len(str(value)) > 20 and value in error.detail for value in member.values())
    explained = await explain(token, rules)
    assert isinstance(explained.verdict, TokenRejected)
    assert explained.verdict.detail == error.detail
    assert "publish the public key under" not in explained.hint
    assert "publish one usable key under this kid" in explained.hint
    assert client.requests == 1


async def test_a_kid_that_is_a_number_in_the_set_is_said_to_be_no_string() -> None:
    client = Client({"keys": [JWK | {"kid": 2024}]})
    found = await client.why(asking("2024", "issuer", "ES256"))
    assert found == "the key set has this kid, but the JWK's kid is missing or not a string"


async def test_a_key_that_is_not_published_is_to_be_published() -> None:
    client = Client({"keys": [export_public_jwk(RSA), JWK | {"use": "enc"}]})
    rules = policy(client.resolve, required=())
    explained = await explain(sign({"iss": "issuer"}, EC, kid="another"), rules)
    assert isinstance(explained.verdict, TokenRejected)
    assert explained.verdict.detail == 'no key for kid "another" of iss "issuer"'
    assert "publish the public key under this kid" in explained.hint


async def test_a_copy_that_can_be_used_is_used() -> None:
    client = Client({"keys": [JWK | {"use": "enc"}, JWK, JWK | {"x": "="}]})
    assert await client.resolve(asking("k", "issuer", "ES256")) is not None


async def test_a_token_without_a_kid_must_have_one_key_that_fits() -> None:
    client = Client({"keys": [JWK, export_public_jwk(NEW), export_public_jwk(RSA)]})
    with pytest.raises(TokenRejected) as caught:
        await client.resolve(asking(None, "issuer", "ES256"))
    assert caught.value.reason == "unknown_key"
    assert (
        caught.value.detail == "the token has no kid, and more than one key of the set fits ES256"
    )
    assert await client.resolve(asking(None, "issuer", "EdDSA")) is None


WITHOUT_KID = {name: value for name, value in JWK.items() if name != "kid"}


@pytest.mark.parametrize("jwk", [JWK, WITHOUT_KID], ids=["its key has a kid", "nor has its key"])
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"x": JWK["x"] + "="}, "x is not unpadded base64url"),
        ({"use": "enc"}, "the JWK is not for signatures"),
        ({"alg": "ES384"}, "needs a key of the curve P-384"),
        ({"key_ops": ["encrypt"]}, "key_ops do not allow"),
    ],
)
async def test_the_refusal_of_a_token_without_a_kid_says_why_no_key_can_be_used(
    jwk: dict[str, Any], change: dict[str, Any], cause: str
) -> None:
    rules = policy(Client({"keys": [jwk | change]}).resolve, required=())
    token = sign({"iss": "issuer"}, key_without_kid("ES256"))
    with pytest.raises(TokenRejected) as caught:
        await verifier(rules)(token)
    assert (caught.value.reason, caught.value.claim) == ("unknown_key", "kid")
    assert caught.value.detail.startswith("the token has no kid, and no key of the set can be used")
    assert cause in caught.value.detail
    hint = (await explain(token, rules)).hint
    assert "under this kid" not in hint
    assert "all else needs a kid" not in hint
    assert "publish one usable key for its algorithm" in hint


async def test_an_ambiguous_token_without_a_kid_is_to_have_one() -> None:
    rules = policy(Client({"keys": [JWK, export_public_jwk(NEW)]}).resolve, required=())
    found = await explain(sign({"iss": "issuer"}, key_without_kid("ES256")), rules)
    assert found.hint.startswith("have the signer set the kid of its key")
    assert "under this kid" not in found.hint


async def test_a_newer_set_is_asked_for_before_the_refusal() -> None:
    client = Client({"keys": [JWK | {"use": "enc"}]}, cooldown=30.0)
    with pytest.raises(TokenRejected, match="not for signatures"):
        await client.resolve(asking("k", "issuer", "ES256"))
    client.clock.turn(30.0)
    with pytest.raises(TokenRejected, match="not for signatures"):
        await client.resolve(asking("k", "issuer", "ES256"))
    assert client.requests == 2
    assert client.events.kinds() == ["fetched", "unknown", "refreshed", "unknown"]


async def test_a_detail_is_cut() -> None:
    client = Client({"keys": [export_public_jwk(key_for("RS256")) | {"kid": "k"}] * 2
                  + [JWK | {"alg": f"unknown {number}"} for number in range(500)]
                  + [JWK | {"use": "enc"}]})  # fmt: skip
    with pytest.raises(TokenRejected) as caught:
        await client.resolve(asking("k", "issuer", "ES256"))
    assert len(caught.value.detail) < 300


async def test_another_resolver_may_still_have_the_key() -> None:
    unusable = Client({"keys": [JWK | {"use": "enc"}]}).resolve
    nothing = Client({"keys": []}).resolve
    other = keys_by_id({"k": EC})

    async def down(unverified: Unverified) -> Key | None:
        raise Unavailable("elsewhere")

    asked = asking("k", "issuer", "ES256")
    assert await first_of(unusable, other)(asked) is EC
    assert await first_of(nothing, other)(asked) is EC
    with pytest.raises(TokenRejected, match="not for signatures"):
        await first_of(unusable, nothing)(asked)
    with pytest.raises(TokenRejected, match="not for signatures"):
        await first_of(nothing, cached(unusable))(asked)
    with pytest.raises(Unavailable, match="elsewhere"):
        await first_of(unusable, down)(asked)
    with pytest.raises(Unavailable, match="elsewhere"):
        await first_of(down, unusable)(asked)


async def test_a_key_that_cannot_be_used_is_not_prefetched() -> None:
    client = Client({"keys": [JWK | {"use": "enc"}]})
    assert await prefetch(client.resolve, ["k"], algorithm="ES256") == {"k": False}


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
async def test_a_byte_order_mark_before_a_set_is_no_part_of_it(media_type: str) -> None:
    """Whatever fetched it, and as whatever it is served."""
    body = b"\xef\xbb\xbf" + json.dumps({"keys": [JWK]}).encode()

    async def fetch(url: str, accept: str) -> Document:
        return Document(200, media_type, body)

    assert await jwks("https://keys.example/", fetch)(asking("k", "issuer", "ES256")) is not None
