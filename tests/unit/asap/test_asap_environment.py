"""ASAP set up from environment variables."""

import base64
import os
from typing import Any
from urllib.parse import quote, unquote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import asapfn.adapters.httpx
from asapfn import asap
from asapfn._core.verification import peek
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_data_uri, export_private_pem, export_public_pem
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id
from tests.support.keyring import key_for
from tests.support.published import Published

KEY = key_for("ES256")
PEM = export_private_pem(KEY)
DATA_URI = export_data_uri(KEY)
KID = "issuer/ES256.pem"
DER = DATA_URI.partition(",")[2]
PERCENT_ENCODED = DATA_URI.partition(",")[0] + "," + quote(DER, safe="")
SEC1 = KEY.private_key.private_bytes(  # type: ignore[union-attr]
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
).decode()
SIGNER = {"ASAP_ISSUER": "issuer", "ASAP_PRIVATE_KEY": DATA_URI}
VERIFIER = {
    "ASAP_PUBLIC_KEY_REPOSITORY_URL": "https://keys.example/",
    "ASAP_SERVER_AUDIENCE": "service",
}
URL = "https://keys.example/issuer/ES256.pem"
FALLBACK = "https://fallback.example/issuer/ES256.pem"


@pytest.fixture
def published() -> Published:
    documents = Published()
    documents.put(URL, KEY)
    return documents


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    "private",
    [
        {"ASAP_PRIVATE_KEY": DATA_URI},
        {"ASAP_PRIVATE_KEY": f'"{DATA_URI}"\n'},
        {"ASAP_PRIVATE_KEY": DATA_URI, "ASAP_KEY_ID": KID},
        {"ASAP_PRIVATE_KEY": DATA_URI, "ASAP_KEY_ID": f" {KID}\n"},
        {"ASAP_PRIVATE_KEY": DATA_URI, "ASAP_KEY_ID": ""},
        {"ASAP_PRIVATE_KEY": PEM, "ASAP_KEY_ID": KID},
        {"ASAP_PRIVATE_KEY": PEM.replace("\n", "\\n"), "ASAP_KEY_ID": KID},
        {"ASAP_PRIVATE_KEY": '"' + PEM.replace("\n", "\\n") + '"', "ASAP_KEY_ID": f"{KID} "},
        {"ASAP_PRIVATE_KEY": f"'{PEM}'", "ASAP_KEY_ID": KID},
        {"ASAP_PRIVATE_KEY": base64.b64encode(PEM.encode()).decode(), "ASAP_KEY_ID": KID},
        # npm's jwt-authentication and Postman decode all of it by decodeURIComponent.
        {"ASAP_PRIVATE_KEY": PERCENT_ENCODED},
        {"ASAP_PRIVATE_KEY": PERCENT_ENCODED, "ASAP_KEY_ID": KID},
        {"ASAP_PRIVATE_KEY": quote(DATA_URI, safe="")},
        {"ASAP_PRIVATE_KEY": quote(unquote(DATA_URI), safe=""), "ASAP_KEY_ID": KID},
        # What go-asap reads has no key id in it, and is any data URL of DER or of PEM.
        {"ASAP_PRIVATE_KEY": f"data:application/pkcs8;base64,{DER}", "ASAP_KEY_ID": KID},
        *(
            {"ASAP_PRIVATE_KEY": f"data:{media_type};base64,{data}", "ASAP_KEY_ID": KID}
            for media_type in ("application/pkcs8", "application/x-pem-file", "text/plain", "")
            for data in (
                base64.b64encode(PEM.encode()).decode(),
                base64.b64encode(SEC1.encode()).decode(),
            )
        ),
        {"ASAP_PRIVATE_KEY": f"data:;charset=utf-8;base64,{DER}", "ASAP_KEY_ID": f" {KID} "},
    ],
)
async def test_a_key_is_a_data_uri_or_pem_with_a_key_id(private: dict[str, str]) -> None:
    token = asap.signer_from_env({"ASAP_ISSUER": " issuer ", **private})("service")
    verified = await asap.verifier(keys_by_id([KEY]), "service", issuers="issuer")(token)
    assert verified.header["kid"] == KID
    assert "sub" not in verified.claims


def test_audience_and_subject_may_be_set() -> None:
    environ = SIGNER | {"ASAP_AUDIENCE": "a, b ,,c", "ASAP_SUBJECT": "user"}
    sign_for = asap.signer_from_env(environ)
    for token in (sign_for(None), asap.signer_from_env(environ)(None)):
        assert peek(token).claims["aud"] == ["a", "b", "c"]
        assert peek(token).claims["sub"] == "user"
    assert peek(sign_for("other")).claims["aud"] == "other"


@pytest.mark.parametrize("default", [{}, {"ASAP_AUDIENCE": ""}, {"ASAP_AUDIENCE": " , "}])
def test_without_an_audience_there_is_no_token(default: dict[str, str]) -> None:
    sign_for: Any = asap.signer_from_env(SIGNER | default)
    for audience in ((), (None,)):
        with pytest.raises(ValueError, match="ASAP_AUDIENCE"):
            sign_for(*audience)
    with pytest.raises(ValueError, match="audience"):
        sign_for([])
    assert peek(sign_for("service")).claims["aud"] == "service"


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize("name", ["ASAP_ISSUER", "ASAP_PRIVATE_KEY", "ASAP_KEY_ID"])
def test_a_missing_variable_of_a_signer_is_named(name: str, value: str | None) -> None:
    environ = {"ASAP_ISSUER": "issuer", "ASAP_PRIVATE_KEY": PEM, "ASAP_KEY_ID": KID}
    del environ[name]
    with pytest.raises(ValueError, match=f"^{name} is not set"):
        asap.signer_from_env(environ if value is None else environ | {name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ASAP_KEY_ID": "issuer/other.pem"}, "ASAP_KEY_ID differs"),
        ({"ASAP_ISSUER": "other"}, "begin with other/"),
        ({"ASAP_PRIVATE_KEY": "data:text/plain,key"}, "ASAP_KEY_ID"),
        ({"ASAP_PRIVATE_KEY": "key", "ASAP_KEY_ID": KID}, "PEM"),
        ({"ASAP_PRIVATE_KEY": f"data:application/pkcs8;base64,{DER}"}, "ASAP_KEY_ID"),
        (
            {"ASAP_PRIVATE_KEY": f"data:;base64,{DER}", "ASAP_KEY_ID": "issuer/../key"},
            "key id is not well formed",
        ),
        (
            {"ASAP_PRIVATE_KEY": f"data:image/png;base64,{DER}", "ASAP_KEY_ID": KID},
            "expected data:",
        ),
        ({"ASAP_PRIVATE_KEY": export_public_pem(KEY), "ASAP_KEY_ID": KID}, "public key"),
        ({"ASAP_PRIVATE_KEY": PEM, "ASAP_KEY_ID": "issuer/../key"}, "kid"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_and_not_quoted(
    change: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        asap.signer_from_env(SIGNER | change)
    assert DATA_URI[-40:] not in str(raised.value)
    assert PEM.splitlines()[1] not in str(raised.value)


async def test_a_verifier_asks_the_repository_for_the_audience(published: Published) -> None:
    verify = asap.verifier_from_env(published, VERIFIER | {"ASAP_SERVER_AUDIENCE": "a , service"})
    sign_for = asap.signer_from_env(SIGNER)
    for audience in ("service", "a"):
        assert (await verify(sign_for(audience))).claims["iss"] == "issuer"
    with pytest.raises(TokenRejected) as raised:
        await verify(sign_for("other"))
    assert raised.value.reason == "wrong_audience"
    assert [url for url, _ in published.asked] == [URL]


@pytest.mark.parametrize(
    "urls",
    [
        {"ASAP_PUBLIC_KEY_FALLBACK_REPOSITORY_URL": "https://fallback.example"},
        {"ASAP_PUBLIC_KEY_REPOSITORY_URL": "https://keys.example | https://fallback.example"},
    ],
)
async def test_a_fallback_is_asked_when_the_repository_is_down(
    published: Published, urls: dict[str, str]
) -> None:
    published.put(FALLBACK, KEY)
    published.down.add("https://keys.example/")
    verify = asap.verifier_from_env(published, VERIFIER | urls)
    assert await verify(asap.signer_from_env(SIGNER)("service"))
    assert [url for url, _ in published.asked] == [URL, FALLBACK]


async def test_issuers_and_uses_are_the_callers_to_limit(published: Published) -> None:
    token = asap.signer_from_env(SIGNER)("service")
    verify = asap.verifier_from_env(published, VERIFIER, issuers=["issuer"], replay=in_memory())
    assert await verify(token)
    with pytest.raises(TokenRejected) as replayed:
        await verify(token)
    assert replayed.value.reason == "replayed"
    with pytest.raises(TokenRejected) as forbidden:
        await asap.verifier_from_env(published, VERIFIER, issuers="other")(token)
    assert (forbidden.value.reason, forbidden.value.status) == ("issuer_not_allowed", 403)


@pytest.mark.parametrize("listed", ["issuer", "other, issuer", " issuer ,,"])
async def test_the_issuers_that_are_allowed_may_be_set(published: Published, listed: str) -> None:
    environ = VERIFIER | {"ASAP_VALID_ISSUERS": listed}
    token = asap.signer_from_env(SIGNER)("service")
    assert await asap.verifier_from_env(published, environ)(token)
    with pytest.raises(TokenRejected) as raised:
        await asap.verifier_from_env(published, environ, issuers="another")(token)
    assert raised.value.reason == "issuer_not_allowed"


async def test_an_issuer_that_is_not_listed_is_refused(published: Published) -> None:
    environ = VERIFIER | {"ASAP_VALID_ISSUERS": "other,issuers,issue"}
    token = asap.signer_from_env(SIGNER)("service")
    with pytest.raises(TokenRejected) as raised:
        await asap.verifier_from_env(published, environ)(token)
    assert (raised.value.reason, published.asked) == ("issuer_not_allowed", [])
    assert await asap.verifier_from_env(published, environ, issuers=["issuer"])(token)


@pytest.mark.parametrize("listed", ["", " ", ",", " , "])
def test_a_list_of_issuers_that_is_empty_does_not_allow_all(
    published: Published, listed: str
) -> None:
    """As a template leaves it whose value is missing."""
    environ = VERIFIER | {"ASAP_VALID_ISSUERS": listed}
    with pytest.raises(ValueError, match="ASAP_VALID_ISSUERS names no issuer: unset it"):
        asap.verifier_from_env(published, environ)
    assert asap.verifier_from_env(published, environ, issuers="issuer")


async def test_without_a_fetcher_the_default_one_is_used(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def fetcher(**options: Any) -> Published:
        made.append(options)
        return published

    monkeypatch.setattr(asapfn.adapters.httpx, "fetcher", fetcher)
    token = asap.signer_from_env(SIGNER)("service")
    assert await asap.verifier_from_env(None, VERIFIER)(token)
    assert await asap.verifier_from_env(environ=VERIFIER)(token)
    assert made == [{}, {}]


async def test_the_default_fetcher_goes_to_the_network() -> None:
    """A port of this machine where nobody listens; a real fetch, and a real failure."""
    environ = VERIFIER | {"ASAP_PUBLIC_KEY_REPOSITORY_URL": "https://127.0.0.1:9/"}
    token = asap.signer_from_env(SIGNER)("service")
    with pytest.raises(Unavailable, match=r"https://127\.0\.0\.1:9/"):
        await asap.verifier_from_env(environ=environ)(token)


@pytest.mark.parametrize(
    ("value", "leeway"),
    [(None, 10), ("", 10), ("0", 0), ("30", 30), ("2.5", 2.5), ("0.0", 0), (" 5\n", 5)],
)
async def test_leeway_is_ten_seconds_unless_it_is_set(
    published: Published, value: str | None, leeway: float
) -> None:
    environ = VERIFIER if value is None else VERIFIER | {"ASAP_SERVER_LEEWAY_SECONDS": value}
    token = asap.signer_from_env(SIGNER)("service")
    verified = await asap.verifier_from_env(published, environ)(token)
    assert verified.usable_until == verified.claims["exp"] + leeway


@pytest.mark.parametrize(
    "value",
    ["-1", "ten", "nan", "inf", "-inf", "Infinity", "1e3", " ", "1_0", ".5", "2.", "\u00b2",
     "\u0663", "0x10", "2,5", "9" * 400],
)  # fmt: skip
def test_a_leeway_that_is_no_number_of_seconds_is_refused(published: Published, value: str) -> None:
    with pytest.raises(ValueError, match=r"^ASAP_SERVER_LEEWAY_SECONDS must be .* 10 or 2\.5, not"):
        asap.verifier_from_env(published, VERIFIER | {"ASAP_SERVER_LEEWAY_SECONDS": value})


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize("name", VERIFIER)
def test_a_missing_variable_of_a_verifier_is_named(
    published: Published, name: str, value: str | None
) -> None:
    environ = {n: v for n, v in VERIFIER.items() if n != name}
    with pytest.raises(ValueError, match=f"^{name} is not set"):
        asap.verifier_from_env(published, environ if value is None else environ | {name: value})


@pytest.mark.parametrize(
    "change",
    [
        {"ASAP_PUBLIC_KEY_REPOSITORY_URL": "http://keys.example/"},
        {"ASAP_PUBLIC_KEY_FALLBACK_REPOSITORY_URL": "keys.example"},
        {"ASAP_SERVER_AUDIENCE": " , "},
    ],
)
def test_a_malformed_variable_of_a_verifier_is_refused(
    published: Published, change: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"https|audience"):
        asap.verifier_from_env(published, VERIFIER | change)


async def test_the_processs_own_variables_are_the_default(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("ASAP_")]:
        monkeypatch.delenv(name)
    with pytest.raises(ValueError, match="is not set"):
        asap.signer_from_env()
    for name, value in (SIGNER | VERIFIER).items():
        monkeypatch.setenv(name, value)
    assert await asap.verifier_from_env(published)(asap.signer_from_env()("service"))
