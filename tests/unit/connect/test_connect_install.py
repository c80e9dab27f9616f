"""Connect, signed installs: what is verified of one."""

import math
from typing import Any

import pytest
from joserfc.jwk import OctKey

from asapfn._core.canonical import qsh
from asapfn._core.signing import sign
from asapfn.checks import CONTEXT_QSH
from asapfn.keys import export_private_pem, export_public_pem, import_pem, import_secret
from asapfn.types import Document
from tests.support.installs import BASE, FIRST, KEY, SECRET, body, claims, install, refused, request
from tests.support.keyring import key_for
from tests.support.published import Published


@pytest.fixture
def published() -> Published:
    published = Published()
    published.put(f"{FIRST}{KEY.kid}", KEY)
    return published


async def test_a_signed_install_is_accepted(published: Published) -> None:
    installation = await install(published)
    assert (installation.client_key, installation.shared_secret) == ("client", SECRET)
    assert published.asked == [(f"{FIRST}{KEY.kid}", "*/*")]


async def test_a_signed_uninstall_is_accepted(published: Published) -> None:
    token = sign(claims(qsh=qsh("POST", "/uninstalled?a=1")), KEY)
    sent = body(eventType="uninstalled", sharedSecret=None)
    incoming = request(token, "/connect/uninstalled?a=1")
    installation = await install(published, sent=sent, request=incoming)
    assert installation.event_type == "uninstalled"


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    "product",
    [
        "https://acme.jira-dev.com",
        "https://acme.atlassian-us-gov-mod.net",
        "https://acme.atlassian-stg-fedm.net",
        "https://evil.example",
        "https://a.b.atlassian.net",
        "http://acme.atlassian.net",
        "https://evil.example/.atlassian.net",
        "x",
    ],
)
async def test_a_product_in_no_table_is_refused_and_nothing_fetched(
    published: Published, product: str
) -> None:
    error = await refused(published, sent=body(baseUrl=product))
    assert (error.reason, error.status) == ("issuer_not_allowed", 403)
    assert published.asked == []


@pytest.mark.parametrize(
    ("changes", "reason", "claim"),
    [
        ({"iss": "other"}, "invalid_claim", "iss"),
        ({"iss": None}, "missing_claim", "iss"),
        ({"aud": None}, "missing_claim", "aud"),
        ({"aud": "https://other.example"}, "wrong_audience", "aud"),
        ({"aud": f"{BASE}//"}, "wrong_audience", "aud"),
        ({"aud": "https://app.example"}, "wrong_audience", "aud"),
        ({"exp": None}, "missing_claim", "exp"),
        ({"iat": 1, "exp": 2}, "expired", "exp"),
        ({"qsh": None}, "missing_claim", "qsh"),
        ({"qsh": CONTEXT_QSH}, "request_mismatch", "qsh"),
        ({"qsh": qsh("POST", "/uninstalled")}, "request_mismatch", "qsh"),
        ({"qsh": qsh("POST", "/connect/installed")}, "request_mismatch", "qsh"),
        ({"qsh": qsh("GET", "/installed")}, "request_mismatch", "qsh"),
        ({"qsh": qsh("POST", "/installed?a=1")}, "request_mismatch", "qsh"),
    ],
)
async def test_each_claim_is_checked(
    published: Published, changes: dict[str, Any], reason: str, claim: str
) -> None:
    error = await refused(published, sign(claims(**changes), KEY))
    assert (error.reason, error.claim) == (reason, claim)
    assert reason != "missing_claim" or published.asked == []


async def test_leeway_and_clock_are_the_callers(published: Published) -> None:
    await install(published, sign(claims(iat=1, exp=2), KEY), now=lambda: 31.5)
    error = await refused(published, sign(claims(iat=1, exp=2), KEY), now=lambda: 31.5, leeway=29)
    assert error.reason == "expired"


async def test_the_bodys_client_key_must_be_the_issuer(published: Published) -> None:
    error = await refused(published, sent=body(clientKey="victim"))
    assert (error.reason, error.claim) == ("invalid_claim", "iss")


@pytest.mark.parametrize("base", [BASE, f"{BASE}/"])
@pytest.mark.parametrize("aud", [BASE, f"{BASE}/", ["x", BASE], [f"{BASE}/"]])
async def test_a_slash_at_the_end_of_the_base_url_does_not_matter(
    published: Published, base: str, aud: object
) -> None:
    installation = await install(published, sign(claims(aud=aud), KEY), base_urls=base)
    assert installation.client_key == "client"


@pytest.mark.parametrize("aud", [f"{BASE}/", f"{BASE}//"])
async def test_the_qsh_is_computed_below_the_base_url_with_however_many_slashes_the_aud_ends(
    published: Published, aud: str
) -> None:
    await install(published, sign(claims(aud=aud), KEY), base_urls=f"{BASE}//")


async def test_the_qsh_is_taken_below_the_base_url_that_the_token_names(
    published: Published,
) -> None:
    bases = ["https://app.example", BASE, "https://third.example/x"]
    short, long = qsh("POST", "/installed"), qsh("POST", "/connect/installed")
    for aud, accepted in (
        (BASE, {short}),
        ("https://app.example", {long}),
        (["https://app.example", BASE, "https://third.example/x"], {short, long}),
    ):
        for hashed in (short, long):
            token = sign(claims(aud=aud, qsh=hashed), KEY)
            if hashed in accepted:
                await install(published, token, base_urls=bases)
            else:
                error = await refused(published, token, base_urls=bases)
                assert error.reason == "request_mismatch"


async def test_an_unsigned_install_is_refused(published: Published) -> None:
    error = await refused(published, request=request(None))
    assert error.reason == "missing_token"


async def test_a_token_in_the_query_is_refused(published: Published) -> None:
    token = sign(claims(), KEY)
    for name in ("jwt", "%6awt"):
        target = f"/connect/installed?{name}={token}"
        assert (await refused(published, request=request(None, target))).reason == "missing_token"
        error = await refused(published, request=request(token, target))
        assert error.reason == "ambiguous_token"


@pytest.mark.no_event_loop
@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "RS512", "PS256", "ES256", "EdDSA"])
async def test_any_other_algorithm_is_refused(published: Published, algorithm: str) -> None:
    error = await refused(published, sign(claims(), key_for(algorithm)))
    assert error.reason == "unsupported_algorithm"
    assert published.asked == []


async def test_a_public_key_is_no_secret_and_the_new_secret_no_key(published: Published) -> None:
    pem = export_public_pem(KEY).encode()
    for key in (OctKey(pem, pem), import_secret(SECRET)):
        error = await refused(published, sign(claims(), key, kid=KEY.kid))
        assert error.reason == "unsupported_algorithm"


async def test_the_key_is_the_one_published(published: Published) -> None:
    forged = sign(claims(), key_for("RS256", "forger"), kid=KEY.kid)
    assert (await refused(published, forged)).reason == "bad_signature"
    published.documents[f"{FIRST}issuer/EC"] = Document(
        200, "", export_public_pem(key_for("ES256")).encode()
    )
    error = await refused(published, sign(claims(), KEY, kid="issuer/EC"))
    assert error.reason == "unsuitable_key"


@pytest.mark.no_event_loop
@pytest.mark.parametrize(("kid", "reason"), [(None, "missing_claim"), ("../x", "invalid_claim")])
async def test_a_token_needs_a_key_id(published: Published, kid: str | None, reason: str) -> None:
    key = import_pem(export_private_pem(KEY), kid=kid)
    error = await refused(published, sign(claims(), key))
    assert (error.reason, error.claim) == (reason, "kid")
    assert published.asked == []


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "malformed"),
        (b"[]", "malformed"),
        (body(clientKey=None), "malformed"),
        (body(sharedSecret="short"), "unsuitable_key"),
        (body(sharedSecret="s" * 129), "malformed"),
    ],
)
async def test_a_body_that_is_no_good_costs_no_fetch(
    published: Published, sent: bytes, reason: str
) -> None:
    assert (await refused(published, sent=sent)).reason == reason
    assert published.asked == []


async def test_a_malformed_target_is_a_mismatch(published: Published) -> None:
    token = sign(claims(), KEY)
    error = await refused(published, request=request(token, "/connect/installed?a=%zz"))
    assert error.reason == "request_mismatch"


async def test_the_server_must_say_the_raw_target(published: Published) -> None:
    with pytest.raises(ValueError, match="raw_path"):
        await install(published, request=request(sign(claims(), KEY), None))


@pytest.mark.no_event_loop
@pytest.mark.parametrize("leeway", [-1, math.inf, math.nan])
async def test_a_leeway_is_finite_and_not_negative(published: Published, leeway: float) -> None:
    with pytest.raises(ValueError, match="leeway"):
        await install(published, leeway=leeway)


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    ("base_urls", "error"),
    [
        ("/connect", ValueError),
        ("", ValueError),
        ([], ValueError),
        ("https://app.example?a", ValueError),
        ([1], TypeError),
    ],
)
async def test_a_base_url_that_is_none_is_told(
    published: Published, base_urls: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="base"):
        await install(published, base_urls=base_urls)
