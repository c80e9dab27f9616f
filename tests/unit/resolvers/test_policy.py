"""Resolvers around resolvers: alternatives, issuers, ownership and deadlines."""

import tracemalloc
from typing import Any

import anyio
import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.resolvers import (
    by_issuer,
    cached,
    first_of,
    only_issuers,
    owned_by_issuer,
    with_deadline,
)
from asapfn.types import Caching, Key, Unverified
from tests.support.keyring import key_for
from tests.support.keysources import asking

pytestmark = pytest.mark.no_event_loop

FOUND = key_for("RS256")
OTHER = key_for("ES256")


class Source:
    """A resolver that answers, or raises, what it was made with, and counts."""

    def __init__(self, answer: Key | Exception | None) -> None:
        self.answer = answer
        self.asked = 0

    async def __call__(self, unverified: Unverified) -> Key | None:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answers", "expected", "asked"),
    [
        ([FOUND, OTHER], FOUND, [1, 0]),
        ([None, OTHER], OTHER, [1, 1]),
        ([Unavailable("a"), OTHER], OTHER, [1, 1]),
        ([None, Unavailable("a"), OTHER, FOUND], OTHER, [1, 1, 1, 0]),
        ([None, None], None, [1, 1]),
        ([FOUND], FOUND, [1]),
    ],
    ids=["first", "second", "after an outage", "after both", "none", "only"],
)
async def test_first_of_gives_the_first_key_and_asks_no_further(
    answers: list[Key | Exception | None], expected: Key | None, asked: list[int]
) -> None:
    sources = [Source(answer) for answer in answers]
    assert await first_of(*sources)(asking()) is expected
    assert [source.asked for source in sources] == asked


@pytest.mark.parametrize("after", [None, TokenRejected("unknown_key", "later")])
async def test_first_of_goes_on_after_a_key_that_cannot_be_used(after: Exception | None) -> None:
    first = TokenRejected("unknown_key", "first")
    assert await first_of(Source(first), Source(after), Source(OTHER))(asking()) is OTHER
    with pytest.raises(TokenRejected) as raised:
        await first_of(Source(first), Source(after))(asking())
    assert raised.value is first
    outage = Unavailable("source")
    with pytest.raises(Unavailable) as unavailable:
        await first_of(Source(first), Source(outage), Source(after))(asking())
    assert unavailable.value is outage


async def test_an_issuer_without_a_resolver_is_named() -> None:
    with pytest.raises(TokenRejected) as raised:
        await by_issuer({"another": Source(FOUND)})(asking())
    issuer = asking().claims["iss"]
    assert str(raised.value) == f'issuer_not_allowed: no resolver is for "{issuer}"'
    assert raised.value.claim == "iss"


@pytest.mark.anyio
async def test_each_resolver_is_asked_for_the_token_that_came() -> None:
    seen: list[Unverified] = []

    async def resolver(unverified: Unverified) -> Key | None:
        seen.append(unverified)
        return FOUND

    token = asking()
    issuer = str(token.claims["iss"])
    for composed in (
        first_of(Source(None), resolver),
        by_issuer({issuer: resolver}),
        only_issuers(resolver, issuer),
        owned_by_issuer(resolver),
        with_deadline(resolver, 60.0),
    ):
        assert await composed(token) is FOUND
        assert seen.pop() is token


@pytest.mark.parametrize("after", [None, Unavailable("later")])
async def test_first_of_never_reports_an_outage_as_an_unknown_key(after: Exception | None) -> None:
    with pytest.raises(Unavailable, match="first"):
        await first_of(Source(Unavailable("first")), Source(after), Source(None))(asking())


async def test_first_of_stops_at_a_refusal() -> None:
    last = Source(FOUND)
    resolve = first_of(Source(Unavailable("a")), Source(TokenRejected("key_not_owned")), last)
    with pytest.raises(TokenRejected, match="key_not_owned"):
        await resolve(asking())
    assert last.asked == 0


def test_first_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"^first_of takes at least one resolver$"):
        first_of()


async def test_by_issuer_asks_the_issuers_own_resolver() -> None:
    table = {"a": Source(FOUND), "b": Source(OTHER)}
    resolve = by_issuer(table)
    assert await resolve(asking("a/key")) is FOUND
    assert await resolve(asking("b/key")) is OTHER
    with pytest.raises(TokenRejected) as raised:
        await resolve(asking("c/key"))
    assert (raised.value.reason, raised.value.claim, raised.value.status) == (
        "issuer_not_allowed",
        "iss",
        403,
    )
    table["c"] = Source(FOUND)
    assert await resolve(asking("c/key")) is FOUND


async def test_only_issuers_takes_those_and_asks_for_nobody_else() -> None:
    source = Source(FOUND)
    for names in ("issuer", ["issuer", "other"], frozenset({"issuer"})):
        resolve = only_issuers(source, names)
        assert await resolve(asking("x/key", "issuer")) is FOUND
        for other in ("unknown", "issue", "issuer/", "Issuer", "i"):
            with pytest.raises(TokenRejected) as raised:
                await resolve(asking("x/key", other))
            assert (raised.value.reason, raised.value.claim) == ("issuer_not_allowed", "iss")
    assert source.asked == 3


def test_only_issuers_needs_names() -> None:
    with pytest.raises(ValueError, match=r"^issuers "):
        only_issuers(Source(None), [])
    numbers: list[Any] = [1]
    with pytest.raises(TypeError, match=r"^issuers "):
        only_issuers(Source(None), numbers)


OWNED = [("a", "a/k"), ("a", "a/b/k"), ("a/b", "a/b/k"), ("a.b", "a.b/k.pem"), ("a", "a/a")]
NOT_OWNED = [
    ("a", "ab/k"),
    ("a", "b/k"),
    ("a", "b/a/k"),
    ("a/b", "a/k"),
    ("A", "a/k"),
    ("a", "a"),
    ("a", "k"),
    ("", "a/k"),
    ("a/", "a/k"),
]


@pytest.mark.parametrize(("issuer", "kid"), OWNED)
async def test_a_key_under_the_issuers_name_is_its_own(issuer: str, kid: str) -> None:
    resolve = owned_by_issuer(Source(FOUND))
    for _ in range(2):
        assert await resolve(asking(kid, issuer)) is FOUND


@pytest.mark.parametrize(("issuer", "kid"), NOT_OWNED)
async def test_a_key_elsewhere_is_not_and_is_not_asked_for(issuer: str, kid: str) -> None:
    source = Source(FOUND)
    resolve = owned_by_issuer(source)
    for _ in range(2):
        with pytest.raises(TokenRejected) as raised:
            await resolve(asking(kid, issuer))
        assert (raised.value.reason, raised.value.claim) == ("key_not_owned", "kid")
    assert source.asked == 0


async def test_what_is_owned_by_one_is_not_by_another_however_many_asked_before() -> None:
    resolve = owned_by_issuer(Source(FOUND))
    for number in range(1500):
        assert await resolve(asking(f"a/{number}", "a")) is FOUND
        with pytest.raises(TokenRejected, match="key_not_owned"):
            await resolve(asking(f"a/{number}", "b"))


async def test_owned_pairs_are_remembered_within_bounds() -> None:
    resolve = owned_by_issuer(Source(FOUND))
    await resolve(asking("a/k", "a"))
    tracemalloc.start()
    try:
        for number in range(3000):
            await resolve(asking(f"{'a' * 900}/{number}", "a" * 900))
            await resolve(asking(f"{'b' * 100}/{number}", "b" * 100))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


async def test_direct_ownership_leaves_out_those_further_up() -> None:
    resolve = owned_by_issuer(Source(FOUND), direct=True)
    assert await resolve(asking("a/b/k", "a/b")) is FOUND
    assert await resolve(asking("a/k", "a")) is FOUND
    with pytest.raises(TokenRejected, match="key_not_owned"):
        await resolve(asking("a/b/k", "a"))


@pytest.mark.parametrize(
    "kid", ["a/../b/k", "a/", "a//k", "a/k\n", "a/kä", "a/k%2f", "a/.", "a/ k"]
)
async def test_an_ill_formed_key_id_is_nobodys(kid: str) -> None:
    source = Source(FOUND)
    with pytest.raises(TokenRejected) as raised:
        await owned_by_issuer(source)(asking(kid, "a"))
    assert (raised.value.reason, raised.value.claim) == ("invalid_claim", "kid")
    expected = "the kid is not well formed: expected parts of A-Z a-z 0-9 _ . - + between /; it is"
    assert str(raised.value) == f"invalid_claim: {expected} {kid!a}"
    assert source.asked == 0


async def test_without_an_issuer_policy_refuses() -> None:
    source = Source(FOUND)
    nobody = asking("a/k")._replace(claims={})
    for resolve in (
        by_issuer({"a": source}),
        only_issuers(source, "a"),
        owned_by_issuer(source),
    ):
        with pytest.raises(TokenRejected) as raised:
            await resolve(nobody)
        assert (raised.value.reason, raised.value.claim) == ("missing_claim", "iss")
        assert str(raised.value) == "missing_claim: the token has no iss"
    assert source.asked == 0


async def test_without_a_key_id_no_key_is_owned() -> None:
    source = Source(FOUND)
    with pytest.raises(TokenRejected) as raised:
        await owned_by_issuer(source)(asking(None, "a"))
    assert (raised.value.reason, raised.value.claim) == ("missing_claim", "kid")
    assert str(raised.value) == "missing_claim: the header has no kid"
    assert source.asked == 0


@pytest.mark.anyio
async def test_a_deadline_ends_what_takes_too_long_and_nothing_else() -> None:
    ended = False

    async def slow(unverified: Unverified) -> Key | None:
        nonlocal ended
        try:
            await anyio.sleep(10)
        finally:
            ended = True
        return FOUND

    with pytest.raises(Unavailable, match=r"^resolver: no answer within 0\.01 s$"):
        await with_deadline(slow, 0.01)(asking())
    assert ended
    assert await with_deadline(Source(FOUND), 5.0)(asking()) is FOUND
    assert await with_deadline(Source(None), 5.0)(asking()) is None
    with pytest.raises(TokenRejected):
        await with_deadline(Source(TokenRejected("malformed")), 5.0)(asking())


@pytest.mark.anyio
async def test_within_a_cache_a_deadline_is_an_outage_that_excuses_the_old_key() -> None:
    hangs = False

    async def source(unverified: Unverified) -> Key | None:
        if hangs:
            await anyio.sleep(10)
        return FOUND

    now = 0.0
    resolve = cached(
        with_deadline(source, 0.01), caching=Caching(default_age=10.0), clock=lambda: now
    )
    await resolve(asking())
    hangs, now = True, 20.0
    assert await resolve(asking()) is FOUND


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_deadline_leaves_some_time(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"^seconds must be positive$"):
        with_deadline(Source(None), seconds)
