"""SPIFFE JWT-SVIDs by the recipe of resolvers/README.md: `jwks(uses=)`, `sub`, RS, PS and ES.

The formats are those of the SPIFFE standards ("JWT-SVID", "SPIFFE Trust Domain and Bundle") and of
the Python package `spiffe`.
"""

from typing import Any

import pytest

from asapfn import policy, verifier
from asapfn.checks import claim_is_one_of
from asapfn.errors import TokenRejected, Unavailable
from asapfn.guards import has_key_id
from asapfn.keys import export_public_jwk
from asapfn.resolvers import jwks
from asapfn.types import Document
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.provider import json_document
from tests.support.verifying import NOW, clock

URL = "https://spire.example/bundle"
ORDERS, BILLING = "spiffe://example.org/shop/orders", "spiffe://example.org/shop/billing"
ALGORITHMS = [f"{family}{size}" for family in ("RS", "ES", "PS") for size in (256, 384, 512)]
SVID = {"sub": ORDERS, "aud": [BILLING], "exp": NOW + 300}


def authority(algorithm: str, use: str | None = "jwt-svid", **members: Any) -> dict[str, Any]:
    """A key as a bundle has it: a kid, a use, and no alg."""
    key = export_public_jwk(key_for(algorithm))
    made = {name: value for name, value in key.items() if name != "alg"} | {"use": use} | members
    return {name: value for name, value in made.items() if value is not None}


def bundle(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(keys), "spiffe_sequence": 3, "spiffe_refresh_hint": 300}


async def reason(text: str, content: Any, *ids: str) -> str | None:
    async def fetch(url: str, accept: str) -> Document:
        return json_document(content)

    verify = verifier(
        policy(
            jwks(URL, fetch, uses="jwt-svid"),
            claim_is_one_of("sub", ids or [ORDERS]),
            audience=BILLING,
            algorithms=ALGORITHMS,
            required=["sub", "aud", "exp"],
            guards=[has_key_id],
            now=clock,
        )
    )
    try:
        await verify(text)
    except TokenRejected as error:
        return error.reason
    except Unavailable:
        return "unavailable"
    return None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_jwt_svid_is_accepted_by_the_authority_of_its_bundle(algorithm: str) -> None:
    """A JWT-SVID has a sub, an aud and an exp; iat, iss and typ are its issuer's choice."""
    text = forge(SVID, key_for(algorithm), typ=None)
    assert await reason(text, bundle(authority(algorithm))) is None
    text = forge(SVID | {"iat": NOW}, key_for(algorithm), typ="JWT")
    assert await reason(text, bundle(authority(algorithm))) is None


async def test_keys_of_a_bundle_for_x509_svids_verify_nothing() -> None:
    text = forge(SVID, key_for("ES256"))
    x509 = authority("ES256", "x509-svid", x5c=["MIIB"])
    assert await reason(text, bundle(x509)) == "unknown_key"
    assert await reason(text, bundle(x509, authority("ES256"))) is None
    assert await reason(text, bundle(authority("ES256", "sig"))) == "unknown_key"
    # SPIFFE asks for a use; a key without any is for all of them, as RFC 7517 has it.
    assert await reason(text, bundle(authority("ES256", None))) is None


async def test_what_the_standard_refuses_is_refused() -> None:
    key, good = key_for("ES256"), bundle(authority("ES256"))
    for text, expected in (
        (forge({**SVID, "sub": "spiffe://example.org/shop/mallory"}, key), "invalid_claim"),
        (forge({**SVID, "sub": "spiffe://other.org/shop/orders"}, key), "invalid_claim"),
        (forge({**SVID, "sub": ORDERS.upper()}, key), "invalid_claim"),
        (forge({**SVID, "aud": ["spiffe://example.org/other"]}, key), "wrong_audience"),
        (forge({**SVID, "aud": []}, key), "wrong_audience"),
        (forge({**SVID, "exp": NOW}, key), "expired"),
        (forge({"aud": [BILLING], "exp": NOW + 9}, key), "missing_claim"),
        (forge({"sub": ORDERS, "exp": NOW + 9}, key), "missing_claim"),
        (forge({"sub": ORDERS, "aud": [BILLING]}, key), "missing_claim"),
        (forge(SVID, key, kid=None), "missing_claim"),
        (forge(SVID, key_for("ES256", "mallory"), kid=key.kid), "bad_signature"),
        (forge(SVID, key_for("EdDSA")), "unsupported_algorithm"),
        (forge(SVID, key_for("HS256")), "unsupported_algorithm"),
    ):
        assert await reason(text, good) == expected


async def test_a_bundle_that_was_emptied_revokes_every_key() -> None:
    text = forge(SVID, key_for("ES256"))
    assert await reason(text, bundle()) == "unknown_key"
    assert await reason(text, {"spiffe_sequence": 1}) == "unavailable"
