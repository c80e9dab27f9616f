"""What making a token costs, by each algorithm, and giving one out again."""

from collections.abc import Callable

import pytest
from contenders import NAMES, bare_signer, reusing_signer, signers, their_signer
from contest import Measure

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

CASES = [(name, who) for name in NAMES for who in ("cryptography", *signers(name))]
REUSING = {"asapfn": reusing_signer, "atlassian-jwt-auth": their_signer}


@pytest.mark.parametrize(("algorithm", "who"), CASES)
def test_sign(a_hundred_times: Measure, algorithm: str, who: str) -> None:
    sign = bare_signer(algorithm) if who == "cryptography" else signers(algorithm)[who]
    a_hundred_times(f"sign {algorithm}", sign)


@pytest.mark.parametrize("who", REUSING)
def test_reuse(a_hundred_times: Measure, who: str) -> None:
    make: Callable[[str], Callable[[], object]] = REUSING[who]
    a_hundred_times("sign RS256, the token reused", make("RS256"))
