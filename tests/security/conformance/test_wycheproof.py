"""Project Wycheproof's vectors of JSON Web Signatures, through our own codec and keys.

Every one with a JWS, 476 of them: those for encryption are not ours. Where we differ from what a
vector says, the table below names it and why: stricter than a vector that asks for laxity, or a
vector that cannot be met.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from asapfn._core import compact
from asapfn._core.algorithms import verify_signature
from asapfn.errors import TokenRejected
from asapfn.keys import import_jwk
from asapfn.resolvers import keys_by_id

FILES = ("json_web_crypto", "json_web_key", "json_web_signature")

# By their tcId; all of them in json_web_signature.
DIFFERENCES = {
    346: "a PS384 token, and a key whose own alg says PS256",
    347: "an ES512 token, and a key whose own alg is ES521, which does not exist",
    350: "as 346",
    351: "as 347",
    367: "said to be invalid, but byte for byte the valid 357",
    370: "said to be invalid, but byte for byte the valid 357",
    372: "said to be valid, with a character in the header that is none of base64url's",
    373: "the same in the payload",
}


class Vector(NamedTuple):
    file: str
    number: int
    jwks: dict[str, Any]
    token: str
    valid: bool


def read(folder: pathlib.Path) -> Iterator[Vector]:
    for file in FILES:
        text = (folder / "wycheproof" / f"{file}.json").read_text(encoding="utf-8")
        for group in json.loads(text):
            jwk = group["key"]
            jwks = jwk if "keys" in jwk else {"keys": [jwk]}
            for number, result, jws in group["tests"]:
                # One is in JSON serialization: as a peer would send it.
                token = jws if isinstance(jws, str) else json.dumps(jws)
                yield Vector(file, number, jwks, token, result == "valid")


@pytest.fixture(scope="module")
def suite(vectors: pathlib.Path) -> list[Vector]:
    return list(read(vectors))


def accepts(vector: Vector) -> bool:
    """Whether the keys are taken and the token verifies with the one that it names."""
    members = vector.jwks["keys"]
    try:
        keys = [import_jwk(member) for member in members]
        if len(keys) > 1:
            keys_by_id(keys)
        header, _, signing_input, signature = compact.parse(vector.token)
        named = [key for key in keys if len(keys) == 1 or key.kid == header.get("kid")]
        return any(verify_signature(header["alg"], key, signing_input, signature) for key in named)
    except (ValueError, TokenRejected):
        return False


def test_every_vector_is_decided_as_it_says_but_for_the_table(suite: list[Vector]) -> None:
    differing = {(v.file, v.number) for v in suite if accepts(v) != v.valid}
    assert differing == {("json_web_signature", number) for number in DIFFERENCES}


def test_all_of_the_vectors_are_run(suite: list[Vector]) -> None:
    assert len(suite) == 476
    assert sum(vector.valid for vector in suite) == 55


def test_the_vectors_that_cannot_be_met_are_those_of_a_valid_one(suite: list[Vector]) -> None:
    signature = {v.number: v for v in suite if v.file == "json_web_signature"}
    for number in (367, 370):
        assert signature[number]._replace(number=357, valid=True) == signature[357]


def test_the_figures_that_contradict_their_keys_hold_without_those_keys_alg(
    suite: list[Vector],
) -> None:
    signature = {v.number: v for v in suite if v.file == "json_web_signature"}
    for number in (346, 347, 350, 351):
        (jwk,) = signature[number].jwks["keys"]
        plain = {name: value for name, value in jwk.items() if name != "alg"}
        assert accepts(signature[number]._replace(jwks={"keys": [plain]}))


def test_the_lax_base64_of_the_others_is_why_they_are_refused(suite: list[Vector]) -> None:
    signature = {v.number: v for v in suite if v.file == "json_web_signature"}
    for number in (372, 373):
        with pytest.raises(TokenRejected) as caught:
            compact.parse(signature[number].token)
        assert caught.value.reason == "malformed"
        # Without the foreign character it is the token of 357.
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
        clean = "".join(c for c in signature[number].token if c in alphabet)
        assert accepts(signature[number]._replace(token=clean))


@pytest.mark.parametrize(
    ("file", "number", "words"),
    [
        ("json_web_crypto", 46, "ROCA"),
        ("json_web_key", 7, "ROCA"),
        ("json_web_key", 8, "weak"),
    ],
)
def test_a_weak_key_is_refused_on_import(
    suite: list[Vector], file: str, number: int, words: str
) -> None:
    (vector,) = [v for v in suite if (v.file, v.number) == (file, number)]
    with pytest.raises(ValueError, match=words):
        import_jwk(vector.jwks["keys"][0])


def test_a_set_that_mixes_secrets_and_public_keys_is_refused(suite: list[Vector]) -> None:
    mixed = [
        v
        for v in suite
        if {jwk["kty"] for jwk in v.jwks["keys"]} > {"oct"} and v.file != "json_web_signature"
    ]
    assert mixed
    for vector in mixed:
        with pytest.raises(ValueError, match="secrets and public keys"):
            keys_by_id([import_jwk(jwk) for jwk in vector.jwks["keys"]])
