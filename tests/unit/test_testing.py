"""`asapfn.testing`: each thing that it makes is used as a test of a protected service uses it."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from asapfn import TokenRejected, Unavailable, asap, bearer, forge, jitsi, sign, testing, verify
from asapfn.checks import has_scopes, not_replayed, request_matches
from asapfn.errors import DESCRIPTIONS, Reason, cause
from asapfn.keys import generate
from asapfn.replay import in_memory
from asapfn.resolvers import jwks, keys_by_id
from asapfn.types import Authenticate, Check, Document, Request
from tests.support.keyring import key_for

NOW = 1_700_000_000
REASONS = get_args(Reason)
ALICE = testing.issuer("alice")
# The hash of `GET&/&`, as sha256sum has it.
QSH = "c88caad15a1c1a900b8ac08aa9686f4e8184539bea1deda36e2f649430df3239"


def rsa_issuer() -> testing.Issuer:
    return ALICE._replace(key=key_for("RS256", "alice"))


BY = pytest.mark.parametrize("by", [lambda: ALICE, rsa_issuer], ids=["ES256", "RS256"])


async def reason_of(authenticate: Authenticate, request: Request) -> str:
    try:
        await authenticate(request)
    except TokenRejected as error:
        return error.reason
    return "accepted"


@BY
@pytest.mark.parametrize("reason", REASONS)
async def test_a_broken_request_is_rejected_for_each_reason(
    reason: Reason, by: Callable[[], testing.Issuer]
) -> None:
    broken = testing.broken(reason, by(), "service")
    assert broken.reason == reason
    for _ in range(2):
        assert await reason_of(broken.authenticate, testing.request(broken.headers)) == reason


@BY
@pytest.mark.parametrize("reason", REASONS)
async def test_what_rejects_a_broken_request_rejects_it_alone(
    reason: Reason, by: Callable[[], testing.Issuer]
) -> None:
    broken = testing.broken(reason, by(), "service")
    claims = {"scope": "a-scope-of-nobody", "qsh": QSH}
    good = by().headers("service", claims=claims)
    answer = await reason_of(broken.authenticate, testing.request(good))
    # A store in which each token was used has no good token.
    assert answer == ("replayed" if reason == "replayed" else "accepted")


@pytest.mark.no_event_loop
@pytest.mark.parametrize("reason", testing.ASAP_REASONS)
async def test_a_service_of_ones_own_gives_the_reasons_of_asap(reason: Reason) -> None:
    verify = asap.verifier(testing.resolver(ALICE), "service", issuers=["alice", "bob"])
    broken = testing.broken(reason, ALICE, "service")
    assert await reason_of(bearer(verify), testing.request(broken.headers)) == reason


async def test_the_reasons_beyond_asap_need_what_the_table_says() -> None:
    assert set(REASONS) - set(testing.ASAP_REASONS) == {
        "replayed",
        "request_mismatch",
        "insufficient_scope",
    }
    resolver = testing.resolver(ALICE)
    checks: dict[Reason, Check] = {
        "replayed": not_replayed(in_memory()),
        "request_mismatch": request_matches("POST", "/orders?a=1"),
        "insufficient_scope": has_scopes("refunds"),
    }
    for reason, check in checks.items():
        headers = testing.broken(reason, ALICE, "service").headers
        token = headers["Authorization"].removeprefix("Bearer ")
        if reason == "replayed":
            await verify(token, resolver, check, audience="service")
        with pytest.raises(TokenRejected) as rejected:
            await verify(token, resolver, check, audience="service")
        assert rejected.value.reason == reason


def test_there_is_no_broken_request_without_a_reason_or_by_another_profile() -> None:
    with pytest.raises(ValueError, match="unknown reason 'tired': use one of malformed, "):
        testing.broken("tired", ALICE, "service")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="signs by none of ES256, "):
        testing.broken("expired", testing.issuer("alice", algorithm="EdDSA"), "service")
    assert set(REASONS) == set(DESCRIPTIONS)


@pytest.mark.parametrize(
    ("name", "kid"),
    [
        ("https://idp.example", None),
        ("alice", "bob/test.pem"),
        ("alice", "alice/../test.pem"),
        ("alice smith", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("reason", ["bad_signature", "unknown_key", "expired"])
def test_there_is_no_broken_request_by_an_issuer_whose_key_id_is_not_its_own(
    name: str, kid: str | None, reason: Reason
) -> None:
    # Each would be rejected for its key id.
    with pytest.raises(ValueError, match="kid must be well formed and begin with"):
        testing.broken(reason, testing.issuer(name, kid=kid), "service")


@pytest.mark.parametrize("kid", ["alice/unknown.pem", "alice/unknown", "alice/a/b"])
async def test_an_unknown_key_is_unknown_whatever_key_id_the_issuer_has(kid: str) -> None:
    broken = testing.broken("unknown_key", testing.issuer("alice", kid=kid), "service")
    assert await reason_of(broken.authenticate, testing.request(broken.headers)) == "unknown_key"


async def test_an_issuer_is_accepted_and_another_with_its_name_is_not() -> None:
    bob = testing.issuer("bob")
    verify = asap.verifier(testing.resolver(ALICE, bob), "service", issuers=["alice", "bob"])
    for by in (ALICE, bob):
        token = await verify(by.token(audience="service"))
        assert token.claims["iss"] == by.name
        assert token.header == by.verified("service").header
    for impostor in (testing.issuer("alice"), testing.issuer("mallory")):
        with pytest.raises(TokenRejected):
            await verify(impostor.token("service"))


async def test_claims_are_changed_added_and_left_out() -> None:
    for audience, expected in (("service", "service"), ({"b", "a"}, ["a", "b"])):
        token = ALICE.verified(audience, claims={"team": "x", "jti": None, "sub": "me"})
        assert token.claims["aud"] == expected
        assert (token.claims["team"], token.claims["sub"]) == ("x", "me")
        assert "jti" not in token.claims
    assert ALICE.token("service") != ALICE.token("service")
    endless = ALICE.verified("service", claims={"exp": None})
    assert endless.usable_until == float("inf")


async def test_time_moves_where_the_test_moves_it() -> None:
    clock = testing.clock(NOW)
    alice = testing.issuer("alice", now=clock)
    verify = asap.verifier(testing.resolver(alice), "service", issuers="alice", now=clock)
    token = alice.token("service", lifetime=100)
    verified = await verify(token)
    assert (verified.claims["iat"], verified.claims["exp"]) == (NOW, NOW + 100)
    assert verified.verified_at == NOW
    clock.time += 109
    await verify(token)
    clock.time += 1
    assert await reason_of(
        bearer(verify), testing.request({"Authorization": f"Bearer {token}"})
    ) == ("expired")
    assert alice.verified("service").verified_at == clock() == NOW + 110
    early = await reason_of(
        testing.broken("expired", alice, "service").authenticate,
        testing.request(alice.headers("service", lifetime=-20)),
    )
    assert early == "expired"


async def test_a_key_repository_is_a_table_that_a_test_changes() -> None:
    bob = testing.issuer("bob")
    table, asked = testing.repository(ALICE), list[str]()
    fetch = testing.fetch(table, observe=asked.append)
    repository = asap.repository(testing.REPOSITORY, fetch)
    verify = asap.verifier(repository, "service", issuers=None)
    for _ in range(2):
        assert (await verify(ALICE.token("service"))).claims["iss"] == "alice"
    assert asked == ["https://keys.example/alice/test.pem"]
    assert await reason_of(bearer(verify), testing.request(bob.headers("service"))) == "unknown_key"
    assert asked[1:] == ["https://keys.example/bob/test.pem"]
    carol = testing.issuer("carol", kid="carol/2.pem")
    url = f"{testing.REPOSITORY}carol/2.pem"
    table[url] = Unavailable("keys.example", "connection refused", retry_after=7)
    with pytest.raises(Unavailable, match="connection refused"):
        await verify(carol.token("service"))
    # One that has verified a token does so on, as in production.
    await verify(ALICE.token("service"))


async def test_an_outage_of_everything_is_raised_anew_each_time() -> None:
    outage = Unavailable("keys.example", "connection refused", retry_after=7, answered=True)
    fetch = testing.fetch({}, otherwise=outage)
    for _ in range(2):
        with pytest.raises(Unavailable) as raised:
            await fetch("https://keys.example/a/b.pem", "*/*")
        assert raised.value is not outage
        assert vars(raised.value) == vars(outage)
    assert outage.__traceback__ is None
    verify = asap.verifier(asap.repository(testing.REPOSITORY, fetch), "service", issuers="alice")
    with pytest.raises(Unavailable):
        await verify(ALICE.token("service"))


async def test_a_key_set_is_fetched_as_json() -> None:
    url = "https://idp.example/keys"
    workload = testing.issuer("https://idp.example", algorithm="EdDSA")
    assert workload.key.kid == "test"
    fetch = testing.fetch({url: testing.key_set(workload)})
    token = await verify(workload.token("service"), jwks(url, fetch), audience="service")
    assert token.claims["iss"] == "https://idp.example"
    other = testing.json_document({"issuer": "x"})
    assert other == Document(200, "application/json", b'{"issuer": "x"}')


async def test_tokens_of_forge_and_jitsi_are_made_by_their_claims() -> None:
    clock = testing.clock(NOW)
    app = "ari:cloud:ecosystem::app/8db33309-0a5d-4c9e-a4ea-1d5ee2d0a2b7"
    product = testing.Issuer("forge/invocation-token", key_for("RS256", "forge"), clock)
    key_sets = testing.fetch({}, otherwise=testing.key_set(product))
    by_forge = forge.verifier(forge.keys(key_sets), app, now=clock)
    invoked = await by_forge(product.token(app, claims={"nbf": NOW, "context": {"a": 1}}))
    assert invoked.claims["context"] == {"a": 1}
    room = testing.Issuer("my-app", key_for("RS256", "my-app"), clock)
    by_jitsi = jitsi.verifier(testing.resolver(room), issuers="my-app", audience="jitsi", now=clock)
    joined = await by_jitsi(room.token("jitsi", claims={"room": "standup", "sub": "meet.example"}))
    assert joined.claims["room"] == "standup"


async def test_an_answer_that_is_neither_a_document_nor_an_outage_is_named() -> None:
    fetch = testing.fetch({"https://a.example/": b"pem"})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match=r"Unavailable for https://a.example/, got bytes"):
        await fetch("https://a.example/", "*/*")
    assert (await fetch("https://b.example/", "*/*")).status == 404


async def test_an_authenticate_decides_about_all_requests_alike() -> None:
    token = ALICE.verified("service")
    assert await testing.authenticate(token)(testing.request()) is token
    rejected = TokenRejected("missing_claim", "no team", claim="team")
    outcomes: list[Any] = [rejected, Unavailable("keys.example", "down")]
    for outcome in outcomes:
        with pytest.raises(type(outcome)) as raised:
            await testing.authenticate(outcome)(testing.request())
        assert raised.value is not outcome
        assert vars(raised.value) == vars(outcome)


class _OfThisService(TokenRejected):
    def __init__(self, team: str) -> None:
        super().__init__("missing_claim", f"no {team}", claim="team")
        self.team = team


class _Down(Unavailable):
    def __init__(self) -> None:
        super().__init__("teams", retry_after=3)


@pytest.mark.parametrize("make", [lambda: _OfThisService("a"), _Down], ids=["401", "503"])
@pytest.mark.parametrize("because", [None, OSError("refused")])
async def test_a_given_error_is_raised_once_more_of_its_own_type_and_stays_as_it_is(
    because: OSError | None,
    make: Callable[[], Any],
) -> None:
    outcome = make()
    if because is not None:
        outcome.__cause__ = because
    outcome.add_note("given")
    for _ in range(2):
        with pytest.raises(type(outcome)) as raised:
            await testing.authenticate(outcome)(testing.request())
        assert (vars(raised.value), str(raised.value)) == (vars(outcome), str(outcome))
        raised.value.add_note("by a framework")
        assert raised.value.__cause__ is because
        assert raised.value.__suppress_context__ is (because is not None)
        assert cause(raised.value) == cause(outcome)
    assert outcome.__notes__ == ["given"]
    assert outcome.__traceback__ is None


APP = "ari:cloud:ecosystem::app/8db33309-0a5d-4c9e-a4ea-1d5ee2d0a2b7"
SITE = "https://api.atlassian.com/ex/confluence/35273b54-3f06-40d2-880f-dd28cf8daafa"


async def test_forge_claims_are_those_of_an_invocation_that_a_remote_accepts() -> None:
    key = generate("RS256", kid="test")
    remote = forge.verifier(keys_by_id([key]), APP, environment_types="STAGING", now=lambda: 1e9)
    made = testing.forge_claims(
        APP, environment_type="STAGING", api_base_url=SITE, account="557058:ann", now=lambda: 1e9
    )
    called = forge.invocation(await remote(sign(made, key)))
    assert (called.app, called.environment_type, called.account) == (APP, "STAGING", "557058:ann")
    assert (called.api_base_url, called.cloud_ids) == (SITE, (SITE.rpartition("/")[2],))
    # As Forge's own are: 25 seconds.
    assert (made["iat"], made["nbf"], made["exp"]) == (10**9, 10**9, 10**9 + 25)


def test_forge_claims_of_no_app_or_no_site_are_not_made() -> None:
    with pytest.raises(ValueError, match="an app's ARI"):
        testing.forge_claims("8db33309")
    with pytest.raises(ValueError, match=r"such as https://api\.atlassian\.com/ex/jira/0"):
        testing.forge_claims(APP, api_base_url="http://api.atlassian.com/ex/jira/x")


def test_a_request_has_what_it_is_given() -> None:
    request = testing.request({"Host": "a"}, method="POST", target="/b?c=d")
    assert tuple(request[:3]) == ("POST", "/b?c=d", (("Host", "a"),))
    assert testing.request() == Request("GET", "/", ())


def test_nothing_prints_a_key_or_a_token() -> None:
    key = generate("HS256", kid="alice/test.pem")
    assert repr(ALICE._replace(key=key)) == "Issuer(name='alice', kid='alice/test.pem')"
    assert repr(testing.broken("expired", ALICE, "a")) == "Broken(reason='expired')"
