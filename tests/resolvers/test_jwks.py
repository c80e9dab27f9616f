import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from keyring import key_for
from keysources import Clock, Events, Repository, asking, down

from asapfn.errors import Unavailable
from asapfn.keys import export_jwks, export_public_jwk, generate, import_jwk
from asapfn.resolvers import jwks, prefetch
from asapfn.types import Caching, Document, Event, Key

URL = "https://keys.example/jwks.json?product=app"
RSA, EC, PS = key_for("RS256"), key_for("ES256"), key_for("PS256")
NEW = generate("ES256", kid="new")


def serving(body: Any, *ages: float, status: int = 200) -> Callable[[str], Document]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda url: Document(status, "application/json", data, *ages)


def of(*keys: Key, **members: Any) -> dict[str, Any]:
    return {"keys": [export_public_jwk(key) | members for key in keys]}


def same(one: Key | None, other: Key) -> bool:
    return one is not None and export_public_jwk(one) == export_public_jwk(other)


class House:
    """A key set in memory behind `jwks`, its clock, and the events."""

    def __init__(self, body: Any, *ages: float, **options: Any) -> None:
        self.clock, self.events = Clock(), Events()
        self.source = Repository(serving(body, *ages))
        self.resolve = jwks(URL, self.source, clock=self.clock, observe=self.events, **options)

    @property
    def requests(self) -> int:
        return len(self.source.asked)


# Which key it is


async def test_a_key_is_chosen_by_its_id() -> None:
    house = House(export_jwks([RSA, EC]))
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert same(await house.resolve(asking(EC.kid, algorithm="ES256")), EC)
    assert await house.resolve(asking("issuer/other")) is None
    assert await house.resolve(asking("issuer")) is None
    assert house.source.asked == [URL]


async def test_what_is_accepted_is_said() -> None:
    accepted: list[str] = []

    async def fetch(url: str, accept: str) -> Document:
        accepted.append(accept)
        return serving(export_jwks([RSA]))(url)

    await jwks(URL, fetch)(asking(RSA.kid))
    assert accepted == ["application/jwk-set+json, application/json"]


async def test_a_key_is_chosen_by_type_curve_and_algorithm_too() -> None:
    same_id = [
        export_public_jwk(RSA) | {"kid": "k"},
        export_public_jwk(PS) | {"kid": "k"},
        export_public_jwk(EC) | {"kid": "k"},
        export_public_jwk(key_for("ES384")) | {"kid": "k"},
    ]
    house = House({"keys": same_id})
    for algorithm, member in zip(("RS256", "PS256", "ES256", "ES384"), same_id, strict=True):
        found = await house.resolve(asking("k", "issuer", algorithm))
        assert found is not None
        assert export_public_jwk(found) == member
    assert await house.resolve(asking("k", "issuer", "RS512")) is None
    assert await house.resolve(asking("k", "issuer", "EdDSA")) is None


async def test_without_a_key_id_the_only_candidate_is_the_key_and_of_two_none_is() -> None:
    house = House(export_jwks([RSA, EC, PS]))
    assert same(await house.resolve(asking(None, "issuer", "ES256")), EC)
    assert same(await house.resolve(asking(None, "issuer", "RS256")), RSA)
    two = of(RSA, EC)
    two["keys"].append(export_public_jwk(NEW))
    house = House(two)
    assert await house.resolve(asking(None, "issuer", "ES256")) is None
    assert same(await house.resolve(asking(EC.kid, algorithm="ES256")), EC)
    assert house.requests == 1


async def test_a_key_id_twice_is_no_answer() -> None:
    house = House({"keys": [export_public_jwk(key) | {"kid": "k"} for key in (EC, NEW)]})
    assert await house.resolve(asking("k", "issuer", "ES256")) is None


async def test_a_key_without_an_id_is_not_that_of_a_token_with_one() -> None:
    member = export_public_jwk(RSA)
    del member["kid"]
    house = House({"keys": [member]})
    assert await house.resolve(asking(RSA.kid)) is None
    assert await house.resolve(asking(None, "issuer")) is not None


NOT_UNDERSTOOD: dict[str, Any] = {
    "for encryption": export_public_jwk(EC) | {"use": "enc"},
    "for encryption, by its operations": export_public_jwk(EC) | {"key_ops": ["encrypt"]},
    "of an unknown type": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": EC.kid},
    "without a type": {"kid": EC.kid},
    "of an unknown curve": export_public_jwk(EC) | {"crv": "P-224"},
    "not on its curve": export_public_jwk(EC) | {"x": export_public_jwk(EC)["y"]},
    "with a number for an id": export_public_jwk(EC) | {"kid": 1},
    "no object": "key",
    "null": None,
    "too weak": {"kty": "RSA", "kid": EC.kid, "e": "AQAB", "n": "w" * 170},
}


@pytest.mark.parametrize("member", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
async def test_a_member_that_is_not_for_us_is_passed_over(member: Any) -> None:
    house = House({"keys": [member, export_public_jwk(RSA), member]})
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert await house.resolve(asking(EC.kid, algorithm="ES256")) is None


async def test_keys_to_verify_with_may_say_so() -> None:
    for members in ({"use": "sig"}, {"key_ops": ["verify"]}, {"x5t": "unread"}):
        house = House(of(EC, **members))
        assert await house.resolve(asking(EC.kid, algorithm="ES256")) is not None


REFUSED: dict[str, tuple[Any, str]] = {
    "a private RSA key": (
        {**export_public_jwk(RSA), "d": "AAAA"},
        ": the set holds a symmetric or private key",
    ),
    "a private EC key": (
        {**export_public_jwk(EC), "d": "AAAA"},
        ": the set holds a symmetric or private key",
    ),
    **{
        f"a private member {name}": (
            {**export_public_jwk(RSA), name: "AAAA"},
            ": the set holds a symmetric or private key",
        )
        for name in ("d", "p", "q", "dp", "dq", "qi")
    },
    "more primes": (
        {**export_public_jwk(RSA), "oth": []},
        ": the set holds a symmetric or private key",
    ),
    "a secret": ({"kty": "oct", "k": "A" * 43}, ": the set holds a symmetric or private key"),
    "a secret without its value": ({"kty": "oct"}, ": the set holds a symmetric or private key"),
    "a value without its type": ({"k": "A" * 43}, ": the set holds a symmetric or private key"),
    "a private key of a type not known": (
        {"kty": "AKP", "pub": "AAAA", "priv": "AAAA"},
        ": the set holds a symmetric or private key",
    ),
}


@pytest.mark.parametrize(("member", "detail"), REFUSED.values(), ids=REFUSED)
async def test_a_set_that_tells_a_secret_is_refused_whole(member: Any, detail: str) -> None:
    house = House({"keys": [export_public_jwk(RSA), member]})
    with pytest.raises(Unavailable, match=detail) as raised:
        await house.resolve(asking(RSA.kid))
    assert raised.value.source == URL
    assert "AAAA" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", ": not a key set: "),
        (b"<html>", "not a key set"),
        (b"\xff", "not a key set"),
        (b"[]", "not a key set"),
        (b'{"keys": [], "keys": []}', "not a key set"),
        (b'{"keys": [{"kid": "a", "kid": "b"}]}', "not a key set"),
        (b"{}", ": not a key set: no list of keys"),
        (b'{"keys": {}}', ": not a key set: no list of keys"),
        (b'{"keys": null}', ": not a key set: no list of keys"),
    ],
)
async def test_what_is_no_key_set_is_an_outage(body: bytes, detail: str) -> None:
    with pytest.raises(Unavailable, match=detail) as raised:
        await House(body).resolve(asking(RSA.kid))
    assert raised.value.source == URL
    assert isinstance(raised.value.__cause__, Unavailable)
    if "no list" not in detail:
        assert isinstance(raised.value.__cause__.__cause__, ValueError)


@pytest.mark.parametrize("status", [201, 204, 301, 403, 404, 500])
async def test_a_status_but_200_is_an_outage(status: int) -> None:
    house = House(b"")
    house.source.answer = serving(export_jwks([RSA]), status=status)
    with pytest.raises(Unavailable, match=f": status {status}"):
        await house.resolve(asking(RSA.kid))


@pytest.mark.parametrize("url", ["http://keys.example/", "https://u:p@keys.example/", "file:///k"])
def test_a_key_set_is_at_an_https_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^keys come from an https URL"):
        jwks(url, Repository())


async def test_an_empty_set_is_a_set() -> None:
    house = House({"keys": []})
    assert await house.resolve(asking(RSA.kid)) is None
    assert await house.resolve(asking(None, "issuer")) is None
    assert house.requests == 1
    assert house.events[-1] == Event("unknown", URL, "", 0.0)


async def test_keys_are_parsed_once_a_fetch() -> None:
    house = House(export_jwks([RSA]))
    assert await house.resolve(asking(RSA.kid)) is await house.resolve(asking(RSA.kid))


# When it is asked for


async def test_a_key_that_is_absent_makes_the_set_be_fetched_again_after_the_cooldown() -> None:
    house = House(export_jwks([RSA]), cooldown=30.0)
    new = asking("new", "issuer", "ES256")
    assert await house.resolve(new) is None
    house.source.answer = serving(export_jwks([RSA, NEW]))
    house.clock.turn(29.9)
    assert await house.resolve(new) is None
    assert house.requests == 1
    house.clock.turn(0.1)
    assert same(await house.resolve(new), NEW)
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert house.requests == 2


async def test_the_cooldown_counts_from_the_last_fetch_that_was_completed() -> None:
    house = House(export_jwks([RSA]), cooldown=30.0)
    absent = asking("absent")
    for seconds, requests in ((0.0, 1), (30.0, 2), (29.9, 2), (0.1, 3), (0.0, 3)):
        house.clock.turn(seconds)
        assert await house.resolve(absent) is None
        assert house.requests == requests
    assert house.events == [
        Event("fetched", URL, "absent", 0.0),
        Event("unknown", URL, "absent", 0.0),
        Event("refreshed", URL, "absent", 0.0),
        Event("unknown", URL, "absent", 0.0),
        Event("unknown", URL, "absent", 0.0),
        Event("refreshed", URL, "absent", 0.0),
        Event("unknown", URL, "absent", 0.0),
        Event("unknown", URL, "absent", 0.0),
    ]


async def test_a_key_that_appears_is_found_by_a_real_clock_too() -> None:
    source = Repository(serving(export_jwks([RSA])))
    resolve = jwks(URL, source, cooldown=0.01)
    new = asking("new", "issuer", "ES256")
    assert await resolve(new) is None
    source.answer = serving(export_jwks([RSA, NEW]))
    time.sleep(0.011)
    assert same(await resolve(new), NEW)


async def test_many_that_miss_an_absent_key_fetch_the_set_once() -> None:
    house = House(export_jwks([RSA]))
    await house.resolve(asking(RSA.kid))
    house.source.answer = serving(export_jwks([RSA, NEW]))
    house.clock.turn(30.0)
    found: list[Key | None] = []

    async def call(number: int) -> None:
        kid = "new" if number % 2 else f"stranger{number}"
        found.append(await house.resolve(asking(kid, "issuer", "ES256")))

    open_gate = house.source.close_gate()
    async with anyio.create_task_group() as group:
        for number in range(1000):
            group.start_soon(call, number)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(1):
            assert same(await house.resolve(asking(RSA.kid)), RSA)
        open_gate()
    assert house.requests == 2
    assert found.count(None) == 500


async def test_a_thousand_callers_on_a_cold_cache_make_one_request() -> None:
    house = House(export_jwks([RSA]))
    found: list[Key | None] = []

    async def call() -> None:
        found.append(await house.resolve(asking(RSA.kid)))

    open_gate = house.source.close_gate()
    async with anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(call)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        open_gate()
    assert len(set(map(id, found))) == 1
    assert same(found[0], RSA)
    assert house.requests == 1


async def test_an_outage_is_never_reported_as_an_unknown_key() -> None:
    house = House(export_jwks([RSA]), 300.0)
    await house.resolve(asking(RSA.kid))
    house.source.answer = down
    house.clock.turn(30.0)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await house.resolve(asking("new"))
    assert house.requests == 2  # it is left alone for `min_age`
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert house.events.kinds() == ["fetched", "unavailable"]
    house.clock.turn(5.0)
    house.source.answer = serving(export_jwks([RSA, NEW]))
    assert same(await house.resolve(asking("new", "issuer", "ES256")), NEW)


async def test_a_key_whose_set_is_stale_is_served_while_the_source_is_down() -> None:
    house = House(export_jwks([RSA]), 300.0, caching=Caching(stale_if_error=100.0))
    await house.resolve(asking(RSA.kid))
    house.source.answer = down
    house.clock.turn(399.9)
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    with pytest.raises(Unavailable):
        await house.resolve(asking("new"))
    house.clock.turn(0.1)
    with pytest.raises(Unavailable):
        await house.resolve(asking(RSA.kid))


async def test_a_withdrawn_key_is_gone_with_the_next_fetch() -> None:
    house = House(export_jwks([RSA, EC]), 300.0)
    await house.resolve(asking(RSA.kid))
    house.source.answer = serving(export_jwks([EC]), 300.0)
    house.clock.turn(300.0)
    assert await house.resolve(asking(RSA.kid)) is None
    assert house.requests == 2


async def test_a_flood_of_unknown_key_ids_costs_a_fetch_a_cooldown_and_no_budget() -> None:
    house = House(
        export_jwks([RSA]), cooldown=30.0, caching=Caching(total_misses=(0.0, 1), default_age=1e9)
    )
    for number in range(3000):
        assert await house.resolve(asking(f"stranger/{number}")) is None
        house.clock.turn(0.1)
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert house.requests == 10


async def test_a_set_that_was_never_had_is_asked_for_within_the_budget() -> None:
    house = House(b"", caching=Caching(issuer_misses=(0.0, 3)))
    house.source.answer = down
    for _ in range(10):
        with pytest.raises(Unavailable):
            await house.resolve(asking("issuer/key"))
    assert house.requests == 3


async def test_a_set_can_be_fetched_ahead() -> None:
    house = House(export_jwks([RSA]), 300.0)
    assert await prefetch(house.resolve, [str(RSA.kid), "absent"]) == {
        RSA.kid: True,
        "absent": False,
    }
    assert same(await house.resolve(asking(RSA.kid)), RSA)
    assert house.requests == 1


def test_the_test_keys_are_what_they_seem() -> None:
    assert import_jwk(export_public_jwk(EC)).kid == EC.kid
