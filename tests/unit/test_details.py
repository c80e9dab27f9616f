"""`str(error)` of each reason and of outages says what was expected and what was seen."""

import re
import time

import anyio
import pytest

from asapfn import Request, TokenRejected, Unavailable, asap, bearer, connect, sign
from asapfn import verifier as make_verifier
from asapfn.checks import claim_equals, context_token, has_scopes, request_matches
from asapfn.errors import DESCRIPTIONS
from asapfn.keys import import_secret
from asapfn.replay import in_memory
from asapfn.resolvers import jwks, keys_by_id, pem_directory, pem_repository, with_deadline
from asapfn.types import Document
from tests.support.keyring import key_for
from tests.support.keysources import asking

KEY, OTHER = key_for("ES256"), key_for("RS256")
NOW = int(time.time())
SECRET = "a secret of the tenant's, long enough"


def claims(**changed):
    made = {"iss": "issuer", "aud": "billing", "iat": NOW, "exp": NOW + 60, "jti": "j-1"}
    return {name: value for name, value in (made | changed).items() if value is not None}


def verifier(**more):
    more = {"issuers": "issuer", "now": lambda: float(NOW)} | more
    return asap.verifier(keys_by_id([KEY]), "billing", **more)


def token(key=KEY, **changed):
    return sign(claims(**changed), key)


async def verify(text, *checks, **more):
    return await verifier(**more)(text, *checks)


async def authenticate(*values):
    headers = tuple(("Authorization", value) for value in values)
    return await bearer(verifier())(Request("GET", "/", headers))


async def twice():
    use = verifier(replay=in_memory())
    await use(token())
    return await use(token())


async def connected(target):
    authorize = connect.authorizer("app", import_secret(SECRET), base_url="https://a.example")
    text = authorize("GET", "https://a.example/x?a=1").partition(" ")[2]
    use = make_verifier(connect.policy(always(import_secret(SECRET))))
    return await use(text, request_matches("GET", target))


def always(key):
    async def resolve(unverified):
        return key

    return resolve


def tampered():
    head, body, signature = token().split(".")
    return f"{head}.{body}.{signature[:-4]}AAAA"


QSH = r"[0-9a-f]{64}"
CASES = {
    "malformed": [
        (lambda: verify("a.b"), "not base64url|not unpadded"),
        (lambda: verify("x" * 20_000), "malformed: longer than 16384 bytes"),
        (lambda: verify(f"Bearer {token()}"), "expected the token alone, without its scheme"),
    ],
    "unsupported_algorithm": [
        (lambda: verify(sign(claims(), import_secret(SECRET))), 'expected .*"RS256".*, got "HS256"')
    ],
    "missing_claim": [
        (lambda: verify(token(jti=None)), "the token has no jti"),
        (lambda: verify(token(), claim_equals("role", "cook")), "the token has no role"),
    ],
    "invalid_claim": [
        (lambda: verify(token(exp="soon")), 'exp is not a time: "soon"'),
        (lambda: verify(token(exp=NOW - 1)), f"exp {NOW - 1} is not after iat {NOW}"),
        (lambda: verify(token(role="guest"), claim_equals("role", "cook")),
         'role: expected "cook", got "guest"'),
    ],
    "expired": [
        (lambda: verify(token(iat=NOW - 99, exp=NOW - 50)),
         f"exp is {NOW - 50}, now {NOW}, leeway 10 s"),
    ],
    "not_yet_valid": [
        (lambda: verify(token(iat=NOW + 50, exp=NOW + 99)),
         f"iat is {NOW + 50}, now {NOW}, leeway 10 s"),
        (lambda: verify(token(nbf=NOW + 50)), f"nbf is {NOW + 50}, now {NOW}, leeway 10 s"),
    ],
    "lifetime_too_long": [
        (lambda: verify(token(exp=NOW + 7200)), "expected at most 3600 s, got 7200 s"),
    ],
    "wrong_audience": [
        (lambda: verify(token(aud="shipping")), 'expected "billing", got "shipping"'),
    ],
    "unknown_key": [
        (lambda: verify(token(OTHER)), 'no key for kid "issuer/RS256.pem" of iss "issuer"'),
    ],
    "key_not_owned": [
        (lambda: verify(token(iss="ann"), issuers="ann"),
         'expected "ann/...", got "issuer/ES256.pem"'),
    ],
    "unsuitable_key": [
        (lambda: verify(sign(claims(), OTHER, kid="issuer/ES256.pem")), "RS256.*"),
    ],
    "bad_signature": [
        (lambda: verify(tampered()), 'not made with the ES256 key of kid "issuer/ES256.pem"'),
    ],
    "subject_mismatch": [
        (lambda: verify(token(sub="ann")), 'expected the iss, "issuer", or no sub; got "ann"'),
    ],
    "replayed": [
        (twice, 'expected a jti that was not used before, got "j-1" of iss "issuer"'),
    ],
    "request_mismatch": [
        (lambda: connected("/x?a=2"), rf'expected {QSH}, the hash of "GET&/x&a=2"; got "{QSH}"'),
        (lambda: verify(token(qsh="x"), context_token()), 'expected context-qsh; got "x"'),
        (lambda: connected("/x#a"), "the request target holds a #"),
    ],
    "missing_token": [(lambda: authenticate(), "expected Authorization: Bearer <token>")],
    "ambiguous_token": [
        (lambda: authenticate("Bearer a", "Bearer b"), "more than one Authorization header"),
        (lambda: authenticate("Bearer a b"), "more than one token in Authorization"),
        (lambda: authenticate("Bearer bearer a"), "the scheme stands twice in Authorization"),
        (lambda: authenticate("Bearer Bearers a"), "more than one token in Authorization"),
    ],
    "issuer_not_allowed": [
        (lambda: verify(token(), issuers="ann"), 'expected "ann", got "issuer"'),
    ],
    "insufficient_scope": [
        (lambda: verify(token(scope="read"), has_scopes("write")),
         'expected "write", got "read"'),
    ],
}  # fmt: skip
ALL = [(reason, *case) for reason, cases in CASES.items() for case in cases]


def test_each_reason_has_a_case():
    assert CASES.keys() == DESCRIPTIONS.keys()


@pytest.mark.parametrize(
    ("reason", "ask", "said"), ALL, ids=[f"{case[0]}-{n}" for n, case in enumerate(ALL)]
)
async def test_a_rejection_says_what_was_expected_and_what_was_seen(reason, ask, said):
    with pytest.raises(TokenRejected) as raised:
        await ask()
    assert raised.value.reason == reason
    text = str(raised.value)
    assert re.search(said, text), text
    assert text.startswith(f"{reason}: ")
    assert text.isascii()
    assert len(text) < 700
    assert SECRET not in text
    assert token().rpartition(".")[2] not in text


def answers(status=200, media_type="application/x-pem-file", body=b"x"):
    async def fetch(url, accept):
        return Document(status, media_type, body)

    return fetch


async def sleepy(unverified):
    await anyio.sleep(60)


async def full(text=None):
    use = verifier(replay=in_memory(max_entries=1))
    await use(token())
    await use(token(jti="j-2"))


URL = "https://keys.example/"
OUTAGES = {
    "status": (lambda: pem_repository(URL, answers(503))(asking()), rf"{URL}.*: status 503"),
    "media type": (
        lambda: pem_repository(URL, answers(media_type="text/html"))(asking()),
        "expected media type application/x-pem-file, got text/html",
    ),
    "garbage": (lambda: pem_repository(URL, answers())(asking()), "expected one key in PEM"),
    "mirrors": (
        lambda: pem_repository([URL, "https://b.example/"], answers(500))(asking()),
        "every mirror is unavailable: status 500",
    ),
    "set": (lambda: jwks(URL, answers(404))(asking()), "status 404"),
    "no set": (lambda: jwks(URL, answers(body=b"[]"))(asking()), "not a key set: not a JSON obj"),
    "no set but a page": (
        lambda: jwks(URL, answers(body=b"<html>", media_type="text/html"))(asking()),
        "not a key set: .*; expected media type application/jwk-set.json or .*, got text/html",
    ),
    "deadline": (lambda: with_deadline(sleepy, 0.01)(asking()), "no answer within 0.01 s"),
    "store": (full, "replay store: full of 1 live ids|replay store: the issuer has"),
}


@pytest.mark.parametrize("what", OUTAGES)
async def test_an_outage_names_its_source_and_its_cause(what):
    ask, said = OUTAGES[what]
    with pytest.raises(Unavailable, match=said):
        await ask()


async def test_a_file_that_is_no_key_is_named_with_what_was_expected(tmp_path):
    (tmp_path / "issuer").mkdir()
    (tmp_path / "issuer" / "RS256.pem").write_text("x")
    with pytest.raises(Unavailable, match="not a public key: expected one key in PEM, found 0"):
        await pem_directory(tmp_path)(asking())
