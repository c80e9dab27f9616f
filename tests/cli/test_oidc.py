"""`verify oidc` and `explain oidc`, by the metadata of a provider behind TLS."""

import json
import time

import pytest

from asapfn.keys import export_jwks, export_public_pem
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.lifespan import lifespan
from tests.support.servers import asgi_server
from tests.support.trust import trust

KEY = key_for("RS256")
METADATA = "/.well-known/openid-configuration"


class Provider:
    """A provider whose documents are in a table, and what it was asked for."""

    def __init__(self):
        self.documents = {}
        self.asked = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        self.asked.append(scope["path"])
        document = self.documents.get(scope["path"])
        status = 404 if document is None else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})


@pytest.fixture(scope="module")
def running():
    provider = Provider()
    with asgi_server(provider) as origin:
        provider.origin = origin
        yield provider


@pytest.fixture
def provider(running, monkeypatch, tmp_path):
    trust(monkeypatch, tmp_path)
    origin = running.origin
    running.documents = {
        METADATA: {"issuer": origin, "jwks_uri": f"{origin}/keys"},
        "/keys": export_jwks([KEY]),
    }
    running.asked.clear()
    return running


def token(provider, **changes):
    now = int(time.time())
    claims = {
        "iss": provider.origin,
        "sub": "pod",
        "aud": "billing",
        "iat": now,
        "exp": now + 60,
    } | changes
    return forge(claims, KEY)


def common(provider, command="verify"):
    return (command, "oidc", "--issuer", provider.origin, "--audience", "billing")


def test_keys_are_found_by_the_issuers_metadata(asapfn, provider):
    ran = asapfn(*common(provider), token(provider))
    assert (ran.code, ran.err) == (0, "")
    assert '  sub  "pod"' in ran.out.splitlines()
    assert provider.asked == [METADATA, "/keys"]


def test_the_metadata_may_be_elsewhere_and_keys_may_be_given(asapfn, provider, tmp_path):
    provider.documents["/other"] = provider.documents.pop(METADATA)
    (tmp_path / "pem").write_text(export_public_pem(KEY))
    text = token(provider)
    assert asapfn(*common(provider), text).code == 3
    url = f"{provider.origin}/other"
    assert asapfn(*common(provider), text, "--metadata-url", url).code == 0
    assert asapfn(*common(provider), text, "--jwks", f"{provider.origin}/keys").code == 0
    assert asapfn(*common(provider), text, "--public-key", tmp_path / "pem").code == 0


def test_a_repository_takes_the_place_of_the_metadata(asapfn, provider):
    asapfn(*common(provider), token(provider), "--repository", f"{provider.origin}/keys/")
    assert provider.asked == [f"/keys/{KEY.kid}"]


@pytest.mark.parametrize(
    ("changes", "flags", "code"),
    [
        ({"aud": ["billing", "vault"]}, (), 1),
        ({"aud": ["billing", "vault"]}, ("--trusted-audience", "vault"), 0),
        ({"aud": ["billing", "vault"]}, ("--audience", "vault"), 0),
        ({"aud": "vault"}, ("--trusted-audience", "vault"), 1),
        ({}, ("--authorized-party", "client"), 1),
        ({"azp": "client"}, ("--authorized-party", "client"), 0),
        ({}, ("--max-lifetime", "59"), 1),
        ({}, ("--max-lifetime", "60"), 0),
        ({"iss": "https://other.example"}, (), 1),
        ({"iat": 1, "exp": 2}, (), 1),
        ({"iat": 1, "exp": 2}, ("--leeway", "1e12"), 0),
    ],
)
def test_verify_and_explain_agree(changes, flags, code, asapfn, provider, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # both details name the same second
    text = token(provider, **changes)
    ran = asapfn(*common(provider), *flags, text, "--json")
    assert provider.asked == ([METADATA, "/keys"] if code == 0 else [])
    explained = asapfn(*common(provider, "explain"), *flags, text, "--json")
    assert ran.code == explained.code == code
    verdict, answer = json.loads(ran.out), json.loads(explained.out)
    names = ("outcome", "reason", "detail", "claim")
    assert {name: verdict.get(name) for name in names} == {name: answer.get(name) for name in names}


def test_metadata_of_another_issuer_is_explained(asapfn, provider):
    provider.documents[METADATA]["issuer"] = "https://evil.example"
    ran = asapfn(*common(provider, "explain"), token(provider))
    assert ran.code == 3
    assert 'expected that issuer, got "https://evil.example"' in " ".join(ran.out.split())
    assert provider.asked == [METADATA]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--audience", "a", "x"), "required: --issuer"),
        (("--issuer", "https://i.example", "x"), "required: --audience"),
        (("--issuer", "http://i.example", "--audience", "a", "x"), "https URL"),
        (("--issuer", "https://i.example", "--audience", "a"), "give the token"),
    ],
)
def test_wrong_use_is_said_with_exit_code_2(arguments, said, asapfn):
    ran = asapfn("verify", "oidc", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


GITLAB = {"project_id": "22", "ref": "a=b", "attempt": 1}


@pytest.mark.parametrize("command", ["verify", "explain"])
@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--claim", "project_id=22"), 0, "accepted"),
        (("--claim", "project_id=22", "--claim", "ref=a=b"), 0, "accepted"),
        (("--claim", "project_id=23"), 1, 'invalid_claim (project_id)'),
        (("--claim", "project_id=22", "--claim", "ref=main"), 1, 'invalid_claim (ref)'),
        (("--claim", "project_id="), 1, 'expected "", got "22"'),
        (("--claim", "attempt=1"), 1, 'expected "1", got 1'),
        (("--claim", "environment=production"), 1, "missing_claim (environment)"),
    ],
)  # fmt: skip
def test_a_token_of_another_project_is_rejected_by_claim(
    command, flags, code, said, asapfn, provider
):
    ran = asapfn(*common(provider, command), *flags, token(provider, **GITLAB))
    assert ran.code == code
    assert said in ran.out
    assert "note" not in ran.out


def test_explain_shows_each_claim_that_differs(asapfn, provider):
    flags = ("--claim", "project_id=23", "--claim", "ref=main")
    ran = asapfn(*common(provider, "explain"), *flags, token(provider, **GITLAB))
    assert ran.out.startswith("rejected  invalid_claim (project_id)")
    assert "invalid_claim (ref). " in ran.out
    assert 'expected "main", got "a=b"' in ran.out


@pytest.mark.parametrize("command", ["verify", "explain"])
def test_without_claim_a_note_says_that_any_workload_is_accepted(command, asapfn, provider):
    text = token(provider, **GITLAB)
    ran = asapfn(*common(provider, command), text)
    assert ran.code == 0
    assert "note      without --claim NAME=VALUE, " in ran.out
    for quiet in (("--json", text), (token(provider, aud="vault"),)):
        assert "note" not in asapfn(*common(provider, command), *quiet).out


@pytest.mark.parametrize("wrong", ["project_id", "=22", ""])
def test_a_claim_without_a_name_or_a_value_is_wrong_use(wrong, asapfn, provider):
    ran = asapfn(*common(provider), "--claim", wrong, token(provider))
    assert (ran.code, ran.out) == (2, "")
    assert "argument --claim: expected NAME=VALUE" in ran.err
    assert provider.asked == []
