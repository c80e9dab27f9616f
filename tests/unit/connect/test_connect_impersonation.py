import math
from typing import Any

import pytest

from asapfn import connect
from asapfn._core.verification import peek, verify
from asapfn.resolvers import shared_secrets

SECRET = "the tenant's secret, which is long"
INSTALLATION = connect.Installation(
    "client", "https://acme.atlassian.net/wiki", SECRET, oauth_client_id="oauth"
)
COMMERCIAL = "https://oauth-2-authorization-server.services.atlassian.com"


async def test_the_assertion_is_that_of_rfc_7523_with_a_tenant() -> None:
    async def secret(issuer: str) -> str:
        return SECRET

    assertion = connect.impersonation_assertion(INSTALLATION, "user", now=lambda: 1000.9)
    token = await verify(
        assertion,
        shared_secrets(secret),
        audience=COMMERCIAL,
        algorithms=["HS256"],
        now=lambda: 1001,
    )
    assert token.header == {"alg": "HS256", "typ": "JWT"}
    assert token.claims == {
        "iss": "urn:atlassian:connect:clientid:oauth",
        "sub": "urn:atlassian:connect:useraccountid:user",
        "tnt": "https://acme.atlassian.net/wiki",
        "aud": COMMERCIAL,
        "iat": 1000,
        "exp": 1060,
    }


def test_the_lifetime_is_the_callers() -> None:
    claims = peek(connect.impersonation_assertion(INSTALLATION, "user", lifetime=30)).claims
    assert claims["exp"] - claims["iat"] == 30


@pytest.mark.parametrize(
    ("changes", "account_id", "lifetime", "says"),
    [
        ({"oauth_client_id": ""}, "user", 60, "oauth_client_id"),
        ({}, "", 60, "account id"),
        ({"shared_secret": ""}, "user", 60, "secret"),
        ({"base_url": "https://evil.example"}, "user", 60, "authorization server"),
        ({}, "user", 0, "lifetime"),
        ({}, "user", math.nan, "lifetime"),
        ({}, "user", math.inf, "lifetime"),
    ],
)
def test_what_is_missing_is_told(
    changes: dict[str, Any], account_id: str, lifetime: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        connect.impersonation_assertion(
            INSTALLATION._replace(**changes), account_id, lifetime=lifetime
        )
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("product", "server"),
    [
        ("https://acme.atlassian.net/wiki", COMMERCIAL),
        ("https://ACME.jira.com", COMMERCIAL),
        (
            "https://acme.jira-dev.com",
            "https://oauth-2-authorization-server.stg.services.atlassian.com",
        ),
        (
            "https://acme.atlassian-us-gov-mod.net",
            "https://oauth-2-authorization-server.services.atlassian-us-gov-mod.com",
        ),
        (
            "https://acme.atlassian-stg-fedm.net",
            "https://oauth-2-authorization-server.stg.services.atlassian-us-gov-mod.com",
        ),
    ],
)
def test_the_server_is_that_of_the_products_environment(product: str, server: str) -> None:
    assert connect.authorization_server(product) == server


@pytest.mark.parametrize(
    "product", ["", "https://evil.example", "http://acme.atlassian.net", "https://atlassian.net"]
)
def test_no_server_is_guessed(product: str) -> None:
    with pytest.raises(ValueError, match="no authorization server"):
        connect.authorization_server(product)
