"""More checks on one endpoint, and two identities on one: neither hides what the other decided."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from asapfn import also, any_of, asap, bearer, checks, connect, policy, sign, verifier
from asapfn.adapters.wsgi import protect
from asapfn.errors import Reason, TokenRejected, Unavailable
from asapfn.guards import issuer_is_one_of
from asapfn.keys import import_secret
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id, shared_secrets
from asapfn.types import Authenticate, Check, Request, Resolver, Token
from tests.support.keyring import key_for
from tests.support.verifying import NOW, answer, nobody_asks, nobody_checks

pytestmark = pytest.mark.no_event_loop

ORDERS = key_for("ES256", "orders")
PIPELINE = key_for("RS256", "pipeline")
SECRET = "a secret of at least thirty-two bytes"
KEYS = keys_by_id([ORDERS, PIPELINE])
# Where only these are raised, the next is asked: no token that one accepts at any time has them.
ANOTHERS = {
    "missing_token",
    "unsupported_algorithm",
    "missing_claim",
    "lifetime_too_long",
    "wrong_audience",
    "issuer_not_allowed",
}


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = float(NOW)

    def __call__(self) -> float:
        return self.time


def request(token: str | None = None, scheme: str = "Bearer") -> Request:
    return Request("GET", "/", () if token is None else (("Authorization", f"{scheme} {token}"),))


def asap_token(**claims: Any) -> str:
    made = {"iss": "orders", "aud": "billing", "iat": NOW, "exp": NOW + 60, "jti": "1"} | claims
    return sign({n: v for n, v in made.items() if v is not None}, ORDERS, kid=ORDERS.kid)


def workload_token(**claims: Any) -> str:
    """A token as an OpenID provider makes one: for hours, with a subject, and without `jti`."""
    made = {"iss": "pipeline", "aud": "ari:billing", "sub": "repo", "iat": NOW, "exp": NOW + 9000}
    return sign(made | claims, PIPELINE)


def by_asap(resolver: Resolver = KEYS, clock: Any = None, **options: Any) -> Authenticate:
    settings: dict[str, Any] = {"issuers": "orders", "now": clock or (lambda: NOW)} | options
    return bearer(asap.verifier(resolver, settings.pop("audience", "billing"), **settings))


def by_workload(resolver: Resolver = KEYS, *more: Check, clock: Any = None) -> Authenticate:
    asked = policy(
        resolver,
        *more,
        audience="ari:billing",
        required=("iss", "sub", "exp", "iat"),
        leeway=30.0,
        guards=[issuer_is_one_of("pipeline")],
        now=clock or (lambda: NOW),
    )
    return bearer(verifier(asked))


def lenient(clock: Any = None) -> Authenticate:
    """It accepts what the first does, and more: no replay store, and a larger leeway."""
    return by_asap(clock=clock, leeway=300.0)


async def reason_of(authenticate: Authenticate, asked: Request) -> Reason | str:
    try:
        token = await authenticate(asked)
    except TokenRejected as error:
        return error.reason
    except Unavailable:
        return "unavailable"
    return str(token.claims["iss"])


def rejecting(reason: Reason, **options: Any) -> Authenticate:
    async def authenticate(request: Request) -> Token:
        raise TokenRejected(reason, **options)

    return authenticate


async def down(unverified: Any) -> Any:
    raise Unavailable("keys")


@pytest.mark.parametrize("turn", [1, -1])
async def test_either_identity_is_accepted_in_any_order(turn: int) -> None:
    either = any_of(*[by_asap(), by_workload()][::turn])
    assert await reason_of(either, request(asap_token())) == "orders"
    assert await reason_of(either, request(workload_token())) == "pipeline"
    assert await reason_of(either, request(asap_token(iss="x"))) == "issuer_not_allowed"
    assert await reason_of(either, request(asap_token(aud="x"))) == "wrong_audience"
    assert await reason_of(either, request()) == "missing_token"
    assert await reason_of(either, request("x")) == "malformed"


async def test_each_scheme_is_for_its_own() -> None:
    async def secret_of(issuer: str) -> str | None:
        return SECRET if issuer == "tenant" else None

    by_connect = connect.context_authenticator(shared_secrets(secret_of), now=lambda: NOW)
    claims = {"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": "context-qsh"}
    jwt = sign(claims, import_secret(SECRET))
    for either in (any_of(by_connect, by_asap()), any_of(by_asap(), by_connect)):
        assert await reason_of(either, request(jwt, "JWT")) == "tenant"
        assert await reason_of(either, request(asap_token())) == "orders"
        assert await reason_of(either, request("x", "JWT")) == "malformed"
        assert await reason_of(either, request("x", "Basic")) == "missing_token"


async def test_a_context_token_does_not_pass_for_one_that_is_bound_to_its_request() -> None:
    async def secret_of(issuer: str) -> str | None:
        return SECRET

    keys = shared_secrets(secret_of)
    bound = connect.authenticator(keys, base_url="https://app.example", now=lambda: NOW)
    either = any_of(bound, connect.context_authenticator(keys, now=lambda: NOW))
    claims = {"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": "context-qsh"}
    jwt = sign(claims, import_secret(SECRET))
    assert await reason_of(either, request(jwt, "JWT")) == "request_mismatch"


@pytest.mark.anyio
async def test_a_replayed_token_of_the_first_is_not_accepted_by_the_second() -> None:
    either, token = any_of(by_asap(replay=in_memory()), lenient()), asap_token()
    assert await reason_of(either, request(token)) == "orders"
    assert await reason_of(either, request(token)) == "replayed"


async def test_a_token_of_the_first_that_expired_or_is_early_is_not_accepted_by_the_second() -> (
    None
):
    clock = Clock()
    either, token = any_of(by_asap(clock=clock, leeway=0.0), lenient(clock)), asap_token()
    assert await reason_of(either, request(token)) == "orders"
    clock.time = NOW + 61.0
    assert await reason_of(lenient(clock), request(token)) == "orders"
    assert await reason_of(either, request(token)) == "expired"
    clock.time = NOW - 5.0
    assert await reason_of(either, request(token)) == "not_yet_valid"


async def test_a_key_that_was_revoked_at_the_first_does_not_pass_at_the_second() -> None:
    either = any_of(by_asap(answer(None)), lenient())
    assert await reason_of(either, request(asap_token())) == "unknown_key"
    forged = any_of(by_asap(answer(key_for("ES256", "other"))), lenient())
    assert await reason_of(forged, request(asap_token())) == "bad_signature"


async def test_an_outage_of_either_is_an_outage() -> None:
    either = any_of(by_asap(down), lenient())
    assert await reason_of(either, request(asap_token())) == "unavailable"
    last = any_of(by_asap(), by_workload(down))
    assert await reason_of(last, request(workload_token())) == "unavailable"


async def test_a_token_of_the_second_costs_no_look_up_at_the_first() -> None:
    either = any_of(by_asap(nobody_asks), by_workload())
    assert await reason_of(either, request(workload_token())) == "pipeline"


@pytest.mark.parametrize("reason", get_args(Reason))
async def test_only_what_holds_of_a_token_at_all_times_lets_the_next_decide(reason: Reason) -> None:
    claim = "jti" if reason == "missing_claim" else None
    either = any_of(rejecting(reason, claim=claim), by_asap())
    expected = "orders" if reason in ANOTHERS else reason
    assert await reason_of(either, request(asap_token())) == expected


@pytest.mark.parametrize("claim", ["role", "scope", "qsh", None])
async def test_a_claim_that_no_profile_requires_is_missed_by_a_check_and_decides(
    claim: str | None,
) -> None:
    either = any_of(rejecting("missing_claim", claim=claim), by_asap())
    assert await reason_of(either, request(asap_token())) == "missing_claim"


@pytest.mark.parametrize("reason", get_args(Reason))
async def test_what_a_check_of_also_rejects_is_decided(reason: Reason) -> None:
    def refused(token: Token) -> None:
        raise TokenRejected(reason, claim="jti")

    either = any_of(also(by_asap(), refused), lenient())
    assert await reason_of(either, request(asap_token())) == reason


async def test_the_rejection_is_that_of_the_one_that_fits_best_and_names_all() -> None:
    either = any_of(by_asap(), by_workload())
    with pytest.raises(TokenRejected) as raised:
        await either(request(asap_token(iss="x")))
    error = raised.value
    assert (error.reason, error.claim, error.status) == ("issuer_not_allowed", "iss", 403)
    assert 'expected "orders", got "x"' in error.detail
    assert "the token has no sub" in error.detail
    assert error.__context__ is None
    assert error.__cause__ is None


async def test_a_missing_token_is_missing_only_where_nobody_found_one() -> None:
    # Otherwise `optional=True` would let a bad token through.
    orders = [rejecting("missing_token"), rejecting("wrong_audience")]
    for authenticates in (orders, orders[::-1]):
        assert await reason_of(any_of(*authenticates), request()) == "wrong_audience"


async def test_what_is_no_rejection_comes_out() -> None:
    async def broken(request: Request) -> Token:
        raise KeyError("a mistake")

    with pytest.raises(KeyError):
        await any_of(broken, by_asap())(request(asap_token()))


async def test_a_forgotten_return_is_not_passed_on_to_the_next() -> None:
    async def forgetful(request: Request) -> Any:
        return None

    assert await any_of(forgetful, by_asap())(request(asap_token())) is None
    with pytest.raises(TypeError, match="not a Token"):
        await also(forgetful, nobody_checks)(request(asap_token()))


def test_any_of_nothing_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        any_of()


async def test_also_runs_its_checks_in_order_on_a_verified_token_alone() -> None:
    seen: list[str] = []

    async def later(token: Token) -> None:
        seen.append(f"later {token.claims['iss']}")

    def now(token: Token) -> None:
        seen.append(f"now {token.claims['iss']}")

    narrowed = also(by_asap(), later, now)
    assert await reason_of(narrowed, request(asap_token())) == "orders"
    assert seen == ["later orders", "now orders"]
    assert await reason_of(also(by_asap(), nobody_checks), request("x")) == "malformed"
    unwelcome = also(by_asap(), checks.claim_equals("iss", "shipping"), nobody_checks)
    assert await reason_of(unwelcome, request(asap_token())) == "invalid_claim"


@pytest.mark.parametrize("value", [True, False, "yes"])
async def test_a_check_of_also_that_returns_a_value_lets_nobody_in(value: Any) -> None:
    def predicate(token: Token) -> Any:
        return value

    with pytest.raises(TypeError, match="a check returns None"):
        await also(by_asap(), predicate)(request(asap_token()))


@pytest.mark.anyio
async def test_a_check_of_also_that_cannot_say_is_an_outage() -> None:
    async def store(token_id: str, ttl_seconds: float) -> bool:
        raise Unavailable("replay store")

    guarded = also(by_asap(), checks.not_replayed(store))
    assert await reason_of(guarded, request(asap_token())) == "unavailable"
    once = also(by_asap(), checks.not_replayed(in_memory()))
    assert await reason_of(once, request(asap_token())) == "orders"
    assert await reason_of(once, request(asap_token())) == "replayed"


def test_a_token_is_used_up_once_by_either_of_two_in_a_thread_without_an_event_loop() -> None:
    either = any_of(by_asap(replay=in_memory()), lenient())
    app: Callable[..., Any] = protect(
        lambda environ, start: [environ["asapfn.token"].claims["iss"].encode()], either
    )
    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": f"Bearer {asap_token()}"}
    answers = [b"".join(app(dict(environ), lambda status, headers: None)) for _ in range(2)]
    assert answers[0] == b"orders"
    assert b"replayed" in answers[1]


async def test_an_endpoint_may_be_for_some_issuers_of_a_service_alone() -> None:
    everybody = by_asap(issuers=["orders", "shipping"])
    for issuers, expected in (("orders", "orders"), ("shipping", "issuer_not_allowed")):
        narrowed = also(everybody, issuer_is_one_of(issuers))
        assert await reason_of(narrowed, request(asap_token())) == expected
