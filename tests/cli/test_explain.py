"""`explain`: the true cause, in agreement with `verify`."""

import hashlib
import json
import time
from typing import Any

import pytest

from asapfn._core.compact import encode_base64url
from asapfn.errors import DESCRIPTIONS
from asapfn.keys import export_public_pem
from tests.support.broken_tokens import (
    ASAP,
    CONNECT,
    FORGE,
    JITSI,
    NOW,
    PITFALLS,
    SECRET,
    TOKENS,
    URL,
    asap,
    below,
    canonical,
    connect,
    forge_token,
    good,
    jitsi,
)
from tests.support.forging import forge
from tests.support.keyring import key_for


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still: tokens are signed when the module is read, and tests run later."""
    monkeypatch.setattr(time, "time", lambda: NOW + 0.5)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A directory of keys and files of secrets, by the names that arguments have for them."""
    root = tmp_path_factory.mktemp("explain")
    (root / "keys" / "issuer").mkdir(parents=True)
    for name in ("RS256", "ES256"):
        pem = export_public_pem(key_for(name))
        (root / "keys" / "issuer" / f"{name}.pem").write_text(pem)
    (root / "secret").write_bytes(SECRET)
    (root / "secret64").write_bytes(encode_base64url(SECRET))
    (root / "used").write_text(f"Authorization: Bearer {asap()}\n{asap()}\n{asap(jti=None)}\n")
    (root / "form").write_text("f=1")
    return {name: root / name for name in ("keys", "secret", "secret64", "used", "form")}


def asked(arguments: tuple[str, ...], places: dict[str, Any]) -> list[str]:
    return [each.format(**places) for each in arguments]


def failing(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for rule in answer["rules"] if rule["outcome"] == "fail"]


@pytest.mark.parametrize("what", TOKENS)
def test_explain_names_the_true_cause_and_agrees_with_verify(what, asapfn, places):
    arguments, text, reason, rule, cause = TOKENS[what]
    given = asked(arguments, places)
    explained = asapfn("explain", *given, "-", "--json", stdin=text.encode())
    answer = json.loads(explained.out)
    first = failing(answer)[0]
    assert (answer["reason"], first["rule"]) == (reason, rule)
    assert cause in answer["hint"]
    assert explained.code == 1
    known = [each for each in given if each != "--form-from"]
    verified = asapfn("verify", *known, "-", "--json", stdin=text.encode())
    assert verified.code == 1
    refusal = json.loads(verified.out)
    assert refusal == first["error"]
    assert refusal.items() <= answer.items()


def test_every_reason_is_among_the_broken_tokens():
    # No command asks for a scope.
    beyond = {"insufficient_scope"}
    assert {token.reason for token in TOKENS.values()} == set(DESCRIPTIONS) - beyond
    assert len(TOKENS) + len(PITFALLS) >= 30


@pytest.mark.parametrize("pitfall", PITFALLS)
def test_explain_finds_the_request_that_a_qsh_was_made_of(pitfall, asapfn, places):
    arguments, made_of, cause = PITFALLS[pitfall]
    ran = asapfn("explain", *asked(arguments, places), connect(made_of), "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["reason"]) == (1, "request_mismatch")
    assert failing(answer)[0]["rule"] == "request matches"
    assert answer["request"]["token"]["canonical"] == made_of
    assert cause in answer["hint"]
    assert cause in "; ".join(answer["request"]["token"]["why"])
    expected = below if "--base-url" in arguments else canonical
    assert answer["request"]["expected"] == expected
    assert answer["request"]["qsh"] == hashlib.sha256(expected.encode()).hexdigest()


def test_the_request_is_compared_also_where_another_rule_failed_first(asapfn, places):
    late = connect("GET&/jira/issue&", iat=NOW - 999, exp=NOW - 900)
    ran = asapfn("explain", *asked(CONNECT, places), late, "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["reason"]) == (1, "expired")
    assert answer["request"]["token"]["why"] == ["the query is left out"]
    assert "the query" not in answer["hint"]


def test_a_good_token_passes_every_rule(asapfn, places):
    for arguments, text in (
        (ASAP, asap(nbf=NOW)),
        (CONNECT, connect(canonical)),
        (FORGE, forge_token()),
        (JITSI, jitsi()),
        ((*JITSI, "--issuer", "*", "--audience", "*"), jitsi(aud=["a", "b"])),
        ((*ASAP, "--any-subject"), asap(sub="ann")),
        (JITSI, forge(good(room="tea"), key_for("RS256"), kid="of any form")),
    ):
        ran = asapfn("explain", *asked(arguments, places), text, "--json")
        answer = json.loads(ran.out)
        assert (ran.code, answer["outcome"], answer["hint"]) == (0, "accepted", "")
        assert failing(answer) == []
        assert "accepted" in asapfn("explain", *asked(arguments, places), text).out


def test_rules_behind_the_first_that_fails_are_looked_at_too(asapfn, places):
    text = asap(iat=NOW - 99, exp=NOW - 50, aud="x", sub="y")
    ran = asapfn("explain", *asked(ASAP, places), text, "--json")
    rules = [rule["rule"] for rule in failing(json.loads(ran.out))]
    assert rules == ["not expired", "audience", "subject is issuer"]


def test_a_token_can_be_judged_as_of_another_time(asapfn, places):
    text = asap(iat=NOW - 1000, exp=NOW - 940)
    given = asked(ASAP, places)
    assert asapfn("explain", *given, text).code == 1
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW - 950))
    for at in ("iat", str(NOW - 950), date, f"{date}Z", f"{date}+00:00"):
        assert asapfn("explain", *given, text, "--at", at).code == 0
    url = f"{URL}&jwt={connect(canonical, iat=NOW - 1000, exp=NOW - 940)}"
    for at, code in (("iat", 0), (str(NOW), 1)):
        ran = asapfn("explain", "connect", "--url", url, *asked(CONNECT[3:], places), "--at", at)
        assert ran.code == code


def test_a_url_has_a_fragment_and_a_target_has_none(asapfn, places):
    given = asked(CONNECT[3:], places)
    token = connect(canonical)
    for url in (f"{URL}#part", f"{URL}&jwt={token}#part", "https://app.example?a=b#part"):
        text = connect("GET&/&a=b") if "?a=b" in url else token
        tokens = () if "jwt=" in url else (text,)
        assert asapfn("verify", "connect", "--url", url, *given, *tokens).code == 0
    ran = asapfn("explain", "connect", "--url", f"/x?jwt={token}#", *given, "--at", "iat")
    assert (ran.code, ran.err.startswith("asapfn: --at iat")) == (2, True)


@pytest.mark.parametrize(
    ("at", "text"), [("iat", "x"), ("iat", ""), ("iat", asap(iat=None)), ("soon", ""), ("nan", "")]
)
def test_a_time_that_is_none_is_wrong_use(at, text, asapfn, places):
    ran = asapfn("explain", *asked(ASAP, places), "-", "--at", at, stdin=text.encode())
    assert ran.code == 2
    assert ran.err.startswith("asapfn: --at")


def test_the_report_for_a_person_shows_each_rule_its_value_and_the_hint(asapfn, places):
    made_of = PITFALLS["a slash more"][1]
    out = asapfn("explain", *asked(CONNECT, places), connect(made_of)).out
    lines = out.splitlines()
    assert lines[0].startswith("rejected  request_mismatch (qsh).")
    assert lines[1].startswith(
        "hint      its hash is of this request in another form: a slash more"
    )
    assert any(line.split()[:2] == ["pass", "signature"] for line in lines)
    assert any(line.split()[:2] == ["FAIL", "request"] for line in lines)
    assert f"  expected  {canonical}" in lines
    assert f"  token's   {made_of}" in lines
    assert any("a Connect token" in line for line in lines if line.startswith("rules"))
    out = asapfn("explain", *asked(CONNECT, places), connect("x")).out
    assert "  token's   none of those that were tried" in out.splitlines()
    out = asapfn("explain", *asked(ASAP, places), asap(iat=NOW - 99, exp=NOW - 40)).out
    assert "ago  (leeway 10 s)" in out
    assert "  skip  nbf is before exp, valid by now" in out


def test_an_outage_is_told_with_exit_code_3(asapfn, places, tmp_path):
    (tmp_path / "issuer").mkdir()
    (tmp_path / "issuer" / "RS256.pem").write_text("no key")
    arguments = ("asap", "--audience", "billing", "--key-directory", tmp_path, asap())
    ran = asapfn("explain", *arguments, "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["outcome"], answer["status"]) == (3, "unavailable", 503)
    assert failing(answer)[0]["rule"] == "key is found"
    assert "check what is published there" in answer["hint"]
    out = asapfn("explain", *arguments).out
    assert out.startswith(f"unavailable  {tmp_path}: not a public key")


def test_no_part_of_the_signature_is_shown(asapfn, places):
    for extra in ((), ("--json",)):
        ran = asapfn("explain", *asked(ASAP, places), asap(aud="x"), *extra)
        assert asap(aud="x").split(".")[2][:12] not in ran.out + ran.err


def test_explain_and_verify_agree_about_a_decoded_path(asapfn, places):
    """`authenticator(decoded_path=True)` accepts it: so do both commands, by the option alone."""
    text = connect("GET&/open/https://git.example&a=1").encode()
    url = "/open/https%3A%2F%2Fgit.example?a=1"
    given = ("connect", "--url", url, "--secret-from", str(places["secret"]), "-", "--json")
    for command in ("verify", "explain"):
        assert asapfn(command, *given, "--decoded-path", stdin=text).code == 0
        refused = asapfn(command, *given, stdin=text)
        assert refused.code == 1
        assert json.loads(refused.out)["reason"] == "request_mismatch"
    assert json.loads(refused.out)["hint"] == (
        "its hash is of this request in another form: the path was decoded before hashing; if the"
        " sender is Atlassian's server-side Java, accept that by decoded_path=True (or"
        " --decoded-path); otherwise have it sign the path as it is sent"
    )
