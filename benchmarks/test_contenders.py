"""The contenders do the same work: what one of them would not refuse, it was not timed for."""

import asyncio
import inspect
import time
from typing import Any

import pytest
from contenders import AUDIENCE, NAMES, signers, token, verifiers

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

PAST = int(time.time()) - 7200
CASES = [(name, who) for name in NAMES for who in verifiers(name)]
SIGNING = [(name, who) for name in NAMES for who in signers(name)]


def verified(algorithm: str, who: str, text: str) -> Any:
    async def verify() -> Any:
        result = verifiers(algorithm)[who](text)
        return await result if inspect.isawaitable(result) else result

    return asyncio.run(verify())


def other_signature(algorithm: str) -> str:
    return token(algorithm).rpartition(".")[0] + "." + token(algorithm).rpartition(".")[2]


@pytest.mark.parametrize(("algorithm", "who"), CASES)
def test_each_takes_the_token(algorithm: str, who: str) -> None:
    claims = verified(algorithm, who, token(algorithm))
    assert getattr(claims, "claims", claims)["aud"] == AUDIENCE


@pytest.mark.parametrize(("algorithm", "who"), CASES)
def test_each_refuses_what_is_expired_or_for_another_or_not_signed(
    algorithm: str, who: str
) -> None:
    expired = token(algorithm, iat=PAST, exp=PAST + 3600)
    for text in (expired, token(algorithm, aud="a-stranger"), other_signature(algorithm)):
        with pytest.raises(Exception) as raised:  # noqa: PT011
            verified(algorithm, who, text)
        assert "Error" in type(raised.value).__name__ or "Rejected" in type(raised.value).__name__


@pytest.mark.parametrize(("algorithm", "who"), SIGNING)
def test_each_signs_a_token_that_asapfn_takes(algorithm: str, who: str) -> None:
    text: Any = signers(algorithm)[who]()
    assert verified(algorithm, "asapfn (verify)", text)
