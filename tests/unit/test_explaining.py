"""`explain`: every rule in order, one look-up, one verification, no effect on a bad token."""

from functools import partial
from typing import Any

import pytest
from joserfc.errors import KeyParameterError
from joserfc.jwk import RSAKey

from asapfn import Explanation, Step, explain, explaining
from asapfn._core.signing import sign
from asapfn._core.verification import policy, verifier
from asapfn.checks import has_scopes, not_replayed
from asapfn.errors import Reason, TokenRejected, Unavailable
from asapfn.guards import key_belongs_to_issuer
from asapfn.hints import hint
from asapfn.keys import import_secret
from asapfn.replay import in_memory
from asapfn.resolvers import jwks, pem_repository
from asapfn.types import Document, Key, Policy, Token, Unverified
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, KEY, NOW, RESOLVER, answer, clock, nobody_asks

pytestmark = pytest.mark.no_event_loop

EXPIRED = CLAIMS | {"iat": NOW - 60, "exp": NOW}


def asked(*checks: Any, resolver: Any = RESOLVER, **options: Any) -> Policy:
    return policy(resolver, *checks, **{"audience": "service", "now": clock} | options)


def outcomes(found: Explanation) -> dict[str, str]:
    return {step.rule: step.outcome for step in found.steps}


def step_of(found: Explanation, rule: str) -> Step:
    (step,) = [step for step in found.steps if step.rule == rule]
    return step


async def test_every_rule_is_there_in_the_order_in_which_it_is_applied() -> None:
    def issuer_is_known(unverified: Unverified) -> None:
        """The iss is known."""

    def role_is_known(token: Token) -> None:
        """The iss has a role."""

    rules = asked(
        role_is_known, guards=[issuer_is_known], required=["jti"], max_lifetime=60, typ="JWT"
    )
    expected = [
        "algorithm", "well formed", "claim types",
        "jti is there", "exp is there", "iat is there", "not expired", "exp is after iat",
        "lifetime", "nbf is before exp", "issued by now", "valid by now", "aud is there",
        "audience", "typ is in the header", "typ",
        "issuer is known", "key is found", "key fits", "signature", "not expired meanwhile",
        "role is known",
    ]  # fmt: skip
    found = await explain(sign(CLAIMS, KEY), rules)
    assert [step.rule for step in found.steps] == expected
    assert set(outcomes(found).values()) == {"pass", "skip"}
    skipped = await explain(b"no token", rules)
    assert [step.rule for step in skipped.steps] == expected
    assert list(outcomes(skipped).values()) == ["skip", "fail", *["skip"] * (len(expected) - 2)]


async def test_a_step_says_what_the_rule_saw_and_wants() -> None:
    def role_is_known(token: Token) -> None:
        """The iss has a role.

        And more about it.
        """

    rules = asked(role_is_known, leeway=10.0, max_lifetime=60, algorithms=["ES256"])
    found = await explain(sign(CLAIMS, KEY), rules)
    for rule, saw, wants in (
        ("algorithm", {"alg": "ES256"}, '"ES256"'),
        ("not expired", {"exp": NOW + 60}, "leeway 10 s"),
        ("lifetime", {"exp": NOW + 60, "iat": NOW}, "at most 60 s"),
        ("valid by now", {}, "no nbf"),
        ("audience", {"aud": "service"}, '"service"'),
        ("key is found", {"kid": KEY.kid}, ""),
        ("key fits", {"alg": "ES256", "kty": "EC"}, ""),
        ("role is known", {"iss": "issuer"}, "The iss has a role"),
    ):
        step = step_of(found, rule)
        assert (step.saw, step.wants) == (saw, wants)


async def test_the_verdict_is_the_verified_token() -> None:
    token = sign(CLAIMS, KEY)
    found = await explain(token, asked())
    assert found.verdict == await verifier(asked())(token)
    assert found.hint == ""


async def test_the_key_is_looked_up_once_and_the_signature_verified_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    really = explaining.verify_signature

    async def resolve(unverified: Unverified) -> Key | None:
        calls.append("resolve")
        return KEY

    def verify_signature(*arguments: Any) -> bool:
        calls.append("verify")
        return really(*arguments)

    monkeypatch.setattr(explaining, "verify_signature", verify_signature)
    for claims in (CLAIMS, EXPIRED, CLAIMS | {"aud": "another"}):
        await explain(sign(claims, KEY), asked(resolver=resolve))
        assert calls == ["resolve", "verify"]
        calls.clear()


async def test_a_token_that_a_guard_rejects_causes_no_look_up() -> None:
    def guard(unverified: Unverified) -> None:
        raise TokenRejected("issuer_not_allowed", "nobody is", claim="iss")

    found = await explain(sign(CLAIMS, KEY), asked(guards=[guard], resolver=nobody_asks))
    assert isinstance(found.verdict, TokenRejected)
    assert found.verdict.reason == "issuer_not_allowed"
    assert outcomes(found)["key is found"] == outcomes(found)["signature"] == "skip"


@pytest.mark.anyio
async def test_only_a_token_that_is_accepted_is_used_up() -> None:
    rules = asked(not_replayed(in_memory()))
    for refused in (
        sign(EXPIRED, KEY),
        sign(CLAIMS | {"aud": "another"}, KEY),
        sign(CLAIMS, key_for("ES256", "mallory"), kid=KEY.kid),
        forge(CLAIMS, KEY, kid="issuer/unknown"),
    ):
        found = await explain(refused, rules)
        assert outcomes(found)["not replayed"] == "skip"
        assert isinstance(found.verdict, TokenRejected)
    token = sign(CLAIMS, KEY)
    assert isinstance((await explain(token, rules)).verdict, Token)
    again = await explain(token, rules)
    assert isinstance(again.verdict, TokenRejected)
    assert (again.verdict.reason, outcomes(again)["not replayed"]) == ("replayed", "fail")


async def test_what_a_check_returns_is_not_awaited_for_a_token_that_is_rejected() -> None:
    class Later:
        """An awaitable that is no coroutine."""

        def __call__(self, token: Token) -> Any:
            return self

        def __await__(self) -> Any:
            raise AssertionError("it was awaited")

    found = await explain(sign(EXPIRED, KEY), asked(), Later())
    assert found.steps[-1].outcome == "skip"
    assert found.steps[-1].wants == "An awaitable that is no coroutine"


async def test_what_relies_on_an_earlier_rule_is_skipped_where_that_fails() -> None:
    def guard_of_role(unverified: Unverified) -> None:
        assert unverified.claims["role"]

    async def resolve(unverified: Unverified) -> Key | None:
        return KEY if unverified.claims["role"] else None

    def role_is_known(token: Token) -> None:
        assert token.claims["role"]

    rules = asked(role_is_known, required=["role"], guards=[guard_of_role], resolver=resolve)
    found = await explain(sign(CLAIMS, KEY), rules)
    assert isinstance(found.verdict, TokenRejected)
    assert (found.verdict.reason, found.verdict.claim) == ("missing_claim", "role")
    relying = ("guard of role", "key is found", "key fits", "signature", "role is known")
    assert {outcomes(found)[rule] for rule in relying} == {"skip"}
    good = await explain(sign(CLAIMS | {"role": "cook"}, KEY), rules)
    assert isinstance(good.verdict, Token)


def broken(given: Any) -> Any:
    raise ZeroDivisionError


async def broken_resolver(unverified: Unverified) -> Key | None:
    raise ZeroDivisionError


def returns_false(given: Any) -> Any:
    return False


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        (asked(guards=[broken]), ZeroDivisionError),
        (asked(broken), ZeroDivisionError),
        (asked(resolver=broken_resolver), ZeroDivisionError),
        (asked(guards=[returns_false]), TypeError),
        (asked(returns_false), TypeError),
        (asked(resolver=answer("no key")), TypeError),
        (asked()._replace(leeway=-1), ValueError),
    ],
)
async def test_wrong_use_is_raised_as_by_the_verifier(
    rules: Policy, error: type[Exception]
) -> None:
    token = sign(CLAIMS, KEY)
    with pytest.raises(error) as explained:
        await explain(token, rules)
    with pytest.raises(error) as verified:
        await verifier(rules)(token)
    assert str(explained.value) == str(verified.value)


@pytest.mark.parametrize("token", [None, 7, ["a.b.c"]])
async def test_a_token_is_a_str_or_bytes(token: Any) -> None:
    with pytest.raises(TypeError, match="a token is a str or bytes"):
        await explain(token, asked())


async def test_a_key_that_comes_late_is_seen() -> None:
    moment = float(NOW)

    async def slow(unverified: Unverified) -> Key | None:
        nonlocal moment
        moment = NOW + 60
        return KEY

    found = await explain(sign(CLAIMS, KEY), asked(resolver=slow, now=lambda: moment))
    assert step_of(found, "not expired").outcome == "pass"
    late = step_of(found, "not expired meanwhile").error
    assert isinstance(late, TokenRejected)
    assert (late.reason, late.claim) == ("expired", "exp")
    assert found.verdict is late


async def test_both_an_algorithm_and_a_form_that_are_wrong_are_shown() -> None:
    text = forge(CLAIMS, KEY, alg="HS256", signed_as="ES256")
    assert outcomes(await explain(text, asked()))["well formed"] == "pass"
    found = await explain(text + "=", asked())
    first = [outcomes(found)[rule] for rule in ("algorithm", "well formed", "claim types")]
    assert first == ["fail", "fail", "skip"]
    unknown = await explain(forge(CLAIMS, KEY, alg="none", signed_as="ES256"), asked())
    assert list(outcomes(unknown).values())[:3] == ["fail", "skip", "skip"]
    wrong = await explain(forge(CLAIMS | {"exp": "soon"}, KEY), asked())
    assert list(outcomes(wrong).values())[:3] == ["pass", "pass", "fail"]


# Hints


def test_an_outage_and_each_reason_has_a_hint() -> None:
    assert "try again" in hint(Unavailable("keys"))
    for reason in Reason.__args__:  # type: ignore[attr-defined]
        assert len(hint(TokenRejected(reason, claim="jti"))) > 15


@pytest.mark.parametrize(
    ("detail", "advice"),
    [
        ("certificate verify failed: self-signed certificate", "SSL_CERT_FILE"),
        (
            "certificate verify failed: unable to get local issuer certificate",
            "fetcher(httpx.AsyncClient(verify=...)), or by --cacert",
        ),
        ("certificate verify failed: Hostname mismatch", "host name that its certificate is for"),
        ("Name or service not known", "correct the host name in the URL"),
        ("status 401", "fetcher(headers=...)"),
        ("status 418", "try again"),
    ],
)
def test_what_to_do_about_an_outage_depends_on_its_cause(detail: str, advice: str) -> None:
    assert advice in hint(Unavailable("https://keys.example/", detail))
    caused = Unavailable("https://keys.example/")
    caused.__cause__ = OSError(detail)
    assert advice in hint(caused)


WHAT_IS_PUBLISHED = {
    "no JSON": (Document(200, "application/json", b"x"), "check what is published there"),
    "a page": (Document(200, "text/html", b"<html>"), "give the URL of the keys themselves"),
    "one JWK": (Document(200, "", b'{"kty": "EC"}'), "check what is published there"),
    "a list": (Document(200, "application/json", b"[]"), "check what is published there"),
    "a secret": (Document(200, "", b'{"keys": [{"kty": "oct"}]}'), "make a new key pair"),
    "not there": (Document(404, "", b""), "correct the URL of the keys"),
    "gone": (Document(410, "", b""), "correct the URL of the keys"),
    "not now": (Document(429, "", b""), "try again"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("what", WHAT_IS_PUBLISHED)
async def test_the_hint_for_a_key_set_is_about_what_is_published(what: str) -> None:
    """The second time too, when the source is not asked again."""
    document, advice = WHAT_IS_PUBLISHED[what]

    async def fetch(url: str, accept: str) -> Document:
        return document

    rules = asked(resolver=jwks("https://keys.example/", fetch))
    for _ in range(2):
        found = await explain(sign(CLAIMS, KEY), rules)
        assert isinstance(found.verdict, Unavailable)
        assert found.hint.startswith(advice)
        assert "x-pem-file" not in found.hint


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", b"no PEM"]
)
async def test_the_hint_for_a_repository_is_about_what_is_published(body: bytes) -> None:
    async def fetch(url: str, accept: str) -> Document:
        return Document(200, "application/x-pem-file", body)

    rules = asked(resolver=pem_repository("https://keys.example/", fetch))
    for _ in range(2):
        found = await explain(sign(CLAIMS, KEY), rules)
        assert found.hint.startswith("check what is published there")


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        (b'"a.b.c"', "in quotes"),
        ("a.b\n.c", "white space"),
        (b"\xff", "fewer than three segments"),
        ("a.b.c.d.e", "encrypted"),
        ("a.b.c.d", "more than three segments"),
        ("a.b.c", "check what was sent"),
    ],
)
def test_a_malformed_token_is_looked_at_closer(token: str | bytes, cause: str) -> None:
    assert cause in hint(TokenRejected("malformed"), token)


@pytest.mark.parametrize(
    ("aud", "cause"),
    [
        ("Service ", ""),
        ("service ", '"service " and "service" differ only in white space'),
        (["x", "SERVICE"], '"SERVICE" and "service" differ only in upper and lower case'),
        ("https://service/", "differ only in the scheme before it"),
        ("another", ""),
        ([], ""),
    ],
)
async def test_an_audience_that_is_nearly_right_is_shown(aud: Any, cause: str) -> None:
    found = await explain(sign(CLAIMS | {"aud": aud}, KEY), asked())
    assert found.hint.endswith("sign for this service's name, character for character")
    assert cause in found.hint


@pytest.mark.parametrize(
    ("aud", "what"),
    [
        ("https://svc.example:443", "the default port"),
        ("https://svc.example:443/", "the default port, upper and lower case, or a slash at the"),
        ("https://SVC.example", "upper and lower case"),
        ("HTTPS://SVC.example:443", "the default port, upper and lower case, or a slash at the"),
        ("https://svc.example/", "a slash at the end"),
        ("http://svc.example", "the scheme before it"),
        ("https://svc.example:8443", ""),
        ("https://svc.example:80", ""),
        ("http://svc.example:443", ""),
        ("https://svc.example:4430", ""),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
async def test_an_audience_that_differs_in_how_a_url_is_written_is_shown(
    aud: str, what: str, swapped: bool
) -> None:
    given, wanted = ("https://svc.example", aud) if swapped else (aud, "https://svc.example")
    found = await explain(sign(CLAIMS | {"aud": given}, KEY), asked()._replace(audience={wanted}))
    assert (f"differ only in {what}" if what else "sign for this service's name") in found.hint
    assert ("differ only" in found.hint) is bool(what)


async def test_a_scope_that_is_missing_is_explained_with_what_to_do() -> None:
    token = sign(CLAIMS | {"scope": "read"}, KEY)
    found = await explain(token, asked(has_scopes("read"), has_scopes("read", "write")))
    assert isinstance(found.verdict, TokenRejected)
    assert (found.verdict.reason, found.verdict.status) == ("insufficient_scope", 403)
    step = found.steps[-1]
    assert (step.rule, step.outcome, step.saw) == ("has scopes", "fail", {"scope": "read"})
    assert step.wants == 'scope includes "read" and "write"'
    assert found.hint == "have the caller ask for the scope, and the issuer grant it"


async def agree(token: str, rules: Policy) -> Explanation:
    """Assert that the verifier raises the verdict; returns the explanation."""
    with pytest.raises((TokenRejected, Unavailable)) as caught:
        await verifier(rules)(token)
    found = await explain(token, rules)
    assert not isinstance(found.verdict, Token)
    first = next(step.error for step in found.steps if step.outcome == "fail")
    assert found.verdict is first
    assert (type(first), first.args) == (type(caught.value), caught.value.args)
    return found


async def test_a_guard_may_rely_on_what_the_guards_before_it_demand() -> None:
    def has_tenant(unverified: Unverified) -> None:
        if "tenant" not in unverified.claims:
            raise TokenRejected("missing_claim", "no tenant", claim="tenant")

    def tenant_is_short(unverified: Unverified) -> None:
        if len(unverified.claims["tenant"]) > 9:
            raise TokenRejected("invalid_claim", "long", claim="tenant")

    def returns_a_value(unverified: Unverified) -> Any:
        return False

    rules = asked(guards=[has_tenant, tenant_is_short, returns_a_value], resolver=nobody_asks)
    found = await agree(sign(CLAIMS, KEY), rules)
    assert outcomes(found)["tenant is short"] == outcomes(found)["returns a value"] == "skip"


@pytest.mark.parametrize(
    ("claims", "typ"),
    [({"typ": "x", "exp": NOW}, None), ({"exp": NOW}, None), ({}, "JWT"), ({}, None)],
)
async def test_the_claim_typ_is_not_the_headers(claims: dict[str, Any], typ: str | None) -> None:
    rules = asked(required=["typ"], typ="JWT")
    await agree(forge(CLAIMS | claims, KEY, typ=typ), rules)


@pytest.mark.parametrize("alg", [None, "none", "ES384"])
@pytest.mark.parametrize("sound", [True, False])
async def test_the_algorithm_is_the_one_that_was_sent_whatever_a_resolver_does_to_the_header(
    alg: str | None, sound: bool
) -> None:
    async def resolve(unverified: Unverified) -> Key | None:
        unverified.header.pop("alg")
        if alg is not None:
            unverified.header["alg"] = alg
        return KEY

    rules = asked(resolver=resolve)
    if sound:
        assert isinstance((await explain(sign(CLAIMS, KEY), rules)).verdict, Token)
    else:
        forged = sign(CLAIMS, key_for("ES256", "mallory"), kid=KEY.kid)
        found = await agree(forged, rules)
        assert 'the ES256 key of kid "issuer/ES256.pem"' in str(found.verdict)


async def test_the_clock_is_not_read_again_for_a_token_that_is_rejected() -> None:
    times = iter([float(NOW)] * 2)  # one for the verifier, one for `explain`
    await agree(sign(CLAIMS | {"aud": "another"}, KEY), asked(now=lambda: next(times)))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_a_secret_that_is_also_base64_is_tried_without_a_rejection_of_its_own(
    algorithm: str,
) -> None:
    secret = import_secret("0123456789abcdef" * 4)  # decoded, it is too short for HS512
    if algorithm == "HS384":
        secret = import_secret("0123456789abcdef" * 3)
    forged = forge(CLAIMS, import_secret("x" * 64), signed_as=algorithm, alg=algorithm)
    found = await agree(forged, asked(resolver=answer(secret), algorithms=[algorithm]))
    assert isinstance(found.verdict, TokenRejected)
    assert found.verdict.reason == "bad_signature"


async def test_a_guards_words_may_hold_quotes_that_are_not_jsons() -> None:
    def issuer_is_a_service(unverified: Unverified) -> None:
        r"""The iss matches "svc-\d+", such as "Issuer"."""
        raise TokenRejected("issuer_not_allowed", "it does not match", claim="iss")

    found = await agree(sign(CLAIMS, KEY), asked(guards=[issuer_is_a_service]))
    assert found.hint.startswith('"issuer" and "Issuer" differ only in upper and lower case')


async def test_a_partial_is_named_by_its_function() -> None:
    found = await explain(
        sign(CLAIMS, KEY), asked(guards=[partial(key_belongs_to_issuer, direct=True)])
    )
    step = step_of(found, "key belongs to issuer")
    assert step.wants == "The kid begins with iss and a slash"
    assert step.saw == {"iss": "issuer", "kid": "issuer/ES256.pem"}


@pytest.mark.parametrize(
    ("claim", "advice"),
    [
        (None, "have the signer correct the claim"),
        ("\x1b[31ma\nb", r"have the signer correct \x1b[31ma\nb"),
        (5, "have the signer correct 5"),
        (("team", "id"), "have the signer correct ('team', 'id')"),
    ],
)
async def test_a_hint_names_a_claim_in_one_line_and_none_as_none(claim: Any, advice: str) -> None:
    """A check of the caller's may name any claim, as pydantic does one that should not be there."""

    def check(token: Token) -> None:
        raise TokenRejected("invalid_claim", claim=claim)

    assert (await agree(sign(CLAIMS, KEY), asked(check))).hint == advice


async def test_a_key_that_cannot_be_tried_is_nothing_to_a_token_that_is_rejected_before() -> None:
    wrong: Any = {"key_ops": 5}
    key = RSAKey(key_for("RS256").raw_value, key_for("RS256").raw_value, wrong)
    rules = asked(resolver=answer(key), algorithms=["RS256"])
    found = await agree(forge(EXPIRED, key_for("RS256"), alg="RS256"), rules)
    assert isinstance(found.verdict, TokenRejected)
    assert found.verdict.reason == "expired"
    assert [outcomes(found)[rule] for rule in ("key is found", "key fits", "signature")] == (
        ["skip"] * 3
    )
    with pytest.raises(KeyParameterError):
        await explain(forge(CLAIMS, key_for("RS256"), alg="RS256"), rules)


@pytest.mark.parametrize("claim", [None, "kid", "iss"])
@pytest.mark.parametrize(
    ("kid", "advice"),
    [("k", "publish the public key under this kid"), (None, "the token has no kid: ")],
)
async def test_the_hint_for_a_resolver_of_the_callers_is_about_the_kid_if_there_is_one(
    claim: str | None, kid: str | None, advice: str
) -> None:
    """It advised to publish the key under this kid where the resolver raised, and no kid was."""

    async def raises(unverified: Unverified) -> Key | None:
        raise TokenRejected("unknown_key", "no such team", claim=claim)

    token = forge(CLAIMS, KEY, kid=kid)
    assert (await agree(token, asked(resolver=raises))).hint.startswith(advice)
