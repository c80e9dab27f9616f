"""The example of a Connect app in Flask, under gunicorn, and products that others' libraries make.

One product's tokens are npm's atlassian-jwt's, another's those of the package of that name on PyPI.
"""

import concurrent.futures
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import atlassian_jwt
import httpx
import pytest

from asapfn import connect
from asapfn.adapters.asgi import key_repository
from asapfn.checks import CONTEXT_QSH
from asapfn.keys import import_secret
from tests.support.connect_app import BASE_URL
from tests.support.connect_product import ATLASSIAN, App, Product
from tests.support.keyring import key_for
from tests.support.npm_peers import Ask, peer
from tests.support.processes import running
from tests.support.servers import asgi_server, trusting

EXAMPLES = Path(__file__).parent / "examples"
COMMAND = [
    *("-m", "gunicorn", "flask_connect:app", "--workers=2", "--threads=8", "--bind=fd://{fd}"),
    *("--keyfile={certificate}", "--certfile={certificate}"),
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("app")
    database = folder / "tenants.sqlite"
    with (
        asgi_server(key_repository([])) as first,
        asgi_server(key_repository([ATLASSIAN])) as second,
    ):
        environment = {
            "APP_BASE_URL": BASE_URL,
            "APP_DATABASE": str(database),
            "APP_MORE_HOSTS": json.dumps({"*.product.example": [first, second]}),
        }
        with running(COMMAND, within=EXAMPLES, folder=folder, environment=environment) as origin:
            yield App(origin, database)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    kept = os.environ.get("ASAPFN_NPM")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("npm")
    with peer(folder, "connect_product.js") as ask:
        yield ask


@pytest.fixture(scope="module")
def client(app: App) -> Iterator[httpx.Client]:
    # gunicorn may close a connection that is idle just as a request is sent on it.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(
        base_url=f"{app.origin}/connect", verify=trusting(), timeout=60, limits=limits
    ) as opened:
        yield opened


@pytest.fixture
def product(app: App, node: Ask) -> Product:
    return Product(app, node)


def jwt(token: str) -> dict[str, str]:
    return {"Authorization": f"JWT {token}"}


def install(client: httpx.Client, product: Product, token: str | None = None) -> httpx.Response:
    signed = token or product.lifecycle_token("/installed")
    return client.post("/installed", headers=jwt(signed), json=product.body())


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason"]


def test_the_descriptor_is_public_and_names_what_there_is(client: httpx.Client) -> None:
    answer = client.get("/atlassian-connect.json")
    assert answer.status_code == 200
    descriptor = answer.json()
    assert descriptor["baseUrl"] == BASE_URL
    (page,) = descriptor["modules"]["jiraIssueContents"]
    for method, path in (
        *(("POST", path) for path in descriptor["lifecycle"].values()),
        ("GET", page["url"].replace("{issue.key}", "A-1")),
        ("GET", "/api/items"),
    ):
        refused = client.request(method, path)
        assert said(refused) == (401, "missing_token")
        assert refused.headers["WWW-Authenticate"] == "JWT"


def test_a_tenants_life_by_atlassians_own_library(
    client: httpx.Client, app: App, product: Product
) -> None:
    query = "issue=A%20b%2Bc&b=2&a=1"

    def page() -> httpx.Response:
        return client.get(f"/page?{query}&jwt={product.token('GET', f'/page?{query}')}")

    assert said(page()) == (401, "unknown_key")
    assert install(client, product).status_code == 204
    assert app.secret_of(product.client_key) == product.secret
    opened = page()
    assert opened.status_code == 200
    assert opened.text == f"<p>Hello, {product.client_key}: A b+c.</p>"
    context = product.token("GET", "", claims={"qsh": CONTEXT_QSH})
    for _ in range(4):  # by either worker
        items = client.get("/api/items?page=2", headers=jwt(context))
        assert (items.status_code, items.json()) == (200, {"tenant": product.client_key})

    # A second install brings a new secret, after which the old one is worth nothing.
    old, product.secret = product.secret, secrets.token_urlsafe(48)
    assert install(client, product).status_code == 204
    assert page().status_code == 200
    now, product.secret = product.secret, old
    assert said(page()) == (401, "bad_signature")
    product.secret = now

    body = product.body("uninstalled")
    del body["sharedSecret"]
    headers = jwt(product.lifecycle_token("/uninstalled"))
    assert client.post("/uninstalled", headers=headers, json=body).status_code == 204
    assert said(page()) == (401, "unknown_key")


def test_each_endpoint_accepts_one_kind_of_token_for_one_request(
    client: httpx.Client, product: Product
) -> None:
    assert install(client, product).status_code == 204
    context = product.token("GET", "", claims={"qsh": CONTEXT_QSH})
    page = product.token("GET", "/page?issue=A-1")
    mismatch = (401, "request_mismatch")
    assert said(client.get(f"/page?issue=A-1&jwt={context}")) == mismatch
    assert said(client.get(f"/page?issue=A-2&jwt={page}")) == mismatch
    assert said(client.get(f"/page?issue=A-1&issue=A-2&jwt={page}")) == mismatch
    assert said(client.get("/api/items", headers=jwt(page))) == mismatch
    twice = client.get(f"/page?issue=A-1&jwt={page}x", headers=jwt(page))
    assert said(twice) == (401, "ambiguous_token")


def test_an_install_that_is_not_the_products_changes_nothing(
    client: httpx.Client, app: App, product: Product
) -> None:
    assert install(client, product).status_code == 204
    before, product.secret = product.secret, secrets.token_urlsafe(48)
    forger = product.lifecycle_token("/installed", key_for("RS256", "forger"))
    assert said(install(client, product, forger)) == (401, "bad_signature")
    other = product.lifecycle_token("/uninstalled")
    assert said(install(client, product, other)) == (401, "request_mismatch")
    own = product.token("POST", "/installed", claims={"aud": [BASE_URL]})
    assert said(install(client, product, own)) == (401, "unsupported_algorithm")
    product.base_url = "https://evil.example"
    assert said(install(client, product)) == (403, "issuer_not_allowed")
    large = client.post("/installed", content=b"x" * 70_000)
    assert large.status_code == 413
    assert app.secret_of(product.client_key) == before


def test_installs_at_once_are_all_accepted(client: httpx.Client, app: App, node: Ask) -> None:
    products = [Product(app, node) for _ in range(12)]
    tokens = [product.lifecycle_token("/installed") for product in products]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(install, [client] * 12, products, tokens))
    assert [answer.status_code for answer in answers] == [204] * 12
    assert [app.secret_of(product.client_key) for product in products] == [
        product.secret for product in products
    ]


def test_a_product_of_pypis_atlassian_jwt_and_one_of_ours_are_known(
    client: httpx.Client, product: Product
) -> None:
    assert install(client, product).status_code == 204
    tenant = {"clientKey": product.client_key, "sharedSecret": product.secret}
    for query in ("issue=A-1", "issue=%C3%A9%2B+b&z=1&y=2&y=1"):
        made = atlassian_jwt.encode_token("GET", f"/page?{query}", **tenant)
        assert client.get(f"/page?{query}", headers=jwt(made)).status_code == 200
        assert client.get(f"/page?{query}&jwt={made}").status_code == 200
    fixed = {"qsh": CONTEXT_QSH, "exp": int(time.time()) + 60}
    made = atlassian_jwt.encode_token("GET", "/", **tenant, payload_kwargs=fixed)
    assert client.get("/api/items", headers=jwt(made)).json() == {"tenant": product.client_key}
    secret = import_secret(product.secret)
    authorize = connect.authorizer(product.client_key, secret, base_url=BASE_URL)
    header = {"Authorization": authorize("GET", f"{BASE_URL}/page?issue=A-1")}
    assert client.get("/page?issue=A-1", headers=header).status_code == 200
    assert said(client.get("/page?issue=B-1", headers=header)) == (401, "request_mismatch")
