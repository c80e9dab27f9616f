import math
from typing import Any

import pytest

from asapfn import connect
from asapfn._core.canonical import qsh
from asapfn._core.verification import peek, verify
from asapfn.keys import export_private_pem, export_public_pem, import_pem, import_secret
from asapfn.resolvers import keys_by_id, shared_secrets
from tests.support.keyring import key_for, renamed

SECRET = import_secret("a tenant's secret of more than 32 bytes")
BASE = "https://acme.atlassian.net/wiki"
URL = f"{BASE}/rest/api/content?title=a+b&expand=body,space"


async def the_secret(issuer: str) -> bytes:
    return SECRET.raw_value


def at(moment: float) -> Any:
    return lambda: moment


def test_claims_are_those_of_connect_with_the_qsh_computed() -> None:
    assert connect.claims("app", "get", URL, base_url=BASE, now=at(1000.9)) == {
        "iss": "app",
        "iat": 1000,
        "exp": 1180,
        "qsh": qsh("GET", "/rest/api/content?title=a+b&expand=body,space"),
    }


def test_the_base_url_is_optional() -> None:
    made = connect.claims("app", "GET", URL)
    assert made["qsh"] == qsh("GET", URL) != qsh("GET", URL, base_url=BASE)


@pytest.mark.parametrize(
    ("audience", "aud"), [("client", ["client"]), (("b", "a"), ["a", "b"]), ({"a"}, ["a"])]
)
def test_an_audience_becomes_a_list(audience: Any, aud: list[str]) -> None:
    assert connect.claims("app", "GET", "/", audience=audience)["aud"] == aud


def test_a_subject_is_bitbuckets_client_key() -> None:
    made = connect.claims("app", "GET", "/", subject="client")
    assert made["sub"] == "client"
    assert "aud" not in made


def test_a_form_stands_in_for_the_query() -> None:
    made = connect.claims("app", "POST", "/a", form="b=c")
    assert made["qsh"] == qsh("POST", "/a", form="b=c") == qsh("POST", "/a?b=c")


def test_more_claims_are_added() -> None:
    made = connect.claims("app", "GET", "/", additional={"context": {"user": 1}})
    assert made["context"] == {"user": 1}


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp", "qsh"])
def test_more_claims_replace_none(name: str) -> None:
    with pytest.raises(ValueError, match="aud, exp, iat, iss, qsh, sub"):
        connect.claims("app", "GET", "/", additional={name: "x"})


@pytest.mark.parametrize("lifetime", [0, -1, math.inf, math.nan])
def test_a_lifetime_is_positive_and_finite(lifetime: float) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        connect.claims("app", "GET", "/", lifetime=lifetime)


@pytest.mark.parametrize("url", ["/a b", "/%zz", "/?a=%FF", "ftp:x", "/é"])
def test_a_malformed_url_is_not_signed(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be|malformed"):
        connect.claims("app", "GET", url)
    with pytest.raises(ValueError, match=r"must be|malformed"):
        connect.authorizer("app", SECRET, base_url=BASE)("GET", url)


@pytest.mark.parametrize("audience", [(), [1]])
def test_an_audience_is_names(audience: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="audience"):
        connect.claims("app", "GET", "/", audience=audience)


async def test_a_secret_signs_hs256() -> None:
    authorize = connect.authorizer(
        "app", SECRET, base_url=BASE, audience="client", subject="client", lifetime=60, now=at(5)
    )
    scheme, _, token = authorize("GET", URL).partition(" ")
    assert scheme == "JWT"
    assert peek(token).header == {"alg": "HS256", "typ": "JWT"}
    verified = await verify(
        token,
        shared_secrets(the_secret),
        audience="client",
        algorithms=["HS256"],
        now=at(6),
    )
    assert verified.claims == {
        "iss": "app",
        "sub": "client",
        "aud": ["client"],
        "iat": 5,
        "exp": 65,
        "qsh": qsh("GET", URL, base_url=BASE),
    }


async def test_a_pem_key_signs_rs256_with_its_key_id() -> None:
    pem = export_private_pem(key_for("RS256"))
    authorize = connect.authorizer("client", import_pem(pem, kid="client/key"), base_url=BASE)
    token = authorize("GET", URL).removeprefix("JWT ")
    assert peek(token).header == {"alg": "RS256", "kid": "client/key", "typ": "JWT"}
    public = import_pem(pem, kid="client/key")
    assert (await verify(token, keys_by_id([public]))).claims["qsh"] == qsh(
        "GET", URL, base_url=BASE
    )


def test_each_request_gets_a_token_of_its_own() -> None:
    authorize = connect.authorizer("app", SECRET, base_url=BASE, now=at(5))
    assert authorize("GET", f"{BASE}/a") != authorize("GET", f"{BASE}/b")
    assert authorize("GET", f"{BASE}/a") == authorize("GET", f"{BASE}/a?jwt=x")


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "PS256", "RS512", "HS512"])
def test_keys_of_other_algorithms_are_refused(algorithm: str) -> None:
    with pytest.raises(ValueError, match=r"HS256.*RS256"):
        connect.authorizer("app", key_for(algorithm), base_url=BASE)


def test_an_rsa_key_needs_a_key_id() -> None:
    key = renamed("RS256")
    with pytest.raises(ValueError, match="kid="):
        connect.authorizer("app", key, base_url=BASE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "acme.atlassian.net/wiki"},
        {"base_url": f"{BASE}?a=b"},
        {"lifetime": 0},
        {"audience": ()},
    ],
)
def test_what_is_wrong_is_told_at_once(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"base_url|lifetime|audience"):
        connect.authorizer("app", SECRET, **{"base_url": BASE} | wrong)


def test_a_public_key_signs_nothing() -> None:
    public = import_pem(export_public_pem(key_for("RS256")), kid="a/b")
    with pytest.raises(ValueError, match="public key cannot sign"):
        connect.authorizer("app", public, base_url=BASE)
