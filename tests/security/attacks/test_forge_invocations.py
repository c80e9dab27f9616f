"""Attacks on a Forge remote: one environment for another, one site for another, stolen tokens."""

import time
from typing import Any

import pytest

from asapfn import forge, sign
from asapfn.errors import TokenRejected
from asapfn.resolvers import keys_by_id
from asapfn.types import Request, Token
from tests.support.invocations import (
    API,
    APP,
    CLOUD,
    INSTALLATION,
    OTHER_CLOUD,
    invocation_claims,
)
from tests.support.keyring import key_for
from tests.support.victim import told

FORGE = key_for("RS256", "forge")
OTHER_APP = "ari:cloud:ecosystem::app/00000000-1f32-48bb-8c52-5877dab48107"
ACCESS = "eyJ.the-access-token.x"
OTHER_INSTALLATION = "ari:cloud:ecosystem::installation/75969db9-dc7b-4798-9715-bd098ac0d9d1"


async def remote(options: dict[str, Any], **changes: Any) -> str | None:
    """What a remote says of a token that Forge has truly signed."""
    verify = forge.verifier(keys_by_id([FORGE]), APP, **options)
    return await told(verify(sign(invocation_claims(time.time(), **changes), FORGE)))


DEVELOPMENT = {"app__environment__type": "DEVELOPMENT"}


@pytest.mark.parametrize(
    "changes",
    [
        DEVELOPMENT,
        # What a developer's own page can put beside it.
        DEVELOPMENT | {"context__environmentType": "PRODUCTION"},
        DEVELOPMENT | {"context__environment": {"type": "PRODUCTION"}},
        DEVELOPMENT | {"environment": {"type": "PRODUCTION"}},
        DEVELOPMENT | {"app__environmentType": "PRODUCTION"},
        {"app__environment__type": ["PRODUCTION"]},
        {"app__environment": ["PRODUCTION"]},
        {"app__environment": "PRODUCTION"},
        {"app__environment__type": {"PRODUCTION": True}},
        {"app__environment__type": "PRODUCTION\x00"},
        {"app__environment__type": "PRODUCTION,DEVELOPMENT"},
        {"app__environment__type": ""},
        {"app__environment__type": ..., "context__environmentType": "PRODUCTION"},
    ],
)
async def test_environment_confusion_an_app_in_development_is_not_one_in_production(
    changes: dict[str, Any],
) -> None:
    """Anybody who may deploy the app to DEVELOPMENT gets true tokens of the same app and keys."""
    assert await remote({"environment_types": "PRODUCTION"}) is None
    reason = await remote({"environment_types": "PRODUCTION"}, **changes)
    assert reason in ("invalid_claim", "missing_claim")


@pytest.mark.parametrize(
    "changes",
    [
        {"app__installation__id": OTHER_INSTALLATION},
        {"app__installationId": OTHER_INSTALLATION},
        {"context__cloudId": OTHER_CLOUD},
        {"context__cloudId": CLOUD.upper()},
        {"app__installation__contexts": [{"apiBaseUrl": API.replace(CLOUD, OTHER_CLOUD)}]},
        {"app__installation__contexts": [{"apiBaseUrl": API, "cloudId": OTHER_CLOUD}]},
        {"app__apiBaseUrl": API.replace(CLOUD, OTHER_CLOUD)},
        {"app__id": OTHER_APP},
        {"aud": [APP, OTHER_APP], "app__id": OTHER_APP},
        {"app__installation__contexts": [{"cloudId": OTHER_CLOUD}], "context": ...},
        {
            "app__apiBaseUrl": f"{API}/rest",
            "app__installation": ...,
            "context__cloudId": OTHER_CLOUD,
        },
    ],
)
async def test_a_token_that_names_two_installations_or_clouds_is_no_ones(
    changes: dict[str, Any],
) -> None:
    """One half of an application would keep data by one id and another read it by the other."""
    assert await remote({}) is None
    assert await remote({}, **changes) == "invalid_claim"


def test_two_installations_or_clouds_are_refused_by_invocation_too() -> None:
    """As a caller gets it who verified the token in a way of their own."""
    for changes in (
        {"app__installation__id": OTHER_INSTALLATION},
        {"context__cloudId": OTHER_CLOUD},
    ):
        token = Token({}, invocation_claims(time.time(), **changes), 0.0, 0.0)
        with pytest.raises(TokenRejected, match="invalid_claim"):
            forge.invocation(token)
    good = forge.invocation(Token({}, invocation_claims(time.time()), 0.0, 0.0))
    assert good.installation == INSTALLATION


# Of a segment that leads up: written so that who decodes again, or leniently, reads the dots.
UPWARDS = [
    "%25%32%65%25%32%65/x",
    "%25%32%45%25%32%45/x",
    "%%32%65%%32%65/x",
    "%2%65%2%65/x",
    "%252%65%252%65/x",
    "..%25%32%66x",
    "..%%32%66x",
    "..%25%35%63x",
    "..%2525%32%66x",
    "..%25%32%35%32%66x",
    "%25%32%65%25%32%65%20/x",
    "%25%32%65%25%32%65%00/x",
    "%25%32%65%25%32%65%3bx/y",
    "%25%32%65%25%32%65;x/y",
    "..%25%32%30/x",
    "..%3fx",
    "..%23x",
    "..%253fx",
    # Longer than UTF-8 allows, of two bytes to six.
    "%c0%ae%c0%ae/x",
    "%C1%9C..%C1%9Cx",
    "..%c0%afx",
    "..%25c0%25afx",
    "..%e0%80%afx",
    "%e0%80%ae%e0%80%ae/x",
    "..%e0%2580%25afx",
    "..%f0%80%80%afx",
    "..%f8%80%80%80%afx",
    "..%fc%80%80%80%80%afx",
    # What is no escape, and what some read as one.
    "%u002e%u002e/x",
    "..%u2215x",
    "..%0/x",
    "..%",
    "x%2",
    "x%zz",
    # Escapes of escapes without an end in sight.
    f"%{'25' * 20}41",
]
LEGITIMATE = [
    "rest/api/3/issue/A%2FB",
    "rest/a%20b/%20",
    "rest/100%25",
    "rest/100%25zz/%25%20",
    "rest/a%2525b",
    "rest/%C3%A9/%E2%82%AC/%F0%9F%98%80/%ED%9F%BF/%EF%BC%8F/%E0%A0%80",
    "rest/%25C3%25A9",
    "rest/a..b/%2e%2e%2e/..a/x%2e",
    "rest/what%3F/%23tag;a=b",
]

HOST = "https://api.atlassian.com"
ELSEWHERE = [
    # Another host.
    "https://evil.example/",
    f"https://evil.example/ex/confluence/{CLOUD}/wiki",
    f"https://api.atlassian.com.evil.example/ex/confluence/{CLOUD}/wiki",
    f"https://api.atlassian.com./ex/confluence/{CLOUD}/wiki",
    f"https://xapi.atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"https://atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"https://api.stg.atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"https://127.0.0.1/ex/confluence/{CLOUD}/wiki",
    f"https://[::1]/ex/confluence/{CLOUD}/wiki",
    f"https://\u0430pi.atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"https://api\u3002atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"https://api.atlassian%2ecom/ex/confluence/{CLOUD}/wiki",
    # A user before it, in which browsers, httpx and others differ.
    f"https://user@api.atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"https://api.atlassian.com@evil.example/ex/confluence/{CLOUD}/wiki",
    f"https://evil.example\\@api.atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"https://api.atlassian.com\\@evil.example/ex/confluence/{CLOUD}/wiki",
    f"https://evil.example?@api.atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"https://evil.example#@api.atlassian.com/ex/confluence/{CLOUD}/wiki",
    # Another port or scheme.
    f"https://api.atlassian.com:8443/ex/confluence/{CLOUD}/wiki",
    f"https://api.atlassian.com:80/ex/confluence/{CLOUD}/wiki",
    f"https://api.atlassian.com:/ex/confluence/{CLOUD}/wiki",
    f"https://api.atlassian.com:0443x/ex/confluence/{CLOUD}/wiki",
    f"http://api.atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"http://api.atlassian.com:443/ex/confluence/{CLOUD}/wiki",
    f"ftp://api.atlassian.com/ex/confluence/{CLOUD}/wiki",
    # None that is named.
    f"//api.atlassian.com/ex/confluence/{CLOUD}/wiki",
    f"/ex/confluence/{CLOUD}/wiki",
    f"ex/confluence/{CLOUD}/wiki",
    "",
    # Another site or product, or all of them.
    HOST,
    f"{HOST}/",
    f"{HOST}/graphql",
    f"{HOST}/ex/confluence/{OTHER_CLOUD}/wiki",
    f"{HOST}/ex/jira/{CLOUD}/rest",
    f"{HOST}/ex/confluence/{CLOUD}0/wiki",
    f"{HOST}/ex/confluence/{CLOUD.upper()}/wiki",
    f"{HOST}/EX/confluence/{CLOUD}/wiki",
    f"{HOST}/ex/confluence%2f{CLOUD}/wiki",
    f"{HOST}//ex/confluence/{CLOUD}/wiki",
    f"{HOST}/\\ex/confluence/{CLOUD}/wiki",
    f"{HOST}/ex/jira/x/../../confluence/{CLOUD}/wiki",
    f"{HOST}?/ex/confluence/{CLOUD}/wiki",
    f"{HOST}#/ex/confluence/{CLOUD}/wiki",
    # A way out of it.
    f"{API}/../{OTHER_CLOUD}/wiki",
    f"{API}/..",
    f"{API}/.",
    f"{API}/./wiki",
    f"{API}/wiki/../../{OTHER_CLOUD}",
    f"{API}/%2e%2e/{OTHER_CLOUD}/wiki",
    f"{API}/.%2E/{OTHER_CLOUD}/wiki",
    f"{API}/%252e%252e/{OTHER_CLOUD}/wiki",
    f"{API}/%25252e./{OTHER_CLOUD}/wiki",
    f"{API}/..%2f{OTHER_CLOUD}/wiki",
    f"{API}%2f..%2f{OTHER_CLOUD}/wiki",
    f"{API}/..%5c{OTHER_CLOUD}/wiki",
    f"{API}\\..\\{OTHER_CLOUD}\\wiki",
    f"{API}/..\\{OTHER_CLOUD}",
    f"{API}/..;/{OTHER_CLOUD}/wiki",
    f"{API}/..%3b/{OTHER_CLOUD}/wiki",
    f"{API}/..%00/{OTHER_CLOUD}/wiki",
    f"{API}/..%20/{OTHER_CLOUD}/wiki",
    # What some remove before they send it.
    f"{API}/.\t./{OTHER_CLOUD}/wiki",
    f"{API}/.\n./{OTHER_CLOUD}/wiki",
    f"{API}/.. /{OTHER_CLOUD}/wiki",
    f" {API}/wiki",
    f"{API}/wiki\r\nX: y",
    f"{API}/wiki\x00",
    f"{API}/\u2025/{OTHER_CLOUD}",
    f"https://api.\u00adatlassian.com/ex/confluence/{CLOUD}/wiki",
    f"https://api.\tatlassian.com/ex/confluence/{CLOUD}/wiki",
]


@pytest.mark.parametrize("url", [*ELSEWHERE, *(f"{API}/{path}" for path in UPWARDS)])
def test_an_access_token_is_sent_nowhere_but_below_the_api_base_url(url: str) -> None:
    call = forge.invocation(Token({}, invocation_claims(time.time()), 0.0, 0.0))
    authorize = forge.authorizer(ACCESS, call)
    with pytest.raises(ValueError, match="no access token is sent there") as refused:
        authorize("GET", url)
    assert ACCESS not in str(refused.value)
    assert authorize("GET", f"{API}/wiki/rest/api/content") == f"Bearer {ACCESS}"


@pytest.mark.parametrize("path", LEGITIMATE)
def test_escapes_that_lead_nowhere_else_are_sent(path: str) -> None:
    call = forge.invocation(Token({}, invocation_claims(time.time()), 0.0, 0.0))
    assert forge.authorizer(ACCESS, call)("GET", f"{API}/{path}") == f"Bearer {ACCESS}"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/ex/confluence/x",
        "http://api.atlassian.com/ex/confluence/x",
        "https://api.atlassian.com@evil.example/ex/confluence/x",
        "https://api.atlassian.com.evil.example/ex/confluence/x",
        "https://api.atlassian.com/ex/confluence/../..",
    ],
)
async def test_a_token_cannot_say_that_access_tokens_go_elsewhere(url: str) -> None:
    """Should the signing side ever be made to sign another URL, the remote does not follow it."""
    assert await remote({}, app__apiBaseUrl=url, app__installation=...) == "invalid_claim"


def test_a_second_access_token_never_stands_in_for_the_first() -> None:
    """As a proxy would add it to what the sender set, or a sender to what a proxy sets."""
    for headers in (
        (("x-forge-oauth-user", ACCESS), ("x-forge-oauth-user", "mallory")),
        (("X-Forge-Oauth-User", "mallory"), ("x-forge-oauth-user", ACCESS)),
        (("x-forge-oauth-user", ACCESS), ("X-FORGE-OAUTH-USER", ACCESS)),
    ):
        with pytest.raises(TokenRejected, match="ambiguous_token"):
            forge.access_tokens(Request("POST", "/", headers))
    # Nor does the other kind, nor one in a list.
    tokens = forge.access_tokens(Request("POST", "/", (("x-forge-oauth-user", ACCESS),)))
    assert tokens.system is None
    for joined in (f"{ACCESS}, mallory", f"{ACCESS},mallory", f"mallory;{ACCESS}"):
        with pytest.raises(TokenRejected, match="malformed"):
            forge.access_tokens(Request("POST", "/", (("x-forge-oauth-user", joined),)))
