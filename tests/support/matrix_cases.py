"""What a service behind tokens may be sent, and what must come of it under any server."""

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from asapfn import asap, connect, sign
from asapfn.errors import Reason
from asapfn.keys import generate, import_secret
from tests.support.keyring import key_for
from tests.support.protected import SECRET

KEY = key_for("RS256")
OTHER = generate("RS256", kid=KEY.kid)
BASE = "https://service.example"

Headers = list[tuple[str, str]]


def token(
    key: Any = KEY, kid: str | None = None, times: dict[str, int] | None = None, **changes: Any
) -> str:
    """A token that is good but for the changes; None leaves a claim out, times are from now."""
    now = int(time.time())
    later = {name: now + seconds for name, seconds in (times or {}).items()}
    claims = {**asap.claims("issuer", "service"), **later, **changes}
    return sign({name: claims[name] for name in claims if claims[name] is not None}, key, kid=kid)


def bearer_of(*arguments: Any, **changes: Any) -> Callable[[str, str], Headers]:
    return lambda method, target: [("Authorization", f"Bearer {token(*arguments, **changes)}")]


def given(*values: str) -> Callable[[str, str], Headers]:
    return lambda method, target: [
        ("Authorization", value.replace("TOKEN", token())) for value in values
    ]


def for_request(method: str, target: str) -> Headers:
    authorize = connect.authorizer("product", import_secret(SECRET), base_url=BASE)
    return [("Authorization", authorize(method, target))]


class Case(NamedTuple):
    """What is sent, and what must come of it: an issuer, or the reason for a refusal."""

    headers: Callable[[str, str], Headers]
    outcome: Reason | Literal["issuer", "product", "unavailable"]
    target: str = "/invoices?a=b"
    method: str = "GET"
    times: int = 1


ENCODED = "/mounted/a%2Fb/%C3%A9;c=d?next=%2Fhome&x=a+b&y=a%20b"
CASES = {
    "accepted": Case(given("Bearer TOKEN"), "issuer"),
    "accepted, HEAD": Case(given("Bearer TOKEN"), "issuer", method="HEAD"),
    "accepted, POST": Case(given("Bearer TOKEN"), "issuer", method="POST"),
    "accepted, scheme in odd case": Case(given("bEARER TOKEN"), "issuer"),
    "accepted, more than one space": Case(given("Bearer   TOKEN"), "issuer"),
    "accepted, again": Case(given("Bearer TOKEN"), "issuer", times=2),
    "accepted, OPTIONS": Case(given("Bearer TOKEN"), "issuer", method="OPTIONS"),
    "accepted, with a scope": Case(bearer_of(scope="a refunds"), "issuer", target="/scoped/"),
    "no token": Case(given(), "missing_token"),
    "no token, HEAD": Case(given(), "missing_token", method="HEAD"),
    "no token, POST": Case(given(), "missing_token", method="POST"),
    "no token, OPTIONS": Case(given(), "missing_token", method="OPTIONS"),
    "scheme alone": Case(given("Bearer"), "missing_token"),
    "another scheme": Case(given("Basic dXNlcjpwYXNz"), "missing_token"),
    "two headers": Case(given("Bearer TOKEN", "Bearer TOKEN"), "ambiguous_token"),
    "two headers, one of another scheme": Case(
        given("Basic dXNlcjpwYXNz", "Bearer TOKEN"), "ambiguous_token"
    ),
    "two tokens": Case(given("Bearer TOKEN TOKEN"), "ambiguous_token"),
    "two tokens, with a comma": Case(given("Bearer TOKEN, Bearer TOKEN"), "ambiguous_token"),
    "malformed": Case(given("Bearer TOKEN."), "malformed"),
    "quoted": Case(given('Bearer "TOKEN"'), "malformed"),
    "unsupported algorithm": Case(
        lambda method, target: [("Authorization", f"Bearer {sign({}, import_secret(SECRET))}")],
        "unsupported_algorithm",
    ),
    "missing claim": Case(bearer_of(jti=None), "missing_claim"),
    "invalid claim": Case(bearer_of(times={"iat": 60, "exp": 60}), "invalid_claim"),
    "expired": Case(bearer_of(times={"iat": -660, "exp": -600}), "expired"),
    "not yet valid": Case(bearer_of(times={"iat": 900, "exp": 960}), "not_yet_valid"),
    "lifetime too long": Case(bearer_of(times={"iat": 0, "exp": 7200}), "lifetime_too_long"),
    "wrong audience": Case(bearer_of(aud="another"), "wrong_audience"),
    "unknown key": Case(bearer_of(KEY, "issuer/nobody.pem"), "unknown_key"),
    "key not owned": Case(bearer_of(KEY, "other/RS256.pem"), "key_not_owned"),
    "unsuitable key": Case(bearer_of(key_for("ES256"), KEY.kid), "unsuitable_key"),
    "bad signature": Case(bearer_of(OTHER), "bad_signature"),
    "subject mismatch": Case(bearer_of(sub="another"), "subject_mismatch"),
    "issuer not allowed": Case(bearer_of(KEY, "x/1.pem", iss="x"), "issuer_not_allowed"),
    "without the scope": Case(bearer_of(scope="a"), "insufficient_scope", target="/scoped/"),
    "for the scope, no token": Case(given(), "missing_token", target="/scoped/"),
    "for the scope, bad signature": Case(
        bearer_of(OTHER, scope="refunds"), "bad_signature", target="/scoped/"
    ),
    "first use": Case(given("Bearer TOKEN"), "issuer", target="/once/"),
    "replayed": Case(given("Bearer TOKEN"), "replayed", target="/once/", times=2),
    "key server down": Case(bearer_of(KEY, "down/1.pem", iss="down"), "unavailable"),
    "mounted": Case(for_request, "product", target="/mounted/"),
    "mounted, percent-encoded": Case(for_request, "product", target=ENCODED),
    "mounted, percent-encoded, POST": Case(for_request, "product", target=ENCODED, method="POST"),
    "mounted, another request": Case(
        lambda method, target: for_request(method, target.replace("%2F", "/", 1)),
        "request_mismatch",
        target=ENCODED,
    ),
    "mounted, no token": Case(given("Bearer TOKEN"), "missing_token", target="/mounted/a"),
    "very long path": Case(for_request, "product", target=f"/mounted/{'a/' * 1500}?x={'y' * 500}"),
}
