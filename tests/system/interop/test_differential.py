"""`verify` beside PyJWT and joserfc, on tokens that are good, mangled, or made to mislead.

All three have the key at hand and the same expectations. Whatever we accept, both peers accept,
and read the same claims in it. Where we alone refuse, what we say is in `STRICTER`, with the
reason.

ASAPFN_EXAMPLES is the number of tokens for each algorithm, ASAPFN_SEED where they start from.
"""

import os
import re
import warnings
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, event, example, given, seed, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwt import JWTClaimsRegistry
from joserfc.jwt import decode as joserfc_decode
from joserfc.registry import HeaderParameter

from asapfn import verify
from asapfn.errors import TokenRejected
from asapfn.types import Key, Unverified
from tests.support.keyring import key_for
from tests.support.strange_tokens import CHANGES, CLAIMS, GOOD, Made, made, text, token_of

EXAMPLES = int(os.environ.get("ASAPFN_EXAMPLES", "200"))
SEED = int(os.environ.get("ASAPFN_SEED", "20250117"))
LEEWAY = 30

Claims = dict[str, Any]

# What we refuse and a peer may take, by what we say.
STRICTER = {
    # RFC 7515, section 2: base64url without padding, line breaks or white space; and each value
    # has one spelling, or one token would have many that a replay guard holds for different.
    "malformed: not unpadded base64url in its one spelling",
    "malformed: not base64url",
    # RFC 7515 and RFC 7519, section 4: names are unique, or two parsers read two things.
    "malformed: a member occurs twice",
    "malformed: claims: a member occurs twice",
    # RFC 8259, section 6, and RFC 7493, section 2.2: no NaN, no Infinity, none that becomes one.
    *(
        f"malformed: {part}{what}"
        for part in ("", "claims: ")
        for what in ("NaN is not JSON", "Infinity is not JSON", "-Infinity is not JSON")
    ),
    "malformed: a number is too large",
    "malformed: claims: a number is too large",
    # RFC 7493, section 2.1: text is UTF-8, without a byte order mark, and no half of a pair.
    "malformed: not UTF-8 JSON (UnicodeEncodeError)",
    "malformed: claims: not UTF-8 JSON (UnicodeEncodeError)",
    "malformed: not UTF-8 JSON (JSONDecodeError)",
    "malformed: claims: not UTF-8 JSON (JSONDecodeError)",
    # A stack must not depend on the sender.
    "malformed: nested too deep",
    "malformed: claims: nested too deep",
    # RFC 7515, section 4.1.11: no extension is understood, so that none may be asked for.
    "malformed: the header asks for an extension",
    # RFC 7515, sections 4.1.4 and 4.1.9: strings.
    "malformed: the header's kid is not a string",
    "malformed: the header's typ is not a string",
    # RFC 7519, section 4.1: a claim of the wrong type is no claim that is absent.
    *(f"invalid_claim: {name} is not a string" for name in ("iss", "sub", "jti")),
    *(f"invalid_claim: {name} is not a time" for name in ("exp", "iat", "nbf")),
    "invalid_claim: aud is not a string or strings",
    # Times that leave no life are nobody's.
    "invalid_claim: exp is not after iat",
    "invalid_claim: nbf is not before exp",
    # RFC 7519, section 4.1.3: a token for somebody is not for whoever expects nobody.
    "wrong_audience: expected no aud",
}


def rule_of(error: TokenRejected) -> str:
    """What a rejection says, without the values that were seen."""
    detail = error.detail.partition(", got ")[0]
    if error.reason == "invalid_claim":
        detail = re.sub(r" -?[0-9][0-9.e+-]*", "", detail.partition(": ")[0])
    return f"{error.reason}: {detail}"


def pyjwt(token: bytes, algorithm: str, key: Key, audience: str | None) -> Claims | None:
    try:
        return jwt.decode(
            token,
            key.raw_value if algorithm == "HS256" else key.public_key,
            algorithms=[algorithm],
            audience=audience,
            leeway=LEEWAY,
            options={"require": ["exp"]},
        )
    except Exception:  # it also lets out what is not its own: all the same, it does not accept
        return None


# joserfc checks the types of these, and may fetch or use none of them, no more than we do.
UNREAD = {
    name: HeaderParameter("not read", lambda value: None) for name in ("cty", "jku", "jwk", "x5u")
}


def joserfc(token: bytes, algorithm: str, key: Key, audience: str | None) -> Claims | None:
    # Else it takes no header that has members it does not know.
    registry = jws.JWSRegistry(UNREAD, algorithms=[algorithm], strict_check_header=False)
    rules = JWTClaimsRegistry(leeway=LEEWAY, exp={"essential": True})
    if audience is not None:
        rules.options["aud"] = {"essential": True, "value": audience}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            claims = joserfc_decode(token, key, registry=registry).claims
            rules.validate(claims)
        except Exception:  # as above
            return None
    return claims


PEERS = {"PyJWT": pyjwt, "joserfc": joserfc}

each_algorithm = pytest.mark.parametrize("algorithm", ["RS256", "ES256", "HS256"])


def asked(token: bytes, algorithm: str, audience: str | None) -> dict[str, Claims | None]:
    """The claims that each peer reads in the token, or None where it refuses it."""
    key = key_for(algorithm, "issuer")
    return {name: peer(token, algorithm, key, audience) for name, peer in PEERS.items()}


async def verified(token: bytes, algorithm: str, audience: str | None) -> Claims:
    async def resolver(unverified: Unverified) -> Key:
        return key_for(algorithm, "issuer")

    allowed = [algorithm]
    answer = await verify(token, resolver, audience=audience, algorithms=allowed, leeway=LEEWAY)
    return answer.claims


@each_algorithm
async def test_a_good_token_is_taken_by_all(algorithm: str) -> None:
    token = token_of(GOOD, algorithm)
    claims = await verified(token, algorithm, "service")
    assert claims["jti"] == "one"
    assert asked(token, algorithm, "service") == {"PyJWT": claims, "joserfc": claims}


# What is compared has nothing to do with the event loop.
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@each_algorithm
@seed(SEED)
@settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(how=made, audience=st.sampled_from(["service", "service", "service", None]))
@example(GOOD._replace(claims=text(CLAIMS, exp="@-20")), "service")
@example(GOOD._replace(claims='{"exp":@+20,"exp":@+20}'), None)
@example(GOOD._replace(changes=((CHANGES[-1], 2, 0),)), "service")
async def test_what_we_accept_they_accept_and_what_we_alone_refuse_is_named(
    algorithm: str, how: Made, audience: str | None
) -> None:
    token = token_of(how, algorithm)
    theirs = asked(token, algorithm, audience)
    try:
        claims = await verified(token, algorithm, audience)
    except TokenRejected as error:
        takers = [name for name, read in theirs.items() if read is not None]
        event("refused by us alone" if takers else "refused by all")
        if takers:
            event(f"{' and '.join(takers)}: {rule_of(error)}")
            assert rule_of(error) in STRICTER, takers
    else:
        event("accepted")
        assert theirs == {"PyJWT": claims, "joserfc": claims}
