"""Connect, the receiving side: the request a token is for, its claims, and its key."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import OctKey

from asapfn import connect
from asapfn._core.canonical import qsh
from asapfn._core.signing import sign
from asapfn.checks import CONTEXT_QSH
from asapfn.keys import export_public_pem, import_pem
from asapfn.resolvers import keys_by_id
from asapfn.types import Authenticate
from tests.support.keyring import key_for
from tests.support.tenants import BASE, SECRETS, rejection, request, resolver, token_for

pytestmark = pytest.mark.no_event_loop


@pytest.fixture
def authenticate() -> Authenticate:
    return connect.authenticator(resolver, base_url=BASE, audience=("app", "https://app.example"))


@pytest.fixture
def context() -> Authenticate:
    return connect.context_authenticator(resolver, audience="app")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/connect/page?a=1"),
        ("GET", "/connect/page?a=2"),
        ("GET", "/connect/page?a=1&b=1"),
        ("GET", "/connect/page"),
        ("GET", "/connect/Page?a=1"),
        ("GET", "/connect/connect/page?a=1"),
        ("GET", "/connected/page?a=1"),
        ("GET", "/connect/page?a=1&JWT=x"),
        # What has no canonical form is no request that a token was made for.
        ("GET", "/connect/page?a=%zz"),
        ("GET", "/connect/page?a=%FF"),
        ("GET", "/connect/é?a=1"),
        ("GET", "page:x?a=1"),
        ("G T", "/connect/page?a=1"),
    ],
)
async def test_a_token_for_another_request_is_a_mismatch(
    authenticate: Authenticate, method: str, target: str
) -> None:
    error = await rejection(authenticate, request(target, token_for(), method=method))
    assert (error.reason, error.claim) == ("request_mismatch", "qsh")
    assert error.detail


@pytest.mark.parametrize("fixed", [CONTEXT_QSH, 1, ""])
async def test_a_computed_endpoint_takes_no_fixed_qsh(
    authenticate: Authenticate, fixed: object
) -> None:
    sent = request("/connect/page?a=1", token_for(qsh=fixed))
    assert (await rejection(authenticate, sent)).reason == "request_mismatch"


async def test_a_context_endpoint_takes_the_fixed_qsh_for_any_request(
    context: Authenticate,
) -> None:
    token = token_for(qsh=CONTEXT_QSH)
    for sent in (
        request("/api/items?a=1", token),
        request("/other", token, method="DELETE"),
        request(f"/other?jwt={token}"),
        request(None, token),
    ):
        assert (await context(sent)).claims["iss"] == "acme"


async def test_a_context_endpoint_takes_no_computed_qsh(context: Authenticate) -> None:
    sent = request("/connect/page?a=1", token_for())
    assert (await rejection(context, sent)).reason == "request_mismatch"


async def test_a_context_endpoint_sees_no_query_where_there_is_no_raw_target(
    context: Authenticate,
) -> None:
    assert (await rejection(context, request(None))).reason == "missing_token"


async def test_a_computed_endpoint_needs_the_raw_target(authenticate: Authenticate) -> None:
    for sent in (request(None), request(None, token_for())):
        with pytest.raises(ValueError, match=r"raw_path.*RAW_URI or REQUEST_URI"):
            await authenticate(sent)


@pytest.mark.parametrize("aud", [None, "app", ["app"], ["x", "https://app.example"]])
async def test_an_audience_may_be_absent_or_ours(authenticate: Authenticate, aud: object) -> None:
    token = token_for(aud=aud)
    assert "aud" not in (await authenticate(request("/connect/page?a=1", token))).claims or aud


@pytest.mark.parametrize("aud", ["other", ["x", "y"], [], "ap", "app2", ""])
async def test_an_audience_that_is_there_must_be_ours(
    authenticate: Authenticate, aud: object
) -> None:
    sent = request("/connect/page?a=1", token_for(aud=aud))
    assert (await rejection(authenticate, sent)).reason == "wrong_audience"


async def test_without_an_audience_of_ours_none_is_accepted() -> None:
    authenticate = connect.authenticator(resolver, base_url=BASE)
    await authenticate(request("/connect/page?a=1", token_for()))
    for aud in ("app", ["app"], []):
        sent = request("/connect/page?a=1", token_for(aud=aud))
        assert (await rejection(authenticate, sent)).reason == "wrong_audience"


@pytest.mark.parametrize("claim", ["iss", "iat", "exp", "qsh"])
@pytest.mark.parametrize("which", ["computed", "fixed"])
async def test_a_claim_that_is_required_must_be_there(
    authenticate: Authenticate, context: Authenticate, which: str, claim: str
) -> None:
    changes: dict[str, Any] = {"qsh": CONTEXT_QSH if which == "fixed" else qsh("GET", "/")}
    token = token_for(**changes | {claim: None})
    error = await rejection(context if which == "fixed" else authenticate, request("/", token))
    assert (error.reason, error.claim) == ("missing_claim", claim)


async def test_leeway_is_thirty_seconds_unless_given() -> None:
    now = int(time.time())
    token = token_for(iat=now, exp=now + 180)
    sent = request("/connect/page?a=1", token)
    cases: list[tuple[dict[str, Any], int, bool]] = [
        ({}, 209, True),
        ({}, 210, False),
        ({}, -30, True),
        ({}, -31, False),
        ({"leeway": 0}, 180, False),
    ]
    for leeway, seconds, accepted in cases:
        moment = float(now + seconds)
        authenticate = connect.authenticator(
            resolver, base_url=BASE, now=iter([moment] * 2).__next__, **leeway
        )
        if accepted:
            await authenticate(sent)
        else:
            reason = (await rejection(authenticate, sent)).reason
            assert reason == ("expired" if seconds > 0 else "not_yet_valid")


async def test_an_unknown_issuer_has_an_unknown_key(authenticate: Authenticate) -> None:
    sent = request("/connect/page?a=1", token_for(iss="unknown"))
    assert (await rejection(authenticate, sent)).reason == "unknown_key"


async def test_one_tenants_secret_does_not_sign_for_another(authenticate: Authenticate) -> None:
    sent = request("/connect/page?a=1", token_for(secret=SECRETS["umbrella"]))
    assert (await rejection(authenticate, sent)).reason == "bad_signature"
    sent = request("/connect/page?a=1", token_for(secret=SECRETS["umbrella"], iss="umbrella"))
    assert (await authenticate(sent)).claims["iss"] == "umbrella"


async def test_a_secret_that_is_too_short_verifies_nothing(authenticate: Authenticate) -> None:
    sent = request("/connect/page?a=1", token_for(iss="short"))
    assert (await rejection(authenticate, sent)).reason == "unsuitable_key"


RSA = key_for("RS256")


def rsa_token(**more: Any) -> str:
    return sign(connect.claims("issuer", "GET", "/page?a=1"), RSA, **more)


async def test_public_keys_verify_rs256() -> None:
    authenticate = connect.authenticator(keys_by_id([RSA]), base_url=BASE)
    token = await authenticate(request("/connect/page?a=1", rsa_token()))
    assert token.header["kid"] == RSA.kid


async def test_a_public_key_is_no_secret() -> None:
    public = import_pem(export_public_pem(RSA), kid=RSA.kid)
    authenticate = connect.authenticator(keys_by_id([public]), base_url=BASE)
    # import_secret refuses it, as a forger's library would not.
    pem = export_public_pem(RSA).encode()
    confused = sign(connect.claims("issuer", "GET", "/page?a=1"), OctKey(pem, pem), kid=RSA.kid)
    sent = request("/connect/page?a=1", confused)
    assert (await rejection(authenticate, sent)).reason == "unsuitable_key"


async def test_a_secret_is_no_public_key(authenticate: Authenticate) -> None:
    token = sign(connect.claims("acme", "GET", "/page?a=1"), RSA)
    assert (
        await rejection(authenticate, request("/connect/page?a=1", token))
    ).reason == "unsuitable_key"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "RS512", "PS256", "ES256"])
async def test_other_algorithms_are_not_taken(algorithm: str) -> None:
    key = key_for(algorithm)
    token = sign(connect.claims("issuer", "GET", "/page?a=1"), key)
    for authenticate in (
        connect.authenticator(keys_by_id([key]), base_url=BASE),
        connect.context_authenticator(keys_by_id([key])),
    ):
        error = await rejection(authenticate, request("/connect/page?a=1", token))
        assert error.reason == "unsupported_algorithm"


@pytest.mark.parametrize("base_url", ["app.example", "https://app.example?a", "https://"])
def test_a_malformed_base_url_is_told_at_once(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        connect.authenticator(resolver, base_url=base_url)


@pytest.mark.parametrize(
    "make",
    [connect.context_authenticator, lambda r, **k: connect.authenticator(r, base_url="", **k)],
)
def test_an_audience_is_names(make: Callable[..., Authenticate]) -> None:
    with pytest.raises(TypeError, match="audience"):
        make(resolver, audience=[1])


@pytest.mark.parametrize("leeway", [-1, math.inf, math.nan])
def test_a_leeway_is_finite_and_not_negative(leeway: float) -> None:
    with pytest.raises(ValueError, match="leeway"):
        connect.authenticator(resolver, base_url=BASE, leeway=leeway)
    with pytest.raises(ValueError, match="leeway"):
        connect.context_authenticator(resolver, leeway=leeway)
