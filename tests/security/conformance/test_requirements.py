"""Requirements of RFC 7515 and RFC 7519 that no other test is named after."""

import pytest

from asapfn import policy, verify
from asapfn.keys import generate
from asapfn.resolvers import keys_by_id
from tests.support.forging import forge, forge_bytes
from tests.support.verifying import CLAIMS, KEY, clock, nobody_asks
from tests.support.victim import told

RESOLVER = keys_by_id([KEY])


async def test_a_header_parameter_that_is_not_understood_is_ignored() -> None:
    """RFC 7515, section 4."""
    token = forge(CLAIMS, KEY, kid=KEY.kid, **{"http://example.com/is": {"root": [True]}})
    verified = await verify(token, RESOLVER, audience="service", now=clock)
    assert verified.claims == CLAIMS


async def test_a_claim_that_is_not_understood_is_ignored() -> None:
    """RFC 7519, section 4."""
    claims = CLAIMS | {"http://example.com/is_root": True, "azp": None, "nonce": ["a"]}
    token = forge(claims, KEY, kid=KEY.kid)
    assert (await verify(token, RESOLVER, audience="service", now=clock)).claims == claims


async def test_a_key_id_is_compared_with_its_case() -> None:
    """RFC 7515, section 4.1.4."""
    key = generate("ES256", kid="issuer/key")
    for kid, reason in (("issuer/KEY", "unknown_key"), ("issuer/key", None)):
        token = forge(CLAIMS, key, kid=kid)
        attempt = verify(token, keys_by_id([key]), audience="service", now=clock)
        assert await told(attempt) == reason


async def test_a_nested_token_is_malformed() -> None:
    """RFC 7519, section 5.2: what is within is never verified, and so nothing is."""
    within = forge(CLAIMS, KEY).encode()
    token = forge_bytes(b'{"alg":"ES256","cty":"JWT"}', within, KEY)
    assert await told(verify(token, nobody_asks, audience="service")) == "malformed"


@pytest.mark.parametrize(
    "algorithm", ["PBES2-HS256+A128KW", "PBES2-HS512+A256KW", "dir", "RSA-OAEP-256", "ECDH-ES"]
)
async def test_no_algorithm_of_jwe_is_accepted_or_can_be(algorithm: str) -> None:
    """The attack is `p2c`, which has PBES2 hash as often as the token says."""
    token = forge(CLAIMS, KEY, alg=algorithm, p2c=2**31 - 1, zip="DEF", signed_as="ES256")
    attempt = verify(token, nobody_asks, audience="service", now=clock)
    assert await told(attempt) == "unsupported_algorithm"
    with pytest.raises(ValueError, match="unknown algorithm"):
        policy(nobody_asks, algorithms=[algorithm])
