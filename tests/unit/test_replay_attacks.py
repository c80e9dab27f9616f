"""The memory of used tokens under attack: by an issuer that fills it, and by clocks set back."""

import gc
import time
from collections import Counter
from typing import Any

import pytest

from asapfn import TokenRejected, asap, sign, verify
from asapfn.checks import not_replayed
from asapfn.errors import Unavailable
from asapfn.keys import generate
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id
from asapfn.types import Check, Key, Token

NOW = 1_800_000_000.0
KEY = generate("ES256", kid="key")


class Clock:
    """Of the machine, which may be set back, and one that never goes back."""

    def __init__(self) -> None:
        self.wall, self.monotonic = NOW, 500.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


def token(issuer: str, jti: Any, lifetime: float = 3600) -> Token:
    claims = {"iss": issuer, "jti": str(jti), "exp": NOW + lifetime}
    return Token({}, claims, NOW, NOW + lifetime)


async def use(check: Check, one: Token) -> str:
    try:
        outcome = check(one)
        assert outcome is not None
        await outcome
    except (TokenRejected, Unavailable) as error:
        return error.reason if isinstance(error, TokenRejected) else str(error)
    return "accepted"


async def test_an_issuer_that_fills_the_store_with_tokens_of_its_own_locks_out_none_but_itself():
    check = not_replayed(in_memory(max_entries=1000))
    assert await use(check, token("orders", "before")) == "accepted"
    said = Counter([await use(check, token("mallory", n)) for n in range(3000)])
    assert said["accepted"] == 200
    full = "replay store: the issuer has 200 live ids, its share while 799 of 1000 places are free"
    assert said[full] == 2800
    assert await use(check, token("orders", "before")) == "replayed"
    for issuer in ("orders", "billing", "mail"):
        assert {await use(check, token(issuer, n)) for n in range(20)} == {"accepted"}
        assert {await use(check, token(issuer, n)) for n in range(20)} == {"replayed"}
    assert {await use(check, token("mallory", n)) for n in range(200)} == {"replayed"}


async def test_eight_issuers_that_fill_the_store_leave_a_share_to_the_ninth():
    check = not_replayed(in_memory(max_entries=1000))
    for mallory in range(8):
        for n in range(1000):
            await use(check, token(f"mallory-{mallory}", n))
    assert {await use(check, token("orders", n)) for n in range(30)} == {"accepted"}
    assert {await use(check, token("orders", n)) for n in range(30)} == {"replayed"}


async def test_a_store_that_is_full_of_many_issuers_still_knows_them_all():
    check = not_replayed(in_memory(max_entries=10))
    said = [await use(check, token(f"issuer-{n}", 1)) for n in range(12)]
    assert said == ["accepted"] * 10 + ["replay store: full of 10 live ids"] * 2
    assert {await use(check, token(f"issuer-{n}", 1)) for n in range(10)} == {"replayed"}


async def test_an_issuer_has_its_places_again_when_its_tokens_are_over():
    clock = Clock()
    check = not_replayed(in_memory(max_entries=10, clock=lambda: clock.monotonic))
    for one in ("first", "again", "once more"):
        said = [await use(check, token("mallory", f"{one}-{n}", 60)) for n in range(6)]
        assert said.count("accepted") == 2
        clock.passes(120)


@pytest.mark.no_event_loop
async def test_ids_that_are_over_all_at_once_do_not_hold_up_the_one_who_asks_next():
    clock = Clock()
    store = in_memory(max_entries=72_000, clock=lambda: clock.monotonic)
    for n in range(60_000):
        await store(f"{n % 100}:{n}", 60)
    clock.passes(61)
    gc.disable()
    try:
        began = time.thread_time()
        assert await store("a:new", 60)
        assert time.thread_time() - began < 0.03
    finally:
        gc.enable()
    for n in range(60_000):  # they are forgotten all the same, and their places free again
        assert await store(f"{n % 100}:again-{n}", 60)


@pytest.mark.parametrize("back", [0.5, 1, 10, 30, 59.5])
@pytest.mark.parametrize("over_for", [0, 0.25])
async def test_a_clock_set_back_by_up_to_a_minute_lets_no_used_token_pass(back, over_for):
    clock = Clock()
    store = not_replayed(in_memory(clock=lambda: clock.monotonic))

    async def send(jti: str, lifetime: float) -> str:
        claims = {"iss": "orders", "jti": jti, "iat": NOW, "exp": NOW + lifetime}
        one = sign(claims, KEY)
        try:
            await verify(one, keys_by_id([KEY]), store, leeway=10, now=lambda: clock.wall)
        except TokenRejected as error:
            return error.reason
        return "accepted"

    assert await send("1", 60) == "accepted"
    clock.passes(70 + over_for)
    assert await send("1", 60) == "expired"
    # Another comes, which lets the store forget what is over; then the clock is corrected.
    assert await send("2", 600) == "accepted"
    clock.wall -= back
    assert await send("1", 60) == "replayed"
    # It expires again by that clock, and only then is its place free.
    clock.passes(back)
    assert await send("1", 60) == "expired"


async def test_an_id_is_kept_no_longer_than_that():
    clock = Clock()
    store = in_memory(max_entries=1, clock=lambda: clock.monotonic)
    assert await use(not_replayed(store), token("orders", "1", 60)) == "accepted"
    clock.passes(119.5)
    assert (
        await use(not_replayed(store), token("orders", "2")) == "replay store: full of 1 live ids"
    )
    clock.passes(0.5)
    assert await use(not_replayed(store), token("orders", "2")) == "accepted"


@pytest.mark.parametrize("issuers", [["mallory", "orders"], None])
async def test_a_key_of_many_issuers_fills_the_store_only_where_no_issuers_are_named(
    issuers: list[str] | None,
) -> None:
    """By ASAP's rule the owner of mallory/0/1/.../k signs as mallory, mallory/0, mallory/0/1, and
    each of these names has an issuer's share."""
    names = ["mallory"]
    for n in range(60):
        names.append(f"{names[-1]}/{n}")
    nested = generate("ES256", kid=f"{names[-1]}/k")
    honest = generate("ES256", kid="orders/k")
    resolver, store = keys_by_id([nested, honest]), in_memory(max_entries=40)
    verifier = asap.verifier(resolver, "service", issuers=issuers, replay=store)

    async def send(issuer: str, key: Key) -> str:
        try:
            await verifier(sign(asap.claims(issuer, "service"), key))
        except (TokenRejected, Unavailable) as error:
            return getattr(error, "reason", "unavailable")
        return "accepted"

    said = Counter([await send(name, nested) for name in names for _ in range(8)])
    assert said["accepted"] == (8 if issuers else 40)
    assert await send("orders", honest) == ("accepted" if issuers else "unavailable")
