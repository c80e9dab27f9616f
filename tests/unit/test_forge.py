import json
import math
import time
from typing import Any

import pytest
from joserfc.jwk import OctKey

from asapfn import explain, forge
from asapfn._core.credentials import bearer
from asapfn._core.signing import sign
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_jwks, export_public_pem
from asapfn.types import Caching, Document, Event, Request, Token
from tests.support.effort import ONE_BACKEND
from tests.support.keyring import key_for, renamed
from tests.support.published import Published

PRODUCTION = "https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json"
STAGING = "https://forge.cdn.stg.atlassian-dev.net/.well-known/jwks.json"
APP = "ari:cloud:ecosystem::app/8db33309-0a5d-4c9e-a4ea-1d5ee2d0a2b7"
OTHER = "ari:cloud:ecosystem::app/00000000-0a5d-4c9e-a4ea-1d5ee2d0a2b7"
KEY = key_for("RS256", "forge")


def publish(*keys: Any, url: str = PRODUCTION) -> Published:
    published = Published()
    body = json.dumps(export_jwks(keys)).encode()
    published.documents[url] = Document(200, "application/json", body)
    return published


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "iss": "forge/invocation-token",
        "aud": APP,
        "iat": now,
        "nbf": now,
        "exp": now + 25,
        "jti": "1",
        "app": {"id": APP, "version": "1", "environment": {"type": "PRODUCTION"}},
        "context": {"cloudId": "c"},
        "principal": "user",
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


async def verified(token: str, published: Published | None = None, **more: Any) -> Token:
    resolver = forge.keys(publish(KEY) if published is None else published)
    return await forge.verifier(resolver, APP, **more)(token)


async def refused(*args: Any, **more: Any) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        await verified(*args, **more)
    return caught.value


async def test_an_invocation_token_is_accepted() -> None:
    token = await verified(sign(claims(), KEY))
    assert token.claims["app"]["id"] == APP
    assert token.claims["principal"] == "user"


async def test_it_goes_into_bearer() -> None:
    authenticate = bearer(forge.verifier(forge.keys(publish(KEY)), APP))
    header = ("Authorization", f"Bearer {sign(claims(), KEY)}")
    assert (await authenticate(Request("POST", None, (header,)))).claims["aud"] == APP


@pytest.mark.parametrize(("chosen", "url"), [({}, PRODUCTION), ({"staging": True}, STAGING)])
async def test_production_or_staging_is_the_callers_choice(chosen: Any, url: str) -> None:
    published = publish(KEY, url=url)
    verify = forge.verifier(forge.keys(published, **chosen), APP)
    for kind in ("PRODUCTION", "STAGING", "DEVELOPMENT"):
        await verify(sign(claims(app={"id": APP, "environment": {"type": kind}}), KEY))
    assert [asked for asked, _ in published.asked] == [url]


async def test_what_is_asked_of_the_key_set_is_observed() -> None:
    published = publish(KEY)
    events: list[Event] = []
    verify = forge.verifier(forge.keys(published, observe=events.append), APP)
    for _ in range(2):
        await verify(sign(claims(), KEY))
    with pytest.raises(TokenRejected):
        await verify(sign(claims(), KEY, kid="other"))
    assert [event[:3] for event in events] == [
        ("fetched", PRODUCTION, KEY.kid),
        ("unknown", PRODUCTION, "other"),
    ]


@pytest.mark.parametrize("make", [list, tuple, set, frozenset, dict.fromkeys])
async def test_one_remote_serves_several_apps(make: Any) -> None:
    verify = forge.verifier(forge.keys(publish(KEY)), make([APP, OTHER]))
    for app in (APP, OTHER):
        token = await verify(sign(claims(aud=app, app={"id": app}), KEY))
        assert token.claims["app"]["id"] == app
    with pytest.raises(TokenRejected) as caught:
        await verify(sign(claims(aud=f"{APP}0"), KEY))
    assert (caught.value.reason, caught.value.claim) == ("wrong_audience", "aud")


async def test_the_audience_is_never_taken_from_the_token() -> None:
    error = await refused(sign(claims(aud=OTHER, app={"id": OTHER}), KEY))
    assert (error.reason, error.claim) == ("wrong_audience", "aud")


@pytest.mark.no_event_loop
@pytest.mark.parametrize("aud", [OTHER, [OTHER], [], "", APP.upper(), f"{APP}/x"])
async def test_a_token_for_another_app_is_refused(aud: object) -> None:
    assert (await refused(sign(claims(aud=aud), KEY))).reason == "wrong_audience"


@pytest.mark.no_event_loop
@pytest.mark.parametrize("name", ["iss", "aud", "iat", "nbf", "exp", "jti"])
async def test_each_claim_that_forge_sends_must_be_there(name: str) -> None:
    error = await refused(sign(claims(**{name: None}), KEY))
    assert (error.reason, error.claim) == ("missing_claim", name)


async def test_the_issuer_is_forge_and_else_the_status_401() -> None:
    error = await refused(sign(claims(iss="forge/other"), KEY))
    assert (error.reason, error.claim, error.status) == ("invalid_claim", "iss", 401)


TEMPLATE = "https://keys.isolated.example/{icLabel}/.well-known/jwks.json"
ORANGE = "https://keys.isolated.example/orange/.well-known/jwks.json"
BLUE = "https://keys.isolated.example/blue-1_/.well-known/jwks.json"
LABELLED: list[dict[str, Any]] = [
    {"icLabel": "orange"},
    {"app": {"id": APP, "icLabel": "orange"}},
    {"context": {"icLabel": "orange"}},
    {"icLabel": "orange", "app": {"id": APP, "icLabel": "orange"}},
]


def isolated(*keys: Any, template: str = TEMPLATE) -> tuple[Published, Any]:
    published = publish(*(keys or (KEY,)), url=ORANGE)
    published.documents[PRODUCTION] = Document(
        200, "", json.dumps(export_jwks([key_for("RS256", "production")])).encode()
    )
    return published, forge.verifier(forge.keys(published, isolated_cloud=template), APP)


@pytest.mark.parametrize("label", LABELLED)
async def test_the_label_of_isolated_cloud_selects_the_key_set(label: dict[str, Any]) -> None:
    published, verify = isolated()
    for _ in range(2):
        assert (await verify(sign(claims() | label, KEY))).claims["aud"] == APP
    assert published.asked == [(ORANGE, "application/jwk-set+json, application/json")]


@pytest.mark.parametrize(
    "template",
    [
        "https://keys.isolated.example/{IC_LABEL}/.well-known/jwks.json",
        "https://keys.isolated.example:8443/v1/label-{icLabel}.json",
        "https://keys.isolated.example/jwks.json?label={icLabel}",
    ],
)
async def test_a_template_has_one_place_for_the_label(template: str) -> None:
    published = Published()
    url = template.replace("{icLabel}", "orange").replace("{IC_LABEL}", "orange")
    published.documents[url] = Document(200, "", json.dumps(export_jwks([KEY])).encode())
    verify = forge.verifier(forge.keys(published, isolated_cloud=template), APP)
    assert await verify(sign(claims(icLabel="orange"), KEY))
    assert [asked for asked, _ in published.asked] == [url]


async def test_no_token_verifies_by_the_keys_of_another_label_or_of_none() -> None:
    """The same kid everywhere, as an attacker in one cloud would choose it."""
    published, verify = isolated()
    bare = renamed("RS256", "blue", kid=KEY.kid)
    published.documents[BLUE] = Document(200, "", json.dumps(export_jwks([bare])).encode())
    assert await verify(sign(claims(icLabel="blue-1_"), bare))
    assert await verify(sign(claims(icLabel="orange"), KEY))
    for key, label in ((KEY, {"icLabel": "blue-1_"}), (bare, {"icLabel": "orange"})):
        with pytest.raises(TokenRejected, match="bad_signature"):
            await verify(sign(claims(**label), key))
    for key in (KEY, bare):
        with pytest.raises(TokenRejected, match="unknown_key"):
            await verify(sign(claims(), key))
    production = key_for("RS256", "production")
    assert await verify(sign(claims(), production))
    with pytest.raises(TokenRejected, match="unknown_key"):
        await verify(sign(claims(icLabel="orange"), production))


@pytest.mark.no_event_loop
@pytest.mark.parametrize("label", LABELLED)
async def test_without_a_template_the_refusal_says_what_to_configure(label: Any) -> None:
    published = publish(KEY)
    error = await refused(sign(claims(**label), KEY), published)
    assert (error.reason, error.claim) == ("invalid_claim", "icLabel")
    assert "give forge.keys(isolated_cloud=...) the URL template" in error.detail
    assert '"orange"' in error.detail
    assert published.asked == []


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    "label",
    [
        *("", "Orange", "o/range", "..", "a.b", "a%2fb", "a\n", "orange ", "\u00e9", "a" * 51, "@"),
        *(1, False, True, 0, [], {}, ["orange"], {"a": "orange"}),
    ],
)
@pytest.mark.parametrize("where", ["claim", "app", "two"])
async def test_a_label_is_checked_before_it_meets_the_template(label: Any, where: str) -> None:
    published, verify = isolated()
    changes: dict[str, Any] = {"icLabel": label}
    if where == "app":
        changes = {"app": {"id": APP, "icLabel": label}}
    if where == "two":
        changes = {"icLabel": "orange", "context": {"icLabel": label}}
    with pytest.raises(TokenRejected) as caught:
        await verify(sign(claims() | changes, KEY))
    assert (caught.value.reason, caught.value.claim) == ("invalid_claim", "icLabel")
    assert published.asked == []


async def test_two_labels_that_differ_are_refused() -> None:
    published, verify = isolated()
    with pytest.raises(TokenRejected, match="expected one label") as caught:
        await verify(sign(claims(icLabel="orange", context={"icLabel": "blue"}), KEY))
    assert (caught.value.reason, caught.value.claim) == ("invalid_claim", "icLabel")
    assert published.asked == []


@pytest.mark.parametrize("status", [403, 404])
async def test_a_label_that_has_no_key_set_is_an_unknown_key(status: int) -> None:
    published, verify = isolated()
    published.documents[BLUE] = Document(status, "", b"")
    for _ in range(2):
        with pytest.raises(TokenRejected, match="unknown_key"):
            await verify(sign(claims(icLabel="blue-1_"), KEY))
    assert [asked for asked, _ in published.asked] == [BLUE]


@pytest.mark.parametrize("published_keys", ["another kid", "no set"])
async def test_the_refusal_of_a_label_without_the_key_names_the_label(published_keys: str) -> None:
    published, _ = isolated()
    other = renamed("RS256", "forge", kid="other")
    body = json.dumps(export_jwks([other])).encode()
    status = 200 if published_keys == "another kid" else 403
    published.documents[BLUE] = Document(status, "", body)
    rules = forge.policy(forge.keys(published, isolated_cloud=TEMPLATE), APP)
    found = await explain(sign(claims(icLabel="blue-1_"), KEY), rules)
    assert isinstance(found.verdict, TokenRejected)
    assert (found.verdict.reason, found.verdict.claim) == ("unknown_key", "icLabel")
    assert found.verdict.detail == f'no key for kid "{KEY.kid}" in the key set of icLabel "blue-1_"'
    assert found.hint.startswith("compare forge.keys(isolated_cloud=...) with the URL template")


@pytest.mark.no_event_loop
@pytest.mark.parametrize("label", ["Orange", 1, "a" * 51, "an isolated_cloud"])
async def test_the_hint_for_a_label_that_is_none_is_no_template(label: Any) -> None:
    rules = forge.policy(forge.keys(Published(), isolated_cloud=TEMPLATE), APP)
    found = await explain(sign(claims(icLabel=label), KEY), rules)
    assert found.hint == "have the signer correct icLabel: one label, 1 to 50 of a-z 0-9 _ -"
    bare = forge.policy(forge.keys(Published()), APP)
    found = await explain(sign(claims(icLabel="orange"), KEY), bare)
    assert "the URL template that its owner got at onboarding" in found.hint


async def test_an_outage_of_one_label_is_none_of_the_others() -> None:
    published, verify = isolated()
    published.down.add(BLUE)
    for _ in range(20):
        with pytest.raises(Unavailable):
            await verify(sign(claims(icLabel="blue-1_"), KEY))
        assert await verify(sign(claims(icLabel="orange"), KEY))
    assert await verify(sign(claims(), key_for("RS256", "production")))


@ONE_BACKEND
async def test_labels_that_are_made_up_push_out_no_key_set_in_use() -> None:
    published = publish(KEY, url=ORANGE)
    caching = Caching(max_keys=8, longest_wait=0.0)
    resolver = forge.keys(published, isolated_cloud=TEMPLATE, caching=caching)
    verify = forge.verifier(resolver, APP)
    assert await verify(sign(claims(icLabel="orange"), KEY))
    for number in range(300):
        with pytest.raises((TokenRejected, Unavailable)):
            await verify(sign(claims(icLabel=f"made-up-{number}"), KEY))
    assert await verify(sign(claims(icLabel="orange"), KEY))
    assert [asked for asked, _ in published.asked].count(ORANGE) == 1


@pytest.mark.parametrize(
    "template",
    [
        "",
        "https://keys.example/jwks.json",
        "https://keys.example/{icLabel}/{icLabel}",
        "https://keys.example/{icLabel}/{IC_LABEL}",
        "https://keys.example/{label}/",
        "https://keys.example/{icLabel}/{x}",
        "https://keys.example/{icLabel}}/",
        "https://keys.example/}{icLabel}/",
        "https://keys.example/${IC_LABEL}/",
        "https://keys.example/ {icLabel}/",
        "https://keys.example/\n{icLabel}/",
        "http://keys.example/{icLabel}/",
        "https://u:p@keys.example/{icLabel}/",
        "https://{icLabel}@keys.example/",
        "https://{icLabel}/jwks.json",
        "https://{icLabel}:443/jwks.json",
        "https://keys.{icLabel}/jwks.json",
        "https://{icLabel}.example/jwks.json",
        "https://keys.example:{icLabel}/jwks.json",
        "https://keys.example/#{icLabel}",
        "{icLabel}://keys.example/",
    ],
)
def test_a_template_that_is_none_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="isolated_cloud"):
        forge.keys(Published(), isolated_cloud=template)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "{icLabel}.co.uk",
            "{icLabel}.github.io",
            "{icLabel}.s3.amazonaws.com",
            "{IC_LABEL}.keys.example.com",
        ),
        *(
            "keys-{icLabel}.isolated.example",
            "{icLabel}-keys.isolated.example",
            "a.{icLabel}.b.example",
        ),
        *("keys.example{icLabel}", "{icLabel}.keys.isolated.example:443", "keys.{icLabel}"),
    ],
)
@pytest.mark.parametrize("rest", ["/jwks.json", "", "/", "?a", "/a.b.c"])
def test_a_label_never_chooses_the_host_that_is_asked_for_keys(host: str, rest: str) -> None:
    """Below co.uk or github.io anybody has a domain, and no list of such places is complete."""
    with pytest.raises(ValueError, match=r"\{icLabel\} in its path or query"):
        forge.keys(Published(), isolated_cloud=f"https://{host}{rest}")


@pytest.mark.parametrize(
    "unset",
    [{"icLabel": None}, {"app": {"id": APP, "icLabel": None}}, {"context": {"icLabel": None}}],
)
async def test_a_label_of_isolated_cloud_that_is_null_is_absent(unset: dict[str, Any]) -> None:
    assert (await verified(sign(claims() | unset, KEY))).claims["aud"] == APP


async def test_a_token_names_its_key() -> None:
    bare = renamed("RS256", "forge")
    error = await refused(sign(claims(), bare))
    assert (error.reason, error.claim) == ("missing_claim", "kid")
    assert (await refused(sign(claims(), bare, kid="other"))).reason == "unknown_key"


@pytest.mark.no_event_loop
@pytest.mark.parametrize("algorithm", ["HS256", "RS512", "PS256", "ES256", "EdDSA"])
async def test_only_rs256_is_taken(algorithm: str) -> None:
    error = await refused(sign(claims(), key_for(algorithm)))
    assert error.reason == "unsupported_algorithm"


async def test_a_public_key_is_no_secret() -> None:
    pem = export_public_pem(KEY).encode()
    error = await refused(sign(claims(), OctKey(pem, pem), kid=KEY.kid))
    assert error.reason == "unsupported_algorithm"


async def test_a_forged_signature_is_refused() -> None:
    error = await refused(sign(claims(), key_for("RS256", "forger"), kid=KEY.kid))
    assert error.reason == "bad_signature"


async def test_leeway_is_ten_seconds_unless_given() -> None:
    token = sign(claims(iat=100, nbf=100, exp=125), KEY)
    await verified(token, now=lambda: 134)
    assert (await refused(token, now=lambda: 135)).reason == "expired"
    assert (await refused(token, now=lambda: 126, leeway=1)).reason == "expired"
    await verified(token, now=lambda: 90)
    assert (await refused(token, now=lambda: 89)).reason == "not_yet_valid"


@pytest.mark.parametrize(
    "app_id",
    [
        *("", "8db33309", "ari:cloud:ecosystem::app/", "app/x"),
        *(f" {APP}", f"{APP} ", f"{APP}\n", f"{APP},{APP}", f"{APP}/", f"'{APP}'"),
    ],
)
def test_the_app_is_named_by_its_ari(app_id: str) -> None:
    with pytest.raises(ValueError, match=r"ari:cloud:ecosystem::app/<uuid>"):
        forge.verifier(forge.keys(Published()), app_id)
    with pytest.raises(ValueError, match=r"ari:cloud:ecosystem::app/<uuid>"):
        forge.verifier(forge.keys(Published()), [APP, app_id])


@pytest.mark.parametrize(
    ("app_ids", "error"), [((), ValueError), ([1], TypeError), (None, TypeError), (b"x", TypeError)]
)
def test_apps_are_given_and_text(app_ids: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="app_ids"):
        forge.verifier(forge.keys(Published()), app_ids)


@pytest.mark.parametrize("leeway", [-1, math.inf, math.nan])
def test_a_leeway_is_finite_and_not_negative(leeway: float) -> None:
    with pytest.raises(ValueError, match="leeway"):
        forge.verifier(forge.keys(Published()), APP, leeway=leeway)
