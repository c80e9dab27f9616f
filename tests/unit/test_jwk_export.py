"""JSON Web Keys, out: public members and no others, and no key id twice in a set."""

import json
from typing import Any

import pytest
from joserfc.jwk import OctKey

from asapfn._core.jwk import export_jwks, export_public_jwk, import_jwk
from asapfn.keys import generate
from asapfn.types import Key
from tests.support.keyforms import KINDS, whole
from tests.support.keyring import key_for

PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


@pytest.mark.parametrize("name", [*KINDS, "PS512", "Ed25519"])
def test_an_export_is_the_public_members_and_no_others(name: str) -> None:
    key = key_for(name)
    public = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}[key.key_type]
    exported = export_public_jwk(key)
    assert exported.keys() == {"kty", "kid", "alg", "use"} | public
    assert exported["use"] == "sig"
    assert (exported["kid"], exported["alg"]) == (f"issuer/{name}.pem", name)
    assert PRIVATE.isdisjoint(exported)
    written = json.dumps(exported)
    assert not any(whole(name)[member] in written for member in PRIVATE & whole(name).keys())


def test_a_key_without_id_and_algorithm_is_exported_without() -> None:
    members = {n: v for n, v in whole("ES256").items() if n not in ("kid", "alg")}
    assert export_public_jwk(import_jwk(members)).keys() == {"kty", "crv", "x", "y", "use"}


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_members_of_a_key_of_joserfcs_own_making_are_not_exported(name: str) -> None:
    members: Any = whole(name) | {"secret": "s", "key_ops": ["sign"], "x5c": ["c"]}
    key: Key = type(key_for(name)).import_key(members)
    assert export_public_jwk(key) == export_public_jwk(key_for(name))


@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512"])
def test_a_secret_is_never_exported(name: str) -> None:
    for export in (export_public_jwk, lambda key: export_jwks([key_for("RS256"), key])):
        with pytest.raises(ValueError, match="never exported") as caught:
            export(key_for(name))
        assert whole(name)["k"] not in repr(caught.value)


def test_joserfc_by_itself_exports_a_secret() -> None:
    """Why there is an allow-list."""
    assert "k" in OctKey.import_key(whole("HS256")).as_dict(private=False)


def test_a_set_holds_its_keys_in_their_order() -> None:
    keys = [key_for(name) for name in ("ES256", "RS256", "EdDSA")]
    assert export_jwks(iter(keys)) == {"keys": [export_public_jwk(key) for key in keys]}
    assert export_jwks([]) == {"keys": []}


def test_a_set_repeats_no_key_id() -> None:
    twin = generate("ES384", kid="issuer/ES256.pem")
    with pytest.raises(ValueError, match="two keys carry the same key id"):
        export_jwks([key_for("ES256"), key_for("RS256"), twin])


def test_keys_without_an_id_may_share_a_set() -> None:
    assert len(export_jwks([generate("ES256"), generate("ES256")])["keys"]) == 2
