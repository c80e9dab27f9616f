import contextlib
import hashlib
import json
import subprocess
import time

import pytest

from asapfn import forge, sign
from asapfn.adapters.asgi import key_repository
from asapfn.asap import verifier_from_env
from asapfn.keys import export_jwks, export_private_pem, export_public_jwk, export_public_pem
from tests.support.invocations import APP, invocation_claims
from tests.support.keyring import key_for
from tests.support.lifespan import lifespan
from tests.support.servers import asgi_server

KEYS = [key_for("RS256"), key_for("ES256")]
ARI = "ari:cloud:ecosystem::app/8db33309"


def asap(**claims):
    now = int(time.time())
    made = {"iss": "issuer", "aud": "billing", "iat": now, "exp": now + 60, "jti": "1"} | claims
    return sign({n: value for n, value in made.items() if value is not None}, KEYS[0])


def jitsi(**claims):
    return asap(room="tea", **claims)


async def fetches_nothing(url, accept):
    raise AssertionError(url)


@pytest.fixture(scope="module")
def served():
    with asgi_server(key_repository(KEYS)) as origin:
        yield origin


@pytest.fixture
def repository(trusted, served):
    return served


def pem_at_its_hash(kid):
    """An application that has the key where Jitsi's servers look."""
    pem = export_public_pem(KEYS[0]).encode()
    path = f"/{hashlib.sha256(kid.encode()).hexdigest()}.pem"

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        status = 200 if scope["path"] == path else 404
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": pem if status == 200 else b""})

    return app


ASAP = ("verify", "asap", "--audience", "billing")


def test_keys_come_from_a_repository_and_from_its_key_set(asapfn, repository):
    for source in (
        ("--repository", repository),
        ("--repository", "https://localhost:1/", "--repository", repository),
        ("--jwks", f"{repository}/.well-known/jwks.json"),
    ):
        ran = asapfn(*ASAP, asap(), *source)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith("accepted  until 20")
        assert '  iss  "issuer"' in ran.out.splitlines()


def test_a_repository_and_the_rest_come_from_the_environment_too(asapfn, repository, monkeypatch):
    monkeypatch.setenv("ASAP_SERVER_AUDIENCE", "x, billing")
    monkeypatch.setenv("ASAP_PUBLIC_KEY_REPOSITORY_URL", "https://localhost:1/")
    monkeypatch.setenv("ASAP_PUBLIC_KEY_FALLBACK_REPOSITORY_URL", repository)
    now = int(time.time())
    late = asap(iat=now - 100, exp=now - 40)
    assert asapfn("verify", "asap", asap()).code == 0
    assert asapfn("verify", "asap", late).code == 1
    monkeypatch.setenv("ASAP_SERVER_LEEWAY_SECONDS", "600")
    assert asapfn("verify", "asap", late).code == 0
    assert asapfn("verify", "asap", late, "--leeway", "0").code == 1


@pytest.mark.parametrize(
    ("value", "accepted"),
    [("600.5", True), (" 600 ", True), ("0", True), ("", True)]
    + [(no, False) for no in ("nan", "inf", "-1", "1e3", "long", "1_0", "\u0663", " ", "9" * 400)],
)
def test_the_leeway_of_the_environment_is_read_as_by_the_service(
    value, accepted, asapfn, repository, monkeypatch
):
    monkeypatch.setenv("ASAP_SERVER_AUDIENCE", "billing")
    monkeypatch.setenv("ASAP_PUBLIC_KEY_REPOSITORY_URL", repository)
    monkeypatch.setenv("ASAP_SERVER_LEEWAY_SECONDS", value)
    now = int(time.time())
    ran = asapfn("verify", "asap", asap(iat=now - 200, exp=now - 140))
    if accepted:
        verifier_from_env(fetches_nothing)
        assert ran.code == (0 if "600" in value else 1)
    else:
        with pytest.raises(ValueError, match="ASAP_SERVER_LEEWAY_SECONDS must be") as refused:
            verifier_from_env(fetches_nothing)
        assert (ran.code, ran.err) == (2, f"asapfn: {refused.value}\n")


def test_keys_come_from_files_and_the_token_from_anywhere(asapfn, tmp_path):
    (tmp_path / "issuer").mkdir()
    (tmp_path / "issuer" / "RS256.pem").write_text(export_public_pem(KEYS[0]))
    pem, jwks, jwk = tmp_path / "pem", tmp_path / "jwks", tmp_path / "jwk"
    pem.write_text(export_private_pem(KEYS[0]))
    jwks.write_text(json.dumps(export_jwks(KEYS)))
    jwk.write_text(json.dumps(export_public_jwk(KEYS[0])))
    token = tmp_path / "token"
    token.write_text(asap() + "\n")
    for source in (
        ("--key-directory", tmp_path),
        ("--public-key", pem),
        ("--public-key", jwk),
        ("--jwks", jwks),
    ):
        assert asapfn(*ASAP, f"@{token}", *source).code == 0
        assert asapfn(*ASAP, "-", *source, stdin=asap().encode()).code == 0
        assert asapfn(*ASAP, f"bearer {asap()}", *source).code == 0
    head = f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {asap()}\r\n\r\n"
    assert asapfn(*ASAP, "-", "--public-key", pem, stdin=head.encode()).code == 0
    # What Windows' editors put before JSON, and a certificate of openssl's.
    jwks.write_bytes(b"\xef\xbb\xbf" + jwks.read_bytes())
    assert asapfn(*ASAP, f"@{token}", "--jwks", jwks).code == 0
    made = tmp_path / "certificate"
    subprocess.run(
        ["openssl", "req", "-x509", "-key", pem, "-days", "2", "-subj", "/CN=issuer", "-out", made],
        check=True,
        capture_output=True,
    )
    assert asapfn(*ASAP, f"@{token}", "--public-key", made).code == 0


def test_what_was_verified_is_told_to_machines(asapfn, tmp_path):
    (tmp_path / "pem").write_text(export_public_pem(KEYS[0]))
    text = asap()
    answer = json.loads(asapfn(*ASAP, text, "--public-key", tmp_path / "pem", "--json").out)
    assert answer["outcome"] == "accepted"
    assert answer["usable_until"] == answer["claims"]["exp"] + 10
    assert answer["header"]["kid"] == "issuer/RS256.pem"
    assert text.split(".")[2] not in json.dumps(answer)


def test_a_refusal_is_told_by_its_reason_and_exit_code_1(asapfn, tmp_path):
    (tmp_path / "pem").write_text(export_public_pem(KEYS[0]))
    arguments = (*ASAP, asap(aud="x\x1b[2J"), "--public-key", tmp_path / "pem")
    ran = asapfn(*arguments)
    assert ran.code == 1
    assert ran.out.startswith("rejected  wrong_audience (aud). The token is for another audience: ")
    assert json.loads(asapfn(*arguments, "--json").out) == {
        "outcome": "rejected",
        "reason": "wrong_audience",
        "detail": 'expected "billing", got "x\\u001b[2J"',
        "claim": "aud",
        "status": 401,
    }
    ran = asapfn(*ASAP, "--issuer", "other", asap(), "--public-key", tmp_path / "pem", "--json")
    assert json.loads(ran.out)["status"] == 403


def test_an_outage_is_told_by_exit_code_3(asapfn, trusted, tmp_path):
    ran = asapfn(*ASAP, asap(), "--repository", "https://localhost:1/")
    assert ran.code == 3
    assert ran.out.startswith("unavailable  https://localhost:1/issuer/RS256.pem: ConnectError")
    (tmp_path / "set").write_text("[]")
    assert json.loads(asapfn(*ASAP, asap(), "--jwks", tmp_path / "set", "--json").out) == {
        "outcome": "unavailable",
        "source": str(tmp_path / "set"),
        "detail": "not a key set: not a JSON object",
        "status": 503,
    }


def test_a_token_is_taken_once_beside_those_that_were_used(asapfn, tmp_path):
    (tmp_path / "pem").write_text(export_public_pem(KEYS[0]))
    used = f"{asap()}\nBearer {asap(jti='2')}\n".encode()
    common = (*ASAP, "--public-key", tmp_path / "pem", "--used", "-")
    assert asapfn(*common, asap(jti="3"), stdin=used).code == 0
    assert asapfn(*common, asap(jti="2"), stdin=used).code == 1
    assert asapfn(*common, asap(jti="2", iss="issuer/sub"), stdin=used).code == 1
    for broken in (b"x.y.z", asap().encode() + b"\n\n\n"):
        ran = asapfn(*common, asap(), stdin=broken)
        assert (ran.code, "is no token" in ran.err) == (2, True)


def test_connect_tokens_are_verified_by_their_request(asapfn, tmp_path, monkeypatch):
    secret = b"a secret of the tenant's, long enough"
    (tmp_path / "secret").write_bytes(secret)
    url = "https://app.example/base/x?a=1"
    source = ("--secret-from", tmp_path / "secret")
    token = asapfn("token", "connect", "PUT", "/x?a=1", "--issuer", "t", *source).out.strip()
    common = ("verify", "connect", "--method", "PUT", "--base-url", "https://app.example/base")
    assert asapfn(*common, "--url", url, token, *source).code == 0
    assert asapfn(*common, "--url", f"{url}&jwt={token}", *source).code == 0
    # The same token in both places is one; two are ambiguous.
    assert asapfn(*common, "--url", f"{url}&jwt={token}", token, *source).code == 0
    other = asapfn("token", "connect", "PUT", "/x", "--issuer", "t", *source).out.strip()
    assert asapfn(*common, "--url", f"{url}&jwt={token}", other, *source).code == 1
    assert asapfn("verify", "connect", "--url", url, token, *source).code == 1
    monkeypatch.setenv("ASAPFN_SECRET", secret.decode())
    assert asapfn(*common, "--url", url, token).code == 0
    assert asapfn("verify", "connect", "--context", token).code == 1


def test_a_context_token_is_one_where_that_is_asked_for(asapfn, monkeypatch, tmp_path):
    now = int(time.time())
    claims = {"iss": "t", "iat": now, "exp": now + 9, "qsh": "context-qsh", "aud": "me"}
    (tmp_path / "pem").write_text(export_public_pem(KEYS[0]))
    common = ("verify", "connect", sign(claims, KEYS[0]), "--public-key", tmp_path / "pem")
    assert asapfn(*common, "--context", "--audience", "me").code == 0
    assert asapfn(*common, "--context").code == 1
    assert asapfn(*common, "--url", "/", "--audience", "me").code == 1


def test_forge_tokens_are_verified_by_published_keys(asapfn, repository, monkeypatch):
    now = int(time.time())
    token = asap(iss="forge/invocation-token", aud=ARI, nbf=now)
    common = ("verify", "forge", token, "--app-id", ARI)
    key_sets = {False: f"{repository}/.well-known/jwks.json", True: f"{repository}/none"}
    monkeypatch.setattr(forge.incoming, "_KEY_SETS", key_sets)
    assert asapfn(*common).code == 0
    assert asapfn(*common, "--staging").code == 3
    assert asapfn(*common, "--repository", repository).code == 0
    assert asapfn("verify", "forge", token, "--app-id", "x").code == 2


@pytest.mark.parametrize(
    ("changes", "more", "claim"),
    [
        ({}, (), None),
        ({}, ("--environment-type", "PRODUCTION", "--environment-type", "STAGING"), None),
        ({}, ("--environment-type", "STAGING"), "app.environment.type"),
        ({"app__environment": ...}, ("--environment-type", "STAGING"), "app.environment.type"),
        ({"app__id": f"{APP}0"}, (), "app.id"),
        ({"context__cloudId": "another"}, (), "context.cloudId"),
        ({}, ("--api-host", "api.orange.example"), "app.apiBaseUrl"),
        ({"principal": 7}, (), "principal"),
    ],
)
def test_what_a_forge_token_says_is_verified_and_explained(asapfn, tmp_path, changes, more, claim):
    (tmp_path / "pem").write_text(export_public_pem(KEYS[0]))
    token = sign(invocation_claims(time.time(), **changes), KEYS[0])
    arguments = ("forge", token, "--app-id", APP, "--public-key", tmp_path / "pem", *more, "--json")
    for command in ("verify", "explain"):
        ran = asapfn(command, *arguments)
        answer = json.loads(ran.out)
        assert (ran.code, answer.get("claim")) == (0 if claim is None else 1, claim)
    if claim is not None and more:
        assert more[0] in answer["hint"]


def test_a_forge_environment_type_that_is_none_is_wrong_use(asapfn):
    for more in (("--environment-type", "prod"), ("--api-host", "https://x.example")):
        assert asapfn("verify", "forge", asap(), "--app-id", APP, *more).code == 2


def test_jitsi_tokens_are_verified_by_keys_at_the_hash_of_their_id(asapfn, trusted):
    common = ("verify", "jitsi", "--issuer", "issuer", "--audience", "billing")
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(asgi_server(pem_at_its_hash("issuer/RS256.pem")))
        assert asapfn(*common, jitsi(), "--repository", origin).code == 0
        assert asapfn(*common, asap(), "--repository", origin).code == 1
        assert asapfn(*common, asap(), "--no-room", "--repository", origin).code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (ASAP, "give the token"),
        (("verify", "asap", "x"), "--audience, or ASAP_SERVER_AUDIENCE"),
        ((*ASAP, "x"), "give the place of the key"),
        ((*ASAP, "x", "--jwks", "a", "--repository", "b"), "give --repository or --jwks, not both"),
        ((*ASAP, "x", "--repository", "http://keys.example/"), "https URL"),
        ((*ASAP, "x", "--public-key", "s3cr3t-itself"), "cannot read the public key"),
        ((*ASAP, "x", "--public-key", "-"), "the public key is empty"),
        ((*ASAP, "x", "--repository", "https://a", "--max-lifetime", "9000"), "3600"),
        ((*ASAP, "x", "--repository", "https://a", "--leeway", "nan"), "leeway is a finite number"),
        (("verify", "connect", "x", "--public-key", "a"), "--method and --url; or --context"),
        (("verify", "connect", "x", "--url", "/"), "give the place of the key"),
        (("verify", "connect", "--context"), "give the token"),
        (("verify", "jitsi", "x", "--audience", "a"), "required: --issuer"),
    ],
)
def test_wrong_use_is_told_with_exit_code_2(arguments, told, asapfn):
    ran = asapfn(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert "s3cr3t" not in ran.err
