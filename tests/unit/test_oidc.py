"""ID tokens of workloads: what a policy demands of them."""

import threading
from typing import Any

import pytest

from asapfn import any_of, at_once, bearer, explain, oidc
from asapfn.checks import claim_equals
from asapfn.errors import TokenRejected
from asapfn.types import Request
from tests.support.forging import forge
from tests.support.provider import EC, ISSUER, RSA, Provider
from tests.support.verifying import NOW, clock

AUDIENCE = "https://billing.example"
CLAIMS = {
    "iss": ISSUER,
    "sub": "{repository}:{step}",
    "aud": AUDIENCE,
    "iat": NOW,
    "exp": NOW + 300,
}


def token(key: Any = RSA, **changes: Any) -> str:
    """A token, without the claims that are changed to None."""
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return forge(claims, key)


async def reason_of(text: str, *checks: Any, **options: Any) -> Any:
    """None for a token that is accepted, else the reason and the claim."""
    provider = Provider()
    asked: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "now": clock} | options
    try:
        await oidc.verifier(provider.resolve, *checks, **asked)(text)
    except TokenRejected as error:
        if error.reason not in ("unknown_key", "bad_signature") and not checks:
            assert provider.asked == []
        return error.reason, error.claim
    return None


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
async def test_a_workloads_token_is_accepted(key: Any) -> None:
    verify = oidc.verifier(Provider().resolve, issuer=ISSUER, audience=AUDIENCE, now=clock)
    assert (await verify(token(key))).claims["sub"] == "{repository}:{step}"
    assert (await verify(token(key, aud=[AUDIENCE]))).claims["aud"] == [AUDIENCE]


async def test_with_its_keys_in_the_cache_a_token_needs_no_event_loop() -> None:
    verify = oidc.verifier(Provider().resolve, issuer=ISSUER, audience=AUDIENCE, now=clock)
    await verify(token())
    verified: list[Any] = []
    # A thread has no event loop.
    thread = threading.Thread(target=lambda: verified.append(at_once(verify)(token(sub="other"))))
    thread.start()
    thread.join(10)
    assert verified[0].claims["sub"] == "other"


REFUSED: dict[str, tuple[dict[str, Any], Any]] = {
    "no iss": ({"iss": None}, ("missing_claim", "iss")),
    "no sub": ({"sub": None}, ("missing_claim", "sub")),
    "no aud": ({"aud": None}, ("missing_claim", "aud")),
    "no exp": ({"exp": None}, ("missing_claim", "exp")),
    "no iat": ({"iat": None}, ("missing_claim", "iat")),
    "another issuer": ({"iss": "https://other.example"}, ("issuer_not_allowed", "iss")),
    "the issuer with a slash": ({"iss": f"{ISSUER}/"}, ("issuer_not_allowed", "iss")),
    "another audience": ({"aud": "https://orders.example"}, ("wrong_audience", "aud")),
    "the audience with a slash": ({"aud": f"{AUDIENCE}/"}, ("wrong_audience", "aud")),
    "no audience in it": ({"aud": []}, ("wrong_audience", "aud")),
    "one audience more": ({"aud": [AUDIENCE, "vault"]}, ("wrong_audience", "aud")),
    "one audience more, first": ({"aud": ["vault", AUDIENCE]}, ("wrong_audience", "aud")),
    "expired": ({"iat": NOW - 400, "exp": NOW - 11}, ("expired", "exp")),
    "to come": ({"nbf": NOW + 11}, ("not_yet_valid", "nbf")),
    "a number as sub": ({"sub": 7}, ("invalid_claim", "sub")),
}


@pytest.mark.no_event_loop
@pytest.mark.parametrize(("changes", "expected"), REFUSED.values(), ids=REFUSED)
async def test_what_the_standard_demands_is_demanded_before_any_fetch(
    changes: dict[str, Any], expected: Any
) -> None:
    assert await reason_of(token(**changes)) == expected


async def test_the_same_audience_twice_is_one() -> None:
    assert await reason_of(token(aud=[AUDIENCE, AUDIENCE])) is None


async def test_other_audiences_pass_where_each_is_trusted() -> None:
    """OpenID Connect Core 1.0, section 3.1.3.7, 3: additional audiences that are not trusted."""
    both = token(aud=[AUDIENCE, "vault"])
    assert await reason_of(both, trusted_audiences=["vault"]) is None
    assert await reason_of(both, audience=[AUDIENCE, "vault"]) is None
    assert await reason_of(both, trusted_audiences=["other"]) == ("wrong_audience", "aud")
    third = token(aud=[AUDIENCE, "vault", "third"])
    assert await reason_of(third, trusted_audiences=["vault"]) == ("wrong_audience", "aud")
    # An audience that is trusted is not this service.
    alone = token(aud=["vault"])
    assert await reason_of(alone, trusted_audiences=["vault"]) == ("wrong_audience", "aud")


async def test_an_audience_that_is_not_trusted_is_named() -> None:
    policy = oidc.policy(Provider().resolve, issuer=ISSUER, audience=AUDIENCE, now=clock)
    found = await explain(token(aud=[AUDIENCE, "vault"]), policy)
    detail = f'expected no audience but "{AUDIENCE}", got ["{AUDIENCE}", "vault"]'
    assert found.verdict.args == ("wrong_audience", detail)
    assert found.hint.startswith("have the signer name this service alone")
    (step,) = [step for step in found.steps if step.outcome == "fail"]
    assert (step.rule, step.wants) == ("audiences are trusted", f'Each aud is "{AUDIENCE}"')


async def test_a_token_for_another_service_has_the_usual_hint() -> None:
    policy = oidc.policy(Provider().resolve, issuer=ISSUER, audience=AUDIENCE, now=clock)
    found = await explain(token(aud=f"{AUDIENCE}/"), policy)
    assert "differ only in a slash at the end" in found.hint


async def test_azp_is_ignored_unless_the_parties_are_named() -> None:
    """Core, errata set 2: implementations without an extension that defines it ignore it."""
    assert await reason_of(token(azp="client")) is None
    assert await reason_of(token(azp=7)) is None
    parties = {"authorized_parties": ["client", "other"]}
    assert await reason_of(token(azp="client"), **parties) is None
    assert await reason_of(token(azp=AUDIENCE), **parties) == ("invalid_claim", "azp")
    assert await reason_of(token(azp=["client"]), **parties) == ("invalid_claim", "azp")
    assert await reason_of(token(), **parties) == ("missing_claim", "azp")
    assert await reason_of(token(azp="clien"), authorized_parties="client") == (
        "invalid_claim",
        "azp",
    )


async def test_an_algorithm_that_is_not_accepted_is_refused_before_any_fetch() -> None:
    assert await reason_of(token(EC), algorithms=["RS256"]) == ("unsupported_algorithm", "alg")
    assert await reason_of(token(RSA), algorithms=["RS256"]) is None


async def test_lifetime_and_leeway_are_the_callers() -> None:
    assert await reason_of(token(), max_lifetime=300) is None
    assert await reason_of(token(), max_lifetime=299) == ("lifetime_too_long", "exp")
    late = token(iat=NOW - 400, exp=NOW - 9)
    assert await reason_of(late) is None
    assert await reason_of(late, leeway=0.0) == ("expired", "exp")


async def test_checks_decide_which_workload_it_is() -> None:
    check = claim_equals("repositoryUuid", "{r}")
    assert await reason_of(token(repositoryUuid="{r}"), check) is None
    assert await reason_of(token(repositoryUuid="{s}"), check) == (
        "invalid_claim",
        "repositoryUuid",
    )


async def test_several_issuers_are_several_policies() -> None:
    other = "https://other.example"
    first, second = Provider(), Provider(issuer=other)
    url = f"{other}/.well-known/openid-configuration"
    second.there[url] = second.there.pop(next(iter(second.there)))
    authenticate = any_of(
        bearer(oidc.verifier(first.resolve, issuer=ISSUER, audience=AUDIENCE, now=clock)),
        bearer(oidc.verifier(second.resolve, issuer=other, audience="b", now=clock)),
    )
    header = ("Authorization", f"Bearer {token()}")
    assert (await authenticate(Request("GET", "/", (header,)))).claims["iss"] == ISSUER
    header = ("Authorization", f"Bearer {token(iss=other)}")
    with pytest.raises(TokenRejected, match="issuer_not_allowed"):
        await authenticate(Request("GET", "/", (header,)))
    assert second.asked == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"issuer": [ISSUER]}, TypeError, "issuer is one str"),
        ({"issuer": None}, TypeError, "issuer is one str"),
        ({"audience": ()}, ValueError, "audience is empty"),
        ({"audience": None}, TypeError, "audience must be"),
        ({"audience": [7]}, TypeError, "audience must be"),
        ({"trusted_audiences": "vault"}, TypeError, "trusted_audiences is a collection"),
        ({"trusted_audiences": [7]}, TypeError, "trusted_audiences must be"),
        ({"authorized_parties": ()}, ValueError, "authorized_parties is empty"),
        ({"algorithms": "RS256"}, TypeError, "algorithms is a collection"),
        ({"algorithms": ["none"]}, ValueError, "unknown algorithm"),
        ({"leeway": -1.0}, ValueError, "leeway"),
        ({"remember": -1}, ValueError, "remember"),
    ],
)
def test_wrong_use_is_said(options: dict[str, Any], error: type[Exception], message: str) -> None:
    asked: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE} | options
    with pytest.raises(error, match=message):
        oidc.verifier(Provider().resolve, **asked)


@pytest.mark.parametrize("missing", ["issuer", "audience"])
def test_neither_issuer_nor_audience_has_a_default(missing: str) -> None:
    asked: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE}
    del asked[missing]
    for make in (oidc.policy, oidc.verifier):
        with pytest.raises(TypeError, match=missing):
            make(Provider().resolve, **asked)


def test_the_issuer_of_a_workspaces_pipelines() -> None:
    """Bitbucket Cloud, "Integrate Pipelines with resource servers using OIDC"."""
    assert oidc.bitbucket_pipelines("my-team_1") == (
        "https://api.bitbucket.org/2.0/workspaces/my-team_1/pipelines-config/identity/oidc"
    )


BAD_WORKSPACES = [
    "",
    "a/b",
    "..",
    "../evil",
    "a b",
    "a?x=",
    "a#b",
    "a%2fb",
    "é",
    "a\n",
    "{0}",
    "٣",
    "a@b",
    "a.b",
    "a\\b",
]


@pytest.mark.parametrize("workspace", BAD_WORKSPACES)
def test_a_workspace_that_leads_elsewhere_is_refused(workspace: str) -> None:
    with pytest.raises(ValueError, match="expected a workspace's ID"):
        oidc.bitbucket_pipelines(workspace)


def test_a_workspace_is_a_str() -> None:
    with pytest.raises(TypeError):
        oidc.bitbucket_pipelines(None)  # type: ignore[arg-type]
