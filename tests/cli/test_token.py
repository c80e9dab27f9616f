import json
from urllib.parse import quote

import pytest

from asapfn import peek, qsh
from asapfn.keys import export_data_uri, export_private_pem
from tests.support.keyring import key_for

SECRET = b"a secret of the tenant's, long enough"
URL = "https://x.atlassian.net/wiki/rest?b=2&a=1"


@pytest.fixture
def pem(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text(export_private_pem(key_for("RS256")))
    return path


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    return path


ASAP = ("token", "asap", "--issuer", "issuer", "--audience", "billing")
CONNECT = ("token", "connect", "GET", URL, "--issuer", "app")


def test_an_asap_token_is_signed_by_what_flags_say(asapfn, pem):
    ran = asapfn(*ASAP, "--key-from", pem, "--kid", "issuer/k.pem", "--subject", "ann",
                 "--lifetime", "30", "--claim", "n=1", "--claim", "t=a=b", "--claim", 's="1"',
                 "--audience", "other")  # fmt: skip
    assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 1)
    header, claims, *_ = peek(ran.out.strip())
    assert header == {"alg": "RS256", "kid": "issuer/k.pem", "typ": "JWT"}
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("issuer", "ann", ["billing", "other"])
    assert (claims["n"], claims["t"], claims["s"]) == (1, "a=b", "1")
    assert type(claims["exp"]) is int
    assert claims["exp"] - claims["iat"] == 30


@pytest.mark.parametrize("depth", [100, 985, 990, 995, 5000])
def test_a_claim_that_is_nested_too_deep_is_wrong_use(depth, asapfn, pem):
    claim = f"a={'[' * depth}{']' * depth}"
    ran = asapfn(*ASAP, "--key-from", pem, "--kid", "issuer/k.pem", "--claim", claim)
    assert (ran.code, ran.out, ran.err) == (2, "", "asapfn: nested too deep\n")


def test_an_asap_token_is_signed_by_what_the_environment_says(asapfn, monkeypatch):
    monkeypatch.setenv("ASAP_ISSUER", "issuer")
    monkeypatch.setenv("ASAP_AUDIENCE", "billing")
    monkeypatch.setenv("ASAP_SUBJECT", "ann")
    monkeypatch.setenv("ASAP_PRIVATE_KEY", export_data_uri(key_for("ES256")))
    header, claims, *_ = peek(asapfn("token", "asap").out.strip())
    assert header["kid"] == "issuer/ES256.pem"
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("issuer", "billing", "ann")
    monkeypatch.setenv("ASAP_PRIVATE_KEY", export_private_pem(key_for("ES256")))
    monkeypatch.setenv("ASAP_KEY_ID", "issuer/env.pem")
    monkeypatch.setenv("ASAP_AUDIENCE", "a, b")
    header, claims, *_ = peek(asapfn("token", "asap").out.strip())
    assert (header["kid"], claims["aud"]) == ("issuer/env.pem", ["a", "b"])


@pytest.mark.parametrize("form", ["percent-encoded", "without kid", "behind a byte order mark"])
def test_a_data_uri_is_read_as_the_environment_has_it(asapfn, tmp_path, monkeypatch, form):
    uri = export_data_uri(key_for("ES256"))
    text = {
        "percent-encoded": quote(uri, safe=""),
        "without kid": uri.replace("kid=issuer%2FES256.pem;", ""),
        "behind a byte order mark": f"\ufeff{uri}",
    }[form]
    path = tmp_path / "key.uri"
    path.write_text(text, encoding="utf-8")
    ran = asapfn(*ASAP, "--key-from", path, "--kid", "issuer/ES256.pem")
    assert (ran.code, ran.err) == (0, "")
    assert peek(ran.out.strip())[0]["kid"] == "issuer/ES256.pem"
    monkeypatch.setenv("ASAP_PRIVATE_KEY", text)
    monkeypatch.setenv("ASAP_KEY_ID", "issuer/ES256.pem")
    assert asapfn(*ASAP).code == 0


def test_a_key_is_read_from_standard_input_too(asapfn):
    jwk = json.dumps(key_for("ES384").as_dict(private=True))
    ran = asapfn(*ASAP, "--key-from", "-", stdin=jwk.encode())
    assert peek(ran.out.strip()).header["kid"] == "issuer/ES384.pem"


def test_the_whole_header_and_json_can_be_had(asapfn, pem, secret):
    ran = asapfn(*ASAP, "--key-from", pem, "--kid", "issuer/k", "--header")
    assert ran.out.startswith("Authorization: Bearer ey")
    answer = json.loads(asapfn(*CONNECT, "--secret-from", secret, "--json").out)
    assert answer["authorization"] == f"JWT {answer['token']}"
    assert answer["header"] == dict(peek(answer["token"]).header)
    assert answer["claims"]["iss"] == "app"


def test_a_connect_token_is_for_its_request(asapfn, secret):
    base = "https://x.atlassian.net/wiki"
    ran = asapfn(*CONNECT, "--secret-from", secret, "--base-url", base, "--audience", "c",
                 "--subject", "s", "--claim", "n=[1]")  # fmt: skip
    claims = peek(ran.out.strip()).claims
    assert claims["qsh"] == qsh("GET", "/rest?b=2&a=1")
    assert (claims["aud"], claims["sub"], claims["n"]) == (["c"], "s", [1])
    assert claims["exp"] - claims["iat"] == 180


def test_a_form_stands_in_for_a_query(asapfn, secret, monkeypatch):
    monkeypatch.setenv("ASAPFN_SECRET", SECRET.decode())
    ran = asapfn("token", "connect", "POST", "/x", "--issuer", "app", "--form-from", "-",
                 stdin=b"b=2&a=1")  # fmt: skip
    assert peek(ran.out.strip()).claims["qsh"] == qsh("POST", "/x", form="b=2&a=1")


def test_a_connect_token_can_be_signed_by_a_private_key(asapfn, pem):
    ran = asapfn(*CONNECT, "--key-from", pem, "--kid", "k")
    assert dict(peek(ran.out.strip()).header) == {"alg": "RS256", "kid": "k", "typ": "JWT"}


def test_a_secret_is_read_without_the_line_feed_at_its_end(asapfn, secret):
    token = asapfn(*CONNECT, "--secret-from", secret).out.strip()
    verify = ("verify", "connect", token, "--url", URL, "--secret-from", "-")
    assert asapfn(*verify, stdin=SECRET).code == 0
    assert asapfn(*verify, stdin=SECRET + b"\r\n").code == 0
    assert asapfn(*verify, stdin=SECRET + b"\n\n").code == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("token", "asap"), "--issuer, or ASAP_ISSUER"),
        (("token", "asap", "--issuer", "i"), "--audience, or ASAP_AUDIENCE"),
        (ASAP, "give the key"),
        ((*ASAP, "--key-from", "a", "--key-directory", "b"), "not both"),
        ((*ASAP, "--key-directory", "/none"), "--key-directory /none is not a directory"),
        ((*ASAP, "--key-from", "{pem}"), "give it by --kid"),
        ((*ASAP, "--key-from", "{uri}", "--kid", "other"), "--kid or ASAP_KEY_ID differs"),
        ((*ASAP, "--key-from", "{jwk}", "--kid", "other"), "another key id than --kid"),
        ((*ASAP, "--key-from", "{pem}", "--kid", "issuer/k", "--lifetime", "7200"), "3600"),
        ((*ASAP, "--key-from", "{pem}", "--kid", "issuer/k", "--claim", "x"), "NAME=VALUE"),
        ((*ASAP, "--key-from", "{pem}", "--kid", "issuer/k", "--claim", "=x"), "NAME=VALUE"),
        ((*ASAP, "--key-from", "{pem}", "--kid", "issuer/k", "--claim", "x=NaN"), "JSON"),
        ((*ASAP, "--key-from", "{pem}", "--kid", "issuer/k", "--claim", "iss=x"), "among"),
        ((*ASAP, "--key-from", "{pem}", "--lifetime", "long"), "expected seconds, such as 120\n"),
        (CONNECT, "give the secret"),
        ((*CONNECT, "--key-from", "a", "--secret-from", "b"), "not both"),
        ((*CONNECT, "--secret-from", "env:NO_SUCH"), "environment variable NO_SUCH is not set"),
        ((*CONNECT, "--secret-from", "env:s3cr3t"), "environment variable is not set"),
        ((*CONNECT, "--secret-from", "s3cr3t-itself"), "cannot read the secret"),
    ],
)  # fmt: skip
def test_wrong_use_is_told_and_no_secret_is_repeated(arguments, told, asapfn, pem, tmp_path):
    uri = tmp_path / "uri"
    uri.write_text(export_data_uri(key_for("ES256")))
    jwk = tmp_path / "jwk"
    jwk.write_text(json.dumps(key_for("ES256").as_dict(private=True)))
    ran = asapfn(*[each.format(pem=pem, uri=uri, jwk=jwk) for each in arguments])
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert "s3cr3t" not in ran.err
