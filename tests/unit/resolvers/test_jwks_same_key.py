"""The same key material more than once in a set is one key (RFC 7517, 4.5; RFC 7638)."""

from typing import Any

import pytest

from asapfn import Document, Event, Unavailable
from asapfn.keys import export_public_jwk
from asapfn.resolvers import jwks
from tests.support.keysets import EC, NEW, Client
from tests.support.keysources import asking, cache_of

# RFC 7638, section 3.1: the key, and its thumbprint.
RFC_KEY = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
    "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2"
    "QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6W"
    "eZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
BARE = {name: RFC_KEY[name] for name in ("kty", "n", "e", "kid")}


@pytest.mark.parametrize(
    "copies",
    [
        [RFC_KEY, RFC_KEY],
        [RFC_KEY, RFC_KEY | {"x5t": "AAAA"}],
        [RFC_KEY, RFC_KEY | {"use": "sig"}],
        [BARE, RFC_KEY],
        [RFC_KEY, BARE, BARE | {"use": "enc"}],
        [RFC_KEY, RFC_KEY | {"n": "AA" + "A" * 2 + RFC_KEY["n"]}],
    ],
    ids=["twice", "x5t", "use", "alg", "enc", "zeros before the modulus"],
)
@pytest.mark.parametrize("kid", ["2011-04-29", None])
async def test_the_same_key_twice_in_a_set_is_one_key(
    copies: list[dict[str, Any]], kid: str | None
) -> None:
    client = Client({"keys": copies})
    found = await client.resolve(asking(kid, "issuer"))
    assert found is not None
    assert found.thumbprint() == THUMBPRINT
    # The same object each time: a verifier remembers what it has verified by it.
    assert await client.resolve(asking(kid, "issuer")) is found


async def test_the_same_key_under_two_ids_is_one_key_to_a_token_without_an_id() -> None:
    client = Client({"keys": [RFC_KEY, RFC_KEY | {"kid": "other"}]})
    for kid in (None, "other", "2011-04-29"):
        found = await client.resolve(asking(kid, "issuer"))
        assert found is not None
        assert found.thumbprint() == THUMBPRINT


async def test_a_copy_for_one_algorithm_does_not_serve_another() -> None:
    client = Client({"keys": [RFC_KEY, RFC_KEY | {"alg": "PS512"}]})
    for algorithm in ("RS256", "PS512"):
        key = await _found(client, "2011-04-29", algorithm)
        assert key.alg == algorithm
    assert "another algorithm than RS512" in await client.why(
        asking("2011-04-29", "issuer", "RS512")
    )


@pytest.mark.parametrize("others", [[NEW], [EC, NEW], [NEW, EC], [EC, EC, NEW]])
async def test_different_keys_of_one_id_are_none(others: list[Any]) -> None:
    members = [export_public_jwk(key) | {"kid": "k"} for key in (EC, *others)]
    client = Client({"keys": members})
    for kid in ("k", None):
        assert "more than one key" in await client.why(asking(kid, "issuer", "ES256"))


async def _found(client: Client, kid: str | None, algorithm: str) -> Any:
    return await client.resolve(asking(kid, "issuer", algorithm))


async def test_a_set_of_copies_costs_no_token_more_than_a_few() -> None:
    client = Client({"keys": [RFC_KEY | {"x5t": str(number)} for number in range(900)]})
    assert await client.resolve(asking("2011-04-29", "issuer")) is not None
    cache = cache_of(client.resolve)
    (entry,) = [*cache.proven.values(), *cache.unproven.values()]
    assert len(entry.value.keys) == 1


@pytest.mark.parametrize("status", [500, 200])
async def test_the_query_of_a_sets_url_is_in_no_error_and_no_event(status: int) -> None:
    async def fetch(url: str, accept: str) -> Document:
        assert url.endswith("?sig=s3cret")
        return Document(status, "application/json", b"{}")

    events: list[Event] = []
    resolve = jwks("https://keys.example/set?sig=s3cret", fetch, observe=events.append)
    with pytest.raises(Unavailable) as caught:
        await resolve(asking("kid", "issuer"))
    assert caught.value.source == "https://keys.example/set"
    assert events
    assert "s3cret" not in repr(events) + str(caught.value)
