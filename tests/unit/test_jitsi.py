import hashlib
import math
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from asapfn import jitsi
from asapfn._core.signing import sign
from asapfn.errors import TokenRejected, Unavailable
from asapfn.jitsi import _hashed
from asapfn.keys import export_public_pem
from asapfn.resolvers import keys_by_id
from asapfn.types import Document, Event, Token
from tests.support.keyring import key_for, renamed
from tests.support.published import Published

KEY = key_for("RS256", "jitsi")
BASE = "https://keys.example/asap"
URL = f"{BASE}/{hashlib.sha256(b'jitsi/RS256.pem').hexdigest()}.pem"


def claims(**changes: Any) -> dict[str, Any]:
    made = {
        "iss": "my-app",
        "aud": "jitsi",
        "sub": "meet.example",
        "room": "standup",
        "exp": int(time.time()) + 7200,
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def verifier(**changes: Any) -> Any:
    settings = {"issuers": "my-app", "audience": "jitsi"} | changes
    return jitsi.verifier(settings.pop("resolver", keys_by_id([KEY])), **settings)


async def verified(changes: dict[str, Any], **settings: Any) -> Token:
    token: Token = await verifier(**settings)(sign(claims(**changes), KEY))
    return token


async def refused(changes: dict[str, Any], **settings: Any) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        await verified(changes, **settings)
    return caught.value


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-pem-file"])
async def test_a_key_is_found_under_the_hash_of_its_id(media_type: str) -> None:
    published = Published()
    published.put(URL, KEY, media_type)
    for base in (BASE, f"{BASE}/"):
        token = await verified({}, resolver=jitsi.repository(base, published))
        assert token.claims["room"] == "standup"
    assert published.asked == [(URL, "*/*")] * 2


@pytest.mark.parametrize("status", [204, 403, 404])
async def test_no_such_key_is_unknown(status: int) -> None:
    published = Published()
    published.documents[URL] = Document(status, "", b"")
    error = await refused({}, resolver=jitsi.repository(BASE, published))
    assert error.reason == "unknown_key"


async def test_the_next_mirror_is_asked_when_one_is_down() -> None:
    published = Published()
    published.put(URL, KEY)
    published.down.add("https://down.example/")
    await verified({}, resolver=jitsi.repository(f"https://down.example | {BASE}", published))
    published.down.add(BASE)
    with pytest.raises(Unavailable):
        await verified({}, resolver=jitsi.repository(BASE, published))


async def test_what_is_asked_of_the_repository_is_observed() -> None:
    published = Published()
    published.put(URL, KEY)
    events: list[Event] = []
    resolver = jitsi.repository(f"{BASE}/", published, observe=events.append)
    for _ in range(2):
        await verified({}, resolver=resolver)
    published.down.add(BASE)
    with pytest.raises(Unavailable):
        await verifier(resolver=resolver)(sign(claims(), KEY, kid="other"))
    assert [event[:3] for event in events] == [
        ("fetched", f"{BASE}/", KEY.kid),
        ("unavailable", f"{BASE}/", "other"),
    ]


# By `printf '%s' "my key" | sha256sum`, and so on.
HASHES = {
    "my key": "a0e12d601e10154fe5743fd6d2ba37492365077b485f06c131ef495420005253",
    "key:2024": "41a41a7ba3fc2facfaa6341f466f697bafece76e52811f2c97e7713239592953",
    "Zm9vYmFy=": "d557cf152202d43d4d68a8d825837865df2e7c66051b9773f19d6ebb3dd554c2",
    "kid@example": "1875db2f680ce8968a81d14ba9802f80aad67a128143cdb71c430ed9201b28f4",
    "schl\u00fcssel": "ccec7a8e3e039f0b6b308a81f438e1d07a59c8c896b4f237d10c3eecb8375ef7",
    "a//b": "7a9acf331a5dc1e020c17901e85936a279e0aa49b04474b13fa2ee63f80fa57a",
    "/leading": "eee76aa240e123e1c2c8839fb1a77eaca1b3fe392991488fff747397963585a1",
    "trailing/": "09ab9de60faa43bd5585184b966852dfb10b9e601de15153ed15ca4bdd97ddef",
    "a~b": "941528e5e77c9a1f3e2fcbc95f20556f54f24d70d5782e4cf848b254885bc0e5",
    "..": "5ec1f7e700f37c3d0b2981d04855fc34b94aaa15457b05ca571817442d228f81",
    "%2e%2e": "032f551e881f922fa1f06525c0725b919b6c6e070de1f7687d90be634f0f9019",
}


@pytest.mark.parametrize(("kid", "digest"), HASHES.items())
async def test_a_key_id_is_any_text_and_its_hash_alone_is_asked_for(kid: str, digest: str) -> None:
    published = Published()
    published.put(f"{BASE}/{digest}.pem", KEY)
    verify = verifier(resolver=jitsi.repository(BASE, published))
    token = await verify(sign(claims(), renamed("RS256", "jitsi"), kid=kid))
    assert token.header["kid"] == kid
    assert [url for url, _ in published.asked] == [f"{BASE}/{digest}.pem"]


@pytest.mark.no_event_loop
@pytest.mark.parametrize("kid", ["", "k" * 1025])
async def test_a_key_id_that_is_empty_or_endless_is_asked_for_nowhere(kid: str) -> None:
    published = Published()
    verify = verifier(resolver=jitsi.repository(BASE, published))
    with pytest.raises(TokenRejected, match=f"from 1 to 1024 characters; it has {len(kid)}") as no:
        await verify(sign(claims(), renamed("RS256", "jitsi"), kid=kid))
    assert (no.value.reason, no.value.claim, published.asked) == ("invalid_claim", "kid", [])


@given(st.text(max_size=20))
def test_a_path_is_the_hash_whatever_the_key_id(kid: str) -> None:
    assert _hashed(kid) == f"{hashlib.sha256(kid.encode()).hexdigest()}.pem"


async def test_the_key_need_not_be_the_issuers() -> None:
    assert (await verified({"iss": "my-app"})).claims["iss"] == "my-app"


async def test_a_long_life_and_no_jti_are_fine() -> None:
    lasting = {"iat": 1, "exp": int(time.time()) + 10 * 365 * 86_400}
    token = await verified(lasting)
    assert lasting.items() <= token.claims.items()
    assert "jti" not in token.claims


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    ("issuers", "iss", "accepted"),
    [
        ("my-app", "my-app", True),
        (("a", "my-app"), "my-app", True),
        ("my-app", "my", False),
        ("my-app", "*", False),
        (None, "anybody", True),
        (None, "*", True),
    ],
)
async def test_issuers_are_the_callers_and_none_accepts_any(
    issuers: Any, iss: str, accepted: bool
) -> None:
    if accepted:
        await verified({"iss": iss}, issuers=issuers)
    else:
        error = await refused({"iss": iss}, issuers=issuers)
        assert (error.reason, error.status) == ("issuer_not_allowed", 403)


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    ("audience", "aud", "accepted"),
    [
        ("jitsi", "jitsi", True),
        ("jitsi", ["x", "jitsi"], True),
        (("a", "jitsi"), "jitsi", True),
        ("jitsi", "jits", False),
        ("jitsi", "*", False),
        ("jitsi", ["*"], False),
        ("jitsi", [], False),
        (None, "anything", True),
        (None, ["any", "thing"], True),
        (None, [], False),
        (None, "", False),
        (None, "*", True),
    ],
)
async def test_audiences_are_the_callers_and_none_accepts_any(
    audience: Any, aud: object, accepted: bool
) -> None:
    if accepted:
        await verified({"aud": aud}, audience=audience)
    else:
        assert (await refused({"aud": aud}, audience=audience)).reason == "wrong_audience"


@pytest.mark.no_event_loop
@pytest.mark.parametrize("name", ["iss", "aud", "exp", "room"])
@pytest.mark.parametrize("named", ["my-app", None])
async def test_a_claim_that_is_required_must_be_there(name: str, named: str | None) -> None:
    audience = None if named is None else "jitsi"
    error = await refused({name: None}, issuers=named, audience=audience)
    assert (error.reason, error.claim) == ("missing_claim", name)


async def test_a_deployment_may_do_without_a_room() -> None:
    await verified({"room": None}, require_room=False)
    for name in ("iss", "aud", "exp"):
        error = await refused({name: None}, issuers=None, audience=None, require_room=False)
        assert (error.reason, error.claim) == ("missing_claim", name)


@pytest.mark.no_event_loop
@pytest.mark.parametrize("room", [1, True, [], {}, ["a"]])
@pytest.mark.parametrize("require_room", [True, False])
async def test_a_room_is_text(room: object, require_room: bool) -> None:
    error = await refused({"room": room}, require_room=require_room)
    assert (error.reason, error.claim) == ("invalid_claim", "room")


async def test_exp_and_nbf_apply_with_ten_seconds_of_leeway() -> None:
    times = {"nbf": 100, "exp": 200}
    await verified(times, now=lambda: 209)
    assert (await refused(times, now=lambda: 210)).reason == "expired"
    assert (await refused(times, now=lambda: 205, leeway=5)).reason == "expired"
    await verified(times, now=lambda: 90)
    assert (await refused(times, now=lambda: 89)).reason == "not_yet_valid"


async def test_a_token_names_its_key() -> None:
    bare = renamed("RS256", "jitsi")
    with pytest.raises(TokenRejected) as caught:
        await verifier()(sign(claims(), bare))
    assert (caught.value.reason, caught.value.claim) == ("missing_claim", "kid")


@pytest.mark.no_event_loop
@pytest.mark.parametrize("algorithm", ["RS512", "PS256", "ES256", "ES512", "EdDSA"])
async def test_other_asymmetric_algorithms_are_taken(algorithm: str) -> None:
    key = key_for(algorithm)
    token = await verifier(resolver=keys_by_id([key]))(sign(claims(), key))
    assert (token.header["alg"], token.header["kid"]) == (algorithm, key.kid)


async def test_secrets_are_not_taken() -> None:
    pem = export_public_pem(KEY).encode()
    for key in (key_for("HS256"), OctKey(pem, pem)):
        with pytest.raises(TokenRejected) as caught:
            await verifier()(sign(claims(), key, kid=KEY.kid))
        assert caught.value.reason == "unsupported_algorithm"


SECRET = "the app_secret of a deployment of Jitsi"
# As Jitsi's documentation of its token authentication has it.
DOCUMENTED: dict[str, Any] = {
    "context": {
        "user": {"avatar": "https://example.com/a.png", "name": "John Doe", "id": "abcd:a1b2"},
        "group": "a123-123-456-789",
    },
    "aud": "jitsi",
    "iss": "my-app",
    "sub": "meet.jit.si",
    "room": "*",
}


def by_secret(**changes: Any) -> Any:
    settings = {"resolver": jitsi.app_secret(SECRET), "app_secret": True} | changes
    return verifier(**settings)


async def test_a_deployments_secret_is_accepted_where_the_caller_says_so() -> None:
    made = DOCUMENTED | {"exp": int(time.time()) + 60}
    for headers in ({}, {"kid": "any"}, {"typ": "JWT"}):
        token = await by_secret()(jwt.encode(made, SECRET, "HS256", headers=headers))
        assert token.claims["context"] == DOCUMENTED["context"]
    for secret, algorithm, reason in (
        (SECRET + "x", "HS256", "bad_signature"),
        (SECRET * 2, "HS512", "unsupported_algorithm"),
        (SECRET * 2, "HS384", "unsupported_algorithm"),
    ):
        with pytest.raises(TokenRejected) as caught:
            await by_secret()(jwt.encode(made, secret, algorithm))
        assert caught.value.reason == reason


async def test_one_verifier_never_accepts_both_secrets_and_key_pairs() -> None:
    """CVE-2016-10555: the public key as the secret."""
    token = sign(claims(), KEY)
    with pytest.raises(TokenRejected, match="unsupported_algorithm"):
        await by_secret()(token)
    with pytest.raises(TokenRejected, match="unsupported_algorithm"):
        await by_secret(resolver=keys_by_id([KEY]))(token)
    pem = export_public_pem(KEY).encode()
    forged = sign(claims(), OctKey(pem, pem), kid=KEY.kid)
    with pytest.raises(TokenRejected, match="unsuitable_key"):
        await by_secret(resolver=keys_by_id([KEY]))(forged)
    for resolver in (jitsi.app_secret(SECRET), keys_by_id([KEY])):
        with pytest.raises(TokenRejected, match="unsupported_algorithm"):
            await verifier(resolver=resolver)(jwt.encode(claims(), SECRET, "HS256"))


@pytest.mark.parametrize(
    "secret", ["", "short", "s" * 31, export_public_pem(KEY), export_public_pem(KEY).encode()]
)
def test_a_secret_that_is_weak_or_a_key_is_refused(secret: str | bytes) -> None:
    with pytest.raises(ValueError, match="secret"):
        jitsi.app_secret(secret)


async def test_everything_else_is_demanded_of_a_token_by_secret_too() -> None:
    now = int(time.time())
    for changes, reason in (
        ({"iss": "other"}, "issuer_not_allowed"),
        ({"aud": "other"}, "wrong_audience"),
        ({"room": None}, "missing_claim"),
        ({"exp": None}, "missing_claim"),
        ({"exp": now - 60}, "expired"),
    ):
        with pytest.raises(TokenRejected) as caught:
            await by_secret()(jwt.encode(claims(**changes), SECRET, "HS256"))
        assert caught.value.reason == reason


async def test_a_token_without_exp_is_accepted_only_where_the_caller_says_so() -> None:
    forever = jwt.encode(DOCUMENTED, SECRET, "HS256")
    with pytest.raises(TokenRejected, match="missing_claim"):
        await by_secret()(forever)
    assert (await by_secret(require_exp=False)(forever)).usable_until == math.inf
    for changes, named in (({"exp": None}, True), ({"exp": None, "room": None}, False)):
        assert await verified(changes, require_exp=False, require_room=named)
    error = await refused({"exp": int(time.time()) - 60}, require_exp=False)
    assert error.reason == "expired"
    assert (await refused({"exp": "never"}, require_exp=False)).reason == "invalid_claim"


def test_claims_are_those_that_jitsis_documentation_has() -> None:
    made = jitsi.claims(
        "my-app",
        "jitsi",
        "*",
        subject="meet.jit.si",
        context=DOCUMENTED["context"],
        lifetime=600,
        now=lambda: 1_700_000_000.9,
    )
    assert made == DOCUMENTED | {"iat": 1_700_000_000, "exp": 1_700_000_600}
    bare = jitsi.claims("a", ["y", "x"], "standup", now=lambda: 1.0)
    assert bare == {"iss": "a", "aud": ["x", "y"], "room": "standup", "iat": 1, "exp": 3601}


async def test_claims_are_accepted_once_they_are_signed() -> None:
    made = jitsi.claims("my-app", "jitsi", "standup", subject="meet.example")
    assert (await verifier()(sign(made, KEY))).claims == made
    theirs = jwt.encode(made, SECRET, "HS256")
    assert (await by_secret()(theirs)).claims["sub"] == "meet.example"
    peers = jwt.decode(theirs, SECRET, ["HS256"], audience="jitsi", issuer="my-app")
    assert peers == made


@pytest.mark.parametrize("lifetime", [0, -1, math.inf, math.nan])
def test_a_lifetime_is_positive_and_finite(lifetime: float) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        jitsi.claims("a", "b", "c", lifetime=lifetime)


@pytest.mark.parametrize(
    "wrong", [{"issuer": 1}, {"room": None}, {"subject": 1}, {"audience": [1]}, {"audience": None}]
)
def test_names_in_claims_are_text(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"issuer": "a", "audience": "b", "room": "c"} | wrong
    with pytest.raises(TypeError, match="str"):
        jitsi.claims(**given)


@pytest.mark.parametrize("name", ["issuers", "audience"])
@pytest.mark.parametrize(
    ("names", "error"),
    [((), ValueError), ([1], TypeError), ("*", ValueError), (["a", "*"], ValueError)],
)
def test_names_are_given_and_text(name: str, names: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        verifier(**{name: names})


@pytest.mark.parametrize("leeway", [-1, math.inf, math.nan])
def test_a_leeway_is_finite_and_not_negative(leeway: float) -> None:
    with pytest.raises(ValueError, match="leeway"):
        verifier(leeway=leeway)
