"""A verifier that remembers tokens differs from one that does not in nothing but its speed.

Both are asked the same in long random sequences: the clock steps back and forth; keys are replaced
under their id, revoked, and fetched again as other objects; guards, checks and the resolver change
their mind, fail, and change what they are given, and so do callers; tokens come as text and bytes,
with other signatures, other claims, other headers; used tokens are kept in a store of each one's.
What both answer, and what guards, resolvers and checks see, must be the same.
"""

import copy
import json
import random
import threading
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asapfn._core.compact import encode_base64url
from asapfn._core.verification import policy, verifier
from asapfn.checks import not_replayed
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import generate, import_secret
from asapfn.replay import in_memory
from asapfn.types import Key, Token, Unverified, Verify
from tests.support.effort import ONE_BACKEND, tries
from tests.support.forging import forge, forge_bytes
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, NOW

STEPS = tries(1500)
ALGORITHMS = ("HS256", "ES256", "EdDSA")


@dataclass
class World:
    """What the two verifiers share, and what of it changes."""

    now: float = NOW
    keys: dict[str, Key | None] = field(default_factory=dict)
    trouble: dict[str, Any] = field(default_factory=dict)
    seen: list[Any] = field(default_factory=list)


def renewed(key: Key) -> Key:
    """The same key as another object, as a fetch brings it."""
    return type(key).import_key(dict(key.as_dict(private=True)))  # type: ignore[arg-type]


def spoil(given: Any) -> None:
    """Change what can be changed of a token, deep down."""
    given.header["kid"] = "spoilt"
    given.claims["sub"] = "admin"
    for value in given.claims.values():
        if isinstance(value, list):
            value.append("service")
        elif isinstance(value, dict):
            value["a"] = "spoilt"


def plug(world: World, name: str, given: Any) -> None:
    """What guards, resolvers and checks do: note what they see, and make trouble."""
    world.seen.append((name, copy.deepcopy(tuple(given))))
    trouble = world.trouble.get(name)
    if trouble == "spoil":
        spoil(given)
    elif trouble == "drop alg":
        given.header["alg"] = "none"
    elif trouble is not None:
        raise trouble()


def verifier_of(world: World, remember: int, *, replay: bool) -> Verify:
    def guard(unverified: Unverified) -> None:
        plug(world, "guard", unverified)

    async def resolve(unverified: Unverified) -> Key | None:
        plug(world, "resolver", unverified)
        await anyio.lowlevel.checkpoint()
        return world.keys.get(unverified.header.get("kid", ""))

    def check(token: Token) -> None:
        plug(world, "check", token)

    used = [not_replayed(in_memory(clock=lambda: world.now))] if replay else []
    asked = policy(
        resolve,
        check,
        *used,
        audience="service",
        algorithms=ALGORITHMS,
        leeway=2.0,
        guards=[guard],
        now=lambda: world.now,
    )
    return verifier(asked, remember=remember)


def variants(key: Key, algorithm: str, kid: str) -> list[str]:
    """Tokens of one key: sound ones, and what others make of them."""

    def made(claims: Any, **header: Any) -> str:
        header = {"alg": algorithm, "kid": kid} | header
        return forge(claims, key, signed_as=algorithm, **header)

    nested = CLAIMS | {"aud": ["x", "service"], "context": {"a": ["b", {"c": None}]}, "k": 1.5}
    flat, deep = made(CLAIMS | {"jti": kid}), made(nested | {"jti": f"{kid}/n"})
    head, body, tail = flat.split(".")
    _, other_body, other_tail = deep.split(".")
    more = json.dumps(CLAIMS | {"sub": "admin", "jti": "more"}).encode()
    return [
        flat,
        deep,
        flat,
        deep,
        made(CLAIMS | {"exp": NOW + 10, "jti": "short"}),
        made({n: v for n, v in CLAIMS.items() if n != "jti"}),
        made(' {"aud":"service","exp":2e9,"iss":"é[{","jti":"1"}\n'.encode()),
        made(CLAIMS | {"jti": "h"}, extra=["nested"]),
        made(CLAIMS | {"jti": "p", "pad": "x" * 4000}),
        f"{head}.{body}.{other_tail}",
        f"{head}.{other_body}.{tail}",
        f"{head}.{encode_base64url(more).decode()}.{tail}",
        forge_bytes(b'{"alg":"none","kid":"%s"}' % kid.encode(), CLAIMS, key, signed_as=algorithm),
        made(CLAIMS, kid="another"),
        f"{flat}é",
        flat[:-1],
    ]


def step(world: World, sources: dict[str, Key], chance: random.Random) -> None:
    """Let something change, most often nothing."""
    what = chance.randrange(24)
    kid = chance.choice([*sources])
    if what == 0:
        world.now = NOW + chance.choice([0, 5, 11.9, 12, 30, 61.9, 62, 62.1, 100, 1e6, -3, -1e6])
    elif what == 1:
        world.now += chance.choice([0.5, 1, -1, 20, -20])
    elif what == 2:
        world.keys[kid] = None
    elif what == 3:
        world.keys[kid] = renewed(sources[kid])
    elif what == 4:
        world.keys[kid] = chance.choice([*sources.values()])
    elif what == 5:
        world.now = NOW
        world.keys.update(sources)
        world.trouble.clear()
    elif what == 6:
        name = chance.choice(["guard", "resolver", "check"])
        world.trouble[name] = chance.choice(
            [
                "spoil",
                "drop alg",
                partial(TokenRejected, "issuer_not_allowed", "no more"),
                partial(Unavailable, "source", "down"),
                partial(KeyError, "a fault"),
                None,
            ]
        )


async def outcome(verified: Awaitable[Token], world: World) -> tuple[Any, Any]:
    world.seen = []
    try:
        token = await verified
    except TokenRejected as error:
        said: Any = ("rejected", error.reason, error.detail, error.claim)
    except Exception as error:
        said = (type(error), str(error))
    else:
        said = copy.deepcopy(tuple(token))
        spoil(token)
    return said, world.seen


def world_of(chance: random.Random) -> tuple[World, dict[str, Key], list[str]]:
    sources: dict[str, Key] = {
        "a": import_secret("a" * 32),
        "b": import_secret("b" * 32),
        "c": key_for("ES256"),
        "d": generate("EdDSA"),
    }
    algorithms = {"a": "HS256", "b": "HS256", "c": "ES256", "d": "EdDSA"}
    world = World(keys=dict(sources))
    tokens = [each for kid, key in sources.items() for each in variants(key, algorithms[kid], kid)]
    return world, sources, tokens


@ONE_BACKEND
@pytest.mark.parametrize("remember", [1, 3, 1024])
@pytest.mark.parametrize("seed", range(4))
async def test_a_random_sequence_has_the_same_outcomes(seed: int, remember: int) -> None:
    chance = random.Random(seed * 10_000 + remember)
    world, sources, tokens = world_of(chance)
    replay = seed % 2 == 1
    remembering = verifier_of(world, remember, replay=replay)
    forgetting = verifier_of(world, 0, replay=replay)
    accepted = 0
    for _ in range(STEPS):
        step(world, sources, chance)
        text = chance.choice(tokens[: chance.choice([4, len(tokens)])])
        form: Any = text.encode() if chance.random() < 0.2 else text
        expected = await outcome(forgetting(form), world)
        assert await outcome(remembering(form), world) == expected
        accepted += isinstance(expected[0][0], dict)
    # Replayed tokens are refused, so that few of those are accepted.
    assert accepted >= STEPS // (150 if replay else 10)


@pytest.mark.parametrize("seed", range(2))
def test_threads_have_the_same_outcomes(seed: int, anyio_backend: str) -> None:
    """Each thread with a world of its own but for the keys, on one remembering verifier."""
    chance = random.Random(seed)
    world, sources, tokens = world_of(chance)
    remembering = verifier_of(world, 8, replay=False)
    wrong: list[Any] = []

    async def expected_of(text: str) -> Any:
        return (await outcome(verifier_of(world, 0, replay=False)(text), world))[0]

    async def use(number: int) -> None:
        own = random.Random(number)
        for _ in range(tries(400)):
            text = own.choice(tokens)
            said, _ = await outcome(remembering(text), world)
            if said != expected[text]:
                wrong.append((text, said, expected[text]))

    async def expect() -> dict[str, Any]:
        return {text: await expected_of(text) for text in tokens}

    def run(number: int) -> None:
        try:
            anyio.run(use, number, backend=anyio_backend)
        except BaseException as error:
            wrong.append(error)

    expected = anyio.run(expect, backend=anyio_backend)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    stop = threading.Event()

    def refetch() -> None:
        while not stop.wait(0.001):
            for kid, key in sources.items():
                world.keys[kid] = renewed(key)

    fetching = threading.Thread(target=refetch)
    fetching.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stop.set()
    fetching.join(60)
    assert wrong == []
