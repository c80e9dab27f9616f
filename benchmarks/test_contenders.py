"""The contenders do the same work: what one of them would not refuse, it was not timed for."""

import asyncio
import inspect
import time
from typing import Any

import jwt
import parts
import pytest
from authlib.common.errors import AuthlibBaseError
from contenders import AUDIENCE, NAMES, Verify, signers, token, verifiers
from joserfc.errors import JoseError

from asapfn import TokenRejected

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

REFUSALS = (TokenRejected, jwt.InvalidTokenError, JoseError, AuthlibBaseError)
PAST = int(time.time()) - 7200
CASES = [(name, who) for name in NAMES for who in verifiers(name)]
SIGNING = [(name, who) for name in NAMES for who in signers(name)]


def verified(verify: Verify, text: str) -> Any:
    async def once() -> Any:
        result = verify(text)
        return await result if inspect.isawaitable(result) else result

    return asyncio.run(once())


def other_signature(algorithm: str) -> str:
    one, other = token(algorithm), token(algorithm)
    return one[: one.rindex(".")] + other[other.rindex(".") :]


@pytest.mark.parametrize(("algorithm", "who"), CASES)
def test_each_takes_the_token(algorithm: str, who: str) -> None:
    claims = verified(verifiers(algorithm)[who], token(algorithm))
    assert getattr(claims, "claims", claims)["aud"] == AUDIENCE


@pytest.mark.parametrize(("algorithm", "who"), CASES)
def test_each_refuses_what_is_expired_or_for_another_or_not_signed(
    algorithm: str, who: str
) -> None:
    verify = verifiers(algorithm)[who]
    expired = token(algorithm, iat=PAST, exp=PAST + 3600)
    for text in (expired, token(algorithm, aud="a-stranger"), other_signature(algorithm)):
        with pytest.raises(REFUSALS):
            verified(verify, text)


@pytest.mark.parametrize(("algorithm", "who"), SIGNING)
def test_each_signs_a_token_that_asapfn_takes(algorithm: str, who: str) -> None:
    text: Any = signers(algorithm)[who]()
    assert verified(verifiers(algorithm)["asapfn (verify)"], text)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_the_parts_make_the_whole(algorithm: str) -> None:
    each = [*parts.verifying(algorithm).values()]
    for verify in each:
        assert verified(verify, token(algorithm))
    # The first two only take the time.
    for verify in each[2:]:
        with pytest.raises(TokenRejected, match="bad_signature"):
            verified(verify, other_signature(algorithm))
    *_, whole = parts.signing(algorithm).values()
    assert verified(each[-1], whole())
