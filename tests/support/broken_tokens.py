"""Broken tokens, each with what is wrong with it, and how it is asked about on the command line."""

import hashlib
import time
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from asapfn import canonical_request, qsh, sign
from asapfn._core.compact import decode_base64url, encode_base64url
from asapfn.keys import generate, import_secret
from tests.support.forging import forge, forge_by, pss
from tests.support.keyring import key_for

SECRET = b"a secret of the tenant's, long enough"
URL = "https://app.example/jira/issue?b=2&a=x+y&c=%7E%2A&c=!&b=10"
ARI = "ari:cloud:ecosystem::app/8db33309"
NOW = int(time.time())


class Broken(NamedTuple):
    """A broken token: how it is asked about, and what is wrong with it."""

    arguments: tuple[str, ...]
    text: str
    reason: str
    rule: str
    cause: str


def good(**claims: Any) -> dict[str, Any]:
    """Claims of a good ASAP token, with some changed; None leaves one out."""
    made = {"iss": "issuer", "aud": "billing", "iat": NOW, "exp": NOW + 60, "jti": "1"} | claims
    return {name: value for name, value in made.items() if value is not None}


def asap(**claims: Any) -> str:
    return sign(good(**claims), key_for("RS256"))


def connect(canonical: str | None = None, **claims: Any) -> str:
    hashed = hashlib.sha256((canonical or "").encode()).hexdigest()
    made = {"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": hashed} | claims
    return sign({n: value for n, value in made.items() if value is not None}, import_secret(SECRET))


def forge_token(kid: str | None = "k", **claims: Any) -> str:
    made = {"iss": "forge/invocation-token", "nbf": NOW, "aud": ARI} | claims
    return forge(good(**made), key_for("RS256"), kid=kid)


def jitsi(**claims: Any) -> str:
    return asap(**({"room": "tea"} | claims))


ASAP = ("asap", "--audience", "billing", "--key-directory", "{keys}", "--issuer", "issuer")
CONNECT = ("connect", "--url", URL, "--secret-from", "{secret}")
BELOW = (*CONNECT, "--base-url", "https://app.example/jira")
FORGE = ("forge", "--app-id", ARI, "--public-key", "{keys}/issuer/RS256.pem")
JITSI = ("jitsi", "--issuer", "issuer", "--audience", "billing")
JITSI = (*JITSI, "--public-key", "{keys}/issuer/RS256.pem")

head, body, tail = asap().split(".")
canonical = canonical_request("GET", URL)
below = canonical_request("GET", URL, base_url="/jira")


def in_der() -> str:
    """A token whose ECDSA signature is in DER."""
    signed, _, signature = sign(good(), key_for("ES256")).rpartition(".")
    raw = decode_base64url(signature.encode())
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    return f"{signed}.{encode_base64url(encode_dss_signature(r, s)).decode()}"


def salted(length: int) -> str:
    """A token whose RSASSA-PSS signature has a salt of so many bytes."""
    key = key_for("RS256")
    return forge_by(lambda data: pss(data, key, "PS256", length), good(), alg="PS256", kid=key.kid)


def by_secret(secret: bytes) -> str:
    claims = {"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": qsh("GET", URL)}
    return sign(claims, import_secret(secret))


TOKENS = {
    "nothing": Broken(ASAP, "", "missing_token", "one token", "send one token"),
    "another scheme": Broken(
        ASAP, f"JWT {asap()}", "missing_token", "one token", "expected scheme"
    ),
    "two headers": Broken(
        ASAP,
        f"Authorization: Bearer {asap()}\nauthorization: Bearer {asap()}",
        "ambiguous_token",
        "one token",
        "in one place",
    ),
    "in quotes": Broken(ASAP, f'"{asap()}"', "malformed", "well formed", "in quotes"),
    "cut": Broken(ASAP, f"{head}.{body}", "malformed", "well formed", "fewer than three"),
    "padded": Broken(ASAP, f"{asap()}==", "malformed", "well formed", "padding"),
    "standard base64": Broken(
        ASAP, f"{head}.{body}.ab+/", "malformed", "well formed", "base64url, -"
    ),
    "broken lines": Broken(
        ASAP, f"{head}.{body[:9]}\n{body[9:]}.{tail}", "malformed", "well formed", "white space"
    ),
    "percent-encoded": Broken(
        ASAP, asap().replace(".", "%2E"), "malformed", "well formed", "percent"
    ),
    "no signature": Broken(
        ASAP, f"{head}.{body}.", "malformed", "well formed", "signature is empty"
    ),
    "claims that are no object": Broken(
        ASAP, forge(["iss"], key_for("RS256")), "malformed", "well formed", "is it a token"
    ),
    "unsigned": Broken(
        ASAP,
        forge(good(), key_for("RS256"), alg="none"),
        "unsupported_algorithm",
        "algorithm",
        "unsigned",
    ),
    "an extension": Broken(
        ASAP,
        forge(good(), key_for("RS256"), crit=["x"]),
        "malformed",
        "well formed",
        "is it a token",
    ),
    "too long": Broken(ASAP, asap() + "A" * 16_384, "malformed", "well formed", "is it a token"),
    "HS256": Broken(
        ASAP,
        sign(good(), key_for("HS256")),
        "unsupported_algorithm",
        "algorithm",
        "sign with an algorithm",
    ),
    "no jti": Broken(ASAP, asap(jti=None), "missing_claim", "jti is there", "set jti"),
    "no aud": Broken(ASAP, asap(aud=None), "missing_claim", "aud is there", "set aud"),
    "no kid": Broken(
        ASAP,
        forge(good(), key_for("RS256"), kid=None),
        "missing_claim",
        "key belongs to issuer",
        "set kid",
    ),
    "exp a string": Broken(
        ASAP, asap(exp=str(NOW + 60)), "invalid_claim", "claim types", "correct exp"
    ),
    "kid a number": Broken(
        ASAP, forge(good(), key_for("RS256"), kid=7), "malformed", "well formed", "is it a token"
    ),
    "exp before iat": Broken(ASAP, asap(iat=NOW + 90), "invalid_claim", "exp is after iat", "exp"),
    "nbf after exp": Broken(ASAP, asap(nbf=NOW + 90), "invalid_claim", "nbf is before exp", "nbf"),
    "ill-formed kid": Broken(
        ASAP,
        forge(good(), key_for("RS256"), kid="issuer/../x"),
        "invalid_claim",
        "key belongs to issuer",
        "correct kid",
    ),
    "expired": Broken(ASAP, asap(iat=NOW - 99, exp=NOW - 39), "expired", "not expired", "clocks"),
    "iat to come": Broken(ASAP, asap(iat=NOW + 50), "not_yet_valid", "issued by now", "clocks"),
    "nbf to come": Broken(ASAP, asap(nbf=NOW + 50), "not_yet_valid", "valid by now", "clocks"),
    "two hours": Broken(ASAP, asap(exp=NOW + 7200), "lifetime_too_long", "lifetime", "shorter"),
    "audience in another case": Broken(
        ASAP, asap(aud="Billing"), "wrong_audience", "audience", "upper and lower case"
    ),
    "audience with a slash": Broken(
        ASAP, asap(aud=["x", "billing/"]), "wrong_audience", "audience", "a slash at the end"
    ),
    "another audience": Broken(
        ASAP, asap(aud="shipping"), "wrong_audience", "audience", "character for character"
    ),
    "another issuer": Broken(
        ASAP, asap(iss="unknown"), "issuer_not_allowed", "issuer is allowed", "add the issuer"
    ),
    "issuer in another case": Broken(
        ASAP, asap(iss="Issuer"), "issuer_not_allowed", "issuer is allowed", "upper and lower case"
    ),
    "unpublished": Broken(
        ASAP,
        forge(good(), key_for("RS256"), kid="issuer/no.pem"),
        "unknown_key",
        "key is found",
        "publish",
    ),
    "another's key": Broken(
        ASAP,
        forge(good(), key_for("RS256"), kid="other/RS256.pem"),
        "key_not_owned",
        "key belongs to issuer",
        "iss/",
    ),
    "a key that does not fit": Broken(
        ASAP,
        forge(good(), key_for("RS256"), kid="issuer/ES256.pem"),
        "unsuitable_key",
        "key fits",
        "algorithm",
    ),
    "another key signed": Broken(
        ASAP,
        sign(good(), generate("RS256", kid="issuer/RS256.pem")),
        "bad_signature",
        "signature",
        "another key signed",
    ),
    "ECDSA in DER": Broken(ASAP, in_der(), "bad_signature", "signature", "'ieee-p1363' in Node.js"),
    "RSASSA-PSS with the longest salt": Broken(
        ASAP,
        salted(padding.PSS.MAX_LENGTH),
        "bad_signature",
        "signature",
        "rsa.PSSSaltLengthEqualsHash in Go",
    ),
    "RSASSA-PSS without a salt": Broken(
        ASAP, salted(0), "bad_signature", "signature", "rsa_pss_saltlen:digest in openssl"
    ),
    "another's signature by ECDSA": Broken(
        ASAP,
        sign(good(), generate("ES256", kid="issuer/ES256.pem")),
        "bad_signature",
        "signature",
        "another key signed",
    ),
    "another subject": Broken(
        ASAP, asap(sub="ann"), "subject_mismatch", "subject is issuer", "leave sub"
    ),
    "used before": Broken(
        (*ASAP, "--used", "{used}"), asap(), "replayed", "not replayed", "a new token"
    ),
    "a secret with its line feed": Broken(
        CONNECT, by_secret(SECRET + b"\n"), "bad_signature", "signature", "with a line feed"
    ),
    "a secret in base64": Broken(
        ("connect", "--url", URL, "--secret-from", "{secret64}"),
        by_secret(SECRET),
        "bad_signature",
        "signature",
        "decoded from base64",
    ),
    "a secret in base64, too short for its algorithm": Broken(
        ("connect", "--url", URL, "--secret-from", "{secret64}"),
        sign(
            {"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": qsh("GET", URL)},
            import_secret(SECRET * 2),
        ),
        "bad_signature",
        "signature",
        "another key signed",
    ),
    "another secret": Broken(CONNECT, by_secret(SECRET * 2), "bad_signature", "signature", "key"),
    "a secret for HS512": Broken(
        CONNECT,
        forge(
            {"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": qsh("GET", URL)},
            key_for("HS512"),
            alg="HS512",
            kid=None,
        ),
        "unsupported_algorithm",
        "algorithm",
        "sign with",
    ),
    "a context token": Broken(
        CONNECT,
        connect(qsh="context-qsh"),
        "request_mismatch",
        "request matches",
        "it is a context token",
    ),
    "no context token": Broken(
        ("connect", "--context", "--secret-from", "{secret}"),
        connect(canonical),
        "request_mismatch",
        "qsh equals",
        "for one request",
    ),
    "qsh a number": Broken(
        CONNECT, connect(qsh=7), "request_mismatch", "request matches", "compare"
    ),
    "no qsh": Broken(CONNECT, connect(qsh=None), "missing_claim", "qsh is there", "set qsh"),
    "an audience unasked": Broken(
        CONNECT,
        connect(canonical, aud="me"),
        "wrong_audience",
        "audience is ours",
        "character for character",
    ),
    "a malformed URL": Broken(
        ("connect", "--url", "/%zz", "--secret-from", "{secret}"),
        connect(canonical),
        "request_mismatch",
        "request matches",
        "malformed",
    ),
    "outside of the base URL": Broken(
        (*CONNECT, "--base-url", "https://app.example/other"),
        connect(canonical),
        "request_mismatch",
        "request matches",
        "its hash is the request's, but request_mismatch: the",
    ),
    "a target with a #": Broken(
        ("connect", "--url", "/page?a=1#b", "--secret-from", "{secret}"),
        connect("GET&/page&a=1"),
        "request_mismatch",
        "one token",
        "",
    ),
    "another request": Broken(
        CONNECT,
        connect("GET&/other&"),
        "request_mismatch",
        "request matches",
        "none of the requests",
    ),
    "of a label that is none": Broken(
        FORGE,
        forge_token(context={"icLabel": "../x"}),
        "invalid_claim",
        "label is well formed",
        "have the signer correct icLabel: one label, 1 to 50 of a-z 0-9 _ -",
    ),
    "Forge without a kid": Broken(
        FORGE, forge_token(None), "missing_claim", "has key id", "set kid"
    ),
    "Forge for another app": Broken(FORGE, forge_token(aud="x"), "wrong_audience", "audience", ""),
    "Forge by another": Broken(
        FORGE, forge_token(iss="me"), "invalid_claim", "claim equals", "iss"
    ),
    "Jitsi without a room": Broken(
        JITSI, jitsi(room=None), "missing_claim", "room is there", "set room"
    ),
    "Jitsi, room a number": Broken(
        JITSI, jitsi(room=7), "invalid_claim", "room is text", "correct room"
    ),
    "Jitsi, for nobody": Broken(
        (
            "jitsi",
            "--issuer",
            "*",
            "--audience",
            "*",
            "--no-room",
            "--public-key",
            "{keys}/issuer/RS256.pem",
        ),
        jitsi(aud=[]),
        "wrong_audience",
        "audience",
        "character for character",
    ),
}

# What a token's qsh was made of, instead of the expected request, and how that is reported.
PITFALLS = {
    "base URL not taken off": (BELOW, canonical, "the path of the base URL is not removed"),
    "base URL unknown here": (CONNECT, below, "another base URL: /jira is removed from the path"),
    "base URL once more": (BELOW, f"GET&/jira{canonical[4:]}", "begins with /jira once more"),
    "a slash more": (CONNECT, canonical.replace("issue&", "issue/&"), "a slash more at the end"),
    "a slash less": (CONNECT, canonical.replace("/jira", "jira"), "a slash less at the start"),
    "two slashes": (CONNECT, canonical.replace("/jira", "//jira"), "a slash more at the start"),
    "+ for a space": (CONNECT, canonical.replace("%20", "+"), "a space is written +"),
    "+ for itself": (CONNECT, canonical.replace("%20", "%2B"), "read as a plus sign"),
    "method in lower case": (CONNECT, canonical.replace("GET", "get"), "in another case, get"),
    "another method": (CONNECT, canonical.replace("GET", "POST"), "the method is POST"),
    "no query": (CONNECT, "GET&/jira/issue&", "the query is left out"),
    "no parameter c": (CONNECT, canonical.replace("&c=%21,~%2A", ""), "the parameter c"),
    "not sorted": (CONNECT, "GET&/jira/issue&b=2&a=x%20y&c=~%2A&c=%21&b=10", "are not sorted"),
    "not joined": (CONNECT, "GET&/jira/issue&a=x%20y&b=10&b=2&c=%21&c=~%2A", "are not joined"),
    "values not sorted": (CONNECT, "GET&/jira/issue&a=x%20y&b=2,10&c=~%2A,%21", "not sorted"),
    "as it was sent": (
        CONNECT,
        "GET&/jira/issue&b=2&a=x+y&c=%7E%2A&c=!&b=10",
        "neither encoded again",
    ),
    "not encoded": (CONNECT, "GET&/jira/issue&a=x y&b=10,2&c=!,~*", "query is not encoded"),
    "the whole URL": (CONNECT, f"GET&https://app.example{canonical[4:]}", "scheme and host"),
    "commas encoded": (CONNECT, canonical.replace(",", "%2C"), "comma between values"),
    "JavaScript": (CONNECT, canonical.replace("%21", "!").replace("%2A", "*"), "JavaScript"),
    "Java": (CONNECT, "GET&/jira/issue&a=x+y&b=10,2&c=%21,%7E*", "Java"),
    "two at once": (BELOW, "get&/issue&", "in another case, get; the query is left out"),
    "a form": ((*CONNECT, "--form-from", "{form}"), "GET&/jira/issue&f=1", "the form stands in"),
}
