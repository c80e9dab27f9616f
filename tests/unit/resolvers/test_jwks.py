"""Keys in a published set: which of them it is, and what is no set."""

from typing import Any

import pytest

from asapfn.errors import Unavailable
from asapfn.keys import export_jwks, export_public_jwk, import_jwk
from asapfn.resolvers import jwks
from asapfn.types import Document, Event
from tests.support.keyring import key_for
from tests.support.keysets import EC, NEW, PS, RSA, SOURCE, URL, Client, of, same, serving
from tests.support.keysources import Events, Repository, asking


async def test_a_key_is_chosen_by_its_id() -> None:
    client = Client(export_jwks([RSA, EC]))
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    assert same(await client.resolve(asking(EC.kid, algorithm="ES256")), EC)
    assert await client.resolve(asking("issuer/other")) is None
    assert await client.resolve(asking("issuer")) is None
    assert client.source.asked == [URL]


async def test_what_is_accepted_is_said() -> None:
    accepted: list[str] = []

    async def fetch(url: str, accept: str) -> Document:
        accepted.append(accept)
        return serving(export_jwks([RSA]))(url)

    await jwks(URL, fetch)(asking(RSA.kid))
    assert accepted == ["application/jwk-set+json, application/json"]


async def test_a_key_is_chosen_by_type_curve_and_algorithm_too() -> None:
    same_id = [
        export_public_jwk(RSA) | {"kid": "k"},
        export_public_jwk(PS) | {"kid": "k"},
        export_public_jwk(EC) | {"kid": "k"},
        export_public_jwk(key_for("ES384")) | {"kid": "k"},
    ]
    client = Client({"keys": same_id})
    for algorithm, member in zip(("RS256", "PS256", "ES256", "ES384"), same_id, strict=True):
        found = await client.resolve(asking("k", "issuer", algorithm))
        assert found is not None
        assert export_public_jwk(found) == member
    assert "another algorithm than RS512" in await client.why(asking("k", "issuer", "RS512"))
    assert "of type OKP, not RSA" in await client.why(asking("k", "issuer", "EdDSA"))


async def test_without_a_key_id_the_only_candidate_is_the_key_and_of_two_none_is() -> None:
    client = Client(export_jwks([RSA, EC, PS]))
    assert same(await client.resolve(asking(None, "issuer", "ES256")), EC)
    assert same(await client.resolve(asking(None, "issuer", "RS256")), RSA)
    two = of(RSA, EC)
    two["keys"].append(export_public_jwk(NEW))
    client = Client(two)
    assert "more than one key of the set" in await client.why(asking(None, "issuer", "ES256"))
    assert same(await client.resolve(asking(EC.kid, algorithm="ES256")), EC)
    assert client.requests == 1


async def test_a_key_id_twice_is_no_answer() -> None:
    client = Client({"keys": [export_public_jwk(key) | {"kid": "k"} for key in (EC, NEW)]})
    assert "more than one key of it" in await client.why(asking("k", "issuer", "ES256"))


async def test_a_key_without_an_id_is_not_that_of_a_token_with_one() -> None:
    member = export_public_jwk(RSA)
    del member["kid"]
    client = Client({"keys": [member]})
    assert await client.resolve(asking(RSA.kid)) is None
    assert await client.resolve(asking(None, "issuer")) is not None


NOT_UNDERSTOOD: dict[str, Any] = {
    "for encryption": export_public_jwk(EC) | {"use": "enc"},
    "for encryption, by its operations": export_public_jwk(EC) | {"key_ops": ["encrypt"]},
    "of an unknown type": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": EC.kid},
    "without a type": {"kid": EC.kid},
    "of an unknown curve": export_public_jwk(EC) | {"crv": "P-224"},
    "not on its curve": export_public_jwk(EC) | {"x": export_public_jwk(EC)["y"]},
    "with a number for an id": export_public_jwk(EC) | {"kid": 1},
    "no object": "key",
    "null": None,
    "too weak": {"kty": "RSA", "kid": EC.kid, "e": "AQAB", "n": "w" * 170},
}


@pytest.mark.parametrize("member", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
async def test_a_member_that_is_not_for_us_is_passed_over(member: Any) -> None:
    client = Client({"keys": [member, export_public_jwk(RSA), member]})
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    if isinstance(member, dict) and member["kid"] == EC.kid:
        assert await client.why(asking(EC.kid, algorithm="ES256"))
    else:
        assert await client.resolve(asking(EC.kid, algorithm="ES256")) is None


# A bundle as SPIFFE has it ("SPIFFE Trust Domain and Bundle", section 4): one key for tokens, one
# for certificates.
BUNDLE = {
    "spiffe_sequence": 12,
    "spiffe_refresh_hint": 300,
    "keys": [
        export_public_jwk(EC) | {"use": "jwt-svid"},
        export_public_jwk(NEW) | {"use": "x509-svid", "kid": None, "x5c": ["AAAA"]},
    ],
}


async def test_keys_of_other_uses_are_accepted_where_the_caller_names_them() -> None:
    assert "its use is" in await Client(BUNDLE).why(asking(EC.kid, algorithm="ES256"))
    for uses in (("sig", "jwt-svid"), "jwt-svid", ["jwt-svid"], {"jwt-svid"}):
        client = Client(BUNDLE, uses=uses)
        found = await client.resolve(asking(EC.kid, algorithm="ES256"))
        assert found is not None
        assert found.thumbprint() == EC.thumbprint()
        # The key for certificates does not count.
        assert await client.resolve(asking(None, "issuer", "ES256")) is found


async def test_a_use_that_is_not_named_is_not_accepted() -> None:
    both = {"keys": [export_public_jwk(RSA), *BUNDLE["keys"]]}  # type: ignore[misc]
    assert 'its use is "sig"' in await Client(both, uses="jwt-svid").why(asking(RSA.kid))
    assert await Client(both, uses=("sig", "jwt-svid")).resolve(asking(RSA.kid)) is not None
    unsaid = {name: value for name, value in export_public_jwk(RSA).items() if name != "use"}
    assert await Client({"keys": [unsaid]}, uses="jwt-svid").resolve(asking(RSA.kid)) is not None
    other = {"keys": [export_public_jwk(EC) | {"use": "JWT-SVID"}]}
    client = Client(other, uses="jwt-svid")
    assert 'its use is "JWT-SVID"' in await client.why(asking(EC.kid, algorithm="ES256"))


@pytest.mark.parametrize(
    ("uses", "error"),
    [
        ((), ValueError),
        ([1], TypeError),
        (None, TypeError),
        ("enc", ValueError),
        (("sig", "enc"), ValueError),
    ],
)
def test_uses_are_names_and_none_is_for_encryption(uses: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="uses"):
        jwks(URL, Repository(), uses=uses)


UNSET = ("use", "key_ops", "alg", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv", "x5c")


async def test_a_member_that_is_null_is_absent() -> None:
    nulls = export_public_jwk(EC) | dict.fromkeys(UNSET)
    client = Client({"keys": [export_public_jwk(RSA), nulls], "other": None})
    assert same(await client.resolve(asking(RSA.kid)), RSA)
    found = await client.resolve(asking(EC.kid, algorithm="ES256"))
    assert found is not None
    assert found.thumbprint() == EC.thumbprint()
    nameless = Client({"keys": [nulls | {"kid": None}]})
    assert await nameless.resolve(asking(EC.kid, algorithm="ES256")) is None
    assert await nameless.resolve(asking(None, "issuer", "ES256")) is not None


async def test_keys_to_verify_with_may_say_so() -> None:
    for members in ({"use": "sig"}, {"key_ops": ["verify"]}, {"x5t": "unread"}):
        client = Client(of(EC, **members))
        assert await client.resolve(asking(EC.kid, algorithm="ES256")) is not None


REFUSED: dict[str, tuple[Any, str]] = {
    "a private RSA key": (
        {**export_public_jwk(RSA), "d": "AAAA"},
        ": the set holds a symmetric or private key",
    ),
    "a private EC key": (
        {**export_public_jwk(EC), "d": "AAAA"},
        ": the set holds a symmetric or private key",
    ),
    **{
        f"a private member {name}": (
            {**export_public_jwk(RSA), name: "AAAA"},
            ": the set holds a symmetric or private key",
        )
        for name in ("d", "p", "q", "dp", "dq", "qi")
    },
    "more primes": (
        {**export_public_jwk(RSA), "oth": []},
        ": the set holds a symmetric or private key",
    ),
    "a secret": ({"kty": "oct", "k": "A" * 43}, ": the set holds a symmetric or private key"),
    "a secret without its value": ({"kty": "oct"}, ": the set holds a symmetric or private key"),
    "a value without its type": ({"k": "A" * 43}, ": the set holds a symmetric or private key"),
    "a private key of a type not known": (
        {"kty": "AKP", "pub": "AAAA", "priv": "AAAA"},
        ": the set holds a symmetric or private key",
    ),
}


@pytest.mark.parametrize(("member", "detail"), REFUSED.values(), ids=REFUSED)
async def test_a_set_that_tells_a_secret_is_refused_whole(member: Any, detail: str) -> None:
    client = Client({"keys": [export_public_jwk(RSA), member]})
    with pytest.raises(Unavailable, match=detail) as raised:
        await client.resolve(asking(RSA.kid))
    assert raised.value.source == SOURCE
    assert "AAAA" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", ": not a key set: "),
        (b"<html>", "not a key set"),
        (b"\xff", "not a key set"),
        (b"[]", "not a key set"),
        (b'{"keys": [], "keys": []}', "not a key set"),
        (b'{"keys": [{"kid": "a", "kid": "b"}]}', "not a key set"),
        (b"{}", ": not a key set: no list of keys$"),
        (b'{"keys": {}}', ": not a key set: no list of keys$"),
        (b'{"keys": null}', ": not a key set: no list of keys$"),
    ],
)
async def test_what_is_no_key_set_is_an_outage(body: bytes, detail: str) -> None:
    with pytest.raises(Unavailable, match=detail) as raised:
        await Client(body).resolve(asking(RSA.kid))
    assert raised.value.source == SOURCE
    assert isinstance(raised.value.__cause__, Unavailable)
    if "no list" not in detail:
        assert isinstance(raised.value.__cause__.__cause__, ValueError)


@pytest.mark.parametrize(
    ("body", "media_type", "named"),
    [
        (b"<html>", "text/html", "got text/html"),
        (b"", "", "got none"),
        (b"\xff", "x" * 300, f"got {'x' * 97}"),
        (b"[]", "application/json", ""),
        (b"{}", "text/html", ""),
        (b' {"keys": [{"kty": "oct", "k": "AAAA"}]}', "text/plain", ""),
    ],
)
async def test_what_is_no_key_set_is_named_by_its_media_type(
    body: bytes, media_type: str, named: str
) -> None:
    client = Client(b"")
    client.source.answer = lambda url: Document(200, media_type, body)
    with pytest.raises(Unavailable) as raised:
        await client.resolve(asking(RSA.kid))
    assert raised.value.source == SOURCE
    assert isinstance(raised.value.__cause__, Unavailable)
    unread = body != b"{}" and b"oct" not in body
    assert (raised.value.__cause__.__cause__ is not None) is unread
    assert named in raised.value.detail
    expected = "expected media type application/jwk-set+json or application/json"
    assert (expected in raised.value.detail) is bool(named)


@pytest.mark.parametrize("status", [201, 204, 301, 403, 404, 500])
async def test_a_status_but_200_is_an_outage(status: int) -> None:
    client = Client(b"")
    client.source.answer = serving(export_jwks([RSA]), status=status)
    with pytest.raises(Unavailable, match=f": status {status}"):
        await client.resolve(asking(RSA.kid))


async def test_a_source_that_says_when_to_ask_again_is_not_asked_before() -> None:
    client = Client(b"")
    client.source.answer = lambda url: Document(503, "", b"", retry_after=17.0)
    with pytest.raises(Unavailable) as raised:
        await client.resolve(asking(RSA.kid))
    assert raised.value.retry_after == 17.0


async def test_a_set_that_says_when_to_ask_again_is_a_set() -> None:
    client = Client(b"")
    served = serving(export_jwks([RSA]))(URL)
    client.source.answer = lambda url: served._replace(retry_after=17.0)
    assert await client.resolve(asking(RSA.kid)) is not None


async def test_a_set_of_1000_keys_is_read_and_no_larger_one() -> None:
    members: list[Any] = [{"kty": "AKP", "kid": str(number)} for number in range(1000)]
    assert "kty is none of" in await Client({"keys": members}).why(asking("999", "issuer"))
    with pytest.raises(Unavailable) as raised:
        await Client({"keys": [*members, {}]}).resolve(asking("999", "issuer"))
    assert raised.value.source == SOURCE
    assert raised.value.detail == "a set of 1001 keys: expected at most 1000"


@pytest.mark.parametrize("kid", [True, 1.5, ["a"], None])
async def test_a_key_id_that_is_neither_text_nor_a_whole_number_names_no_key(kid: Any) -> None:
    client = Client({"keys": [{"kty": "AKP", "kid": kid}]})
    assert await client.resolve(asking(str(kid), "issuer")) is None


async def test_events_name_the_url_up_to_its_first_question_mark() -> None:
    for url in ("https://keys.example/a", "https://keys.example/a?b?c"):
        events = Events()
        fetch = Repository(serving(export_jwks([RSA])))
        await jwks(url, fetch, observe=events)(asking(RSA.kid))
        assert [event.source for event in events] == ["https://keys.example/a"]


@pytest.mark.parametrize("url", ["http://keys.example/", "https://u:p@keys.example/", "file:///k"])
def test_a_key_set_is_at_an_https_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^keys come from an https URL"):
        jwks(url, Repository())


async def test_an_empty_set_is_a_set() -> None:
    client = Client({"keys": []})
    assert await client.resolve(asking(RSA.kid)) is None
    assert await client.resolve(asking(None, "issuer")) is None
    assert client.requests == 1
    assert client.events[-1] == Event("unknown", SOURCE, "", 0.0)


async def test_keys_are_parsed_once_a_fetch() -> None:
    client = Client(export_jwks([RSA]))
    assert await client.resolve(asking(RSA.kid)) is await client.resolve(asking(RSA.kid))


def test_the_test_keys_are_what_they_seem() -> None:
    assert import_jwk(export_public_jwk(EC)).kid == EC.kid
