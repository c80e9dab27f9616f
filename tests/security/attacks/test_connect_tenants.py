"""Attacks on a Connect app: between tenants, environments, kinds of tokens, and on its install."""

import json
from typing import Any

import pytest

from asapfn import Request, TokenRejected, connect, qsh
from asapfn.keys import export_public_pem
from asapfn.resolvers import by_issuer, cached, keys_by_id, shared_secrets
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.published import Published
from tests.support.verifying import NOW, clock
from tests.support.victim import by_hmac, told

SECRETS = {
    "acme": "acme's secret, which is long enough",
    "umbrella": "umbrella's secret, long enough too",
}
BASE = "https://app.example/connect"
KEY = key_for("RS256")
PRODUCTION = "https://asap-distribution.us-west-2.prod.atl-asap.net/"
SECOND = "https://connect-install-keys.atlassian.com/"
STAGING = "https://asap-distribution.us-west-2.staging.atl-asap.net/"


async def look_up(issuer: str) -> str | None:
    return SECRETS.get(issuer)


def tenants_token(issuer: str, secret: str, hashed: str = qsh("GET", "/page?a=1")) -> str:
    claims = {"iss": issuer, "iat": NOW, "exp": NOW + 180, "qsh": hashed}
    return by_hmac(claims, secret.encode())


def asking(token: str, target: str = "/connect/page?a=1", method: str = "GET") -> Request:
    return Request(method, target, (("Authorization", f"JWT {token}"),))


async def test_one_tenants_secret_is_not_anothers() -> None:
    """Connect, "Security for Connect apps": acme signs as umbrella, which has a secret too, also
    when a cache holds the secret of either."""
    for resolver in (shared_secrets(look_up), cached(shared_secrets(look_up))):
        authenticate = connect.authenticator(resolver, base_url=BASE, now=clock)
        for _ in range(2):
            for issuer, signer, said in (
                ("acme", "acme", None),
                ("umbrella", "acme", "bad_signature"),
                ("umbrella", "umbrella", None),
                ("acme", "umbrella", "bad_signature"),
                ("nobody", "acme", "unknown_key"),
            ):
                token = tenants_token(issuer, SECRETS[signer])
                assert await told(authenticate(asking(token))) == said
                # A key id that names the signer changes nothing.
                claims = {"iss": issuer, "iat": NOW, "exp": NOW + 9, "qsh": qsh("GET", "/")}
                token = by_hmac(claims, SECRETS[signer].encode(), kid=signer)
                assert await told(authenticate(asking(token, "/connect/"))) == said


async def test_one_tenants_public_key_is_not_anothers() -> None:
    """The same for tenants that sign by RS256: the key id is the token's, the issuer too."""
    keys = {"acme": key_for("RS256", "acme"), "umbrella": key_for("RS256", "umbrella")}
    table = {issuer: cached(keys_by_id([key])) for issuer, key in keys.items()}
    authenticate = connect.authenticator(by_issuer(table), base_url=BASE, now=clock)
    for issuer, signer, said in (("acme", "acme", None), ("umbrella", "acme", "unknown_key")):
        claims = {"iss": issuer, "iat": NOW, "exp": NOW + 9, "qsh": qsh("GET", "/page")}
        sent = asking(forge(claims, keys[signer]), "/connect/page")
        assert await told(authenticate(sent)) == said


async def test_a_context_token_is_not_taken_where_the_request_is_hashed() -> None:
    """The Connect vulnerability of 2021 (Atlassian, "qsh validation"): a token that any script of
    the page can read passes for one that the product made, for any request."""
    resolver = shared_secrets(look_up)
    computed = connect.authenticator(resolver, base_url=BASE, now=clock)
    context = asking(tenants_token("acme", SECRETS["acme"], "context-qsh"))
    assert await told(computed(context)) == "request_mismatch"
    assert await told(connect.context_authenticator(resolver, now=clock)(context)) is None


async def test_a_requests_token_is_not_taken_where_context_is() -> None:
    """2021 the other way round: a request's token, which stands in logs and referrers as `jwt=`,
    does not open every endpoint that the pages call."""
    resolver = shared_secrets(look_up)
    computed = asking(tenants_token("acme", SECRETS["acme"]))
    context = connect.context_authenticator(resolver, now=clock)
    assert await told(context(computed)) == "request_mismatch"
    assert await told(connect.authenticator(resolver, base_url=BASE, now=clock)(computed)) is None


@pytest.mark.parametrize("hashed", [None, "", "*", "CONTEXT-QSH", 0, True, [], ["context-qsh"]])
async def test_a_token_without_a_hash_is_for_no_request(hashed: Any) -> None:
    """2021 once more: apps that compared the hash only where there was one."""
    claims = {"iss": "acme", "iat": NOW, "exp": NOW + 180, "qsh": hashed}
    if hashed is None:
        del claims["qsh"]
    sent = asking(by_hmac(claims, SECRETS["acme"].encode()))
    resolver = shared_secrets(look_up)
    for authenticate in (
        connect.authenticator(resolver, base_url=BASE, now=clock),
        connect.context_authenticator(resolver, now=clock),
    ):
        assert await told(authenticate(sent)) == (
            "missing_claim" if hashed is None else "request_mismatch"
        )


@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", "/page?a=1"), ("GET", "/page?a=2"), ("GET", "/page?a=1&a=2"), ("GET", "/page/x?a=1"),
     ("GET", "/%70age?a=1"), ("GET", "//page?a=1"), ("GET", "/page%26a=1"), ("GET", "/?a=1")],
)  # fmt: skip
async def test_a_token_is_for_one_request(method: str, target: str) -> None:
    """Connect, "Creating a query string hash": a token that was seen is sent with another one."""
    authenticate = connect.authenticator(shared_secrets(look_up), base_url=BASE, now=clock)
    sent = asking(tenants_token("acme", SECRETS["acme"]), f"/connect{target}", method)
    assert await told(authenticate(sent)) == "request_mismatch"


# Installs


async def install(
    published: Published, token: str | None, product: str = "https://acme.atlassian.net"
) -> tuple[str | None, list[str]]:
    """What is said of an install, and which hosts were asked for its key."""
    body = {"clientKey": "acme", "sharedSecret": "s" * 40, "baseUrl": product}
    headers = () if token is None else (("Authorization", f"JWT {token}"),)
    sent = Request("POST", "/connect/installed", headers)
    keys = connect.install_keys(published)
    try:
        made = await connect.verify_install(
            sent, json.dumps(body).encode(), keys, base_urls=BASE, now=clock
        )
    except TokenRejected as error:
        return error.reason, [url for url, _ in published.asked]
    assert made.client_key == "acme"
    return None, [url for url, _ in published.asked]


def install_claims(**changes: Any) -> dict[str, Any]:
    hashed = qsh("POST", "/installed")
    made = {"iss": "acme", "aud": BASE, "iat": NOW, "exp": NOW + 180, "qsh": hashed}
    return made | changes


async def test_an_install_is_signed_by_a_production_key() -> None:
    """The control of those that follow."""
    published = Published()
    published.put(f"{PRODUCTION}{KEY.kid}", KEY)
    said, asked = await install(published, forge(install_claims(), KEY))
    assert (said, asked) == (None, [f"{PRODUCTION}{KEY.kid}"])


@pytest.mark.parametrize("product", ["https://acme.jira-dev.com", "https://acme.atlassian.net"])
async def test_a_staging_key_does_not_install_into_production(product: str) -> None:
    """Connect, "Signed install callbacks": whoever has a product of staging has a key that is
    signed for there, and tells a production app to trust a secret of his own."""
    published = Published()
    published.put(f"{STAGING}{KEY.kid}", KEY)
    said, asked = await install(published, forge(install_claims(), KEY), product)
    if "jira-dev" in product:
        assert (said, asked) == ("issuer_not_allowed", [])
    else:
        assert said == "unknown_key"
        assert asked == [f"{PRODUCTION}{KEY.kid}", f"{SECOND}{KEY.kid}"]


@pytest.mark.parametrize(
    "product",
    [
        "https://mallory.example",
        "https://atlassian.net",
        "https://acme.atlassian.net.mallory.example",
        "https://acmeatlassian.net",
        "https://mallory.example/.atlassian.net",
        "https://mallory.example#.atlassian.net",
        "https://mallory.example\\.atlassian.net",
        "https://acme.atlassian.net@mallory.example",
        "http://acme.atlassian.net",
        "https://acme.atlassian.net:8443",
        "https://acme.atl\u0430ssian.net",
    ],
    ids=ascii,
)
async def test_a_host_that_looks_like_a_product_is_none(product: str) -> None:
    """CWE-918: the body names the host, and the host says whose keys are asked."""
    token = forge(install_claims(), KEY)
    assert await install(Published(), token, product) == ("issuer_not_allowed", [])


async def test_an_unsigned_install_is_refused() -> None:
    """Connect, "Signed install callbacks", mandatory since 2021: unsigned, signed by nobody, by
    the secret that the body itself brings, or by the key of another tenant."""
    published = Published()
    published.put(f"{PRODUCTION}{KEY.kid}", KEY)
    signed = forge(install_claims(), KEY)
    public = export_public_pem(KEY).encode()
    for token, said in (
        (None, "missing_token"),
        (signed.rpartition(".")[0] + ".", "malformed"),
        (forge(install_claims(), KEY, alg="none", signed_as="RS256"), "unsupported_algorithm"),
        (by_hmac(install_claims(), b"s" * 40, kid=KEY.kid), "unsupported_algorithm"),
        (by_hmac(install_claims(), public, kid=KEY.kid), "unsupported_algorithm"),
        (forge(install_claims(), key_for("RS256", "mallory"), kid=KEY.kid), "bad_signature"),
        (forge(install_claims(iss="umbrella"), KEY), "invalid_claim"),
        (forge(install_claims(aud="https://other.example"), KEY), "wrong_audience"),
        (forge(install_claims(qsh="context-qsh"), KEY), "request_mismatch"),
    ):
        assert (await install(published, token))[0] == said
