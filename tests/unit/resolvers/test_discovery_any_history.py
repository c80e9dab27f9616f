"""Whatever happened to a provider: when it is well again its newest key is found in a minute."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asapfn.errors import Unavailable
from asapfn.keys import generate
from asapfn.types import Document
from tests.support.effort import tries
from tests.support.provider import KEYS, METADATA, Provider, json_document, key_set, metadata

KEY_IDS = [f"key/{number}" for number in range(4)]
OURS = [generate("ES256", kid=kid) for kid in KEY_IDS]
FOREIGN = generate("ES256", kid="foreign")
PLACES = [KEYS, "https://issuer.example/moved", "https://other.example/keys"]
BROKEN: list[Any] = [
    Unavailable("", "no connection"),
    Document(500, "", b""),
    Document(404, "text/html", b"<html>"),
    Document(200, "text/html", b"<html>"),
    metadata(issuer="https://evil.example", jwks_uri="https://evil.example/keys"),
    json_document({"keys": 7}),
]
WHAT = ["rotate", "move", "break the metadata", "break the keys", "ask", "wait", "repair"]
STEPS = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 599)), max_size=25)


class World:
    """A provider, where its keys are, and which; what is broken, and what was left behind."""

    def __init__(self, max_age: float) -> None:
        self.provider, self.max_age = Provider(), max_age
        self.key = self.place = 0
        self.broken: dict[str, Any] = {}
        self.left: dict[str, Document] = {}
        self.publish()

    def publish(self) -> None:
        place = PLACES[self.place]
        self.provider.there = (
            self.left
            | {
                METADATA: metadata(self.max_age, jwks_uri=place),
                place: key_set(OURS[self.key], ages=(self.max_age,)),
                "https://evil.example/keys": key_set(FOREIGN),
            }
            | self.broken
        )

    async def sees(self, kid: str) -> str:
        return await self.provider.sees(kid, algorithm="ES256")

    async def step(self, what: str, number: int) -> None:
        if what == "rotate":
            self.key = number % len(OURS)
        elif what == "move":
            if number % 2:  # the old set stays where it was
                old = PLACES[self.place]
                self.left[old] = key_set(OURS[self.key], ages=(self.max_age,))
            self.place = number % len(PLACES)
        elif what == "repair":
            self.broken = {}
        elif what == "wait":
            self.provider.clock.turn(float(number))
        elif what == "ask":
            # Also for keys that are not published any more.
            await self.sees((*KEY_IDS, "absent")[number % 5])
        else:
            url = METADATA if what == "break the metadata" else PLACES[self.place]
            self.broken[url] = BROKEN[number % len(BROKEN)]
        self.publish()
        assert await self.sees("foreign") != "found"


@pytest.mark.parametrize("max_age", [0.0, 300.0, 86_400.0])
@settings(max_examples=tries(40))
@given(steps=STEPS)
async def test_after_any_history_the_newest_key_is_found_in_a_minute(
    max_age: float, steps: list[tuple[str, int]]
) -> None:
    world = World(max_age)
    for what, number in steps:
        await world.step(what, number)
    await world.step("repair", 0)
    for _ in range(2):
        world.provider.clock.turn(31.0)
        seen = await world.sees(KEY_IDS[world.key])
    assert seen == "found"
    assert all("evil" not in url for url in world.provider.asked)
