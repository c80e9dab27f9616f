"""What a verified token must also satisfy."""

import hashlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn import checks
from asapfn._core.canonical import qsh
from asapfn._core.signing import sign
from asapfn._core.verification import verify
from asapfn.errors import TokenRejected, Unavailable
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id
from asapfn.types import Check, ReplayStore, Token
from tests.support.keyring import key_for
from tests.support.verifying import NOW, clock


def token(**claims: Any) -> Token:
    return Token({"alg": "ES256"}, claims, NOW, NOW + 60)


async def told(check: Check, verified: Token) -> tuple[str, str | None] | None:
    """What a check says: None where it lets the token pass."""
    try:
        later = check(verified)
        if later is not None:
            await later
    except TokenRejected as error:
        return error.reason, error.claim
    return None


def recording(answer: Any = True) -> tuple[ReplayStore, list[tuple[str, float]]]:
    """A store that keeps what it is asked."""
    asked: list[tuple[str, float]] = []

    async def store(token_id: str, ttl_seconds: float) -> Any:
        asked.append((token_id, ttl_seconds))
        return answer

    return store, asked


async def test_the_subject_must_be_the_issuer_where_there_is_one() -> None:
    check = checks.subject_is_issuer()
    assert await told(check, token(iss="issuer")) is None
    assert await told(check, token()) is None
    assert await told(check, token(iss="issuer", sub="issuer")) is None
    for subject in ("another", "", "Issuer", "issuer/team"):
        assert await told(check, token(iss="issuer", sub=subject)) == ("subject_mismatch", "sub")
    assert await told(check, token(sub="issuer")) == ("subject_mismatch", "sub")


@pytest.mark.no_event_loop
@pytest.mark.parametrize("value", ["a", "", 1, 1.5, True, None, ["a"], {"a": [1]}])
async def test_a_claim_must_equal_the_value(value: Any) -> None:
    check = checks.claim_equals("mine", value)
    assert await told(check, token(mine=value)) is None
    assert await told(check, token(mine="another")) == ("invalid_claim", "mine")
    assert await told(check, token(other=value)) == ("missing_claim", "mine")


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    ("value", "given_value"),
    [
        *[(True, 1), (1, True), (0, False), (1, 1.0), (1, "1"), ("a", ["a"]), (None, False)],
        *[("", None), ([1], [True]), ({"a": [0, 1]}, {"a": [0, 1.0]}), ([{"a": 1}], [{"a": True}])],
    ],
)
async def test_a_value_of_another_type_is_another(value: Any, given_value: Any) -> None:
    check = checks.claim_equals("mine", value)
    assert await told(check, token(mine=given_value)) == ("invalid_claim", "mine")


@pytest.mark.parametrize(
    ("check", "claims", "told_of_it"),
    [
        (
            checks.subject_is_issuer(),
            {"sub": "ann"},
            'subject_mismatch: expected the iss, null, or no sub; got "ann"',
        ),
        (checks.claim_equals("mine", "a"), {}, "missing_claim: the token has no mine"),
        (
            checks.claim_equals("mine", "a"),
            {"mine": "b\n"},
            'invalid_claim: mine: expected "a", got "b\\n"',
        ),
        (checks.context_token(), {}, "missing_claim: the token has no qsh"),
        (
            checks.context_token(),
            {"qsh": "x" * 300},
            f'request_mismatch: expected context-qsh; got "{"x" * 199}...',
        ),
        (
            checks.not_replayed(in_memory()),
            {"iss": "a", "exp": NOW},
            "missing_claim: the token has no jti",
        ),
        (
            checks.not_replayed(recording(False)[0]),
            {"iss": "a", "jti": "1", "exp": NOW},
            'replayed: expected a jti that was not used before, got "1" of iss "a"',
        ),
    ],
    ids=["subject", "no claim", "claim", "no qsh", "qsh", "no jti", "jti"],
)
async def test_a_refusal_says_what_was_expected_and_what_was_seen(
    check: Check, claims: dict[str, Any], told_of_it: str
) -> None:
    with pytest.raises(TokenRejected) as refused:
        later = check(token(**claims))
        if later is not None:
            await later
    assert str(refused.value) == told_of_it


async def test_a_token_made_for_the_request_matches_and_no_other_does() -> None:
    target = "/base/issues?b=2&a=1"
    check = checks.request_matches("GET", target, base_url="https://app.example/base")
    made = qsh("GET", "/issues?a=1&b=2")
    assert await told(check, token(qsh=made)) is None
    assert await told(check, token()) == ("missing_claim", "qsh")
    assert await told(check, token(qsh=None)) == ("missing_claim", "qsh")
    others = [qsh("POST", "/issues?a=1&b=2"), qsh("GET", "/issues?a=1"), made.upper(), made[:-1]]
    for other in [*others, "", checks.CONTEXT_QSH, 7, True, [made], "\u00e9"]:
        assert await told(check, token(qsh=other)) == ("request_mismatch", "qsh")


async def test_a_form_stands_in_for_an_empty_query() -> None:
    check = checks.request_matches("POST", "/issues", form=b"b=2&a=1")
    assert await told(check, token(qsh=qsh("POST", "/issues?a=1&b=2"))) is None


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    ("method", "target", "form", "decoded"),
    [
        ("GET", "/base/a%2Fb/?x=1&jwt=y", None, b"GET&/a/b&x=1"),
        ("GET", "/base/%26?x=1", None, b"GET&/%26&x=1"),
        ("POST", "/base/a%20b", b"b=2&a=1", b"POST&/a b&a=1&b=2"),
    ],
)
async def test_the_hash_of_a_decoded_path_matches_by_option_only(
    method: str, target: str, form: Any, decoded: bytes
) -> None:
    strict = checks.request_matches(method, target, base_url="/base", form=form)
    lax = checks.request_matches(method, target, base_url="/base", form=form, decoded_path=True)
    as_sent = qsh(method, target, base_url="/base", form=form)
    made = hashlib.sha256(decoded).hexdigest()
    for check in (strict, lax):
        assert await told(check, token(qsh=as_sent)) is None
        assert await told(check, token()) == ("missing_claim", "qsh")
        for other in (made.upper(), "", 7, [made], checks.CONTEXT_QSH):
            assert await told(check, token(qsh=other)) == ("request_mismatch", "qsh")
    assert await told(lax, token(qsh=made)) is None
    assert (await told(strict, token(qsh=made)) is None) == (made == as_sent)
    with pytest.raises(TokenRejected, match=rf'expected {as_sent}, the hash of "{method}&'):
        lax(token(qsh="x"))


@pytest.mark.no_event_loop
@pytest.mark.parametrize("given", ["", hashlib.sha256(b"GET&/\xff&").hexdigest()])
async def test_a_path_that_is_no_utf8_has_no_decoded_hash(given: str) -> None:
    check = checks.request_matches("GET", "/%FF", decoded_path=True)
    assert await told(check, token(qsh=given)) == ("request_mismatch", "qsh")


@pytest.mark.parametrize("base_url", ["https://[", "app.example/base", "/base?a"])
def test_a_malformed_base_url_is_an_error_when_the_check_is_made(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        checks.request_matches("GET", "/base/", base_url=base_url)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({"target": "/issues?a=%zz"}, "malformed"),
        ({"target": "/issues?a=%FF"}, "UTF-8"),
        ({"target": "/%zz"}, "path"),
        ({"method": "G T"}, "method"),
        ({"method": "POST", "form": "a=%zz"}, "malformed"),
        ({"method": "POST", "form": b"\xff"}, "UTF-8"),
    ],
)
def test_a_request_that_is_malformed_is_refused_and_no_error(sent: Any, why: str) -> None:
    """What anybody may send must not be a ValueError, which a server would answer by 500."""
    check = checks.request_matches(**{"method": "GET", "target": "/issues"} | sent)
    with pytest.raises(TokenRejected, match=why) as refused:
        check(token(qsh=qsh("GET", "/issues")))
    assert (refused.value.reason, refused.value.claim) == ("request_mismatch", "qsh")
    assert refused.value.__context__ is None


async def test_the_fixed_qsh_is_taken_alone() -> None:
    check = checks.context_token()
    assert await told(check, token(qsh="context-qsh")) is None
    assert await told(check, token()) == ("missing_claim", "qsh")
    for other in (qsh("GET", "/"), "Context-qsh", "", ["context-qsh"]):
        assert await told(check, token(qsh=other)) == ("request_mismatch", "qsh")


async def test_a_token_is_used_once_by_issuer_and_id_together() -> None:
    check = checks.not_replayed(in_memory())
    for issuer, jti in (("a", "1"), ("a", "2"), ("b", "1")):
        one = token(iss=issuer, jti=jti, exp=NOW + 60)
        assert await told(check, one) is None
        assert await told(check, one) == ("replayed", "jti")


@given(pairs=st.lists(st.tuples(st.text(), st.text()), min_size=2, max_size=2, unique=True))
async def test_two_tokens_never_share_an_identity(pairs: list[tuple[str, str]]) -> None:
    store, asked = recording()
    for issuer, jti in pairs:
        assert await told(checks.not_replayed(store), token(iss=issuer, jti=jti, exp=1)) is None
    assert asked[0][0] != asked[1][0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b:c"), ("a:b", "c")),
        (("a/b", "c"), ("a", "b/c")),
        (("ab", "c"), ("a", "bc")),
        (("1:a", "b"), ("1", ":ab")),
        (("", "1:ab"), ("a", "b")),
        (("x:x", "j"), ("x", ":x:xj")),
        (("a" * 11, "b"), ("1", "a" * 11 + "b")),
        (("a", ""), ("", "a")),
        (("\u00e9", "x"), ("e\u0301", "x")),
    ],
)
async def test_names_that_look_alike_joined_are_two(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    check = checks.not_replayed(in_memory())
    for issuer, jti in (one, other):
        assert await told(check, token(iss=issuer, jti=jti, exp=NOW + 60)) is None


async def test_an_identity_is_short_and_plain_whatever_the_token_holds() -> None:
    store, asked = recording()
    await told(checks.not_replayed(store), token(iss="i" * 9000, jti="\x00\n\U0001f511", exp=1))
    assert re.fullmatch(r"[0-9a-f]{16}:[0-9a-f]{64}", asked[0][0])


async def test_an_identity_is_the_same_in_every_release() -> None:
    """Processes of two releases may share a store, while one takes the other's place."""
    store, asked = recording()
    await told(checks.not_replayed(store), token(iss="issuer", jti="id-1", exp=1))
    both = hashlib.sha256(b"6:issuerid-1").hexdigest()
    assert asked[0][0] == f"{hashlib.sha256(b'issuer').hexdigest()[:16]}:{both}"


async def test_a_store_sees_which_tokens_share_an_issuer() -> None:
    store, asked = recording()
    for issuer, jti in (("a", "1"), ("a", "2"), ("b", "1"), ("a:", "1"), ("", "1")):
        await told(checks.not_replayed(store), token(iss=issuer, jti=jti, exp=1))
    assert len({token_id for token_id, _ in asked}) == 5
    one, two, *others = (token_id.partition(":")[0] for token_id, _ in asked)
    assert one == two
    assert len({one, *others}) == 4


@pytest.mark.parametrize("name", ["iss", "jti", "exp"])
async def test_a_token_without_an_identity_or_an_end_never_reaches_the_store(name: str) -> None:
    store, asked = recording()
    claims = {n: v for n, v in {"iss": "a", "jti": "1", "exp": NOW}.items() if n != name}
    assert await told(checks.not_replayed(store), token(**claims)) == ("missing_claim", name)
    assert asked == []


async def test_an_id_lives_a_minute_longer_than_its_token_leeway_included() -> None:
    store, asked = recording()
    key = key_for("ES256")
    claims = {"iss": "issuer", "jti": "1", "exp": NOW + 60}
    for moment, leeway in ((NOW, 0), (NOW + 20, 10), (NOW + 69.5, 10)):
        await verify(
            sign(claims, key),
            keys_by_id([key]),
            checks.not_replayed(store),
            leeway=leeway,
            now=lambda moment=moment: moment,
        )
    assert [ttl for _, ttl in asked] == [120, 110, 60.5]


async def test_a_token_is_not_used_up_by_one_that_is_refused() -> None:
    """Neither by a forgery with the same id, nor by itself where an earlier check refuses it."""
    store, asked = recording()
    key, mallory = key_for("ES256"), key_for("ES256", "mallory")
    claims = {"iss": "issuer", "sub": "other", "jti": "1", "exp": NOW + 60}
    forged = sign(claims, mallory, kid=key.kid)
    for one in (forged, sign(claims, key)):
        with pytest.raises(TokenRejected):
            await verify(
                one,
                keys_by_id([key]),
                checks.subject_is_issuer(),
                checks.not_replayed(store),
                now=clock,
            )
    assert asked == []


@pytest.mark.parametrize("answer", [False, None, 0, 1, "OK", [True]])
async def test_only_true_from_a_store_lets_a_token_pass(answer: Any) -> None:
    store, _ = recording(answer)
    assert await told(checks.not_replayed(store), token(iss="a", jti="1", exp=1)) == (
        "replayed",
        "jti",
    )


async def test_a_store_that_cannot_tell_is_unavailable_never_a_pass() -> None:
    check = checks.not_replayed(in_memory(max_entries=1))
    assert await told(check, token(iss="a", jti="1", exp=NOW + 60)) is None
    with pytest.raises(Unavailable, match="replay store"):
        await told(check, token(iss="a", jti="2", exp=NOW + 60))
    assert await told(check, token(iss="a", jti="1", exp=NOW + 60)) == ("replayed", "jti")


@pytest.mark.no_event_loop
@pytest.mark.parametrize("values", [("a",), ("a", "b"), ("b", "c"), (1,), (None,)])
@pytest.mark.parametrize("any_value", [False, True])
async def test_a_claim_must_include_the_values(values: Any, any_value: bool) -> None:
    check = checks.claim_includes("groups", *values, any_of=any_value)
    assert await told(check, token(groups=["x", *values])) is None
    one = ["x", values[0]]
    expected = None if any_value or len(values) == 1 else ("invalid_claim", "groups")
    assert await told(check, token(groups=one)) == expected
    for none in ([], ["x"], [list(values)]):
        assert await told(check, token(groups=none)) == ("invalid_claim", "groups")
    assert await told(check, token()) == ("missing_claim", "groups")


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    "given_value", ["admin", "administrator", {"admin": 1}, None, 1, ["Admin"], ["administrator"]]
)
async def test_a_part_of_a_text_or_a_key_of_an_object_is_not_included(given_value: Any) -> None:
    for any_value in (False, True):
        check = checks.claim_includes("groups", "admin", any_of=any_value)
        assert await told(check, token(groups=given_value)) == ("invalid_claim", "groups")


@pytest.mark.no_event_loop
@pytest.mark.parametrize(("value", "given_value"), [(True, 1), (1, True), (0, False), (1, 1.0)])
async def test_an_included_value_is_of_the_same_type(value: Any, given_value: Any) -> None:
    check = checks.claim_includes("levels", value)
    assert await told(check, token(levels=[given_value])) == ("invalid_claim", "levels")
    one_of = checks.claim_is_one_of("levels", [value])
    assert await told(one_of, token(levels=given_value)) == ("invalid_claim", "levels")


async def test_a_claim_must_be_one_of_the_values() -> None:
    check = checks.claim_is_one_of("stage", ["test", 7, None])
    for value in ("test", 7, None):
        assert await told(check, token(stage=value)) is None
    for value in ("tes", "", 8, True, ["test"], {"test": 1}):
        assert await told(check, token(stage=value)) == ("invalid_claim", "stage")
    assert await told(check, token()) == ("missing_claim", "stage")
    for value in ("t", "es", ""):
        one = checks.claim_is_one_of("stage", "test")
        assert await told(one, token(stage=value)) == ("invalid_claim", "stage")


async def test_an_iterator_of_values_is_not_used_up() -> None:
    values: Any = iter(["a", "b"])
    check = checks.claim_is_one_of("stage", values)
    assert [await told(check, token(stage=value)) for value in "abab"] == [None] * 4


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    ("scope", "scopes", "expected"),
    [
        ("read", ["read"], None),
        ("read write", ["write", "read"], None),
        ("  read   write ", ["read"], None),
        ("read", ["write"], "insufficient_scope"),
        ("read", ["read", "write"], "insufficient_scope"),
        ("readwrite", ["read"], "insufficient_scope"),
        ("Read", ["read"], "insufficient_scope"),
        ("read\twrite", ["read"], "insufficient_scope"),
        ("read,write", ["read"], "insufficient_scope"),
        ("", ["read"], "insufficient_scope"),
        (None, ["read"], "insufficient_scope"),
        (["read"], ["read"], "invalid_claim"),
        ({"read": 1}, ["read"], "invalid_claim"),
        (1, ["read"], "invalid_claim"),
    ],
)
async def test_each_scope_must_have_been_granted(
    scope: Any, scopes: list[str], expected: str | None
) -> None:
    claims = {} if scope is None else {"scope": scope}
    outcome = await told(checks.has_scopes(*scopes), token(**claims))
    assert outcome == (None if expected is None else (expected, "scope"))


async def test_a_null_scope_is_of_the_wrong_type() -> None:
    null = token(scope=None)
    assert await told(checks.has_scopes("read"), null) == ("invalid_claim", "scope")


def test_a_scope_that_is_missing_is_forbidden_and_the_detail_says_which() -> None:
    with pytest.raises(TokenRejected) as raised:
        checks.has_scopes("read", "write", "admin")(token(scope="read \x1b[31m"))
    assert raised.value.status == 403
    assert raised.value.detail == 'expected "admin" and "write", got "read \\u001b[31m"'


def test_the_other_checks_say_what_was_expected_and_what_was_seen() -> None:
    for check, detail in (
        (checks.claim_includes("g", "a", "b"), 'g: expected "a" and "b", got ["c"]'),
        (checks.claim_includes("g", "a", "b", any_of=True), 'g: expected "a" or "b", got ["c"]'),
        (checks.claim_is_one_of("g", ["a", 1]), 'g: expected "a" or 1, got ["c"]'),
    ):
        with pytest.raises(TokenRejected) as raised:
            check(token(g=["c"]))
        assert raised.value.detail == detail


@pytest.mark.parametrize("scope", ["", "a b", 'a"', "a\\", "a\n", "é", "a\x00"])
def test_a_scope_is_one_as_rfc_6749_has_it(scope: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        checks.has_scopes(scope)


def test_a_check_of_nothing_would_let_everybody_in() -> None:
    empty: list[str] = []
    with pytest.raises(ValueError, match=r"^at least one scope is"):
        checks.has_scopes()
    with pytest.raises(ValueError, match=r"^at least one value is"):
        checks.claim_includes("groups")
    with pytest.raises(ValueError, match=r"^at least one value is"):
        checks.claim_is_one_of("groups", empty)
    with pytest.raises(TypeError, match=r"^a scope must be a str"):
        checks.has_scopes(["read"])  # type: ignore[arg-type]


def test_a_check_says_what_it_wants_to_explain() -> None:
    assert checks.claim_equals("role", "cook").__doc__ == 'role is "cook"'
    assert checks.claim_includes("groups", "a", "b").__doc__ == 'groups includes "a" and "b"'
    assert checks.claim_is_one_of("role", ["b", "a"]).__doc__ == 'role is "b" or "a"'
    assert checks.has_scopes("read", "write").__doc__ == 'scope includes "read" and "write"'


async def test_a_token_without_a_scope_has_none_and_one_that_is_no_text_is_shown() -> None:
    with pytest.raises(TokenRejected, match=r'expected "read", got ""$'):
        checks.has_scopes("read")(token())
    with pytest.raises(TokenRejected, match=r'expected a text, got \["read"\]$'):
        checks.has_scopes("read")(token(scope=["read"]))
    with pytest.raises(ValueError, match=r"^a scope is one word of printable ASCII"):
        checks.has_scopes("two words")


def test_the_request_that_was_expected_is_shown_with_its_form() -> None:
    matches = checks.request_matches("POST", "/a", form="b=1")
    with pytest.raises(TokenRejected, match="POST&/a&b=1"):
        matches(token(qsh="0" * 64))


def test_a_method_in_lower_case_is_refused_in_words() -> None:
    with pytest.raises(TokenRejected, match=r": the method is not in upper case$"):
        checks.request_matches("get", "/a")(token(qsh=qsh("GET", "/a")))


def test_an_ampersand_of_a_decoded_path_is_not_where_the_query_begins() -> None:
    """Java's hash over `/ä%26b`, whose path is decoded but for the ampersand."""

    def accepts(canonical: str) -> bool:
        verified = token(qsh=hashlib.sha256(canonical.encode()).hexdigest())
        try:
            checks.require_request("GET", "/%C3%A4%26b", "", None, verified, decoded_path=True)
        except TokenRejected:
            return False
        return True

    assert accepts("GET&/ä%26b&")
    assert not accepts("GET&/ä&b&")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/a b", r"holds what is not printable ASCII, or a space$"),
        ("/a#b", r"holds a #$"),
        ("a", r"does not begin with /$"),
        ("#" * 65_536, r"holds a #$"),
        ("/" * 65_537, r"is longer than 65536 characters$"),
    ],
)
def test_a_target_that_is_refused_is_refused_in_words(target: str, why: str) -> None:
    with pytest.raises(TokenRejected, match=rf"the request target {why}"):
        checks.require_target(target)


def test_a_target_may_be_of_just_the_greatest_length() -> None:
    checks.require_target("/" * 65_536)
