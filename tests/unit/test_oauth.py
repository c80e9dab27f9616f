"""Client assertions, made and received (RFC 7523, section 3)."""

import math
from typing import Any

import jwt
import pytest

from asapfn import oauth, verifier
from asapfn._core.signing import sign
from asapfn._core.verification import peek
from asapfn.errors import TokenRejected
from asapfn.keys import export_public_jwk, export_public_pem, import_pem
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id
from asapfn.types import Token
from tests.support.keyring import key_for, renamed
from tests.support.verifying import NOW, clock

CLIENT = "my-client"
SERVER = "https://auth.example"
KEY = key_for("ES256", "client")


async def made(key: Any = KEY, **options: Any) -> str:
    return await oauth.client_assertion(CLIENT, key, now=clock, **options)(SERVER)


def server(replay: Any = None, audience: Any = SERVER, **options: Any) -> Any:
    clients = options.pop("clients", None) or {CLIENT: keys_by_id([KEY])}
    policy = oauth.assertion_policy(
        clients, audience, replay=replay or in_memory(), now=clock, **options
    )
    return verifier(policy)


async def refused(text: str, verify: Any = None) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        await (verify or server())(text)
    return caught.value


@pytest.mark.no_event_loop
@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
async def test_an_assertion_is_what_the_rfc_says_to_another_library(algorithm: str) -> None:
    key = key_for(algorithm, "client")
    text = await made(key, lifetime=120)
    public = jwt.PyJWK(export_public_jwk(key) | {"alg": algorithm}).key
    claims = jwt.decode(text, public, [algorithm], audience=SERVER, options={"verify_exp": False})
    jti = claims.pop("jti")
    assert len(jti) == 32
    assert claims == {
        "iss": CLIENT,
        "sub": CLIENT,
        "aud": SERVER,
        "iat": int(NOW),
        "exp": int(NOW) + 120,
    }
    assert jwt.get_unverified_header(text) == {"alg": algorithm, "kid": key.kid, "typ": "JWT"}


async def test_an_assertion_is_accepted_once() -> None:
    verify = server()
    text = await made()
    token = await verify(text)
    assert (token.claims["iss"], token.claims["aud"]) == (CLIENT, SERVER)
    assert (await refused(text, verify)).reason == "replayed"
    assert await verify(await made())


async def test_each_assertion_has_an_id_of_its_own() -> None:
    assertion = oauth.client_assertion(CLIENT, KEY)
    ids = {peek(await assertion(SERVER)).claims["jti"] for _ in range(50)}
    assert len(ids) == 50
    text = await made(new_jti=lambda: "mine")
    assert peek(text).claims["jti"] == "mine"


async def test_more_is_signed_where_it_is_asked_for() -> None:
    text = await made(typ="client-authentication+jwt", additional={"scope": "x"}, algorithm="ES256")
    read = peek(text)
    assert (read.header["typ"], read.claims["scope"]) == ("client-authentication+jwt", "x")
    strict = server(typ="client-authentication+jwt")
    assert await strict(text)
    assert (await refused(await made(), strict)).claim == "typ"


async def test_a_key_may_be_replaced_while_assertions_are_made() -> None:
    keys = [key_for("RS256", "old")]
    assertion = oauth.client_assertion(CLIENT, lambda: keys[0])
    assert peek(await assertion(SERVER)).header["kid"] == "old/RS256.pem"
    keys[0] = KEY
    assert peek(await assertion(SERVER)).header["kid"] == KEY.kid


@pytest.mark.no_event_loop
@pytest.mark.parametrize("lifetime", [0.5, 60, 60.0, 3600])
async def test_times_are_whole_seconds(lifetime: float) -> None:
    claims = peek(await made(lifetime=lifetime)).claims
    assert (type(claims["iat"]), type(claims["exp"])) == (int, int)
    assert claims["exp"] - claims["iat"] == math.ceil(lifetime)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"client_id": ""}, ValueError, "client_id is empty"),
        ({"client_id": None}, TypeError, "client_id is a str"),
        ({"lifetime": 0}, ValueError, "lifetime"),
        ({"lifetime": 3601}, ValueError, "lifetime"),
        ({"lifetime": math.nan}, ValueError, "lifetime"),
        ({"key": key_for("HS256")}, ValueError, "not by a secret"),
        ({"key": import_pem(export_public_pem(KEY))}, ValueError, "private"),
        ({"algorithm": "RS256"}, ValueError, "RS256"),
        ({"additional": {"sub": "x"}}, ValueError, "additional"),
        ({"additional": {"x": math.inf}}, ValueError, "float"),
    ],
)
def test_what_is_wrong_is_an_error_at_once(options: Any, error: Any, message: str) -> None:
    arguments = {"client_id": CLIENT, "key": KEY} | options
    with pytest.raises(error, match=message):
        oauth.client_assertion(arguments.pop("client_id"), arguments.pop("key"), **arguments)


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    ("audience", "error"), [("", ValueError), ([SERVER], TypeError), (None, TypeError)]
)
async def test_an_assertion_is_for_one_server(audience: Any, error: Any) -> None:
    with pytest.raises(error, match="audience"):
        await oauth.client_assertion(CLIENT, KEY)(audience)


def claims(**changes: Any) -> dict[str, Any]:
    good = {"iss": CLIENT, "sub": CLIENT, "aud": SERVER, "iat": NOW, "exp": NOW + 60, "jti": "1"}
    return {name: value for name, value in (good | changes).items() if value is not None}


@pytest.mark.no_event_loop
@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp", "jti"])
async def test_each_claim_must_be_there(name: str) -> None:
    error = await refused(sign(claims(**{name: None}), KEY))
    assert (error.reason, error.claim) == ("missing_claim", name)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sub": "another"}, "subject_mismatch"),
        ({"iss": "another", "sub": "another"}, "issuer_not_allowed"),
        ({"aud": "https://other.example"}, "wrong_audience"),
        ({"aud": [SERVER, "https://other.example"]}, "invalid_claim"),
        ({"aud": [SERVER, SERVER]}, "invalid_claim"),
        ({"exp": NOW + 301}, "lifetime_too_long"),
        ({"exp": NOW - 20, "iat": NOW - 60}, "expired"),
        ({"iat": NOW + 20, "exp": NOW + 60}, "not_yet_valid"),
    ],
)
async def test_what_a_server_demands(changes: dict[str, Any], reason: str) -> None:
    assert (await refused(sign(claims(**changes), KEY))).reason == reason
    assert await server()(sign(claims(aud=[SERVER]), KEY))


async def test_the_token_endpoint_may_be_an_audience_too() -> None:
    verify = server(audience=[SERVER, f"{SERVER}/token"])
    for audience in (SERVER, f"{SERVER}/token"):
        assert await verify(sign(claims(aud=audience, jti=audience), KEY))
    assert (await refused(sign(claims(aud=f"{SERVER}/"), KEY), verify)).reason == "wrong_audience"


async def test_clients_may_come_and_go() -> None:
    table: dict[str, Any] = {"another": keys_by_id([])}
    verify = server(clients=table)
    text = await made()
    assert (await refused(text, verify)).reason == "issuer_not_allowed"
    bare = renamed("ES256", "client")
    table[CLIENT] = keys_by_id([KEY])
    assert isinstance(await verify(text), Token)
    del table[CLIENT]
    assert (await refused(sign(claims(), bare), verify)).reason == "issuer_not_allowed"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"audience": []}, ValueError),
        ({"audience": None}, TypeError),
        ({"max_lifetime": 0}, ValueError),
        ({"max_lifetime": math.inf}, ValueError),
        ({"algorithms": ["HS256"]}, ValueError),
        ({"algorithms": ["none"]}, ValueError),
        ({"algorithms": "ES256"}, TypeError),
        ({"leeway": -1}, ValueError),
    ],
)
def test_a_policy_that_cannot_be_applied_is_an_error(options: Any, error: Any) -> None:
    arguments = {"audience": SERVER} | options
    with pytest.raises(error):
        oauth.assertion_policy({}, arguments.pop("audience"), replay=in_memory(), **arguments)
    with pytest.raises(TypeError):
        oauth.assertion_policy({}, SERVER)  # type: ignore[call-arg]
