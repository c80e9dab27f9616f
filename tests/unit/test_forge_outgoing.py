"""The access tokens of a Forge remote: read from one header each, and sent to one place."""

import dataclasses
import json
import pprint
import time
from typing import Any

import httpx
import pytest

from asapfn import forge
from asapfn.adapters import wsgi
from asapfn.adapters.httpx import auth, request_hook
from asapfn.errors import TokenRejected
from asapfn.types import Request, Token
from tests.support.invocations import API, CLOUD, invocation_claims

SYSTEM = "eyJ.system.token"
USER = "eyJ.user.token"


def request(*headers: tuple[str, str]) -> Request:
    return Request("POST", "/", (("Host", "remote.example"), *headers))


def invocation(**changes: Any) -> forge.Invocation:
    return forge.invocation(Token({}, invocation_claims(time.time(), **changes), 0.0, 0.0))


@pytest.mark.parametrize(
    ("headers", "tokens"),
    [
        ([], (None, None)),
        ([("x-forge-oauth-system", SYSTEM)], (SYSTEM, None)),
        ([("X-Forge-OAuth-User", USER)], (None, USER)),
        ([("x-forge-oauth-user", f" {USER}\t"), ("x-forge-oauth-system", SYSTEM)], (SYSTEM, USER)),
        ([("x-forge-oauth-user", ""), ("x-forge-oauth-system", " ")], (None, None)),
        ([("x-forge-oauth", SYSTEM), ("xx-forge-oauth-user", USER)], (None, None)),
    ],
)
def test_each_access_token_has_a_header(headers: Any, tokens: Any) -> None:
    given = forge.access_tokens(request(*headers))
    assert (given.system, given.user) == tokens
    assert given == forge.AccessTokens(*tokens)


@pytest.mark.parametrize("name", ["x-forge-oauth-system", "x-forge-oauth-user"])
@pytest.mark.parametrize("second", [USER, SYSTEM, ""])
def test_an_access_token_twice_is_refused(name: str, second: str) -> None:
    with pytest.raises(TokenRejected) as caught:
        forge.access_tokens(request((name, SYSTEM), (name.upper(), second)))
    assert caught.value.reason == "ambiguous_token"
    assert caught.value.detail == f"more than one {name} header"


@pytest.mark.parametrize("value", ["a b", "a\nb", "\u00e9", "a\x00", "a,b", '"a"', "x" * 65_537])
def test_an_access_token_is_of_the_characters_of_bearer_tokens(value: str) -> None:
    with pytest.raises(TokenRejected) as caught:
        forge.access_tokens(request(("x-forge-oauth-user", value)))
    assert caught.value.reason == "malformed"
    assert value not in caught.value.detail


def test_two_access_tokens_that_wsgi_has_joined_are_none() -> None:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "HTTP_X_FORGE_OAUTH_USER": USER}
    assert forge.access_tokens(wsgi.request(environ)).user == USER
    for joined in (f"{USER},{USER}", f"{USER}, {USER}"):
        with pytest.raises(TokenRejected, match="malformed"):
            forge.access_tokens(wsgi.request(environ | {"HTTP_X_FORGE_OAUTH_USER": joined}))


def test_access_tokens_print_without_themselves() -> None:
    tokens = forge.AccessTokens(SYSTEM, None)
    texts = [repr(tokens), str(tokens), f"{tokens}", f"{[tokens]}", pprint.pformat(tokens)]
    for text in texts:
        assert "AccessTokens(system=..., user=None)" in text
    assert "eyJ" not in repr(request(("x-forge-oauth-user", USER)))
    shown = [field.name for field in dataclasses.fields(tokens) if field.repr]
    assert shown == []  # rich prints dataclasses by itself


def test_access_tokens_are_no_tuple_that_a_log_of_json_or_a_format_writes_out() -> None:
    tokens: Any = forge.AccessTokens(SYSTEM, USER)
    # As structlog's JSONRenderer has it: what is no JSON is written by its repr.
    line = json.dumps({"event": "called", "tokens": tokens}, default=repr)
    assert line == '{"event": "called", "tokens": "AccessTokens(system=..., user=...)"}'
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(tokens)
    with pytest.raises(TypeError):
        "%s / %s" % tokens  # noqa: UP031
    with pytest.raises(TypeError):
        list(tokens)
    with pytest.raises(AttributeError):
        tokens.system = "another"
    with pytest.raises((AttributeError, TypeError)):
        vars(tokens)


@pytest.mark.parametrize(
    "url",
    [
        API,
        f"{API}/",
        f"{API}?a=b",
        f"{API}/wiki/rest/api/content?title=..&x=/../#part",
        f"HTTPS://API.Atlassian.COM:443/ex/confluence/{CLOUD}/wiki",
        f"{API}/a..b/.well-known",
    ],
)
def test_an_access_token_goes_below_the_api_base_url(url: str) -> None:
    assert forge.authorizer(USER, invocation())("GET", url) == f"Bearer {USER}"


async def test_a_client_calls_back_with_it_and_asks_again_where_it_is_redirected() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers.get("Authorization")))
        there = request.url.copy_with(path="/ex/confluence/other/wiki")
        return httpx.Response(302, headers={"Location": str(there)})

    authorize = forge.authorizer(SYSTEM, invocation())
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, auth=auth(authorize)) as client:
        await client.get(f"{API}/wiki")
        with pytest.raises(ValueError, match="not below api_base_url"):
            await client.get("https://evil.example/")
    hook = request_hook(authorize, origins="https://api.atlassian.com")
    hooks: Any = {"request": [hook]}
    async with httpx.AsyncClient(transport=transport, event_hooks=hooks) as client:
        with pytest.raises(ValueError, match="not below api_base_url"):
            await client.get(f"{API}/wiki", follow_redirects=True)
    assert seen == [(f"{API}/wiki", f"Bearer {SYSTEM}")] * 2


@pytest.mark.parametrize("id_", ["{b7ea02c9}", "%7Bb7ea02c9%7D", "%7bb7ea02c9%7d"])
def test_the_braces_of_a_workspace_are_the_same_in_each_encoding(id_: str) -> None:
    base = f"https://api.atlassian.com/ex/bitbucket/{id_}"
    changes = {"app__apiBaseUrl": base, "app__installation": ..., "context": ...}
    authorize = forge.authorizer(SYSTEM, invocation(**changes))
    for other in ("{b7ea02c9}", "%7Bb7ea02c9%7D"):
        url = str(httpx.URL(f"https://api.atlassian.com/ex/bitbucket/{other}/2.0/repositories"))
        assert authorize("GET", url) == f"Bearer {SYSTEM}"
    with pytest.raises(ValueError, match="not below api_base_url"):
        authorize("GET", "https://api.atlassian.com/ex/bitbucket/b7ea02c9/2.0")


@pytest.mark.parametrize("token", [None, "", "a b", "a,b", "a\r\nX: y", "\u00e9"])
def test_no_authorizer_is_made_without_an_access_token(token: Any) -> None:
    with pytest.raises(ValueError, match="access token") as caught:
        forge.authorizer(token, invocation())
    assert not token or token not in str(caught.value)


def test_no_authorizer_is_made_for_a_place_that_is_none() -> None:
    for url in ("", "http://api.atlassian.com/ex/x", "https://u@api.atlassian.com/", "/ex"):
        with pytest.raises(ValueError, match="api_base_url"):
            forge.authorizer(USER, invocation()._replace(api_base_url=url))
