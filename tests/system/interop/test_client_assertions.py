"""Client assertions with Authlib, as server and as client, and with the client of the MCP SDK.

The server of ours is a real one behind TLS, which verifies by `assertion_policy`; Authlib's is its
own for Flask.
"""

import time
from collections.abc import Iterator
from typing import Any

import flask
import httpx
import httpx2
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, PrivateKeyJWT
from joserfc.jwk import KeySet
from mcp.client.auth.extensions.client_credentials import PrivateKeyJWTOAuthProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asapfn import TokenRejected, oauth, verifier
from asapfn.keys import export_public_jwk
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id
from tests.support.keyring import key_for
from tests.support.servers import asgi_server, authority, trusting

CLIENT = "my-client"
KEYS = {name: key_for(name, "client") for name in ("RS256", "ES256")}
ISSUER = "https://auth.example"


class Client:
    """A client, as much of one as Authlib asks for."""

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return (method, endpoint) == (JWTBearerClientAssertion.CLIENT_AUTH_METHOD, "token")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_client_id(self) -> str:
        return CLIENT

    def get_allowed_scope(self, scope: str) -> str:
        return ""


class Assertions(JWTBearerClientAssertion):
    """Authlib's verifier, with what it leaves to the application."""

    def __init__(self) -> None:
        super().__init__()
        self.used: set[str] = set()

    def get_audiences(self) -> list[str]:
        return [ISSUER, f"{ISSUER}/token"]

    def validate_jti(self, claims: Any, jti: str) -> bool:
        new = jti not in self.used
        self.used.add(jti)
        return new

    def resolve_client_public_key(self, client: Client) -> KeySet:
        jwks = [export_public_jwk(key) for key in KEYS.values()]
        return KeySet.import_key_set({"keys": jwks})


class Grant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = (JWTBearerClientAssertion.CLIENT_AUTH_METHOD,)


@pytest.fixture(scope="module")
def authlib_server() -> Iterator[httpx.Client]:
    app = flask.Flask(__name__)

    def query_client(client_id: str) -> Client | None:
        return Client() if client_id == CLIENT else None

    server = AuthorizationServer(
        app, query_client=query_client, save_token=lambda token, request: None
    )
    server.register_client_auth_method(JWTBearerClientAssertion.CLIENT_AUTH_METHOD, Assertions())
    server.register_grant(Grant)
    app.add_url_rule("/token", view_func=server.create_token_response, methods=["POST"])
    with httpx.Client(transport=httpx.WSGITransport(app), base_url=ISSUER) as client:
        yield client


def form(assertion: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": oauth.CLIENT_ASSERTION_TYPE,
        "client_assertion": assertion,
    }


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/token"])
async def test_authlibs_server_accepts_an_assertion_once(
    authlib_server: httpx.Client, algorithm: str, audience: str
) -> None:
    assertion = await oauth.client_assertion(CLIENT, KEYS[algorithm])(audience)
    answers = [authlib_server.post("/token", data=form(assertion)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400], answers[0].text
    assert answers[0].json()["access_token"]
    assert answers[1].json()["error"] == "invalid_client"


async def test_authlibs_server_refuses_what_ours_refuses(authlib_server: httpx.Client) -> None:
    other = key_for("ES256", "mallory")
    for client, key, audience in (
        (CLIENT, KEYS["ES256"], "https://other.example"),
        ("another", KEYS["ES256"], ISSUER),
        (CLIENT, other, ISSUER),
    ):
        assertion = await oauth.client_assertion(client, key)(audience)
        answer = authlib_server.post("/token", data=form(assertion))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


def token_server(place: list[str]) -> Starlette:
    """An authorization server, and beside it what it protects, as MCP's clients find them."""
    store = in_memory()

    async def token(request: Request) -> JSONResponse:
        clients = {CLIENT: keys_by_id([*KEYS.values()])}
        policy = oauth.assertion_policy(clients, [place[0], f"{place[0]}/token"], replay=store)
        data = dict([*(await request.form()).items()])
        try:
            if data.get("client_assertion_type") != oauth.CLIENT_ASSERTION_TYPE:
                raise TokenRejected("missing_token", "no client assertion")
            found = await verifier(policy)(str(data["client_assertion"]))
        except TokenRejected as error:
            place.append(str(error))
            return JSONResponse({"error": "invalid_client"}, 401)
        access = f"for {found.claims['sub']}".replace(" ", "-")
        return JSONResponse({"access_token": access, "token_type": "Bearer", "expires_in": 60})

    async def server_metadata(request: Request) -> JSONResponse:
        names = ("authorization_endpoint", "token_endpoint")
        metadata = {name: f"{place[0]}/{name.partition('_')[0]}" for name in names}
        methods = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}
        return JSONResponse({"issuer": place[0], **metadata, **methods})

    async def resource_metadata(request: Request) -> JSONResponse:
        return JSONResponse({"resource": f"{place[0]}/mcp", "authorization_servers": [place[0]]})

    async def resource(request: Request) -> JSONResponse:
        if request.headers.get("Authorization") == f"Bearer for-{CLIENT}":
            return JSONResponse({"hello": CLIENT})
        found = f"{place[0]}/.well-known/oauth-protected-resource/mcp"
        header = {"WWW-Authenticate": f'Bearer resource_metadata="{found}"'}
        return JSONResponse({}, 401, header)

    return Starlette(
        routes=[
            Route("/token", token, methods=["POST"]),
            Route("/.well-known/oauth-authorization-server", server_metadata),
            Route("/.well-known/oauth-protected-resource/mcp", resource_metadata),
            Route("/mcp", resource, methods=["GET", "POST"]),
        ]
    )


@pytest.fixture(scope="module")
def server() -> Iterator[list[str]]:
    """The origin of the server, and what it has refused since."""
    place: list[str] = []
    with asgi_server(token_server(place)) as origin:
        place.append(origin)
        yield place


@pytest.mark.parametrize("algorithm", KEYS)
def test_an_assertion_of_authlibs_client_is_accepted(
    server: list[str], algorithm: str, tmp_path: Any
) -> None:
    authority().cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    endpoint = f"{server[0]}/token"

    def fetch(**claims: Any) -> Any:
        session = OAuth2Session(
            CLIENT, KEYS[algorithm], token_endpoint_auth_method="private_key_jwt"
        )
        session.trust_env, session.verify = False, str(tmp_path / "authority.pem")
        header = {"kid": KEYS[algorithm].kid}
        method = PrivateKeyJWT(endpoint, claims, header, alg=algorithm)
        session.register_client_auth_method(method)
        with session:
            return session.fetch_token(endpoint, grant_type="client_credentials")

    assert fetch(exp=int(time.time()) + 60)["access_token"] == f"for-{CLIENT}"
    # They live for an hour unless it is said otherwise.
    with pytest.raises(OAuthError):
        fetch()
    assert server[-1].startswith("lifetime_too_long")


class Storage:
    """Where the MCP client keeps its tokens: nowhere."""

    async def get_tokens(self) -> None:
        return None

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> None:
        return None

    async def set_client_info(self, client_info: Any) -> None:
        self.client_info = client_info


def mcp_client(origin: str, key: Any, issuer: str) -> httpx2.AsyncClient:
    provider = PrivateKeyJWTOAuthProvider(
        server_url=f"{origin}/mcp",
        storage=Storage(),
        client_id=CLIENT,
        assertion_provider=oauth.client_assertion(CLIENT, key),
        issuer=issuer,
    )
    return httpx2.AsyncClient(auth=provider, verify=trusting(), trust_env=False)


@pytest.mark.parametrize("algorithm", KEYS)
async def test_an_mcp_client_shows_who_it_is_by_an_assertion(
    server: list[str], algorithm: str
) -> None:
    async with mcp_client(server[0], KEYS[algorithm], server[0]) as client:
        answer = await client.post(f"{server[0]}/mcp", json={})
    assert (answer.status_code, answer.json()) == (200, {"hello": CLIENT})


async def test_an_mcp_client_with_another_key_is_refused(server: list[str]) -> None:
    async with mcp_client(server[0], key_for("ES256", "mallory"), server[0]) as client:
        with pytest.raises(Exception, match=r"401|invalid_client"):
            await client.post(f"{server[0]}/mcp", json={})
    assert server[-1].startswith("unknown_key")
