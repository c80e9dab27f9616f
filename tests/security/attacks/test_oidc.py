"""Attacks on who an OpenID provider's tokens are from and for, and on where its keys are."""

import json
import socket
import threading
from typing import Any

import httpx
import pytest

from asapfn import TokenRejected, Unavailable, oidc
from asapfn.adapters.httpx import fetcher
from asapfn.keys import export_jwks, generate
from asapfn.resolvers import by_issuer, discovered, first_of
from asapfn.types import Resolver
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.provider import KEYS, METADATA, Provider, key_set, metadata
from tests.support.servers import answers, raw_server, response, trusting
from tests.support.verifying import NOW, clock

OURS, THEIRS = "https://ours.example", "https://theirs.example"
PATH = "/.well-known/openid-configuration"
OUR_KEY = key_for("ES256", "ours")
# Of the same key id: providers choose theirs without asking each other.
THEIR_KEY = generate("ES256", kid=OUR_KEY.kid)
CLAIMS = {"iss": OURS, "sub": "pipeline", "aud": "billing", "iat": NOW, "exp": NOW + 60}


def provider(issuer: str, *keys: Any, **there: Any) -> Provider:
    """A provider whose metadata and keys are below its issuer."""
    made = Provider(issuer=issuer)
    made.there = {
        f"{issuer}{PATH}": metadata(issuer=issuer, jwks_uri=f"{issuer}/keys"),
        f"{issuer}/keys": key_set(*keys),
    } | there
    return made


async def reason(text: str, resolver: Resolver, **options: Any) -> str | None:
    asked: dict[str, Any] = {"issuer": OURS, "audience": "billing", "now": clock} | options
    try:
        await oidc.verifier(resolver, **asked)(text)
    except TokenRejected as error:
        return error.reason
    except Unavailable:
        return "unavailable"
    return None


async def test_issuer_mix_up_in_the_metadata() -> None:
    """RFC 9207's mix-up: a provider that answers in another's name, with keys of its own."""
    forged = forge(CLAIMS, THEIR_KEY)
    for lie in (
        metadata(issuer=THEIRS, jwks_uri=f"{THEIRS}/keys"),
        metadata(issuer=f"{OURS}/", jwks_uri=f"{THEIRS}/keys"),
        metadata(issuer=[OURS, THEIRS], jwks_uri=f"{THEIRS}/keys"),
    ):
        ours = provider(OURS, OUR_KEY, **{f"{OURS}{PATH}": lie, f"{THEIRS}/keys": key_set()})
        assert await reason(forged, ours.resolve) == "unavailable"
        assert ours.asked == [f"{OURS}{PATH}"]


async def test_issuer_mix_up_between_two_tenants_of_one_host() -> None:
    """Tenants differ by their path alone, and one's token names the other."""
    host = "https://provider.example"
    mine = provider(f"{host}/mine", OUR_KEY)
    yours = provider(f"{host}/yours", THEIR_KEY)
    table = by_issuer({f"{host}/mine": mine.resolve, f"{host}/yours": yours.resolve})
    as_mine = forge(CLAIMS | {"iss": f"{host}/mine"}, THEIR_KEY)
    assert await reason(as_mine, table, issuer=f"{host}/mine") == "bad_signature"
    as_yours = forge(CLAIMS | {"iss": f"{host}/yours"}, THEIR_KEY)
    assert await reason(as_yours, table, issuer=f"{host}/mine") == "issuer_not_allowed"
    for near in (f"{host}/mine/", f"{host}/Mine", f"{host}/mine/../mine", host, f"{host}:443/mine"):
        text = forge(CLAIMS | {"iss": near}, OUR_KEY)
        assert await reason(text, mine.resolve, issuer=f"{host}/mine") == "issuer_not_allowed"
    assert yours.asked == []


async def test_a_key_of_one_issuer_answers_for_no_other() -> None:
    """However the resolvers are put together: each asks its own issuer for its own tokens."""
    ours, theirs = provider(OURS, OUR_KEY), provider(THEIRS, THEIR_KEY)
    forged, honest = forge(CLAIMS, THEIR_KEY), forge(CLAIMS, OUR_KEY)
    together: dict[str, Resolver] = {
        "by issuer": by_issuer({OURS: ours.resolve, THEIRS: theirs.resolve}),
        "the wrong way round": by_issuer({OURS: theirs.resolve, THEIRS: ours.resolve}),
        "first": first_of(ours.resolve, theirs.resolve),
        "alone": ours.resolve,
        "the other alone": theirs.resolve,
    }
    seen = {name: await reason(forged, each) for name, each in together.items()}
    assert seen == {
        "by issuer": "bad_signature",
        "the wrong way round": "issuer_not_allowed",
        "first": "bad_signature",
        "alone": "bad_signature",
        "the other alone": "issuer_not_allowed",
    }
    assert await reason(honest, together["first"]) is None
    assert theirs.asked == []


async def test_a_key_of_another_issuer_that_ours_does_not_have_answers_for_no_other() -> None:
    """first_of goes on to the next where a key is unknown: the next refuses this issuer."""
    other = generate("ES256", kid="theirs/only")
    ours, theirs = provider(OURS, OUR_KEY), provider(THEIRS, other)
    forged = forge(CLAIMS, other)
    assert await reason(forged, first_of(ours.resolve, theirs.resolve)) == "issuer_not_allowed"
    assert theirs.asked == []


async def test_audience_confusion_between_two_providers() -> None:
    """Anybody may ask a public provider for a token that is for any audience."""
    ours, theirs = provider(OURS, OUR_KEY), provider(THEIRS, THEIR_KEY)
    wanted = forge(CLAIMS | {"iss": THEIRS}, THEIR_KEY)
    assert await reason(wanted, theirs.resolve) == "issuer_not_allowed"
    assert await reason(wanted, theirs.resolve, issuer=THEIRS, audience="for-them") == (
        "wrong_audience"
    )
    meant_for_them = forge(CLAIMS | {"aud": "for-them"}, OUR_KEY)
    assert await reason(meant_for_them, ours.resolve) == "wrong_audience"
    for near in ("Billing", "billing/", "https://billing", " billing", "bill", "billing "):
        text = forge(CLAIMS | {"aud": near}, OUR_KEY)
        assert await reason(text, ours.resolve) == "wrong_audience"
    assert ours.asked == theirs.asked == []


async def test_a_token_that_another_service_also_holds_is_not_passed_on_by_it() -> None:
    """Core, 3.1.3.7, 3: whoever is named beside this service may present what it was sent."""
    ours = provider(OURS, OUR_KEY)
    for audiences in (["billing", "mallory"], ["mallory", "billing"], ["billing", ""]):
        text = forge(CLAIMS | {"aud": audiences}, OUR_KEY)
        assert await reason(text, ours.resolve) == "wrong_audience"
    assert ours.asked == []


async def test_azp_stands_in_for_no_audience_and_aud_for_no_azp() -> None:
    """azp/aud confusion: the client that got a token is not the service that it is for."""
    ours = provider(OURS, OUR_KEY)
    parties = {"authorized_parties": "client"}
    for changes, expected in (
        ({"aud": "mallory", "azp": "billing"}, "wrong_audience"),
        ({"aud": [], "azp": "billing"}, "wrong_audience"),
        ({"aud": ["mallory"], "azp": "client"}, "wrong_audience"),
        ({"aud": ["billing", "client"], "azp": "client"}, "wrong_audience"),
        ({"azp": "billing"}, "invalid_claim"),
        ({"azp": "mallory"}, "invalid_claim"),
        ({"azp": ["client"]}, "invalid_claim"),
        ({"azp": "Client"}, "invalid_claim"),
        ({"azp": None}, "invalid_claim"),
        ({}, "missing_claim"),
    ):
        text = forge(CLAIMS | changes, OUR_KEY)
        assert await reason(text, ours.resolve, **parties) == expected, changes
    assert ours.asked == []
    assert await reason(forge(CLAIMS | {"azp": "client"}, OUR_KEY), ours.resolve, **parties) is None


async def test_what_a_token_says_of_its_keys_place_is_never_read() -> None:
    ours = provider(OURS, OUR_KEY)
    elsewhere = {"jku": f"{THEIRS}/keys", "x5u": f"{THEIRS}/keys", "jwks_uri": f"{THEIRS}/keys"}
    forged = forge(CLAIMS | elsewhere, THEIR_KEY, **elsewhere)
    assert await reason(forged, ours.resolve) == "bad_signature"
    assert ours.asked == [f"{OURS}{PATH}", f"{OURS}/keys"]


async def test_the_metadata_chooses_no_algorithm() -> None:
    """A provider that announces what the policy does not accept, or nothing signed at all."""
    announced = {"id_token_signing_alg_values_supported": ["none", "HS256", "ES256"]}
    lax = metadata(issuer=OURS, jwks_uri=f"{OURS}/keys", **announced)
    ours = provider(OURS, OUR_KEY, **{f"{OURS}{PATH}": lax})
    text = forge(CLAIMS, OUR_KEY)
    assert await reason(text, ours.resolve, algorithms=["RS256"]) == "unsupported_algorithm"
    unsigned = forge(CLAIMS, OUR_KEY, alg="none").rpartition(".")[0] + "."
    assert await reason(unsigned, ours.resolve) == "unsupported_algorithm"
    assert ours.asked == []


async def test_a_key_set_with_a_secret_in_it_is_not_used() -> None:
    ours = provider(OURS, OUR_KEY)
    members = [*export_jwks([OUR_KEY])["keys"], {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]
    ours.there[f"{OURS}/keys"] = metadata(keys=members)
    assert await reason(forge(CLAIMS, OUR_KEY), ours.resolve) == "unavailable"


async def test_a_provider_whose_keys_move_to_and_fro_is_asked_within_bounds() -> None:
    """A loop: each time that the metadata is asked for it names the other place."""
    made = Provider(cooldown=30.0)
    places = [f"https://keys.example/{number}" for number in range(2)]
    count = iter(range(10_000))
    made.there[METADATA] = lambda: metadata(jwks_uri=places[next(count) % 2])
    for _ in range(20):
        assert await made.sees("absent") == "unavailable"
        assert await made.sees("another") == "unavailable"
        made.clock.turn(30.0)
    # For each round: the set, the metadata, and the set where that says.
    assert len(made.asked) <= 20 * 3 + 1
    assert KEYS not in made.asked


class Asked:
    """A server that keeps the heads of requests and answers from a table of paths."""

    def __init__(self, **there: bytes) -> None:
        self.heads: list[bytes] = []
        self.there: dict[str, bytes] = dict(there)

    def __call__(self, peer: socket.socket, request: bytes, stopping: threading.Event) -> None:
        self.heads.append(request)
        path = request.split(b" ", 2)[1].decode()
        peer.sendall(self.there.get(path, response("404 Not Found")))


def as_json(content: Any) -> bytes:
    return response("200 OK", json.dumps(content).encode(), "Content-Type: application/json")


async def test_the_credentials_for_the_metadata_do_not_go_where_it_points() -> None:
    """A cluster's API server gets the bearer; the host that its metadata names does not."""
    elsewhere, server = Asked(), Asked()
    elsewhere.there["/keys"] = as_json(export_jwks([OUR_KEY]))
    with raw_server(elsewhere) as other, raw_server(server) as issuer:
        server.there[PATH] = as_json({"issuer": issuer, "jwks_uri": f"{other}/keys"})
        async with httpx.AsyncClient(verify=trusting()) as client:
            bearer = {"Authorization": "Bearer hunter2"}
            fetch = fetcher(client, headers=bearer, origins=issuer)
            text = forge(CLAIMS | {"iss": issuer}, OUR_KEY)
            assert await reason(text, discovered(issuer, fetch), issuer=issuer) is None
    assert [b"hunter2" in head for head in server.heads] == [True]
    assert [b"hunter2" in head for head in elsewhere.heads] == [False]


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
async def test_neither_document_is_followed_elsewhere(status: str) -> None:
    """Also where it would lead back to itself, for ever."""
    server, elsewhere = Asked(), Asked()
    with raw_server(elsewhere) as other, raw_server(server) as issuer:
        found = as_json({"issuer": issuer, "jwks_uri": f"{issuer}/keys"})
        for metadata_is, keys_are in (
            (response(status, b"", f"Location: {other}{PATH}"), b""),
            (response(status, b"", f"Location: {issuer}{PATH}"), b""),
            (found, response(status, b"", f"Location: {other}/keys")),
            (found, response(status, b"", f"Location: {issuer}/keys")),
        ):
            server.heads.clear()
            server.there = {PATH: metadata_is, "/keys": keys_are}
            async with httpx.AsyncClient(verify=trusting(), follow_redirects=True) as client:
                resolver = discovered(issuer, fetcher(client))
                text = forge(CLAIMS | {"iss": issuer}, OUR_KEY)
                with pytest.raises(Unavailable, match="redirect"):
                    await oidc.verifier(resolver, issuer=issuer, audience="billing", now=clock)(
                        text
                    )
            assert len(server.heads) == (2 if keys_are else 1)
    assert elsewhere.heads == []


async def test_a_document_over_the_cap_is_an_outage() -> None:
    large = {"issuer": OURS, "jwks_uri": f"{OURS}/keys", "x": "x" * 70_000}
    with raw_server(answers(as_json(large))) as origin:
        async with httpx.AsyncClient(verify=trusting()) as client:
            url = f"{origin}{PATH}"
            resolver = discovered(OURS, fetcher(client), metadata_url=url)
            verify = oidc.verifier(resolver, issuer=OURS, audience="billing", now=clock)
            with pytest.raises(Unavailable, match=r"65,?536"):
                await verify(forge(CLAIMS, OUR_KEY))
