"""ASAP, the sending side."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from keyring import key_for

from asapfn.keys import (
    export_data_uri,
    export_private_pem,
    export_public_pem,
    import_data_uri,
    import_pem,
    import_secret,
)
from asapfn.profiles import asap
from asapfn.resolvers import keys_by_id
from asapfn.types import Key
from asapfn.verification import peek

NOW = 1_700_000_000
KEY = key_for("ES256")
ALGORITHMS = [f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)]


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def claims_of(token: str) -> dict[str, Any]:
    return peek(token).claims


def named(kid: str | None, algorithm: str = "ES256") -> Key:
    return import_pem(export_private_pem(key_for(algorithm)), kid=kid)


# claims


def test_claims_are_those_of_the_specification() -> None:
    made = asap.claims("issuer", "service", now=lambda: NOW + 0.9, new_jti=lambda: "one")
    assert made == {
        "iss": "issuer",
        "aud": "service",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "one",
    }


def test_claims_hold_what_else_was_asked_for() -> None:
    more = {"email": "a@example.com"}
    made = asap.claims(
        "issuer",
        {"service", "alias"},
        subject="user",
        lifetime=3600,
        additional=more,
        now=lambda: NOW,
        new_jti=lambda: "one",
    )
    assert made == {
        "iss": "issuer",
        "sub": "user",
        "aud": ["alias", "service"],
        "iat": NOW,
        "exp": NOW + 3600,
        "jti": "one",
        "email": "a@example.com",
    }
    assert more == {"email": "a@example.com"}


def test_a_token_lives_for_a_minute_unless_it_is_said() -> None:
    _, _, header = asap.authorizer("issuer", KEY, "service")("GET", "/").rpartition(" ")
    for token in (header, asap.signer("issuer", KEY)("service")):
        claims = claims_of(token)
        assert claims["exp"] - claims["iat"] == 60
    brief = asap.claims("issuer", "service", lifetime=0.5, now=lambda: NOW)
    assert brief["exp"] == NOW + 0.5


def test_claims_read_no_clock_and_no_chance_but_those_given() -> None:
    given: dict[str, Any] = {"now": lambda: 0.0, "new_jti": lambda: "one"}
    assert asap.claims("issuer", "service", **given) == asap.claims("issuer", "service", **given)


def test_each_id_is_another_random_uuid() -> None:
    ids = {asap.claims("issuer", "service")["jti"] for _ in range(100)}
    assert len(ids) == 100
    assert {uuid.UUID(each).version for each in ids} == {4}


@pytest.mark.parametrize("lifetime", [0, -1, 3600.5, 3601, float("nan"), float("inf")])
def test_a_lifetime_is_more_than_nothing_and_at_most_an_hour(lifetime: float) -> None:
    for make in (
        lambda: asap.claims("issuer", "service", lifetime=lifetime),
        lambda: asap.signer("issuer", KEY, lifetime=lifetime),
        lambda: asap.signer("issuer", lambda: KEY, lifetime=lifetime),
        lambda: asap.authorizer("issuer", lambda: KEY, "service", lifetime=lifetime),
    ):
        with pytest.raises(ValueError, match="lifetime"):
            make()


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp", "nbf", "jti"])
def test_additional_claims_do_not_replace_those_of_asap(name: str) -> None:
    with pytest.raises(ValueError, match="additional claims"):
        asap.claims("issuer", "service", additional={name: 1})
    with pytest.raises(ValueError, match="additional claims"):
        asap.signer("issuer", lambda: KEY, additional={name: 1})


@pytest.mark.parametrize(
    ("audience", "error"), [([], ValueError), ((), ValueError), ([1], TypeError), (7, TypeError)]
)
def test_an_audience_is_one_name_or_several(audience: Any, error: Any) -> None:
    for make in (
        lambda: asap.claims("issuer", audience),
        lambda: asap.authorizer("issuer", KEY, audience),
        lambda: asap.signer("issuer", KEY)(audience),
        lambda: asap.signer("issuer", KEY, reuse_fraction=0.5)(audience),
    ):
        with pytest.raises(error):
            make()


# signer and authorizer


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
    clock = Clock()
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
    sign_for = asap.signer("issuer", KEY, reuse_fraction=0.9, now=lambda: NOW)
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

    sign_for = asap.signer("issuer", KEY, reuse_fraction=0.9, now=lambda: NOW, new_jti=new_jti)
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
    clock = Clock()
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
    sign_for = asap.signer("issuer", KEY, reuse_fraction=0.9, now=lambda: NOW)
    start = threading.Barrier(8)

    def work(_: int) -> list[str]:
        start.wait()
        return [sign_for(str(number % 40)) for number in range(200)]

    with ThreadPoolExecutor(8) as pool:
        for tokens in pool.map(work, range(8)):
            for number, token in enumerate(tokens):
                assert claims_of(token)["aud"] == str(number % 40)
    assert [sign_for(str(n)) for n in range(40)] == [sign_for(str(n)) for n in range(40)]


def test_a_new_key_is_used_at_once_even_where_tokens_are_reused() -> None:
    keys = [named("issuer/1"), named("issuer/2", "RS256")]
    current = keys[0]
    sign_for = asap.signer("issuer", lambda: current, reuse_fraction=0.9, now=lambda: NOW)
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
        lambda: asap.authorizer("issuer", key, "service"),
        lambda: asap.signer("issuer", lambda: key)("service"),
    ):
        with pytest.raises(ValueError, match=r"key|ASAP"):
            make()


def test_an_additional_claim_that_is_no_json_is_told_at_once() -> None:
    with pytest.raises(TypeError):
        asap.signer("issuer", KEY, additional={"mine": object()})


def test_an_authorizer_gives_a_bearer_token_whatever_the_request() -> None:
    authorize = asap.authorizer(
        "issuer",
        KEY,
        ["a", "b"],
        subject="user",
        lifetime=30,
        additional={"mine": 1},
        reuse_fraction=0.5,
        now=lambda: NOW,
        new_jti=lambda: "one",
    )
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


# private_key_directory

Put = Callable[[str, str], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Puts a file among the issuer's keys."""

    def write(name: str, text: str) -> Path:
        file = tmp_path / "team" / "issuer" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


def pem(algorithm: str = "ES256", issuer: str = "issuer") -> str:
    return export_private_pem(key_for(algorithm, issuer))


def directory(tmp_path: Path, clock: Clock) -> Callable[[], Key]:
    return asap.private_key_directory(tmp_path, "team/issuer", refresh=60, clock=clock)


def test_the_last_pem_file_by_name_is_the_key_in_use(tmp_path: Path, put: Put) -> None:
    put("2025-01.pem", "no key, and never looked at")
    put("2026-01.pem", pem())
    put("2027-01.der", "of another extension")
    put("2027-01.pem.tmp", "not there yet")
    key = asap.private_key_directory(str(tmp_path), "team/issuer")()
    assert key.kid == "team/issuer/2026-01.pem"
    token = asap.signer("team/issuer", key)("service")
    assert peek(token).header["kid"] == "team/issuer/2026-01.pem"


def test_a_key_is_replaced_by_adding_a_file(tmp_path: Path, put: Put) -> None:
    clock = Clock()
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    sign_for = asap.signer("team/issuer", key_of_the_moment, reuse_fraction=0.9, now=lambda: NOW)
    first = sign_for("service")
    put("2.pem", pem("RS256"))
    clock.now += 59.5
    assert sign_for("service") == first
    clock.now += 0.5
    assert peek(sign_for("service")).header["kid"] == "team/issuer/2.pem"
    put("3.pem", pem())
    clock.now += 59.5
    assert key_of_the_moment().kid == "team/issuer/2.pem"
    # Taken back.
    (tmp_path / "team/issuer/3.pem").unlink()
    (tmp_path / "team/issuer/2.pem").unlink()
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/1.pem"


def test_a_directory_is_read_once_a_minute_unless_it_is_said(tmp_path: Path, put: Put) -> None:
    clock = Clock()
    put("1.pem", pem())
    key_of_the_moment = asap.private_key_directory(tmp_path, "team/issuer", clock=clock)
    put("2.pem", pem("RS256"))
    clock.now += 59.5
    assert key_of_the_moment().kid == "team/issuer/1.pem"
    clock.now += 0.5
    assert key_of_the_moment().kid == "team/issuer/2.pem"


def test_the_same_key_under_a_new_name_has_the_new_key_id(tmp_path: Path, put: Put) -> None:
    clock = Clock()
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    put("2.pem", pem())
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/2.pem"


def test_a_key_that_did_not_change_stays_the_same_so_that_tokens_are_reused(
    tmp_path: Path, put: Put
) -> None:
    clock = Clock()
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    first = key_of_the_moment()
    clock.now += 60
    assert key_of_the_moment() is first


USELESS = {
    "half written": pem()[:100],
    "empty": "",
    "a public key": export_public_pem(KEY),
    "encrypted": export_private_pem(KEY, "password"),
    "two keys": pem() * 2,
    "EdDSA": pem("EdDSA"),
}


@pytest.mark.parametrize("text", USELESS.values(), ids=USELESS)
def test_a_newest_file_that_is_no_key_leaves_the_one_in_use(
    tmp_path: Path, put: Put, text: str
) -> None:
    clock = Clock()
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    first = key_of_the_moment()
    file = put("2.pem", text)
    clock.now += 60
    assert key_of_the_moment() is first
    file.write_text(pem("RS256"))
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/2.pem"


@pytest.mark.parametrize("name", ["a key.pem", "k\u00e9y.pem", "z~.pem"])
def test_a_newest_file_whose_name_makes_no_key_id_leaves_the_one_in_use(
    tmp_path: Path, put: Put, name: str
) -> None:
    clock = Clock()
    put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    put(name, pem("RS256"))
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/1.pem"
    with pytest.raises(ValueError, match="kid"):
        directory(tmp_path, clock)


def test_a_folder_or_a_link_to_nothing_by_the_name_of_a_key_leaves_the_one_in_use(
    tmp_path: Path, put: Put
) -> None:
    clock = Clock()
    file = put("1.pem", pem())
    key_of_the_moment = directory(tmp_path, clock)
    for make in (
        lambda: file.with_name("2.pem").mkdir(),
        lambda: file.with_name("3.pem").symlink_to(tmp_path / "nowhere"),
    ):
        make()
        clock.now += 60
        assert key_of_the_moment().kid == "team/issuer/1.pem"
        with pytest.raises(OSError, match="directory"):
            directory(tmp_path, clock)


def test_a_directory_that_goes_away_leaves_the_key_in_use(tmp_path: Path, put: Put) -> None:
    clock = Clock()
    folder = put("1.pem", pem()).parent
    key_of_the_moment = directory(tmp_path, clock)
    folder.rename(tmp_path / "moved")
    clock.now += 60
    assert key_of_the_moment().kid == "team/issuer/1.pem"


@pytest.mark.parametrize("text", USELESS.values(), ids=USELESS)
def test_a_directory_without_a_usable_key_is_refused_at_once(
    tmp_path: Path, put: Put, text: str
) -> None:
    put("1.pem", text)
    with pytest.raises(ValueError, match=r"key|ASAP|PEM") as raised:
        asap.private_key_directory(tmp_path, "team/issuer")
    assert "PRIVATE" not in str(raised.value)


def test_a_directory_that_is_missing_or_empty_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no \*\.pem file"):
        asap.private_key_directory(tmp_path / "missing", "issuer")
    (tmp_path / "issuer").mkdir()
    with pytest.raises(ValueError, match=r"no \*\.pem file"):
        asap.private_key_directory(tmp_path, "issuer")


def test_a_data_uris_key_signs_under_its_own_key_id() -> None:
    key = import_data_uri(export_data_uri(named("issuer/a+b.pem")))
    assert peek(asap.signer("issuer", key)("service")).header["kid"] == "issuer/a+b.pem"
