"""An OpenID provider from PyPI, oidc-provider-mock on Authlib's server, behind TLS."""

import time
import warnings
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from asapfn import Unverified, explain, oidc, peek
from asapfn.adapters.httpx import fetcher
from asapfn.checks import claim_equals
from asapfn.errors import TokenRejected
from asapfn.resolvers import discovered
from asapfn.types import Resolver
from tests.support.keysources import Clock
from tests.support.servers import trusting
from tests.support.wsgi_servers import wsgi_server

# It uses what Authlib deprecates, when it is imported and when it answers.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Provider:
    """One provider after another at the same origin, each with a key of its own."""

    def __init__(self) -> None:
        self.origin = ""
        self.asked: list[str] = []
        self.rotate()

    def rotate(self) -> None:
        with warnings.catch_warnings():
            import_module("authlib.deprecate")  # it sets a filter of its own
            warnings.simplefilter("ignore")
            self.app = import_module("oidc_provider_mock").app()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.asked.append(environ["PATH_INFO"])
        return self.app(environ, start_response)


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    provider = Provider()
    with wsgi_server(provider) as origin:
        provider.origin = origin
        yield provider


@pytest.fixture
def provider(running: Provider) -> Provider:
    running.asked.clear()
    return running


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(verify=trusting()) as client:
        yield client


async def id_token(client: httpx.AsyncClient, provider: Provider, client_id: str = "me") -> str:
    """A token by the authorization code flow, as Authlib makes it."""
    answered = await client.post(
        f"{provider.origin}/oauth2/authorize",
        params={
            "client_id": client_id,
            "redirect_uri": "https://app.example/callback",
            "response_type": "code",
            "scope": "openid email",
            "nonce": "n",
        },
        data={"sub": "alice"},
    )
    (code,) = parse_qs(urlsplit(answered.headers["location"]).query)["code"]
    answered = await client.post(
        f"{provider.origin}/oauth2/token",
        data={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": "https://app.example/callback",
        },
        auth=(client_id, "secret"),
    )
    provider.asked.clear()
    token: str = answered.json()["id_token"]
    return token


def resolver_of(client: httpx.AsyncClient, provider: Provider, **options: Any) -> Resolver:
    return discovered(provider.origin, fetcher(client), **options)


async def test_its_tokens_are_accepted(client: httpx.AsyncClient, provider: Provider) -> None:
    token = await id_token(client, provider)
    resolver = resolver_of(client, provider)
    for _ in range(3):
        verify = oidc.verifier(
            resolver, claim_equals("nonce", "n"), issuer=provider.origin, audience="me"
        )
        assert (await verify(token)).claims["sub"] == "alice"
    assert provider.asked == ["/.well-known/openid-configuration", "/jwks"]


async def test_what_is_wrong_with_them_is_said(
    client: httpx.AsyncClient, provider: Provider
) -> None:
    token = await id_token(client, provider, "other")
    resolver = resolver_of(client, provider)
    asked: dict[str, Any] = {"issuer": provider.origin, "audience": "me"}
    later = time.time() + 7200
    for changes, reason in (
        ({}, "wrong_audience"),
        ({"audience": "other", "issuer": f"{provider.origin}/"}, "issuer_not_allowed"),
        ({"audience": "other", "algorithms": ["ES256"]}, "unsupported_algorithm"),
        ({"audience": "other", "now": lambda: later}, "expired"),
    ):
        policy = oidc.policy(resolver, **(asked | changes))
        found = await explain(token, policy)
        assert isinstance(found.verdict, TokenRejected)
        assert found.verdict.reason == reason
        assert provider.asked == [] or reason != "wrong_audience"


async def test_its_rotation_is_followed(client: httpx.AsyncClient, provider: Provider) -> None:
    clock = Clock()
    resolver = resolver_of(client, provider, clock=clock)
    verify = oidc.verifier(resolver, issuer=provider.origin, audience="me")
    old = await id_token(client, provider)
    await verify(old)
    provider.rotate()
    new = await id_token(client, provider)
    # Before 0.4 its tokens name no key: then nothing in them says that it is another one.
    named = "kid" in peek(new).header
    reason, seconds = ("unknown_key", 30.0) if named else ("bad_signature", 600.0)
    with pytest.raises(TokenRejected, match=reason):
        await verify(new)
    clock.turn(seconds)
    await verify(new)
    with pytest.raises(TokenRejected, match=reason):
        await verify(old)


async def test_a_token_of_another_provider_asks_for_nothing(
    client: httpx.AsyncClient, provider: Provider
) -> None:
    resolver = resolver_of(client, provider)
    forged = Unverified({"alg": "RS256"}, {"iss": "https://other.example"}, b"x", b"x")
    with pytest.raises(TokenRejected, match="issuer_not_allowed"):
        await resolver(forged)
    assert provider.asked == []
