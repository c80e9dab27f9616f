"""What products and other implementations send, by their documentation and their own libraries."""

import hashlib
import json
import time
from typing import Any

import atlassian_jwt
import pytest

from asapfn import Request, Token, TokenRejected, connect, explain, sign
from asapfn.checks import request_matches
from asapfn.keys import import_secret
from asapfn.resolvers import by_issuer, keys_by_id, shared_secrets
from tests.support.keyring import key_for

pytestmark = pytest.mark.no_event_loop

SECRET = "a secret that acme's install brought"
BASE = "https://app.example/connect"
CLIENT_KEY = "connection:1001"


async def secret_of(issuer: str) -> str | None:
    return SECRET if issuer in (CLIENT_KEY, "acme") else None


def request(target: str, token: str) -> Request:
    return Request("GET", target, (("Authorization", f"JWT {token}"),))


def hashed(canonical: str) -> str:
    return hashlib.sha256(canonical.encode()).hexdigest()


def signed(qsh: str, **claims: Any) -> str:
    now = int(time.time())
    members = {"iss": CLIENT_KEY, "iat": now, "exp": now + 180, "qsh": qsh} | claims
    return sign(members, import_secret(SECRET))


async def outcome(authenticate: Any, sent: Request) -> str:
    try:
        token: Token = await authenticate(sent)
    except TokenRejected as error:
        return error.reason
    return str(token.claims["iss"])


@pytest.mark.parametrize("audience", [(), "my-app", ("my-app", BASE)])
@pytest.mark.parametrize(
    ("aud", "expected"),
    [
        (CLIENT_KEY, CLIENT_KEY),
        ([CLIENT_KEY], CLIENT_KEY),
        (["other", CLIENT_KEY], CLIENT_KEY),
        ("connection:1002", "wrong_audience"),
        (["connection:1002"], "wrong_audience"),
        ([], "wrong_audience"),
        ("", "wrong_audience"),
    ],
)
async def test_bitbuckets_tokens_name_their_issuer_as_the_audience(
    audience: Any, aud: Any, expected: str
) -> None:
    authenticate = connect.authenticator(
        shared_secrets(secret_of), base_url=BASE, audience=audience
    )
    sent = request("/connect/page?a=1", signed(hashed("GET&/page&a=1"), aud=aud))
    assert await outcome(authenticate, sent) == expected


async def test_a_token_of_pypis_atlassian_jwt_is_accepted() -> None:
    token = atlassian_jwt.encode_token(
        "GET", "/page?a=1", clientKey=CLIENT_KEY, sharedSecret=SECRET
    )
    text = token if isinstance(token, str) else token.decode()
    authenticate = connect.authenticator(shared_secrets(secret_of), base_url=BASE)
    assert await outcome(authenticate, request("/connect/page?a=1", text)) == CLIENT_KEY


async def test_a_public_keys_token_for_its_own_issuer_is_not_for_this_app() -> None:
    """Such a key signs for every app: with its issuer as the audience, a token is for none."""
    key = key_for("RS256", "product")
    now = int(time.time())
    claims = {"iss": "product", "iat": now, "exp": now + 60, "qsh": hashed("GET&/page&")}
    resolver = by_issuer({"product": keys_by_id([key])})
    authenticate = connect.authenticator(resolver, base_url=BASE, audience="my-app")
    for aud, expected in (("product", "wrong_audience"), ("my-app", "product")):
        sent = request("/connect/page", sign(claims | {"aud": aud}, key))
        assert await outcome(authenticate, sent) == expected


# The path as it was sent, and as Java's java.net.URI.getPath gives it.
DECODED = {
    "/open/https%3A%2F%2Fgit.example": "/open/https://git.example",
    "/a%20b": "/a b",
    "/caf%C3%A9": "/café",
    "/%7Bid%7D": "/{id}",
    "/a%2Fb/": "/a/b",
    "/a%26b": "/a%26b",
    "/%3Fa%23b": "/?a#b",
}


@pytest.mark.parametrize("path", DECODED)
@pytest.mark.parametrize("base", ["", "/connect"])
async def test_a_hash_over_the_decoded_path_is_accepted_by_option_only(
    path: str, base: str
) -> None:
    as_sent, decoded = (
        signed(hashed(f"GET&{each}&a=1"))
        for each in (path.removesuffix("/").replace("&", "%26"), DECODED[path])
    )
    target = f"{base}{path}?a=1"
    resolver = shared_secrets(secret_of)
    strict = connect.authenticator(resolver, base_url=f"https://app.example{base}")
    lax = connect.authenticator(resolver, base_url=f"https://app.example{base}", decoded_path=True)
    for authenticate in (strict, lax):
        assert await outcome(authenticate, request(target, as_sent)) == CLIENT_KEY
    assert await outcome(lax, request(target, decoded)) == CLIENT_KEY
    if decoded != as_sent and DECODED[path] != path:
        assert await outcome(strict, request(target, decoded)) == "request_mismatch"
    # Another request stays another one.
    for other in (f"{base}/other?a=1", f"{base}{path}?a=2", f"{base}{path}x?a=1"):
        assert await outcome(lax, request(other, decoded)) == "request_mismatch"


@pytest.mark.parametrize("path", [path for path in DECODED if DECODED[path] != path])
async def test_the_refusal_of_a_hash_over_the_decoded_path_names_the_option(path: str) -> None:
    matches = request_matches("GET", f"{path}?a=1")
    rules = connect.policy(shared_secrets(secret_of))
    found = await explain(signed(hashed(f"GET&{DECODED[path]}&a=1")), rules, matches)
    assert isinstance(found.verdict, TokenRejected)
    assert found.verdict.reason == "request_mismatch"
    assert (
        "that is the hash over the decoded path, which decoded_path=True accepts"
        in found.verdict.detail
    )
    assert "decoded_path=True" in found.hint
    other = await explain(signed(hashed("GET&/other&a=1")), rules, matches)
    assert isinstance(other.verdict, TokenRejected)
    assert "decoded" not in other.verdict.detail + other.hint


async def test_a_path_that_is_no_utf8_is_refused_with_the_option_too() -> None:
    lax = connect.authenticator(
        shared_secrets(secret_of), base_url="https://app.example", decoded_path=True
    )
    token = signed(hashed("GET&/\ufffd&"))
    assert await outcome(lax, request("/%FF", token)) == "request_mismatch"


async def test_a_session_token_without_a_qsh_is_never_accepted_for_a_request() -> None:
    now = int(time.time())
    token = sign({"iss": CLIENT_KEY, "iat": now, "exp": now + 60}, import_secret(SECRET))
    for authenticate in (
        connect.authenticator(shared_secrets(secret_of), base_url=BASE, decoded_path=True),
        connect.context_authenticator(shared_secrets(secret_of)),
    ):
        assert await outcome(authenticate, request("/connect/page", token)) == "missing_claim"


INSTALLED = "POST&/installed&"
BODY = {
    "clientKey": CLIENT_KEY,
    "baseUrl": "https://bitbucket.org",
    "sharedSecret": "another secret, for from now on, of 32 bytes",
    "productType": "bitbucket",
    "eventType": "installed",
}


def callback(token: str | None) -> Request:
    headers = () if token is None else (("Authorization", f"JWT {token}"),)
    return Request("POST", "/connect/installed", headers)


async def reinstalled(
    token: str | None, body: dict[str, Any] | bytes = BODY, **changes: Any
) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        return await connect.verify_reinstall(
            callback(token), data, shared_secrets(secret_of), base_url=BASE
        )
    except TokenRejected as error:
        return error.reason


async def test_bitbuckets_later_callbacks_are_verified_by_the_present_secret() -> None:
    qsh = hashed("POST&/installed&")
    installation = await reinstalled(signed(qsh, aud=CLIENT_KEY))
    assert (installation.client_key, installation.shared_secret) == (
        CLIENT_KEY,
        BODY["sharedSecret"],
    )
    uninstall = {**BODY, "eventType": "uninstalled", "sharedSecret": None}
    assert (await reinstalled(signed(qsh), uninstall)).event_type == "uninstalled"


@pytest.mark.parametrize("event", ["enabled", "disabled", "uninstalled"])
@pytest.mark.parametrize("nothing", ["absent", "null"])
async def test_callbacks_other_than_an_install_bring_no_secret(event: str, nothing: str) -> None:
    body: dict[str, Any] = {**BODY, "eventType": event, "sharedSecret": None}
    if nothing == "absent":
        del body["sharedSecret"]
    installation = await reinstalled(signed(hashed(INSTALLED), aud=CLIENT_KEY), body)
    assert (installation.event_type, installation.shared_secret) == (event, "")
    for other in ("installed", "Enabled", "", None):
        token = signed(hashed(INSTALLED), aud=CLIENT_KEY)
        assert await reinstalled(token, {**body, "eventType": other}) == "malformed"


async def test_an_empty_jwt_in_the_query_of_a_callback_is_no_token() -> None:
    token = signed(hashed(INSTALLED))
    headers = (("Authorization", f"JWT {token}"),)
    sent = Request("POST", "/connect/installed?jwt=", headers)
    installation = await connect.verify_reinstall(
        sent, json.dumps(BODY).encode(), shared_secrets(secret_of), base_url=BASE
    )
    assert installation.client_key == CLIENT_KEY


@pytest.mark.parametrize(
    ("canonical", "claims", "body", "reason"),
    [
        ("POST&/other&", {}, BODY, "request_mismatch"),
        (INSTALLED, {"qsh": "context-qsh"}, BODY, "request_mismatch"),
        (INSTALLED, {"iss": "unknown"}, BODY, "unknown_key"),
        (INSTALLED, {}, BODY | {"clientKey": "acme"}, "invalid_claim"),
        (INSTALLED, {}, BODY | {"sharedSecret": "short"}, "unsuitable_key"),
        (INSTALLED, {}, b"[]", "malformed"),
        (INSTALLED, {}, b" " * 65_537, "malformed"),
    ],
)
async def test_nobody_else_replaces_a_tenants_secret(
    canonical: str, claims: dict[str, Any], body: Any, reason: str
) -> None:
    token = signed(**{"qsh": hashed(canonical)} | claims)
    assert await reinstalled(token, body) == reason


async def test_a_reinstall_needs_a_token_with_a_qsh() -> None:
    assert await reinstalled(None) == "missing_token"
    bare = sign({"iss": CLIENT_KEY}, import_secret("x" * 32))
    assert await reinstalled(bare) == "missing_claim"


async def test_a_reinstall_by_a_forged_secret_is_a_bad_signature() -> None:
    now = int(time.time())
    claims = {"iss": CLIENT_KEY, "iat": now, "exp": now + 60, "qsh": hashed("POST&/installed&")}
    assert await reinstalled(sign(claims, import_secret("m" * 32))) == "bad_signature"


async def test_a_token_in_the_query_and_a_body_that_is_text_are_refused() -> None:
    token = signed(hashed("POST&/installed&"))
    sent = Request("POST", f"/connect/installed?jwt={token}", ())
    with pytest.raises(TokenRejected) as caught:
        await connect.verify_reinstall(sent, b"", shared_secrets(secret_of), base_url=BASE)
    assert caught.value.reason == "ambiguous_token"
    with pytest.raises(TypeError, match="not str"):
        await connect.verify_reinstall(
            callback(token),
            "{}",
            shared_secrets(secret_of),
            base_url=BASE,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("reason", ["missing_token", "unsupported_algorithm"])
async def test_verify_install_names_what_bitbucket_needs(reason: str) -> None:
    token = None if reason == "missing_token" else signed(hashed(INSTALLED))

    async def nowhere(url: str, accept: str) -> Any:
        pytest.fail("nothing is fetched")

    with pytest.raises(TokenRejected) as caught:
        await connect.verify_install(
            callback(token),
            json.dumps(BODY).encode(),
            connect.install_keys(nowhere),
            base_urls=BASE,
        )
    assert caught.value.reason == reason
    assert "connect.verify_reinstall" in caught.value.detail
