"""Attacks by way of the log: what an error report tells of an exception, and of all behind it.

Reporters write down whatever an exception holds: its arguments and attributes, and those of its
causes and contexts, suppressed or not. A UnicodeError holds all of the text, as a JSONDecodeError
does.
"""

import base64
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from asapfn import (
    Caching,
    Document,
    Request,
    TokenRejected,
    Unavailable,
    asap,
    bearer,
    canonical_request,
    jitsi,
    peek,
    policy,
    qsh,
    sign,
    verifier,
    verify,
    webhooks,
)
from asapfn import (
    forge as forge_remote,
)
from asapfn.adapters.asgi import protect
from asapfn.connect.installation import read_installation
from asapfn.keys import (
    export_data_uri,
    export_private_pem,
    import_data_uri,
    import_jwk,
    import_pem,
    import_secret,
)
from asapfn.resolvers import jwks, keys_by_id, pem_repository, shared_secrets
from tests.support.forging import forge, forge_bytes
from tests.support.keyforms import DER, PEM, body, encrypted, whole
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, KEY, clock
from tests.support.victim import service

SECRET = "Zx9-a-secret-that-nobody-may-read-Zx9"
PASSWORD = "Zx9-a-password-that-nobody-may-read"
PKCS8 = export_private_pem(key_for("ES256"))
RSA_PKCS8 = export_private_pem(key_for("RS256"))
BODY = body(PKCS8.encode()).decode().replace("\n", "")
JWK = whole("RS256")
HOOK = Request("POST", "/", (("X-Hub-Signature", f"sha256={'0' * 64}"),))
INVOCATION = forge_remote.Invocation(
    *("a", "i", "PRODUCTION", "e", None, None, "https://api.atlassian.com/ex/jira/c", ("c",)),
    *(None, None, None),
)


def held(error: BaseException) -> Iterator[object]:
    """All that an exception holds, and all exceptions that it leads to."""
    seen: dict[int, object] = {}
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen[id(each)] = each
        if isinstance(each, BaseException):
            waiting += [each.__cause__, each.__context__, *each.args, str(each), repr(each)]
            waiting += [getattr(each, name, None) for name in ("object", "doc", "exceptions")]
            waiting += vars(each).values()
        elif isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            waiting += each
    yield from seen.values()


def assert_keeps_none_of(error: BaseException, secrets: tuple[str, ...]) -> None:
    for each in held(error):
        text = each.decode("latin-1") if isinstance(each, bytes) else str(each)
        for secret in secrets:
            assert secret not in text, (type(error), type(each))


def jwk(name: str = "RS256", **members: Any) -> dict[str, Any]:
    return whole(name) | members


def uri(der: str) -> str:
    return f"data:application/pkcs8;kid=a/b;base64,{der}"


REFUSED: dict[str, Callable[[], object]] = {
    "a secret with a lone surrogate": lambda: import_secret(f"{SECRET}\udc80"),
    "a deployment's secret with a lone surrogate": lambda: jitsi.app_secret(f"{SECRET}\udc80"),
    "a deployment's secret that is short": lambda: jitsi.app_secret(SECRET[:20]),
    **{
        f"a webhook's secret with a lone surrogate, {what}": partial(
            webhooks.hub_signature, b"", HOOK, secrets
        )
        for what, secrets in {
            "alone": f"{SECRET}\udc80",
            "first": [f"{SECRET}\udc80", "the old one"],
            "last": ["the old one", f"{SECRET}\udc80"],
        }.items()
    },
    "a webhook's secret beside an empty one": lambda: webhooks.hub_signature(
        b"", HOOK, [SECRET, ""]
    ),
    "an access token with a lone surrogate": lambda: forge_remote.authorizer(
        f"{SECRET}\udc80", INVOCATION
    ),
    "a short secret": lambda: import_secret(SECRET[:20]),
    "a secret that is a key": lambda: import_secret(PKCS8),
    "a PEM with a lone surrogate": lambda: import_pem(f"{PKCS8}\udc80"),
    "a PEM with a lone surrogate, in bytes": lambda: import_pem(PKCS8.encode()[:-40] + b"\xff"),
    "a PEM twice": lambda: import_pem(PKCS8 * 2),
    "a PEM that is cut off": lambda: import_pem(PKCS8.replace(BODY[-8:], "")),
    "a PEM of no base64": lambda: import_pem(PKCS8.replace(BODY[:8], "Zx9!!!!!")),
    "a private key as a public one": lambda: import_pem(PKCS8.replace("PRIVATE", "PUBLIC")),
    "a PEM for another algorithm": lambda: import_pem(RSA_PKCS8, algorithm="ES256"),
    "an RSA key that is damaged": lambda: import_pem(damaged(RSA_PKCS8)),
    "a password with a lone surrogate": lambda: import_pem(
        encrypted("ES256", PEM), password=f"{PASSWORD}\udc80"
    ),
    "a wrong password": lambda: import_pem(encrypted("ES256", PEM), password=PASSWORD),
    "a password for none": lambda: import_pem(PKCS8, password=PASSWORD),
    "a password to export by": lambda: export_private_pem(KEY, f"{PASSWORD}\udc80"),
    "a long password": lambda: export_private_pem(KEY, PASSWORD * 100),
    "a data URI without key id": lambda: import_data_uri(uri(BODY).replace("kid=a/b;", "")),
    "a data URI of a bad key id": lambda: import_data_uri(uri(BODY).replace("a/b", "a//b")),
    "a data URI that is cut off": lambda: import_data_uri(uri(BODY[:-4])),
    "a data URI of no base64": lambda: import_data_uri(uri(BODY[:-1])),
    "a data URI with a lone surrogate": lambda: import_data_uri(uri(BODY) + "\udc80"),
    "a data URI of an encrypted key": lambda: import_data_uri(
        uri(base64.b64encode(encrypted("ES256", DER)).decode())
    ),
    "a key without id as data URI": lambda: export_data_uri(import_pem(PKCS8)),
    **{
        f"a JWK whose {name} {what}": partial(import_jwk, jwk(**{name: value}))
        for name in ("d", "p", "q", "dp", "dq", "qi")
        for what, value in (
            ("has a lone surrogate", JWK[name] + "\udc80"),
            ("is no ASCII", JWK[name] + "\u00e9"),
            ("is padded", JWK[name] + "="),
            ("is in bytes", JWK[name].encode()),
            ("is another's", JWK["d"][:-1] + "A"),
        )
    },
    "a JWK without d": lambda: import_jwk({n: v for n, v in JWK.items() if n != "d"}),
    "a JWK of a wrong d alone": lambda: import_jwk(
        {n: JWK[n] for n in ("kty", "n", "e")} | {"d": JWK["dp"]}
    ),
    "an EC JWK of another x": lambda: import_jwk(jwk("ES256", x=whole("ES384")["x"])),
    "an OKP JWK of another x": lambda: import_jwk(jwk("EdDSA", x=whole("ES256")["x"])),
    "a JWK of an unknown curve": lambda: import_jwk(jwk("ES256", crv=whole("ES256")["d"])),
    "an oct JWK with a lone surrogate": lambda: import_jwk({"kty": "oct", "k": f"{SECRET}\udc80"}),
    "an oct JWK that is short": lambda: import_jwk({"kty": "oct", "k": SECRET[:8]}),
    **{
        f"an install that {what}": partial(read_installation, text)
        for what, text in {
            "is no UTF-8": SECRET.encode() + b"\xff",
            "is no JSON": f'{{"sharedSecret":"{SECRET}"'.encode(),
            "has a lone surrogate": f'{{"sharedSecret":"{SECRET}\\ud800"}}'.encode(),
            "has a member twice": f'{{"sharedSecret":"{SECRET}","a":1,"a":2}}'.encode(),
            "has a long number": f'{{"sharedSecret":"{SECRET}","a":{"1" * 5000}}}'.encode(),
            "has no client key": f'{{"sharedSecret":"{SECRET}"}}'.encode(),
            "has a list for a secret": f'{{"sharedSecret":["{SECRET}"]}}'.encode(),
            "has a long secret": json.dumps(
                {"clientKey": "a", "baseUrl": "b", "sharedSecret": SECRET * 9}
            ).encode(),
            "has a short secret": json.dumps(
                {"clientKey": "a", "baseUrl": "b", "sharedSecret": SECRET[:20]}
            ).encode(),
            "has a key for a secret": json.dumps(
                {"clientKey": "a", "baseUrl": "b", "sharedSecret": f"ssh-rsa {SECRET}"}
            ).encode(),
        }.items()
    },
    **{
        f"a query that {what}": partial(canonical_request, "GET", f"/a?{query}")
        for what, query in {
            "is no UTF-8": f"a={SECRET}&b=%FF",
            "is half an escape": f"a={SECRET}&b=%F",
            "has a lone surrogate": f"a={SECRET}\ud800",
            "has a control character": f"a={SECRET}\0",
        }.items()
    },
    "a form that is no UTF-8": lambda: qsh("POST", "/a", form=SECRET.encode() + b"\xff"),
    "a form that encodes no UTF-8": lambda: qsh("POST", "/a", form=f"a={SECRET}%FF"),
    "a form with a lone surrogate": lambda: qsh("POST", "/a", form=f"a={SECRET}\udc80"),
    "a path with a secret": lambda: qsh("GET", f"/a {SECRET}"),
    "a URL of an odd host": lambda: qsh("GET", f"https://a:{SECRET}@[a/b"),
    "a base URL with a query": lambda: qsh("GET", "/a", base_url=f"https://a/?{SECRET}"),
    "claims with a lone surrogate": lambda: sign({"a": f"{SECRET}\ud800"}, KEY),
    "claims that are too long": lambda: sign({"a": SECRET * 1000}, KEY),
    "a text for claims": lambda: sign({"a": SECRET, "b": float("nan")}, KEY),
}


def damaged(pem: str) -> str:
    lines = pem.split("\n")
    lines[len(lines) // 2] = lines[2]
    return "\n".join(lines)


@pytest.mark.parametrize("name", REFUSED)
def test_no_refusal_keeps_what_it_refused(name: str) -> None:
    with pytest.raises((ValueError, TokenRejected)) as caught:
        REFUSED[name]()
    # By four different pieces of each key, and the beginnings of the secrets.
    private = (BODY[48:80], JWK["d"][:20], JWK["d"][40:60], JWK["p"][:20], JWK["dp"][:20])
    lines = (RSA_PKCS8.split("\n")[5], whole("ES256")["d"], whole("EdDSA")["d"])
    assert not isinstance(caught.value, UnicodeError)
    assert_keeps_none_of(caught.value, (SECRET[:8], PASSWORD[:14], *private, *lines))


@pytest.mark.parametrize(
    "token",
    [
        forge_bytes(b'{"alg":"ES256","a":"Zx9-secret"', CLAIMS, KEY),
        forge_bytes(b'{"alg":"ES256","a":"Zx9-secret\xff"}', CLAIMS, KEY),
        forge_bytes(b'{"alg":"ES256","a":"Zx9-secret\\ud800"}', CLAIMS, KEY),
        forge_bytes(b'{"alg":"none","a":"Zx9-secret"}', CLAIMS, KEY),
        forge(b'{"a":"Zx9-secret"', KEY),
        forge(b'{"a":"Zx9-secret\xff"}', KEY),
        forge(b'{"a":"Zx9-secret\\ud800"}', KEY),
        forge(b'{"a":"Zx9-secret","a":1}', KEY),
        forge(b'{"a":"Zx9-secret","b":' + b"1" * 5000 + b"}", KEY),
        forge(CLAIMS | {"a": "Zx9-secret", "exp": "no time"}, KEY),
        forge(CLAIMS | {"a": "Zx9-secret", "exp": 1}, KEY),
        forge(CLAIMS | {"a": "Zx9-secret"}, key_for("ES256", "mallory"), kid=KEY.kid),
        forge(CLAIMS | {"a": "Zx9-secret"}, KEY) + "=",
        forge(CLAIMS | {"a": "Zx9-secret"}, KEY) + "\u00e9\ud800",
        "Zx9-secret",
        "Zx9-secret\ud800",
    ],
)
async def test_no_refusal_keeps_a_token(token: str) -> None:
    parts = [part[at : at + 16] for part in token.split(".") for at in (0, 20) if len(part) > 40]

    verifier = asap.verifier(keys_by_id([KEY]), "service", issuers=None, now=clock)
    with pytest.raises(TokenRejected) as caught:
        await verifier(token)
    assert_keeps_none_of(caught.value, ("Zx9-secret", *parts))
    try:
        peek(token)
    except TokenRejected as error:
        assert_keeps_none_of(error, ("Zx9-secret", *parts))


async def test_no_outage_keeps_what_was_published() -> None:
    """What is published by mistake is a private key."""
    answers = (
        PKCS8.encode(),
        PKCS8.replace("PRIVATE", "PUBLIC").encode(),
        PKCS8.encode() * 2,
        json.dumps({"keys": [JWK]}).encode(),
        json.dumps({"keys": [JWK]}).encode()[:-1],
        json.dumps({"keys": [JWK]}).encode() + b"\xff",
    )
    for answer in answers:

        async def fetch(url: str, accept: str, answer: bytes = answer) -> Document:
            return Document(200, "application/x-pem-file", answer)

        for resolver in (
            pem_repository("https://keys.example/", fetch),
            jwks("https://keys.example/set", fetch),
        ):
            with pytest.raises(Unavailable) as caught:
                await service(forge(CLAIMS, KEY), resolver)
            assert_keeps_none_of(caught.value, (BODY[48:80], JWK["d"][:20], JWK["n"][:20]))


@pytest.mark.parametrize("secret", [f"{SECRET}\udc80", SECRET[:20], f"ssh-rsa {SECRET}"])
async def test_no_refusal_keeps_a_tenants_secret(secret: str) -> None:
    async def look_up(issuer: str) -> str:
        return secret

    token = sign(CLAIMS, import_secret("s" * 32), algorithm="HS256")
    with pytest.raises(TokenRejected, match="unsuitable_key") as caught:
        await verify(
            token, shared_secrets(look_up), audience="service", algorithms=("HS256",), now=clock
        )
    assert_keeps_none_of(caught.value, (SECRET[:8],))


@pytest.mark.parametrize("caching", [None, Caching()])
async def test_nothing_that_has_verified_prints_a_secret_or_a_token(
    caching: Caching | None,
) -> None:
    """Reporters print local variables too: a verifier is a function, which prints what it is made
    of, and its memory and its resolver's held the tokens and the tenants' secrets as text."""

    async def look_up(issuer: str) -> str:
        return SECRET

    resolver = shared_secrets(look_up, caching=caching)
    rules = policy(resolver, audience="service", algorithms=("HS256",), now=clock)
    verify_token = verifier(rules)
    token = sign(CLAIMS, import_secret(SECRET), algorithm="HS256")
    for _ in range(3):
        await verify_token(token)
    authenticate = bearer(verify_token)
    await authenticate(Request("GET", "/", (("Authorization", f"Bearer {token}"),)))
    for made in (resolver, rules, verify_token, authenticate, protect(nobody, authenticate)):
        for text in (repr(made), str(made)):
            assert SECRET not in text
            assert token.rpartition(".")[2] not in text
            assert token.split(".")[1] not in text


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    """An application that is not called."""
