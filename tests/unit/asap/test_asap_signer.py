"""ASAP, the sending side: what signs, when a token is made again, and what a request gets."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from asapfn import asap
from asapfn._core.verification import peek
from asapfn.keys import (
    export_data_uri,
    export_private_pem,
    export_public_pem,
    import_data_uri,
    import_pem,
    import_secret,
)
from asapfn.resolvers import keys_by_id
from asapfn.types import Key
from tests.support.keyring import key_for, renamed
from tests.support.keysources import Clock
from tests.support.verifying import NOW, clock

pytestmark = pytest.mark.no_event_loop

KEY = key_for("ES256")
ALGORITHMS = [f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)]


def claims_of(token: str) -> dict[str, Any]:
    return peek(token).claims


def named(kid: str | None, algorithm: str = "ES256") -> Key:
    return renamed(algorithm, kid=kid)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_each_of_the_nine_algorithms_signs_and_verifies(algorithm: str) -> None:
    key = key_for(algorithm)
    token = asap.signer("issuer", key, subject="issuer", additional={"mine": 1})("service")
    assert peek(token).header == {"alg": algorithm, "kid": f"issuer/{algorithm}.pem", "typ": "JWT"}
    verified = await asap.verifier(keys_by_id([key]), "service", issuers="issuer")(token)
    assert verified.claims["mine"] == 1


def test_without_reuse_each_token_is_new() -> None:
    sign_for = asap.signer("issuer", KEY)
    assert claims_of(sign_for("service"))["jti"] != claims_of(sign_for("service"))["jti"]


def test_making_a_signer_uses_up_no_moment_and_no_id() -> None:
    moments, ids = iter([NOW]), iter(["first"])
    sign_for = asap.signer("issuer", KEY, now=lambda: next(moments), new_jti=lambda: next(ids))
    assert claims_of(sign_for("service"))["jti"] == "first"


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_a_part_of_a_life_is_less_than_all_of_it(fraction: float) -> None:
    with pytest.raises(ValueError, match="reuse_fraction"):
        asap.signer("issuer", KEY, reuse_fraction=fraction)


def test_a_token_is_given_out_again_for_the_part_of_its_life_and_no_longer() -> None:
    clock = Clock(NOW)
    clock.now += 0.75
    sign_for = asap.signer("issuer", KEY, lifetime=100, reuse_fraction=0.9, now=clock)
    first = sign_for("service")
    # Its life began with its iat, a whole second.
    clock.now = NOW + 89.75
    assert sign_for("service") == first
    clock.now = NOW + 90
    second = sign_for("service")
    assert second != first
    assert claims_of(second)["iat"] == NOW + 90
    clock.now = NOW + 89.75
    assert sign_for("service") not in (first, second), (
        "a clock set back makes no token of the future"
    )


def test_a_token_is_kept_for_each_audience() -> None:
    sign_for = asap.signer("issuer", KEY, reuse_fraction=0.9, now=clock)
    audiences: list[Any] = ["a", "b", ["a"], ["a", "b"]]
    tokens = [sign_for(audience) for audience in audiences]
    assert [claims_of(token)["aud"] for token in tokens] == audiences
    assert [sign_for(audience) for audience in audiences] == tokens
    assert sign_for({"b", "a"}) == tokens[3]
    assert sign_for(("b", "a", "b")) == tokens[3]


def test_a_signer_holds_no_more_than_a_thousand_or_so_and_drops_the_oldest_in_use() -> None:
    made: list[int] = []

    def new_jti() -> str:
        made.append(1)
        return str(len(made))

    sign_for = asap.signer("issuer", KEY, reuse_fraction=0.9, now=clock, new_jti=new_jti)
    kept, dropped = sign_for("kept"), sign_for("dropped")
    for number in range(1022):
        sign_for(str(number))
    assert sign_for("kept") == kept
    sign_for("one more")
    assert sign_for("kept") == kept
    assert sign_for("1021")
    assert len(made) == 1025
    assert sign_for("dropped") != dropped


def test_a_token_that_was_renewed_is_in_use() -> None:
    clock = Clock(NOW)
    sign_for = asap.signer("issuer", KEY, reuse_fraction=0.5, now=clock)
    sign_for("kept")
    for number in range(1023):
        sign_for(str(number))
    clock.now += 30
    kept = sign_for("kept")
    sign_for("one more")
    assert sign_for("kept") == kept


def test_what_is_changed_after_the_signer_was_made_changes_no_token() -> None:
    more = {"mine": 1}
    sign_for = asap.signer("issuer", KEY, additional=more)
    more["mine"] = 2
    assert claims_of(sign_for("service"))["mine"] == 1


def test_threads_share_a_signer() -> None:
    sign_for = asap.signer("issuer", KEY, reuse_fraction=0.9, now=clock)
    start = threading.Barrier(8)

    def work(_: int) -> list[str]:
        start.wait()
        return [sign_for(str(number % 40)) for number in range(200)]

    with ThreadPoolExecutor(8) as pool:
        for tokens in pool.map(work, range(8)):
            for number, token in enumerate(tokens):
                assert claims_of(token)["aud"] == str(number % 40)
    assert [sign_for(str(n)) for n in range(40)] == [sign_for(str(n)) for n in range(40)]


@pytest.mark.parametrize("reuse_fraction", [0.0, 0.9])
def test_each_new_key_must_be_the_issuers_to_sign_with(reuse_fraction: float) -> None:
    current = KEY
    sign_for = asap.signer("issuer", lambda: current, reuse_fraction=reuse_fraction)
    assert sign_for("service")
    current = key_for("EdDSA")
    with pytest.raises(ValueError, match="ASAP signs with"):
        sign_for("service")
    current = KEY
    assert sign_for("service")


def test_a_new_key_is_used_at_once_even_where_tokens_are_reused() -> None:
    keys = [named("issuer/1"), named("issuer/2", "RS256")]
    current = keys[0]
    sign_for = asap.signer("issuer", lambda: current, reuse_fraction=0.9, now=clock)
    first = sign_for("service")
    assert sign_for("service") == first
    current = keys[1]
    second = sign_for("service")
    assert peek(second).header == {"alg": "RS256", "kid": "issuer/2", "typ": "JWT"}
    assert sign_for("service") == second


MISFITS: dict[str, Key] = {
    "no kid": named(None),
    "another's kid": named("other/key"),
    "the issuer's name and nothing more": named("issuer"),
    "a longer name": named("issuer-2/key"),
    "an ill-formed kid": named("issuer/../key"),
    "a kid with a space": named("issuer/a key"),
    "EdDSA": import_pem(export_private_pem(key_for("EdDSA")), kid="issuer/ed"),
    "a secret": import_secret(b"\x07" * 64, kid="issuer/secret"),
    "a public key": import_pem(export_public_pem(KEY), kid="issuer/public"),
}


@pytest.mark.parametrize("key", MISFITS.values(), ids=MISFITS)
def test_a_key_that_is_not_the_issuers_to_sign_with_is_refused_at_once(key: Key) -> None:
    for make in (
        lambda: asap.signer("issuer", key),
        lambda: asap.authorizer(asap.signer("issuer", key), "service"),
        lambda: asap.signer("issuer", lambda: key)("service"),
    ):
        with pytest.raises(ValueError, match=r"key|ASAP"):
            make()


def test_an_additional_claim_that_is_no_json_is_told_at_once() -> None:
    with pytest.raises(TypeError):
        asap.signer("issuer", KEY, additional={"mine": object()})


def test_an_authorizer_gives_a_bearer_token_whatever_the_request() -> None:
    sign = asap.signer(
        "issuer",
        KEY,
        subject="user",
        lifetime=30,
        additional={"mine": 1},
        reuse_fraction=0.5,
        now=clock,
        new_jti=lambda: "one",
    )
    authorize = asap.authorizer(sign, ["a", "b"])
    header = authorize("GET", "https://service.example/")
    assert authorize("POST", "https://elsewhere.example/") == header
    scheme, _, token = header.partition(" ")
    assert scheme == "Bearer"
    assert claims_of(token) == {
        "iss": "issuer",
        "sub": "user",
        "aud": ["a", "b"],
        "iat": NOW,
        "exp": NOW + 30,
        "jti": "one",
        "mine": 1,
    }


def test_a_data_uris_key_signs_under_its_own_key_id() -> None:
    key = import_data_uri(export_data_uri(named("issuer/a+b.pem")))
    assert peek(asap.signer("issuer", key)("service")).header["kid"] == "issuer/a+b.pem"


def test_an_authorizer_signs_with_what_the_environment_names() -> None:
    environ = {
        "ASAP_ISSUER": "issuer",
        "ASAP_PRIVATE_KEY": export_private_pem(KEY),
        "ASAP_KEY_ID": KEY.kid or "",
    }
    header = asap.authorizer(asap.signer_from_env(environ), "billing")("GET", "/")
    assert claims_of(header.removeprefix("Bearer "))["aud"] == "billing"


def test_an_authorizer_says_that_it_takes_a_function_that_signs() -> None:
    with pytest.raises(TypeError, match=r"asap\.signer"):
        asap.authorizer("issuer", "billing")  # type: ignore[arg-type]
