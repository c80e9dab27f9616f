"""ASAP, the receiving side."""

import json
from pathlib import Path
from typing import Any

import pytest

from asapfn import asap, testing
from asapfn._core.algorithms import ASAP
from asapfn._core.signing import sign
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_private_pem, import_pem
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id
from asapfn.types import Caching, Event, Key, Resolver, Unverified
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.published import Published
from tests.support.verifying import CLAIMS, NOW, clock

KEY = key_for("ES256")
PRIVATE = export_private_pem(KEY)


async def nobody_asks(unverified: Unverified) -> Key | None:
    raise AssertionError("the resolver was asked")


async def always(unverified: Unverified) -> Key | None:
    """A resolver that gives the key whoever asks."""
    return KEY


async def told(
    token: str, resolver: Resolver = always, audience: Any = "service", **options: Any
) -> tuple[str, str | None] | None:
    """What a verifier says: None for a token that it takes."""
    asked: dict[str, Any] = {"issuers": None, "now": clock} | options
    try:
        verified = await asap.verifier(resolver, audience, **asked)(token)
    except TokenRejected as error:
        assert error.status == (403 if error.reason == "issuer_not_allowed" else 401)
        return error.reason, error.claim
    assert verified.claims["aud"]
    return None


def without(name: str) -> dict[str, Any]:
    return {n: v for n, v in CLAIMS.items() if n != name}


async def test_a_good_token_is_taken() -> None:
    verify = asap.verifier(keys_by_id([KEY]), "service", issuers="issuer", now=clock)
    verified = await verify(sign(CLAIMS, KEY))
    assert verified.claims == CLAIMS
    assert (verified.verified_at, verified.usable_until) == (NOW, NOW + 70)


async def test_a_repositorys_keys_age_by_the_clock_that_it_is_given() -> None:
    elapsed = testing.clock(0.0)
    issuer = testing.issuer("issuer")
    asked: list[str] = []
    fetch = testing.fetch(testing.repository(issuer), observe=asked.append)
    caching = Caching(default_age=60.0)
    repository = asap.repository(testing.REPOSITORY, fetch, caching=caching, clock=elapsed)
    verify = asap.verifier(repository, "service", issuers="issuer")
    for seconds, times in ((0.0, 1), (50.0, 1), (11.0, 2)):
        elapsed.time += seconds
        assert await verify(issuer.token("service"))
        assert len(asked) == times


@pytest.mark.no_event_loop
@pytest.mark.parametrize("name", ["iss", "aud", "iat", "exp", "jti"])
async def test_what_the_specification_requires_must_be_there(name: str) -> None:
    assert await told(sign(without(name), KEY), nobody_asks) == ("missing_claim", name)


async def test_typ_is_not_required() -> None:
    assert await told(forge(CLAIMS, KEY, typ=None)) is None


@pytest.mark.no_event_loop
@pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519", "HS256", "none", "es256", "RS1"])
async def test_no_algorithm_but_the_nine_is_taken(algorithm: str) -> None:
    assert len(ASAP) == 9
    token = forge(CLAIMS, KEY, alg=algorithm, signed_as="ES256")
    assert await told(token, nobody_asks) == ("unsupported_algorithm", "alg")


# Key ids and issuers


def test_the_vectors_are_there(vectors: Path) -> None:
    ids = json.loads((vectors / "kid.json").read_text())
    assert ids["valid"]
    assert ids["invalid"]
    assert {vector["ok"] for vector in ids["ownership"]} == {True, False}


async def test_an_ill_formed_key_id_is_refused_before_any_look_up(vectors: Path) -> None:
    for kid in json.loads((vectors / "kid.json").read_text())["invalid"]:
        for issuer in ("issuer", "a", kid):
            token = forge(CLAIMS | {"iss": issuer}, KEY, kid=kid)
            assert await told(token, nobody_asks) == ("invalid_claim", "kid"), kid


async def test_a_well_formed_key_id_of_the_issuer_is_looked_up(vectors: Path) -> None:
    for kid in json.loads((vectors / "kid.json").read_text())["valid"]:
        token = forge(CLAIMS | {"iss": kid.rpartition("/")[0]}, KEY, kid=kid)
        assert await told(token) is None, kid


async def test_a_key_id_belongs_to_whose_name_it_begins_with(vectors: Path) -> None:
    for vector in json.loads((vectors / "kid.json").read_text())["ownership"]:
        token = forge(CLAIMS | {"iss": vector["iss"]}, KEY, kid=vector["kid"])
        answer = await told(token, always if vector["ok"] else nobody_asks)
        assert answer == (None if vector["ok"] else ("key_not_owned", "kid")), vector


@pytest.mark.no_event_loop
@pytest.mark.parametrize("kid", ["issuer", "issuer2/key", "Issuer/key", "other/issuer/key", "key"])
async def test_a_key_that_is_not_the_issuers_is_refused_whatever_the_resolver(kid: str) -> None:
    token = forge(CLAIMS, KEY, kid=kid)
    assert await told(token, nobody_asks) == ("key_not_owned", "kid")
    table = {kid: import_pem(PRIVATE, kid=kid)}
    assert await told(token, keys_by_id(table)) == ("key_not_owned", "kid")


async def test_a_token_without_key_id_is_refused_before_any_look_up() -> None:
    assert await told(forge(CLAIMS, KEY, kid=None), nobody_asks) == ("missing_claim", "kid")


@pytest.mark.no_event_loop
@pytest.mark.parametrize("issuers", ["issuer", ["issuer"], {"other", "issuer"}, ("issuer", "z")])
async def test_an_issuer_that_is_allowed_is_taken(issuers: Any) -> None:
    assert await told(sign(CLAIMS, KEY), issuers=issuers) is None


@pytest.mark.no_event_loop
@pytest.mark.parametrize("issuers", ["issuers", "issue", ["other"], "", ["i", "s", "u", "e", "r"]])
async def test_any_other_issuer_is_forbidden_and_costs_nothing(issuers: Any) -> None:
    assert await told(sign(CLAIMS, KEY), nobody_asks, issuers=issuers) == (
        "issuer_not_allowed",
        "iss",
    )


async def test_a_str_of_issuers_is_one_name_not_letters() -> None:
    token = forge(CLAIMS | {"iss": "a"}, KEY, kid="a/key")
    assert await told(token, nobody_asks, issuers="abc") == ("issuer_not_allowed", "iss")


async def test_what_makes_a_token_hopeless_is_told_before_whose_it_is() -> None:
    expired = sign(CLAIMS | {"iat": NOW - 100, "exp": NOW - 40}, KEY)
    assert await told(expired, nobody_asks, issuers="other") == ("expired", "exp")


# Subject, time, audience, replay


async def test_a_subject_is_the_issuer_unless_others_are_taken() -> None:
    for subject in ("user", ""):
        token = sign(CLAIMS | {"sub": subject}, KEY)
        assert await told(token) == ("subject_mismatch", "sub")
        assert await told(token, subject_is_issuer=False) is None
    assert await told(sign(CLAIMS | {"sub": "issuer"}, KEY)) is None


async def test_clocks_may_differ_by_ten_seconds_or_as_said() -> None:
    for leeway, options in ((10, {}), (0, {"leeway": 0.0}), (30, {"leeway": 30.0})):
        late = sign(CLAIMS | {"iat": NOW - 60 - leeway, "exp": NOW - leeway}, KEY)
        assert await told(late, nobody_asks, **options) == ("expired", "exp")
        almost = sign(CLAIMS | {"iat": NOW - 60, "exp": NOW - leeway + 1}, KEY)
        assert await told(almost, **options) is None
        for name in ("iat", "nbf"):
            early = sign(CLAIMS | {name: NOW + leeway}, KEY)
            assert await told(early, **options) is None
            too_early = sign(CLAIMS | {name: NOW + leeway + 1}, KEY)
            assert await told(too_early, nobody_asks, **options) == ("not_yet_valid", name)


async def test_a_life_of_an_hour_is_the_longest() -> None:
    hour = sign(CLAIMS | {"exp": NOW + 3600}, KEY)
    assert await told(hour) is None
    assert await told(hour, nobody_asks, max_lifetime=3599) == ("lifetime_too_long", "exp")
    assert await told(sign(CLAIMS | {"exp": NOW + 0.5}, KEY), max_lifetime=0.5) is None
    longer = sign(CLAIMS | {"exp": NOW + 3601}, KEY)
    assert await told(longer, nobody_asks) == ("lifetime_too_long", "exp")


@pytest.mark.parametrize(
    "options",
    [{"max_lifetime": value} for value in (0, -1, 3600.5, float("nan"), float("inf"))]
    + [{"leeway": value} for value in (-1, float("nan"), float("inf"))],
)
def test_a_limit_out_of_bounds_is_a_programming_error(options: Any) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name):
        asap.verifier(always, "service", issuers=None, **options)


@pytest.mark.parametrize(
    ("names", "error"), [([], ValueError), ([None], TypeError), (7, TypeError), (b"a", TypeError)]
)
def test_names_are_str_and_there_is_one(names: Any, error: Any) -> None:
    with pytest.raises(error):
        asap.verifier(always, names, issuers=None)
    with pytest.raises(error):
        asap.verifier(always, "service", issuers=names)


async def test_any_of_the_services_names_is_its_audience() -> None:
    names = ["service", "https://service.example"]
    for audience in ["service", ["https://service.example", "other"]]:
        assert await told(sign(CLAIMS | {"aud": audience}, KEY), audience=names) is None
    for audience in ["https://service.example/", ["serv", "ice"], []]:
        token = sign(CLAIMS | {"aud": audience}, KEY)
        assert await told(token, nobody_asks, audience=names) == ("wrong_audience", "aud")


async def test_a_token_is_taken_as_often_as_it_comes_unless_uses_are_remembered() -> None:
    token = sign(CLAIMS, KEY)
    for _ in range(2):
        assert await told(token) is None
    store = in_memory()
    assert await told(token, replay=store) is None
    assert await told(token, replay=store) == ("replayed", "jti")
    # Signed again, with the same id: it is the id that is used once.
    assert await told(sign(CLAIMS | {"exp": NOW + 30}, KEY), replay=store) == ("replayed", "jti")
    another = forge(CLAIMS | {"iss": "another"}, KEY, kid="another/key")
    assert await told(another, replay=store) is None


async def test_a_refused_token_is_not_used_up() -> None:
    store = in_memory()
    for refused in (
        sign(CLAIMS | {"sub": "other"}, KEY),
        sign(CLAIMS, key_for("ES256", "mallory"), kid=KEY.kid),
        sign(CLAIMS | {"aud": "other"}, KEY),
    ):
        assert await told(refused, replay=store) is not None
    assert await told(sign(CLAIMS, KEY), replay=store) is None


async def test_the_wrong_key_under_the_right_key_id_is_a_bad_signature() -> None:
    token = sign(CLAIMS, key_for("ES256", "mallory"), kid=KEY.kid)
    assert await told(token) == ("bad_signature", None)


# repository


async def test_a_repository_finds_the_issuers_key_and_remembers_it() -> None:
    published = Published()
    published.put("https://keys.example/asap/issuer/ES256.pem", KEY)
    events: list[Event] = []
    resolver = asap.repository("https://keys.example/asap", published, observe=events.append)
    for _ in range(3):
        assert await told(sign(CLAIMS, KEY), resolver) is None
    assert published.asked == [
        ("https://keys.example/asap/issuer/ES256.pem", "application/x-pem-file")
    ]
    assert [(event.kind, event.key_id) for event in events] == [("fetched", "issuer/ES256.pem")]


async def test_a_repository_is_not_asked_for_the_key_of_an_issuer_not_allowed() -> None:
    published = Published()
    resolver = asap.repository("https://keys.example/", published)
    for kid in ("other/key", "issuer/../key", None):
        assert await told(forge(CLAIMS, KEY, kid=kid), resolver) is not None
    assert await told(sign(without("iss"), KEY), resolver) is not None
    assert published.asked == []


async def test_a_mirror_is_asked_only_when_the_first_is_down() -> None:
    published = Published()
    published.put("https://second.example/issuer/ES256.pem", KEY)
    urls = "https://first.example | https://second.example"
    token = sign(CLAIMS, KEY)
    assert await told(token, asap.repository(urls, published)) == ("unknown_key", None)
    published.down.add("https://first.example/")
    assert await told(token, asap.repository(urls, published)) is None
    published.down.add("https://second.example/")
    with pytest.raises(Unavailable):
        await told(token, asap.repository(urls.split(" | "), published))


async def test_a_repositorys_caching_is_the_users() -> None:
    published = Published()
    published.put("https://keys.example/issuer/ES256.pem", KEY)
    caching = Caching(default_age=0, min_age=0)
    resolver = asap.repository("https://keys.example/", published, caching=caching)
    for _ in range(2):
        assert await told(sign(CLAIMS, KEY), resolver) is None
    assert len(published.asked) == 2


@pytest.mark.parametrize("urls", ["http://keys.example/", "", [], "https://keys.example/?a=b"])
def test_a_repository_has_an_https_url(urls: Any) -> None:
    with pytest.raises(ValueError, match="URL"):
        asap.repository(urls, Published())
