"""What `sign` makes is what was asked for, and what anybody's verifier takes."""

import base64
import contextlib
import itertools
import json
import math
import types
from typing import Any

import pytest
from joserfc import jws

import asapfn
from asapfn._core import compact
from asapfn._core.algorithms import ALGORITHMS, verify_signature
from asapfn.keys import export_public_jwk, import_jwk, import_secret
from tests.support.keyring import key_for

CLAIMS = {"iss": "issuer", "aud": ["a", "b"], "exp": 1700000060, "nested": {"é": [None, 1.5]}}


def header_of(token: str) -> dict[str, Any]:
    head = token.partition(".")[0]
    members: dict[str, Any] = json.loads(base64.urlsafe_b64decode(head + "==="))
    return members


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_token_holds_the_claims_as_they_are_and_names_its_key(name: str) -> None:
    key = key_for(name)
    token = asapfn.sign(CLAIMS, key)
    header, payload, signing_input, signature = compact.parse(token)
    assert header == {"alg": name, "kid": f"issuer/{name}.pem", "typ": "JWT"}
    assert json.loads(payload) == CLAIMS
    assert verify_signature(name, key, signing_input, signature)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_joserfc_by_itself_verifies_a_token(name: str) -> None:
    key = key_for(name)
    verified = jws.deserialize_compact(asapfn.sign(CLAIMS, key), key, algorithms=[name])
    assert json.loads(verified.payload) == CLAIMS


def test_the_key_id_is_the_keys_own_unless_another_is_named() -> None:
    key = key_for("ES256")
    assert header_of(asapfn.sign({}, key, kid="other/id"))["kid"] == "other/id"
    assert header_of(asapfn.sign({}, key, kid=""))["kid"] == ""
    assert "kid" not in header_of(asapfn.sign({}, import_secret(b"s" * 32)))


@pytest.mark.parametrize("algorithm", ["PS256", "RS512"])
def test_the_algorithm_is_the_keys_usual_one_unless_another_is_named(algorithm: str) -> None:
    members = key_for("RS256").as_dict(private=True)
    key = import_jwk({name: value for name, value in members.items() if name != "alg"})
    assert header_of(asapfn.sign({}, key))["alg"] == "RS256"
    assert header_of(asapfn.sign({}, key, algorithm=algorithm))["alg"] == algorithm


def test_the_type_is_jwt_unless_another_is_named() -> None:
    assert header_of(asapfn.sign({}, key_for("ES256"), typ="at+jwt"))["typ"] == "at+jwt"


def test_signing_depends_on_nothing_but_what_it_is_given() -> None:
    for name in ("RS256", "EdDSA", "HS256"):
        assert asapfn.sign(CLAIMS, key_for(name)) == asapfn.sign(CLAIMS, key_for(name))


def test_nothing_is_added_to_the_claims_and_nothing_in_them_is_changed() -> None:
    claims = {"b": 1, "a": [{"z": 1, "y": 2}]}
    payload = compact.parse(asapfn.sign(claims, key_for("ES256")))[1]
    assert payload == b'{"b":1,"a":[{"z":1,"y":2}]}'
    assert claims == {"b": 1, "a": [{"z": 1, "y": 2}]}
    payload = compact.parse(asapfn.sign({"\u00e9": "\u2126"}, key_for("ES256")))[1]
    assert payload == '{"\u00e9":"\u2126"}'.encode()


def test_any_mapping_will_do_for_claims() -> None:
    claims = types.MappingProxyType({"iss": "issuer"})
    assert compact.parse(asapfn.sign(claims, key_for("ES256")))[1] == b'{"iss":"issuer"}'


@pytest.mark.parametrize("name", ["none", "HS999", "ES256K"])
def test_an_unknown_algorithm_is_told(name: str) -> None:
    with pytest.raises(ValueError, match="unknown algorithm"):
        asapfn.sign({}, key_for("ES256"), algorithm=name)


def test_a_key_that_does_not_fit_is_told() -> None:
    with pytest.raises(ValueError, match="ES384 needs a key of the curve P-384"):
        asapfn.sign({}, key_for("ES256"), algorithm="ES384")
    with pytest.raises(ValueError, match="a public key cannot sign"):
        asapfn.sign({}, import_jwk(export_public_jwk(key_for("ES256"))))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_told(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        asapfn.sign({"exp": value}, key_for("ES256"))


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()])
def test_a_value_that_is_not_jsons_is_told(value: Any) -> None:
    with pytest.raises(TypeError):
        asapfn.sign({"a": value}, key_for("ES256"))


def test_a_token_may_be_as_long_as_a_verifier_takes_and_no_longer() -> None:
    key = key_for("HS256")
    spare = (compact.MAX_BYTES - len(asapfn.sign({"a": ""}, key, kid=""))) * 3 // 4
    lengths = set()
    # Base64 leaves out one length in four; the key id is in the header, and makes up for it.
    for short, long in itertools.product(range(12), range(9)):
        with contextlib.suppress(ValueError):
            lengths.add(len(asapfn.sign({"a": "x" * (spare - short)}, key, kid="k" * long)))
    assert max(lengths) == compact.MAX_BYTES
    with pytest.raises(ValueError, match="longer than 16384 bytes"):
        asapfn.sign({"a": "x" * (compact.MAX_BYTES * 3 // 4)}, key)


def test_no_message_tells_the_secret() -> None:
    secret = "Zx9SecretZx9" * 4
    key = import_secret(secret)
    for attempt in ({"algorithm": "HS512"}, {"algorithm": "RS256"}, {"algorithm": "none"}):
        with pytest.raises(ValueError, match=r"needs|unknown") as caught:
            asapfn.sign({}, key, **attempt)
        assert "Zx9" not in f"{caught.value!r} {caught.value.__cause__!r}"
