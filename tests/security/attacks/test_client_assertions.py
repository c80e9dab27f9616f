"""Attacks on OAuth clients' assertions: used again, handed on, made in another's name."""

from typing import Any

import pytest

from asapfn import oauth, sign, verifier
from asapfn.keys import export_private_pem, export_public_jwk, import_pem
from asapfn.replay import in_memory
from asapfn.resolvers import jwks, keys_by_id
from asapfn.types import Unverified
from tests.support.keyring import key_for
from tests.support.published import Published
from tests.support.verifying import NOW, clock
from tests.support.victim import by_hmac, told

SERVER, ENDPOINT = "https://auth.example", "https://auth.example/token"
VICTIM = key_for("ES256", "victim")
MALLORY = key_for("ES256", "mallory")


async def nobody(unverified: Unverified) -> None:
    raise AssertionError("no key is asked for")


def server(**options: Any) -> Any:
    clients = {"victim": keys_by_id([VICTIM]), "mallory": keys_by_id([MALLORY])}
    settings = {"clients": clients, "audience": [SERVER, ENDPOINT], "replay": in_memory()} | options
    clients, audience = settings.pop("clients"), settings.pop("audience")
    return verifier(oauth.assertion_policy(clients, audience, now=clock, **settings))


def claims(client: str = "victim", **changes: Any) -> dict[str, Any]:
    made = {"iss": client, "sub": client, "aud": SERVER, "iat": NOW, "exp": NOW + 60, "jti": "1"}
    return made | changes


async def test_the_control_is_accepted() -> None:
    for client, key in (("victim", VICTIM), ("mallory", MALLORY)):
        assert await told(server()(sign(claims(client), key))) is None


async def test_assertion_replay_what_was_read_on_its_way_is_of_no_use() -> None:
    verify = server()
    text = await oauth.client_assertion("victim", VICTIM, now=clock)(SERVER)
    assert await told(verify(text)) is None
    for _ in range(3):
        assert await told(verify(text)) == "replayed"
    # Nor in a second process that shares the store, nor signed once more under the same id.
    store = in_memory()
    assert await told(server(replay=store)(sign(claims(), VICTIM))) is None
    assert await told(server(replay=store)(sign(claims(), VICTIM))) == "replayed"
    # One client cannot use up the ids of another.
    assert await told(server(replay=store)(sign(claims("mallory"), MALLORY))) is None


async def test_assertion_replay_an_assertion_that_is_refused_is_not_used_up() -> None:
    verify = server()
    assert await told(verify(sign(claims(), MALLORY, kid=VICTIM.kid))) == "bad_signature"
    assert await told(verify(sign(claims(sub="mallory"), VICTIM))) == "subject_mismatch"
    assert await told(verify(sign(claims(), VICTIM))) is None


@pytest.mark.parametrize(
    "audience",
    [
        "https://other.example",
        "https://other.example/token",
        # Names that differ in little from this server's.
        *(f"{SERVER}/", "https://AUTH.example", "http://auth.example", f"{SERVER}:443"),
        *(f"{ENDPOINT}/", f"{ENDPOINT}?x", f"{SERVER}/token2", f"{SERVER}/tenant/token"),
        *("auth.example", "", " https://auth.example"),
        *(["https://other.example"], []),
    ],
    ids=str,
)
async def test_an_assertion_for_another_endpoint_is_refused(audience: Any) -> None:
    verify = server(clients={"victim": nobody})
    assert await told(verify(sign(claims(aud=audience), VICTIM))) == "wrong_audience"


@pytest.mark.parametrize(
    "audience",
    [
        [SERVER, "https://evil.example"],
        ["https://evil.example", SERVER],
        [SERVER, ENDPOINT],
        [SERVER, SERVER],
        [SERVER, ""],
    ],
    ids=str,
)
async def test_an_assertion_for_two_endpoints_is_refused_by_both(audience: list[str]) -> None:
    """CVE-2025-27370 and CVE-2025-27371: a server names another's endpoint as its own audience.

    What a client signs for the one is then accepted by the other.
    """
    verify = server(clients={"victim": nobody})
    assert await told(verify(sign(claims(aud=audience), VICTIM))) == "invalid_claim"


async def test_a_client_never_signs_for_more_than_the_server_that_it_names() -> None:
    assertion: Any = oauth.client_assertion("victim", VICTIM)
    for audience in ([SERVER, "https://evil.example"], (SERVER,), {SERVER}, None):
        with pytest.raises(TypeError, match="audience"):
            await assertion(audience)


async def test_a_client_is_never_authenticated_by_another_clients_key() -> None:
    bare = import_pem(export_private_pem(MALLORY))
    for text in (
        sign(claims(), MALLORY),
        sign(claims(), bare),
        sign(claims(), bare, kid=VICTIM.kid),
    ):
        assert await told(server()(text)) in ("unknown_key", "bad_signature", "missing_claim")
    # Each says of itself who it is, and of the subject who it would like to be.
    assert await told(server()(sign(claims("mallory", sub="victim"), MALLORY))) == (
        "subject_mismatch"
    )
    # The same key id in both clients' sets.
    same = import_pem(export_private_pem(MALLORY), kid=VICTIM.kid)
    both = {"victim": keys_by_id([VICTIM]), "mallory": keys_by_id([same])}
    assert await told(server(clients=both)(sign(claims(), same))) == "bad_signature"


async def test_a_client_that_is_not_known_costs_no_look_up() -> None:
    published = Published()
    table = {"victim": jwks("https://victim.example/jwks.json", published)}
    for client in ("mallory", "", "Victim", "victim ", "https://victim.example/jwks.json"):
        reason = await told(server(clients=table)(sign(claims(client), MALLORY)))
        assert reason == "issuer_not_allowed"
    assert published.asked == []


async def test_a_client_secret_or_a_public_key_is_no_key_of_an_assertion() -> None:
    public = export_public_jwk(VICTIM)
    for secret in (b"a client secret of 32 bytes or more", str(public).encode(), b""):
        reason = await told(server()(by_hmac(claims(), secret, kid=VICTIM.kid)))
        assert reason == "unsupported_algorithm"
    with pytest.raises(ValueError, match="private keys"):
        oauth.assertion_policy({}, SERVER, replay=in_memory(), algorithms=["HS256", "ES256"])
    with pytest.raises(ValueError, match="not by a secret"):
        oauth.client_assertion("victim", key_for("HS256"))


async def test_an_assertion_does_not_live_for_long() -> None:
    for exp in (NOW + 301, NOW + 86_400, 2**60):
        verify = server(clients={"victim": nobody})
        assert await told(verify(sign(claims(exp=exp), VICTIM))) == "lifetime_too_long"
    # A life that began long ago, or is said to begin later.
    for iat in (NOW - 300, NOW + 59):
        assert await told(server()(sign(claims(iat=iat), VICTIM))) in (
            "lifetime_too_long",
            "not_yet_valid",
        )
