"""Where the time goes: each of these does what the one before it does, and one thing more."""

import time
from collections.abc import Callable
from typing import Any

from contenders import (
    AUDIENCE,
    ISSUER,
    Verify,
    claims,
    composition,
    private_key,
    public_key,
    public_pem,
    reusing_signer,
    token,
)

import asapfn
from asapfn import asap
from asapfn._core import compact
from asapfn._core.algorithms import ASAP, make_signature, verify_signature
from asapfn._core.verification import decode_claims, policy, verifier
from asapfn.types import Key, Unverified


def verifying(algorithm: str) -> dict[str, Verify]:
    """From the signature alone to the whole of ASAP."""
    key = public_key(algorithm)
    ready = asapfn.peek(token(algorithm))
    headers: dict[bytes, dict[str, Any]] = {}

    async def in_hand(unverified: Unverified) -> Key:
        return key

    core = policy(
        in_hand,
        audience=AUDIENCE,
        algorithms=ASAP,
        required=("iss", "jti"),
        leeway=10.0,
        max_lifetime=3600.0,
        now=time.time,
    )

    def read_and_verify(text: str) -> bool:
        _, payload, signing_input, signature = compact.parse(text, ASAP, headers)
        decode_claims(payload)
        return verify_signature(algorithm, key, signing_input, signature)

    return {
        "asapfn (the signature)": lambda _: verify_signature(
            algorithm, key, ready.signing_input, ready.signature
        ),
        "asapfn (and reading)": read_and_verify,
        "asapfn (and the claims)": verifier(core, remember=0),
        "asapfn (and ASAP's rules)": asap.verifier(
            in_hand, AUDIENCE, issuers=[ISSUER, "another"], remember=0
        ),
        "asapfn (and the cache)": composition(public_pem(algorithm), remember=0),
    }


def signing(algorithm: str) -> dict[str, Callable[[], Any]]:
    """From the signature alone to ASAP's signer."""
    key = private_key(algorithm)
    data, ready = asapfn.peek(token(algorithm)).signing_input, claims()
    return {
        "asapfn (the signature)": lambda: make_signature(algorithm, key, data),
        "asapfn (and the token)": lambda: asapfn.sign(ready, key, algorithm=algorithm),
        "asapfn (and the claims)": reusing_signer(algorithm, 0.0),
    }
