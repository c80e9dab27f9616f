"""What is not a matter of who is faster: time to import, and memory.

Memory is what Python allocates, as tracemalloc sees it; OpenSSL's own is not in it, and is the
same for everyone who holds the same keys.
"""

import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any, Final

from contenders import AUDIENCE, ISSUER, MIRRORS, composition, private_key, token
from contest import Lap

import asapfn
from asapfn import asap
from asapfn._core.algorithms import verify_signature
from asapfn.keys import export_public_pem, import_pem
from asapfn.types import Caching, Document, Key, Unverified

IMPORTS: Final = ("asapfn", "joserfc.jws", "anyio", "jwt")

TIMES: Final = 30

ENDLESS: Final = Caching(max_keys=1_000_000, issuer_misses=(1e9, 10**9), total_misses=(1e9, 10**9))


def importing(module: str) -> Lap:
    """A lap that imports a module in a new interpreter, which tells the processor's time for it."""
    script = (
        "import time; start = time.process_time(); "
        f"import {module}; print(time.process_time() - start)"
    )

    async def lap(times: int) -> float:
        # PYTHONPATH is how the benchmarks find each other, and would slow every import a little.
        environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            env=environment,
            text=True,
        )
        return float(done.stdout)

    return lap


async def bytes_for_a_cached_key(count: int = 1000) -> tuple[float, float]:
    """Measure a cache of as many RSA keys, each of which has verified a token.

    Returns:
        What a key costs by itself, used once, and what its place in the cache costs beyond that,
        with all that is remembered for it; in bytes.
    """
    pem = export_public_pem(private_key("RS256")).encode()
    signing = private_key("RS256")
    kids = [f"{ISSUER}/{number}.pem" for number in range(count)]
    made = asap.claims(ISSUER, AUDIENCE, lifetime=3600)
    tokens = [asapfn.sign(made, signing, kid=kid) for kid in kids]
    document = Document(200, "application/x-pem-file", pem, 3600.0)

    async def fetch(url: str, accept: str) -> Document:
        return document

    async def cache() -> object:
        repository = asap.repository(MIRRORS, fetch, caching=ENDLESS)
        verify = asap.verifier(repository, AUDIENCE, issuers=ISSUER, remember=0)
        for each in tokens:
            await verify(each)
        return verify

    async def keys() -> object:
        return [_used(import_pem(pem, kid=kid), t) for kid, t in zip(kids, tokens, strict=True)]

    alone, cached = await _held(keys), await _held(cache)
    return alone / count, (cached - alone) / count


async def bytes_for_a_remembered_token(count: int = 1000) -> float:
    """Measure a verifier's memory of as many tokens of some 700 bytes, each of which came twice.

    Returns:
        What a token costs, its text included; in bytes.
    """
    tokens = [token("RS256", pad="x" * 74) for _ in range(count)]

    async def memory() -> object:
        verify = composition(export_public_pem(private_key("RS256")))
        for each in tokens:
            text = each.encode().decode()  # as a request brings it, held by nobody else
            await verify(text)
            await verify(text)
        return verify

    async def nothing() -> object:
        verify = composition(export_public_pem(private_key("RS256")))
        await verify(tokens[0])
        return verify

    return (await _held(memory) - await _held(nothing)) / count


async def bytes_for_a_verification(verify: Callable[[], Any]) -> tuple[int, float]:
    """Measure a verification, after a few that warmed up.

    Args:
        verify: Verifies; awaited if need be.

    Returns:
        The most that one holds while it is under way, and what each of several leaves behind.
    """

    async def once() -> None:
        result = verify()
        if isinstance(result, Awaitable):
            await result

    tracemalloc.start()
    try:
        for _ in range(TIMES):
            await once()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        await once()
        peak = tracemalloc.get_traced_memory()[1] - before
        for _ in range(TIMES):
            await once()
        gc.collect()
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    return peak, left / TIMES


def _used(key: Key, token: str) -> Key:
    unverified: Unverified = asapfn.peek(token)
    verify_signature("RS256", key, unverified.signing_input, unverified.signature)
    return key


async def _held(make: Callable[[], Awaitable[object]]) -> int:
    """What is allocated while the thing that is made is held."""
    await make()  # so that what is made once for all is there already
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        held = await make()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        del held
    finally:
        tracemalloc.stop()
    return after - before
