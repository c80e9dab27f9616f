"""`cached`: no token gets another's key, and a clock, bounds and events of its own."""

import anyio
import pytest

from asapfn._core.verification import MARK
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import import_secret
from asapfn.resolvers import activity, cached, owned_by_issuer, shared_secrets
from asapfn.types import Caching, Event, Key, Resolver, Unverified
from tests.support.keyring import key_for
from tests.support.keysources import KID, Clock, Events, asking, cache_of, settle


async def both(resolve: Resolver, gate: anyio.Event, *tokens: Unverified) -> list[Key | str | None]:
    """What each token gets when they come in order, while the first is being asked for."""
    results: list[Key | str | None] = [""] * len(tokens)

    async def call(place: int) -> None:
        try:
            results[place] = await resolve(tokens[place])
        except TokenRejected as error:
            results[place] = error.reason

    async with anyio.create_task_group() as group:
        for place in range(len(tokens)):
            group.start_soon(call, place)
            await settle()
        gate.set()
    return results


async def test_cached_owned_by_issuer_never_answers_one_issuer_with_anothers_key() -> None:
    gate = anyio.Event()

    async def directory(unverified: Unverified) -> Key | None:
        await gate.wait()
        return key_for("RS256")

    resolve = cached(owned_by_issuer(directory))
    owner, thief = asking("owner/key"), asking("owner/key", issuer="thief")
    assert await both(resolve, gate, owner, thief, owner, thief) == [
        key_for("RS256"),
        "key_not_owned",
        key_for("RS256"),
        "key_not_owned",
    ]
    assert await both(resolve, gate, thief, owner) == ["key_not_owned", key_for("RS256")]


async def test_cached_shared_secrets_never_answers_one_tenant_with_anothers_secret() -> None:
    gate, looked_up = anyio.Event(), list[str]()

    async def lookup(issuer: str) -> str | None:
        looked_up.append(issuer)
        await gate.wait()
        return {"a": "a" * 32, "b": "b" * 32}.get(issuer)

    resolve = cached(shared_secrets(lookup))
    tokens = [asking(None, issuer, "HS256") for issuer in "abcab"]
    for _ in range(2):
        a, b, c, a_again, b_again = await both(resolve, gate, *tokens)
        assert isinstance(a, type(import_secret("a" * 32)))
        assert isinstance(b, type(import_secret("a" * 32)))
        assert (a.raw_value, b.raw_value, c) == (b"a" * 32, b"b" * 32, None)
        assert a_again is a
        assert b_again is b
    assert looked_up == ["a", "b", "c"]


@pytest.mark.parametrize(
    "other",
    [
        asking("issuer/a", "issuer", "RS512"),
        asking("issuer/b", "issuer"),
        asking("issuer/a", "other"),
        asking(None, "issuer"),
    ],
    ids=["algorithm", "key id", "issuer", "no key id"],
)
async def test_cached_tells_tokens_apart_by(other: Unverified) -> None:
    asked: list[Unverified] = []

    async def resolver(unverified: Unverified) -> Key | None:
        asked.append(unverified)
        return key_for("RS256")

    resolve = cached(resolver)
    for token in (asking("issuer/a", "issuer"), other) * 2:
        await resolve(token)
    assert asked == [asking("issuer/a", "issuer"), other]


async def test_cached_remembers_by_what_it_is_told_to() -> None:
    asked: list[Unverified] = []

    async def resolver(unverified: Unverified) -> Key | None:
        asked.append(unverified)
        return key_for("RS256")

    resolve = cached(resolver, key=lambda unverified: unverified.claims["iss"])
    for kid in ("a/1", "a/2", "b/1"):
        await resolve(asking(kid))
    assert asked == [asking("a/1"), asking("b/1")]


async def test_cached_has_a_clock_bounds_and_events_of_its_own() -> None:
    clock, events, calls = Clock(), Events(), 0

    async def resolver(unverified: Unverified) -> Key | None:
        nonlocal calls
        calls += 1
        return key_for("RS256")

    resolve = cached(resolver, caching=Caching(default_age=50.0), clock=clock, observe=events)
    for _ in range(3):
        await resolve(asking())
        clock.turn(25.0)
    assert calls == 2
    assert events == [
        Event("fetched", "cached", KID, 0.0),
        Event("refreshed", "cached", KID, 0.0),
    ]


async def test_a_resolver_that_asks_its_own_cache_for_the_same_key_is_an_error() -> None:
    async def resolver(unverified: Unverified) -> Key | None:
        return await resolve(unverified)

    resolve = cached(resolver)
    for _ in range(2):
        with anyio.fail_after(9), pytest.raises(RuntimeError, match="asks its own cache for the"):
            await resolve(asking())


async def test_look_ups_that_would_wait_for_each_other_are_an_error_and_hang_nobody() -> None:
    errors: list[Exception] = []

    async def resolver(unverified: Unverified) -> Key | None:
        await settle()
        return await resolve(asking("a/2" if unverified.header["kid"] == "a/1" else "a/1"))

    async def ask(kid: str) -> None:
        try:
            await resolve(asking(kid))
        except (RuntimeError, Unavailable) as error:
            errors.append(error)

    resolve = cached(resolver)
    with anyio.fail_after(9):
        async with anyio.create_task_group() as group:
            group.start_soon(ask, "a/1")
            group.start_soon(ask, "a/2")
    assert len(errors) == 2
    assert any(isinstance(error, RuntimeError) for error in errors)


async def test_a_resolver_may_ask_its_own_cache_for_another_key() -> None:
    async def resolver(unverified: Unverified) -> Key | None:
        number = int(unverified.header["kid"][2:])
        return await resolve(asking(f"a/{number - 1}")) if number else key_for("RS256")

    resolve = cached(resolver)
    assert await resolve(asking("a/9")) is key_for("RS256")
    assert await resolve(asking("a/4")) is key_for("RS256")


async def test_two_callers_may_ask_for_a_key_that_is_asked_for_by_way_of_another() -> None:
    async def inner(unverified: Unverified) -> Key | None:
        await settle(20)
        return key_for("RS256")

    async def outer(unverified: Unverified) -> Key | None:
        await settle()
        return await shared(asking("a/shared"))

    async def ask(kid: str) -> None:
        found.append(await resolve(asking(kid)))

    shared, resolve, found = cached(inner), cached(outer), list[Key | None]()
    async with anyio.create_task_group() as group:
        for kid in ("a/1", "a/2", "a/1"):
            group.start_soon(ask, kid)
    assert found == [key_for("RS256")] * 3


async def test_a_key_whose_call_hangs_is_asked_for_once_while_other_keys_are_answered() -> None:
    """What is under the cache may be many sources: one that answers says nothing of another."""
    clock, gate, asked = Clock(), anyio.Event(), list[str]()

    async def lookup(unverified: Unverified) -> Key | None:
        asked.append(unverified.header["kid"])
        if asked[-1] == "a/hangs":
            await gate.wait()
        return key_for("RS256")

    resolve = cached(lookup, clock=clock)
    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(resolve, asking("a/hangs"))
            await settle()
            clock.turn(1.0)
            assert await resolve(asking(f"b/{number}"))
        gate.set()
    assert asked.count("a/hangs") == 1


async def test_asking_in_vain_is_limited_while_other_keys_are_answered() -> None:
    clock, gate, asked = Clock(), anyio.Event(), list[str]()

    async def lookup(unverified: Unverified) -> Key | None:
        asked.append(unverified.claims["iss"])
        if asked[-1] == "other":
            return key_for("RS256")
        await gate.wait()
        raise Unavailable("source", "no connection")

    resolve = cached(lookup, clock=clock, caching=Caching(issuer_misses=(0.0, 3), longest_wait=0.0))

    async def call(number: int) -> None:
        with pytest.raises(Unavailable):
            await resolve(asking(f"key{number}", "issuer"))

    for number in range(6):
        async with anyio.create_task_group() as group:
            group.start_soon(call, number)
            await settle()
            clock.turn(0.1)
            assert await resolve(asking(f"{number}", "other"))
            gate.set()
    assert asked.count("issuer") == 3


async def test_a_key_that_verified_before_it_was_cached_proves_nothing_of_its_entry() -> None:
    """Whoever can make one key be found under many ids would else keep all of them cached."""
    key = import_secret("s" * 32)
    vars(key)[MARK] = True

    async def source(unverified: Unverified) -> Key | None:
        return key

    resolve = cached(source, clock=Clock())
    for kid in ("a/1", "a/1", "a/2", "a/2"):
        assert await resolve(asking(kid)) is key
    assert not cache_of(resolve).proven
    assert len(cache_of(resolve).unproven) == 2


async def test_a_key_that_is_found_has_failed_no_more() -> None:
    key, clock, down = import_secret("s" * 32), Clock(), [True]

    async def source(unverified: Unverified) -> Key | None:
        if down.pop():
            raise Unavailable("source")
        return key

    resolve = cached(source, clock=clock)
    with pytest.raises(Unavailable):
        await resolve(asking())
    assert activity(resolve).failing == 1
    clock.turn(60.0)
    down.append(False)
    assert await resolve(asking()) is key
    assert activity(resolve).failing == 0
