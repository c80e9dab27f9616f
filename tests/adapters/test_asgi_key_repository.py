import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from asapfn.adapters.asgi import key_repository
from asapfn.adapters.httpx import fetcher
from asapfn.keys import export_public_jwk, export_public_pem, generate, import_jwk, import_pem
from asapfn.types import Document, Key
from tests.support.servers import asgi_server, trusting

PEM = "application/x-pem-file"
KEPT = "public, max-age=300, stale-while-revalidate=300, stale-if-error=300"
RSA = generate("RS256", kid="issuer/rsa.pem")
EC = generate("ES256", kid="issuer/team/ec+1.pem")
ED = generate("Ed25519", kid="ed")
KEYS = (RSA, EC, ED)


def mounted(app: Any, at: str) -> Any:
    """Mount an application as the ASGI specification says: its path is left whole."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "root_path": scope.get("root_path", "") + at}
        await app(scope, receive, send)

    return outer


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with asgi_server(key_repository(KEYS)) as origin:
        yield origin


def ask(url: str, method: str = "GET", **fields: Any) -> httpx.Response:
    with httpx.Client(verify=trusting()) as client:
        return client.request(method, url, **fields)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.key_type)
async def test_each_key_is_fetched_at_its_key_id(origin: str, key: Key) -> None:
    async with httpx.AsyncClient(verify=trusting()) as client:
        document = await fetcher(client)(f"{origin}/{key.kid}", PEM)
    assert document == Document(200, PEM, export_public_pem(key).encode(), 300, 300, 300)
    assert export_public_jwk(import_pem(document.body, kid=key.kid, algorithm=key.alg)) == (
        export_public_jwk(key)
    )


def test_all_keys_are_one_jwks(origin: str) -> None:
    response = ask(f"{origin}/.well-known/jwks.json")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/jwk-set+json"
    assert response.headers["Cache-Control"] == KEPT
    assert [import_jwk(key).kid for key in response.json()["keys"]] == [key.kid for key in KEYS]


def test_nothing_private_is_served(origin: str) -> None:
    for key in KEYS:
        assert "PRIVATE" not in ask(f"{origin}/{key.kid}").text
    private = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}
    for member in ask(f"{origin}/.well-known/jwks.json").json()["keys"]:
        assert private.isdisjoint(member)


def test_a_key_id_may_come_percent_encoded(origin: str) -> None:
    assert ask(f"{origin}/issuer%2Fteam/ec%2B1.pem").text == export_public_pem(EC)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/issuer",
        "/issuer/",
        "/issuer/rsa",
        "/issuer/rsa.pem/",
        "//issuer/rsa.pem",
        "/ISSUER/rsa.pem",
        "/issuer/rsa.pem%0A",
        "/issuer/rsa.pem%00",
        "/x/%2e%2e/issuer/rsa.pem",
        "/issuer/team/ec 1.pem",
        "/.well-known",
        "/.well-known/jwks.json/",
        "/%FF",
    ],
)
def test_what_is_no_key_is_not_found_for_a_short_time(origin: str, path: str) -> None:
    response = ask(f"{origin}{path}")
    assert response.status_code == 404
    assert response.headers["Cache-Control"] == "public, max-age=20"


@pytest.mark.parametrize("path", ["issuer/rsa.pem", ".well-known/jwks.json", "unknown"])
def test_head_is_get_without_the_body(origin: str, path: str) -> None:
    get, head = ask(f"{origin}/{path}"), ask(f"{origin}/{path}", "HEAD")
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    assert head.headers["Content-Length"] == str(len(get.content))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", ["issuer/rsa.pem", "unknown"])
def test_other_methods_are_not_allowed(origin: str, method: str, path: str) -> None:
    response = ask(f"{origin}/{path}", method)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")
    assert response.headers["Cache-Control"] == "no-store"


def test_a_websocket_is_refused(origin: str) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert ask(f"{origin}/issuer/rsa.pem", headers=upgrade).status_code == 403


@pytest.mark.parametrize("root_path", ["", "/proxied"])
def test_it_may_be_mounted_in_another_application(root_path: str) -> None:
    app = mounted(key_repository([RSA]), "/keys")
    with asgi_server(app, root_path=root_path) as origin:
        assert ask(f"{origin}/keys/issuer/rsa.pem").text == export_public_pem(RSA)
        assert ask(f"{origin}/keys/.well-known/jwks.json").status_code == 200
        assert ask(f"{origin}/keys/keys/issuer/rsa.pem").status_code == 404


async def called(app: Any, *messages: str, **scope: Any) -> list[dict[str, Any]]:
    """What an application sends, called as a server would."""
    incoming, sent = iter(messages), []

    async def receive() -> Any:
        return {"type": next(incoming)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("root_path", "path", "status"),
    [
        ("/keys", "/keys/issuer/rsa.pem", 200),
        ("/keys/", "/keys/issuer/rsa.pem", 200),
        ("/keys", "/issuer/rsa.pem", 200),
        ("/issuer", "/issuer/rsa.pem", 404),
        ("/iss", "/issuer/rsa.pem", 200),
        ("/keys", "/keys", 404),
        ("/keys", "/keysissuer/rsa.pem", 404),
    ],
)
async def test_the_root_path_is_taken_off_whether_the_path_has_it_or_not(
    root_path: str, path: str, status: int
) -> None:
    app = key_repository([RSA])
    sent = await called(app, type="http", method="GET", path=path, root_path=root_path)
    assert sent[0]["status"] == status


async def test_it_takes_part_in_the_lifespan() -> None:
    sent = await called(
        key_repository([RSA]), "lifespan.startup", "lifespan.shutdown", type="lifespan"
    )
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_a_protocol_it_does_not_know_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="serves http, not 'mqtt'"):
        await called(key_repository([RSA]), type="mqtt")


async def test_middleware_that_adds_to_the_headers_adds_to_one_answer_only() -> None:
    app = key_repository([RSA])
    get = {"type": "http", "method": "GET", "path": "/issuer/rsa.pem"}
    first = await called(app, **get)
    first[0]["headers"].append((b"x-added", b"1"))
    second = await called(app, **get)
    assert (b"x-added", b"1") not in second[0]["headers"]


async def test_the_age_is_the_owners_to_choose() -> None:
    app = key_repository([RSA], max_age=0)
    sent = await called(app, type="http", method="GET", path="/issuer/rsa.pem")
    caching = b"public, max-age=0, stale-while-revalidate=0, stale-if-error=0"
    assert (b"cache-control", caching) in sent[0]["headers"]


async def test_a_repository_without_keys_serves_an_empty_set() -> None:
    sent = await called(
        key_repository([]), type="http", method="GET", path="/.well-known/jwks.json"
    )
    assert json.loads(sent[1]["body"]) == {"keys": []}


async def test_the_keys_may_be_given_once_only() -> None:
    app = key_repository(key for key in KEYS)
    sent = await called(app, type="http", method="GET", path="/.well-known/jwks.json")
    assert len(json.loads(sent[1]["body"])["keys"]) == len(KEYS)


@pytest.mark.parametrize("kid", [None, "", "../key", "a//b", "a b", "/a", ".well-known/jwks.json"])
def test_a_key_without_a_well_formed_key_id_is_refused(kid: str | None) -> None:
    with pytest.raises(ValueError, match="well-formed key id"):
        key_repository([RSA, generate("ES256", kid=kid)])


def test_a_key_id_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="two keys have the key id 'ed'"):
        key_repository([ED, generate("ES256", kid="ed")])


def test_a_shared_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="shared secret"):
        key_repository([RSA, generate("HS256", kid="secret")])


def test_a_negative_age_is_refused() -> None:
    with pytest.raises(ValueError, match="max_age is negative"):
        key_repository([RSA], max_age=-1)
