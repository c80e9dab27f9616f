"""Forge's tokens beside panva's jose, as atlassian-connect-express uses it, both ways.

What jose signs is verified here and what is signed here is verified by jose; each token that one
refuses the other refuses too, but for what only we look at.
"""

import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from asapfn import forge, sign
from asapfn.errors import TokenRejected
from asapfn.keys import export_jwks, export_private_pem
from asapfn.types import Document
from tests.support.forging import forge as forged
from tests.support.invocations import APP, INSTALLATION, OTHER_CLOUD, invocation_claims
from tests.support.keyring import key_for
from tests.support.npm_peers import Ask, peer
from tests.support.published import Published

URL = "https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json"
KEY = key_for("RS256", "forge/invocation-token")
KEYS = export_jwks([KEY])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    kept = os.environ.get("ASAPFN_NPM")
    folder = pathlib.Path(kept) if kept else tmp_path_factory.mktemp("npm")
    with peer(folder, "forge_peer.js") as ask:
        yield ask


async def ours(token: str) -> dict[str, Any] | str:
    """The claims, or the reason of the refusal."""
    published = Published()
    published.documents[URL] = Document(200, "application/json", json.dumps(KEYS).encode())
    verify = forge.verifier(forge.keys(published), APP, leeway=0)
    try:
        return (await verify(token)).claims
    except TokenRejected as error:
        return error.reason


def theirs(node: Ask, token: str, audience: str = APP) -> dict[str, Any] | str:
    answer = node(verify={"token": token, "keys": KEYS, "audience": audience})
    claims: dict[str, Any] | str = answer.get("claims") or answer["error"]
    return claims


async def test_what_jose_signs_is_verified_here(node: Ask) -> None:
    claims = invocation_claims(time.time())
    made = node(sign={"claims": claims, "pem": export_private_pem(KEY), "kid": KEY.kid})
    assert await ours(made["token"]) == claims
    assert theirs(node, made["token"]) == claims


async def test_what_is_signed_here_is_verified_by_jose(node: Ask) -> None:
    claims = invocation_claims(time.time())
    token = sign(claims, KEY)
    assert theirs(node, token) == claims == await ours(token)


# What is changed, then jose's code and our reason.
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "audience": ({"aud": f"{APP}0"}, "ERR_JWT_CLAIM_VALIDATION_FAILED", "wrong_audience"),
    "no audience": ({"aud": ...}, "ERR_JWT_CLAIM_VALIDATION_FAILED", "missing_claim"),
    "issuer": ({"iss": "forge"}, "ERR_JWT_CLAIM_VALIDATION_FAILED", "invalid_claim"),
    "expired": ({"iat": 1, "nbf": 1, "exp": 26}, "ERR_JWT_EXPIRED", "expired"),
    "to come": (
        {"iat": 2**40, "nbf": 2**40, "exp": 2**40 + 25},
        "ERR_JWT_CLAIM_VALIDATION_FAILED",
        "not_yet_valid",
    ),
    "exp a text": ({"exp": "soon"}, "ERR_JWT_CLAIM_VALIDATION_FAILED", "invalid_claim"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_jose_refuses_is_refused_here(node: Ask, name: str) -> None:
    changes, code, reason = REFUSED[name]
    token = sign(invocation_claims(time.time(), **changes), KEY)
    assert theirs(node, token) == code
    assert await ours(token) == reason


async def test_forged_tokens_are_refused_by_both(node: Ask) -> None:
    claims, other = invocation_claims(time.time()), key_for("RS256", "forger")
    for token, code, reason in (
        (sign(claims, other, kid=KEY.kid), "SIGNATURE_VERIFICATION_FAILED", "bad_signature"),
        (sign(claims, other), "JWKS_NO_MATCHING_KEY", "unknown_key"),
        (forged(claims, KEY, alg="none"), "NOT_SUPPORTED", "unsupported_algorithm"),
        (forged(claims, KEY, crit=["x"]), "NOT_SUPPORTED", "malformed"),
    ):
        answer = theirs(node, token)
        assert isinstance(answer, str)
        assert answer.endswith(code), reason
        assert await ours(token) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"app__id": f"{APP}0"},
        {"app__apiBaseUrl": "https://evil.example/", "app__installation": ...},
        {"app__installation__id": f"{INSTALLATION}0"},
        {"context__cloudId": OTHER_CLOUD},
        {"principal": {"id": "x"}},
        {"jti": ...},
    ],
    ids=str,
)
async def test_what_jose_does_not_look_at_is_looked_at_here(
    node: Ask, changes: dict[str, Any]
) -> None:
    claims = invocation_claims(time.time(), **changes)
    token = sign(claims, KEY)
    assert theirs(node, token) == claims
    assert await ours(token) in ("invalid_claim", "missing_claim")
