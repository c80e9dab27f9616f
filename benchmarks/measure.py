"""Every question of the table of ratios, each answered by one contest."""

import pathlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple

import applications
import connect_requests
import costs
import parts
import repositories
from contenders import (
    AUDIENCE,
    ISSUER,
    MIRRORS,
    NAMES,
    bare_signer,
    bare_verifier,
    composition,
    new_tokens,
    public_pem,
    reusing_signer,
    signers,
    their_signer,
    token,
    verifiers,
)
from contest import Lap, calls, contest, lap_of

from asapfn import asap
from asapfn._core.algorithms import ASAP
from asapfn.types import Document, Unverified

BARE: Final = "cryptography"


def floor(algorithm: str) -> str:
    """Who is bare: cryptography, but for HMAC the standard library, which is faster."""
    return "hmac" if algorithm.startswith("HS") else BARE


class Row(NamedTuple):
    """An answer.

    Attributes:
        question: What was asked.
        one: The contender whose figure is 1.
        best: What each contender took: seconds, but for memory.
        unit: Of the figures.
    """

    question: str
    one: str
    best: dict[str, float]
    unit: str = "s"

    def ratio(self, name: str, to: str | None = None) -> float:
        """How many times the figure of another, or of the one."""
        return self.best[name] / self.best[to or self.one]


class Effort(NamedTuple):
    """How long to go on.

    Attributes:
        rounds: The rounds of a contest.
        lap_seconds: The length of a lap, in seconds; 0 for laps of one time.
        many: How many keys are many.
    """

    rounds: int = 150
    lap_seconds: float = 0.002
    many: int = 10_000


SHORT: Final = Effort(1, 0.0, 100)


async def rows(effort: Effort, folder: pathlib.Path) -> AsyncIterator[Row]:
    """Ask everything, one question after the other.

    Args:
        effort: How long to go on.
        folder: A folder for what must be on disk.

    Yields:
        The answers.
    """

    async def ask(question: str, one: str, laps: Mapping[str, Lap], part: float = 1) -> Row:
        print(f"  {question}", file=sys.stderr)
        rounds = max(1, round(effort.rounds * part))
        best = await contest(laps, rounds=rounds, lap_seconds=effort.lap_seconds)
        return Row(question, one, best)

    for name in NAMES:
        text = token(name)
        laps = {floor(name): calls(bare_verifier(name, text))}
        laps |= await _laps(verifiers(name), text)
        if name in ASAP:
            laps["asapfn (new tokens)"] = await lap_of(new_tokens(name, min(3000, effort.many)))
        # The two that targets are set for have more rounds.
        yield await ask(f"verify {name}", floor(name), laps, 3 if name in ("RS256", "ES256") else 1)
    text = token("RS256")
    bare = {BARE: calls(bare_verifier("RS256", text))}
    with repositories.published(folder, "RS256") as keys:
        async with repositories.ways(keys) as ways:
            known = bare | await _laps(ways.known, text)
            yield await ask("verify RS256, keys from an https repository", BARE, known)
            first = bare | await _laps(ways.first, text)
            yield await ask("verify RS256, the first token of a key", BARE, first)
    for name in NAMES:
        laps = {floor(name): calls(bare_signer(name))}
        laps |= {who: calls(sign) for who, sign in signers(name).items()}
        yield await ask(f"sign {name}", floor(name), laps, 3 if name in ("RS256", "ES256") else 1)
    again = {
        "asapfn": calls(reusing_signer("RS256")),
        "atlassian-jwt-auth": calls(their_signer("RS256")),
    }
    yield await ask("sign RS256 again, the token reused", "asapfn", again)
    for name in ("RS256", "ES256"):
        text = token(name)
        laps = {BARE: calls(bare_verifier(name, text))} | await _laps(parts.verifying(name), text)
        yield await ask(f"verify {name}, part by part", BARE, laps, 3)
        laps = {BARE: calls(bare_signer(name))}
        laps |= {who: calls(sign) for who, sign in parts.signing(name).items()}
        yield await ask(f"sign {name}, part by part", BARE, laps, 3)
    text = token("RS256")
    with connect_requests.hashers(folder) as hashers:
        for count in (0, 1, 5, 20, 100, 1000):
            hashed = hashers(connect_requests.url(count))
            yield await ask(f"qsh of {count} parameters", "asapfn", hashed)
    laps = {who: await lap_of(f) for who, f in connect_requests.authenticators().items()}
    yield await ask("authenticate a Connect request, HS256", "asapfn", laps)
    yield await ask(
        "verify RS256 among many", "asapfn", await _laps(await _crowds(effort.many), text), 2
    )
    crowd = await _remembered_crowd(text, effort.many)
    yield await ask("verify RS256 seen before, among many", "asapfn", await _laps(crowd, text), 2)
    with applications.protected_and_not() as port:
        async with applications.requests_to(port, text) as laps:
            yield await ask("a request to uvicorn, RS256", applications.OPEN, laps)
    with applications.by_gunicorn() as port:
        async with applications.requests_to(port, text, applications.GUNICORN) as laps:
            yield await ask("a request to gunicorn, RS256", applications.OPEN, laps, 0.3)
    imports = {name: costs.importing(name) for name in costs.IMPORTS}
    yield await ask("import", "joserfc.jws", imports, 0.15)
    each = verifiers("RS256")
    peaks = {name: await costs.bytes_for_a_verification(_of(f, text)) for name, f in each.items()}
    yield Row("peak memory of a verification", "asapfn", {n: p for n, (p, _) in peaks.items()}, "B")
    remembered = {"asapfn": await costs.bytes_for_a_remembered_token(min(1000, effort.many))}
    yield Row("memory of a remembered token", "asapfn", remembered, "B")
    alone, beyond = await costs.bytes_for_a_cached_key(min(1000, effort.many))
    figures = {"asapfn (the key)": alone, "asapfn (beyond it)": beyond}
    yield Row("memory of a cached key", "asapfn (the key)", figures, "B")


async def _laps(verify: Mapping[str, Callable[[str], Any]], text: str) -> dict[str, Lap]:
    return {name: await lap_of(_of(function, text)) for name, function in verify.items()}


def _of(function: Callable[[str], Any], text: str) -> Callable[[], Any]:
    return lambda: function(text)


async def _remembered_crowd(text: str, many: int) -> dict[str, Callable[[str], Any]]:
    """A verifier that remembers one token, and one that remembers many."""
    one = composition(public_pem("RS256"))
    crowd = composition(public_pem("RS256"), remember=2 * many)
    for _ in range(many):
        await crowd(token("RS256"))
    return {"asapfn": one, f"asapfn ({many:,} remembered)": crowd}


async def _crowds(many: int) -> dict[str, Callable[[str], Any]]:
    """The same composition with one of everything, and with many of one."""
    document = Document(200, "application/x-pem-file", public_pem("RS256").encode(), 3600.0)

    async def fetch(url: str, accept: str) -> Document:
        return document

    def verifier(bases: str, issuers: int, keys: Any = None) -> Callable[[str], Any]:
        names = [ISSUER, *(f"service-{number}" for number in range(1, issuers))]
        repository = keys or asap.repository(bases, fetch)
        return asap.verifier(repository, AUDIENCE, issuers=names, remember=0)

    full = asap.repository(MIRRORS.partition(" ")[0], fetch, caching=costs.ENDLESS)
    for number in range(many):
        kid = f"{ISSUER}/{number}.pem"
        await full(Unverified({"alg": "RS256", "kid": kid}, {"iss": ISSUER}, b"input", b""))
    one = MIRRORS.partition(" ")[0]
    mirrors = " | ".join(f"https://keys-{number}.example/" for number in range(10))
    return {
        "asapfn": verifier(one, 1),
        f"asapfn ({many:,} keys)": verifier(one, 1, full),
        f"asapfn ({many:,} issuers)": verifier(one, many),
        "asapfn (10 mirrors)": verifier(mirrors, 1),
    }
