"""What a verification costs, counted in calls of functions, which no busy machine changes."""

import pathlib
import sys
from types import FrameType
from typing import Any

import pytest

import asapfn
from asapfn import asap
from asapfn.keys import export_public_pem
from asapfn.types import Document, Verify
from tests.support.keyring import key_for

PACKAGE = str(pathlib.Path(asapfn.__file__).parent)


def composition(algorithm: str) -> Verify:
    """The whole of ASAP, the key coming from the cache of a repository."""
    pem = export_public_pem(key_for(algorithm)).encode()

    async def fetch(url: str, accept: str) -> Document:
        return Document(200, "application/x-pem-file", pem, 3600.0)

    repository = asap.repository("https://keys.example/", fetch)
    return asap.verifier(repository, "service", issuers=["issuer", "another"])


async def calls_of(verify: Verify, token: str) -> list[str]:
    """The functions of the package that a verification calls, in order."""
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        await verify(token)
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES512"])
async def test_a_token_that_is_new_takes_twelve_calls_with_a_cached_key(algorithm: str) -> None:
    verify = composition(algorithm)
    sign = asap.signer("issuer", key_for(algorithm))
    for _ in range(2):  # the cache makes a key that has verified one of those in use
        await verify(sign("service"))
    called = await calls_of(verify, sign("service"))
    assert len(called) <= 12, called


async def test_a_token_that_was_seen_before_takes_eight_calls() -> None:
    verify, token = composition("ES256"), asap.signer("issuer", key_for("ES256"))("service")
    for _ in range(2):
        await verify(token)
    called = await calls_of(verify, token)
    assert len(called) <= 8, called
    assert {"parse", "decode_object", "verify_signature"}.isdisjoint(called)
