"""`explain` and `verify` agree: the first rule that fails is the verdict, whatever is wrong.

Tokens of every profile, with up to three faults: in their form, header and claims, in their key and
signature, in the request that they came with, and in what was used before.
"""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asapfn import asap, connect, explain, jitsi, oauth, oidc, qsh, verifier
from asapfn import forge as forge_profile
from asapfn._core.verification import policy
from asapfn.checks import claim_is_one_of, context_token, request_matches
from asapfn.errors import TokenRejected, Unavailable
from asapfn.types import Check, Key, Policy, Token, Unverified
from tests.support.effort import ONE_BACKEND, tries
from tests.support.forging import forge
from tests.support.invocations import APP, invocation_claims
from tests.support.keyring import key_for
from tests.support.verifying import NOW

ARI = "ari:cloud:ecosystem::app/8db33309"
URL = "/jira/issue?b=2&a=x"
DECODED = hashlib.sha256(b"GET&/a b&").hexdigest()

Fault = dict[str, Any]

# What a fault changes: claims by their name, members of the header by `header.` and their name
# (None leaves one out), the signer, and the text.
COMMON: dict[str, Fault] = {
    "expired": {"iat": NOW - 200, "exp": NOW - 100},
    "exp before iat": {"exp": NOW - 1, "iat": NOW + 5},
    "to come": {"iat": NOW + 100, "exp": NOW + 160},
    "nbf to come": {"nbf": NOW + 100},
    "nbf after exp": {"nbf": NOW + 90_000},
    "century": {"exp": NOW + 3_000_000_000},
    "no iss": {"iss": None},
    "no exp": {"exp": None},
    "no iat": {"iat": None},
    "no aud": {"aud": None},
    "no jti": {"jti": None},
    "aud of another": {"aud": "another"},
    "aud empty": {"aud": []},
    "aud a number": {"aud": 7},
    "exp a string": {"exp": "soon"},
    "iss a number": {"iss": 7},
    "iss of another": {"iss": "another"},
    "iss in another case": {"iss": "Issuer"},
    "sub of another": {"sub": "another"},
    "no kid": {"header.kid": None},
    "kid ill-formed": {"header.kid": "issuer/../key"},
    "kid of another": {"header.kid": "another/key"},
    "kid a number": {"header.kid": 7},
    "key unknown": {"header.kid": "issuer/unknown"},
    "keys unavailable": {"header.kid": "issuer/unavailable"},
    "keys forbidden": {"header.kid": "issuer/forbidden"},
    "key unsuitable": {"header.kid": "issuer/unsuitable"},
    "alg not accepted": {"header.alg": "HS512"},
    "alg unknown": {"header.alg": "none"},
    "typ of another": {"header.typ": "at+jwt"},
    "no typ": {"header.typ": None},
    "extension": {"header.crit": ["x"]},
    "signed by another": {"signer": "mallory"},
    "cut": {"text": lambda text: text.rpartition(".")[0]},
    "no signature": {"text": lambda text: text.rpartition(".")[0] + "."},
    "padded": {"text": lambda text: text + "="},
    "in quotes": {"text": lambda text: f'"{text}"'},
    "too long": {"text": lambda text: text + "A" * 16_384},
    "not ASCII": {"text": lambda text: "é" + text},
    "empty": {"text": lambda text: ""},
    "late key": {"header.kid": "issuer/late"},
}


class Case(NamedTuple):
    """A profile: a good token's claims, its algorithm, what is demanded, and faults of its own."""

    claims: dict[str, Any]
    algorithm: str
    policy: Callable[["Clock"], Policy]
    checks: tuple[Check, ...]
    faults: dict[str, Fault]


class Clock:
    """A clock that a slow resolver can put forward."""

    def __init__(self) -> None:
        self.now: float = NOW

    def __call__(self) -> float:
        return self.now


def resolver(algorithm: str, clock: Clock) -> Any:
    async def resolve(unverified: Unverified) -> Key | None:
        name = str(unverified.header.get("kid")).rpartition("/")[2]
        if name == "unknown":
            return None
        if name == "unavailable":
            raise Unavailable("keys", "no answer")
        if name == "forbidden":
            raise TokenRejected("issuer_not_allowed", "in no table")
        if name == "late":
            clock.now = NOW + 1000
        other = "RS256" if algorithm == "ES256" else "ES256"
        return key_for(other if name == "unsuitable" else algorithm)

    return resolve


def used_before(*used: str) -> Any:
    async def use(token_id: str, ttl_seconds: float) -> bool:
        if "down" in used:
            raise Unavailable("replay store", "down")
        return "all" not in used

    return use


def asap_case(*used: str) -> Case:
    claims = {"iss": "issuer", "aud": "service", "iat": NOW, "exp": NOW + 60, "jti": "1"}
    return Case(
        claims,
        "ES256",
        lambda clock: asap.policy(
            resolver("ES256", clock),
            "service",
            issuers=["issuer", "second"],
            replay=used_before(*used),
            now=clock,
        ),
        (),
        {},
    )


def connect_case(algorithm: str, *checks: Check, qsh_of: str) -> Case:
    claims = {"iss": "issuer", "iat": NOW, "exp": NOW + 60, "qsh": qsh_of}
    return Case(
        claims,
        algorithm,
        lambda clock: connect.policy(resolver(algorithm, clock), audience="service", now=clock),
        checks,
        {
            "no qsh": {"qsh": None},
            "qsh of another": {"qsh": "x" * 64},
            "qsh a number": {"qsh": 7},
            "context": {"qsh": "context-qsh"},
            "request": {"qsh": qsh("GET", URL)},
        },
    )


FORGE_CLAIMS = {"iss": "forge/invocation-token", "aud": ARI, "iat": NOW, "nbf": NOW, "jti": "1"}
FORGE_FAULTS: dict[str, Fault] = {
    "no app": {"app": None},
    "app a text": {"app": "app"},
    "app empty": {"app": {}},
    **{
        f"{path} {change}": {"app": invocation_claims(NOW, **{f"app__{path}": change})["app"]}
        for path in ("id", "installationId", "apiBaseUrl", "environment", "environment__type")
        for change in (7, "another", ...)
    },
    "contexts of numbers": {"app": {"installation": {"contexts": [7]}}},
    "cloud of another": {"context": {"cloudId": "another"}},
    "context a list": {"context": [{}]},
    "principal a number": {"principal": 7},
}
JITSI_CLAIMS = {"iss": "issuer", "aud": "service", "exp": NOW + 60, "room": "tea"}
OIDC_CLAIMS = {
    "iss": "issuer",
    "sub": "pod",
    "aud": "service",
    "iat": NOW,
    "exp": NOW + 60,
    "ref": "main",
}
ROOMS: dict[str, Fault] = {"no room": {"room": None}, "room a number": {"room": 7}}


def assertion_case(*used: str) -> Case:
    claims = {"iss": "issuer", "sub": "issuer", "aud": "service", "iat": NOW, "jti": "1"}
    return Case(
        claims | {"exp": NOW + 60},
        "ES256",
        lambda clock: oauth.assertion_policy(
            {"issuer": resolver("ES256", clock)},
            ["service", "https://auth.example/token"],
            replay=used_before(*used),
            typ="JWT",
            now=clock,
        ),
        (),
        {"two servers": {"aud": ["service", "another"]}, "no sub": {"sub": None}},
    )


def core_case() -> Case:
    claims = {"iss": "issuer", "aud": "service", "iat": NOW, "exp": NOW + 60, "mine": 1}

    def mine(token: Token) -> None:
        if token.claims["mine"] != 1:
            raise TokenRejected("invalid_claim", "mine is not 1", claim="mine")

    def guard(unverified: Unverified) -> None:
        if unverified.claims["mine"] == 3:
            raise TokenRejected("invalid_claim", "mine is 3", claim="mine")

    async def later(token: Token) -> None:
        if token.claims["iss"] == "another":
            raise TokenRejected("issuer_not_allowed", "another", claim="iss")

    return Case(
        claims,
        "RS256",
        lambda clock: policy(
            resolver("RS256", clock),
            mine,
            later,
            audience="service",
            required=["mine", "iss"],
            max_lifetime=60,
            typ="JWT",
            guards=[guard],
            now=clock,
        ),
        (),
        {"no mine": {"mine": None}, "mine is 2": {"mine": 2}, "mine is 3": {"mine": 3}},
    )


CASES: dict[str, Case] = {
    "core": core_case(),
    "asap": asap_case(),
    "asap, used before": asap_case("all"),
    "asap, store down": asap_case("down"),
    "connect by secret": connect_case("HS256", request_matches("GET", URL), qsh_of=qsh("GET", URL)),
    "connect by key": connect_case("RS256", request_matches("GET", URL), qsh_of=qsh("GET", URL)),
    "connect, path decoded": connect_case(
        "HS256", request_matches("GET", "/a%20b", decoded_path=True), qsh_of=DECODED
    ),
    "connect, context": connect_case("HS256", context_token(), qsh_of="context-qsh"),
    "connect, malformed": connect_case("HS256", request_matches("GET", "/%zz"), qsh_of="x"),
    "forge": Case(
        FORGE_CLAIMS | {"exp": NOW + 60},
        "RS256",
        lambda clock: forge_profile.policy(resolver("RS256", clock), ARI, now=clock),
        (),
        {"icLabel": {"context": {"icLabel": "X"}}, "no nbf": {"nbf": None}},
    ),
    "oidc": Case(
        OIDC_CLAIMS | {"azp": "client"},
        "RS256",
        lambda clock: oidc.policy(
            resolver("RS256", clock),
            claim_is_one_of("ref", ["main", "release"]),
            issuer="issuer",
            audience="service",
            trusted_audiences=["vault"],
            authorized_parties="client",
            max_lifetime=3600,
            now=clock,
        ),
        (),
        {
            "two audiences": {"aud": ["service", "vault"]},
            "an audience more": {"aud": ["service", "another"]},
            "a trusted audience alone": {"aud": ["vault"]},
            "no sub": {"sub": None},
            "azp of another": {"azp": "another"},
            "azp a list": {"azp": ["client"]},
            "no azp": {"azp": None},
            "ref of another": {"ref": "mine"},
        },
    ),
    "forge, whole": Case(
        invocation_claims(NOW),
        "RS256",
        lambda clock: forge_profile.policy(
            resolver("RS256", clock), APP, environment_types="PRODUCTION", now=clock
        ),
        (),
        FORGE_FAULTS,
    ),
    "client assertion": assertion_case(),
    "client assertion, used before": assertion_case("all"),
    "jitsi": Case(
        JITSI_CLAIMS,
        "RS256",
        lambda clock: jitsi.policy(
            resolver("RS256", clock), issuers="issuer", audience="service", now=clock
        ),
        (),
        ROOMS,
    ),
    "jitsi, any": Case(
        JITSI_CLAIMS,
        "ES256",
        lambda clock: jitsi.policy(
            resolver("ES256", clock), issuers=None, audience=None, require_room=False, now=clock
        ),
        (),
        ROOMS,
    ),
}


def token_of(case: Case, faults: list[Fault]) -> str:
    members: dict[str, Any] = dict(case.claims)
    header: dict[str, Any] = {"kid": "issuer/key"}
    key, changes = key_for(case.algorithm), []
    for fault in faults:
        for name, value in fault.items():
            if name == "signer":
                key = key_for(case.algorithm, value)
            elif name == "text":
                changes.append(value)
            elif name.startswith("header."):
                header[name.removeprefix("header.")] = value
            else:
                members[name] = value
    claims = {name: value for name, value in members.items() if value is not None}
    text = forge(claims, key, signed_as=case.algorithm, **header)
    for change in changes:
        text = change(text)
    return text


def comparable(verdict: Any) -> Any:
    if isinstance(verdict, Token):
        return verdict
    return type(verdict), verdict.args, getattr(verdict, "claim", None)


async def verdict_of(case: Case, text: str) -> Any:
    try:
        return await verifier(case.policy(Clock()))(text, *case.checks)
    except (TokenRejected, Unavailable) as error:
        return error


async def assert_agreement(case: Case, text: str) -> Any:
    verdict = await verdict_of(case, text)
    found = await explain(text, case.policy(Clock()), *case.checks)
    failed = [step.error for step in found.steps if step.outcome == "fail"]
    assert comparable(found.verdict) == comparable(verdict)
    assert isinstance(verdict, Token) == (failed == []) == (found.hint == "")
    if failed:
        assert comparable(failed[0]) == comparable(verdict)
    else:
        assert [step.outcome for step in found.steps].count("pass") >= 8
    assert all((step.error is not None) == (step.outcome == "fail") for step in found.steps)
    return verdict


@ONE_BACKEND
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=tries(40))
@given(data=st.data())
async def test_the_first_rule_that_fails_is_the_verdict_with_up_to_three_faults(
    name: str, data: st.DataObject
) -> None:
    case = CASES[name]
    faults = COMMON | case.faults
    chosen = data.draw(st.lists(st.sampled_from(sorted(faults)), max_size=3, unique=True))
    await assert_agreement(case, token_of(case, [faults[each] for each in chosen]))


@ONE_BACKEND
@pytest.mark.parametrize("name", CASES)
async def test_explain_and_verify_agree_on_every_token_with_one_fault(name: str) -> None:
    case = CASES[name]
    tokens = [token_of(case, [fault]) for fault in (COMMON | case.faults).values()]
    seen = [await assert_agreement(case, text) for text in (token_of(case, []), *tokens)]
    assert (
        len({comparable(verdict)[1][0] for verdict in seen if not isinstance(verdict, Token)}) > 5
    )


async def test_the_good_token_of_each_case_is_accepted_unless_the_case_is_the_fault() -> None:
    rejected = {"asap, used before", "asap, store down", "connect, malformed"}
    rejected |= {"client assertion, used before"}
    for name, case in CASES.items():
        verdict = await verdict_of(case, token_of(case, []))
        assert isinstance(verdict, Token) == (name not in rejected), (name, verdict)
