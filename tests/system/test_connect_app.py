"""A whole Connect app behind real servers, and a product that is Atlassian's own library.

The product runs under node: it makes its tokens with npm's atlassian-jwt, sends real requests, and
verifies what the app sends it. The install keys are on a host of their own, behind TLS, and only on
the second of two.
"""

import os
import pathlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from asapfn import connect
from asapfn._core.canonical import qsh
from asapfn.adapters.asgi import key_repository
from asapfn.adapters.httpx import request_hook
from asapfn.checks import CONTEXT_QSH
from asapfn.keys import export_private_pem, export_public_pem, import_secret
from tests.support.connect_app import BASE_URL, connect_app
from tests.support.connect_product import ATLASSIAN, App, Product
from tests.support.keyring import key_for
from tests.support.npm_peers import Ask, peer
from tests.support.servers import asgi_server
from tests.support.trio_server import trio_server

FORGER = key_for("RS256", "forger")
SERVERS: dict[str, Callable[..., Any]] = {
    "asyncio": lambda app: asgi_server(app, tls=False),
    "trio": trio_server,
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    kept = os.environ.get("ASAPFN_NPM")
    folder = pathlib.Path(kept) if kept else tmp_path_factory.mktemp("npm")
    with peer(folder, "connect_product.js") as ask:
        yield ask


@pytest.fixture(scope="module", params=SERVERS)
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    database = tmp_path_factory.mktemp("tenants") / "tenants.sqlite"
    with (
        asgi_server(key_repository([])) as first,
        asgi_server(key_repository([ATLASSIAN])) as second,
    ):
        hosts = {**connect.PRODUCTION_HOSTS, "*.product.example": (first, second)}
        with SERVERS[request.param](connect_app(database, hosts)) as origin:
            yield App(origin, database)


@pytest.fixture
def product(app: App, node: Ask) -> Product:
    return Product(app, node)


@pytest.fixture
def installed(product: Product) -> Product:
    assert product.install() == (204, None)
    return product


def test_a_tenants_life(product: Product) -> None:
    assert product.webhook() == (401, {"reason": "unknown_key"})
    assert product.install() == (204, None)
    accepted = (200, {"tenant": product.client_key, "event": {"issue": "A-1"}})
    assert product.webhook() == accepted

    # A second install brings a new secret, after which the old one is worth nothing.
    old, product.secret = product.secret, secrets.token_urlsafe(48)
    assert product.install() == (204, None)
    assert product.webhook() == accepted
    assert product.webhook(secret=old) == (401, {"reason": "bad_signature"})

    assert product.uninstall() == (204, None)
    assert product.webhook() == (401, {"reason": "unknown_key"})


@pytest.mark.parametrize(
    "query",
    [
        "issue=A-1",
        "issue=A%20b+c&b=2&a=1&b=1",
        "issue=%E2%82%AC%C3%A9&x=~%7E!'()*&flag&empty=",
        "zz=1&issue=a%2Cb,c&Zz=2",
    ],
)
def test_a_page_is_opened_with_the_token_in_its_url(installed: Product, query: str) -> None:
    token = installed.token("GET", f"/page?{query}")
    issue = httpx.QueryParams(query)["issue"]
    accepted = (200, {"tenant": installed.client_key, "issue": issue})
    assert installed.send("GET", f"/page?{query}&jwt={token}") == accepted
    assert installed.send("GET", f"/page?jwt={token}&{query}") == accepted
    assert installed.send("GET", f"/page?{query}", token) == accepted


def test_a_page_calls_its_app_with_a_context_token(installed: Product) -> None:
    token = installed.token("GET", "", claims={"qsh": CONTEXT_QSH})
    accepted = (200, {"tenant": installed.client_key})
    assert installed.send("GET", "/api/items", token) == accepted
    assert installed.send("GET", f"/api/items?page=2&jwt={token}") == accepted


def test_a_url_that_is_replayed_with_another_query_is_refused(installed: Product) -> None:
    token = installed.token("GET", "/page?issue=A-1")
    for url in (
        f"/page?issue=A-2&jwt={token}",
        f"/page?issue=A-1&admin=1&jwt={token}",
        f"/page?issue=A-1&issue=A-2&jwt={token}",
        f"/page?jwt={token}",
        f"/page?issue=A-1&JWT=x&jwt={token}",
    ):
        assert installed.send("GET", url) == (401, {"reason": "request_mismatch"})
    for method, path in (("POST", "/webhook?issue=A-1"), ("HEAD", "/page?issue=A-1")):
        status, _ = installed.send(method, path, token)
        assert status == 401


def test_each_endpoint_takes_one_kind_of_token(installed: Product) -> None:
    context = installed.token("GET", "", claims={"qsh": CONTEXT_QSH})
    computed = installed.token("GET", "/api/items")
    mismatch = (401, {"reason": "request_mismatch"})
    assert installed.send("GET", f"/page?issue=A-1&jwt={context}") == mismatch
    assert installed.send("POST", "/webhook", context, body={}) == mismatch
    assert installed.send("GET", "/api/items", computed) == mismatch


def test_two_tokens_are_one_too_many(installed: Product) -> None:
    token = installed.token("GET", "/page?issue=A-1")
    ambiguous = (401, {"reason": "ambiguous_token"})
    assert installed.send("GET", f"/page?issue=A-1&jwt={token}x", token) == ambiguous
    assert installed.send("GET", f"/page?issue=A-1&jwt={token}&jwt={token}x") == ambiguous
    assert installed.send("GET", f"/page?issue=A-1&jwt={token}", token)[0] == 200


def test_another_tenants_secret_opens_nothing(installed: Product) -> None:
    other = Product(installed.app, installed.node)
    assert other.install() == (204, None)
    assert installed.webhook(secret=other.secret) == (401, {"reason": "bad_signature"})
    assert other.webhook(secret=installed.secret) == (401, {"reason": "bad_signature"})
    assert other.webhook(claims={"iss": installed.client_key}) == (
        401,
        {"reason": "bad_signature"},
    )


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_other_algorithms_are_refused(installed: Product, algorithm: str) -> None:
    assert installed.webhook(algorithm=algorithm) == (401, {"reason": "unsupported_algorithm"})


def test_a_key_does_not_sign_for_a_tenant_that_has_a_secret(installed: Product) -> None:
    how = {"pem": export_private_pem(ATLASSIAN), "kid": ATLASSIAN.kid}
    assert installed.webhook(**how) == (401, {"reason": "unsuitable_key"})


def test_a_token_in_another_scheme_is_none(installed: Product) -> None:
    token = installed.token("GET", "/page?issue=A-1")
    answer = installed.send("GET", "/page?issue=A-1", token, scheme="Bearer")
    assert answer == (401, {"reason": "missing_token"})


def attempts(product: Product) -> dict[str, tuple[str | None, dict[str, Any], int, str]]:
    """Installs that must not be: the token, the body, and what comes of it."""
    good, body = product.lifecycle_token("/installed"), product.body()
    pem = export_public_pem(ATLASSIAN)
    victim = product.lifecycle_token("/installed", iss="somebody else")
    return {
        "unsigned": (None, body, 401, "missing_token"),
        "by the secret it brings": (
            product.token("POST", "/installed", claims={"aud": [BASE_URL]}),
            body,
            401,
            "unsupported_algorithm",
        ),
        "by the public key as a secret": (
            product.token("POST", "/installed", claims={"aud": [BASE_URL]}, secret=pem),
            body,
            401,
            "unsupported_algorithm",
        ),
        "by a forger": (product.lifecycle_token("/installed", FORGER), body, 401, "bad_signature"),
        "for an uninstall": (
            product.lifecycle_token("/uninstalled"),
            body,
            401,
            "request_mismatch",
        ),
        "with a context token": (
            product.lifecycle_token("/installed", qsh=CONTEXT_QSH),
            body,
            401,
            "request_mismatch",
        ),
        "for another app": (
            product.lifecycle_token("/installed", aud=["https://other.example"]),
            body,
            401,
            "wrong_audience",
        ),
        "expired": (product.lifecycle_token("/installed", iat=1, exp=2), body, 401, "expired"),
        "by another tenant": (victim, body, 401, "invalid_claim"),
        "in another's name": (
            good,
            body | {"clientKey": "somebody else"},
            401,
            "invalid_claim",
        ),
        "from staging": (
            good,
            body | {"baseUrl": "https://acme.jira-dev.com"},
            403,
            "issuer_not_allowed",
        ),
        "from a foreign host": (
            good,
            body | {"baseUrl": "https://evil.example/acme.product.example"},
            403,
            "issuer_not_allowed",
        ),
        "with a short secret": (good, body | {"sharedSecret": "short"}, 401, "unsuitable_key"),
        "with no secret": (good, body | {"sharedSecret": None}, 401, "malformed"),
    }


def test_an_install_that_is_not_the_products_changes_nothing(installed: Product) -> None:
    before, installed.secret = installed.secret, secrets.token_urlsafe(48)
    for name, (token, body, status, reason) in attempts(installed).items():
        answer = installed.send("POST", "/installed", token, body=body)
        assert (name, *answer) == (name, status, {"reason": reason})
    assert installed.app.secret_of(installed.client_key) == before
    assert installed.app.secret_of("somebody else") is None


def test_an_install_carries_its_token_in_the_header_alone(product: Product) -> None:
    token = product.lifecycle_token("/installed")
    url = f"/installed?jwt={token}"
    assert product.send("POST", url, body=product.body()) == (401, {"reason": "missing_token"})
    assert product.send("POST", url, token, body=product.body()) == (
        401,
        {"reason": "ambiguous_token"},
    )
    assert product.app.secret_of(product.client_key) is None


def test_an_uninstall_that_is_not_the_products_removes_nothing(installed: Product) -> None:
    body = installed.body("uninstalled")
    for token in (
        None,
        installed.lifecycle_token("/installed"),
        installed.token("POST", "/uninstalled"),
    ):
        status, _ = installed.send("POST", "/uninstalled", token, body=body)
        assert status == 401
    assert installed.app.secret_of(installed.client_key) == installed.secret


async def test_the_product_accepts_what_the_app_sends(node: Ask) -> None:
    secret = secrets.token_urlsafe(48)
    listening = node(
        listen={"app": "app", "secret": secret, "base_url": "https://acme.product.example/wiki"}
    )
    origin = f"http://127.0.0.1:{listening['port']}"
    base_url = f"{origin}/wiki"
    authorize = connect.authorizer(
        "app", import_secret(secret), base_url=base_url, audience="client"
    )
    hooks = {"request": [request_hook(authorize, origins=origin)]}
    async with httpx.AsyncClient(event_hooks=hooks) as client:
        for method, path in (
            ("GET", "/rest/api/content"),
            ("GET", "/rest/api/content/?b=2&a=1&a=0&title=a%20b+c,d"),
            ("POST", "/rest/api/content?x=%C3%A9~!"),
            ("DELETE", "/"),
        ):
            answer = await client.request(method, base_url + path)
            assert answer.status_code == 200, answer.text
            assert answer.json()["claims"]["aud"] == ["client"]
            assert answer.json()["claims"]["qsh"] == qsh(method, base_url + path, base_url=base_url)
        header = {"Authorization": authorize("GET", f"{base_url}/a")}
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{base_url}/b", headers=header)
        assert answer.status_code == 401
