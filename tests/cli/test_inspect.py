import json
import time

import pytest

from asapfn import sign
from tests.support.forging import forge, forge_bytes
from tests.support.keyring import key_for

NOW = 1_795_000_000


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The clock stands still, so that words for times are known."""
    monkeypatch.setattr(time, "time", lambda: NOW + 0.5)


def claims(**more):
    return {"iss": "orders", "iat": NOW - 30, "exp": NOW + 3600, "nbf": NOW - 90_000} | more


def test_a_token_is_shown_with_its_times_in_words_and_marked_unverified(asapfn, tmp_path):
    text = sign(claims(), key_for("RS256"))
    path = tmp_path / "token"
    path.write_text(f"Authorization: Bearer {text}\n")
    for ran in (asapfn("inspect", text), asapfn("inspect", "-", stdin=text.encode() + b"\n"),
                asapfn("inspect", f"@{path}")):  # fmt: skip
        assert ran.code == 0
        lines = ran.out.splitlines()
        assert lines[0].startswith("NOT VERIFIED")
        assert '  kid  "issuer/RS256.pem"' in lines
        assert '  iss  "orders"' in lines
        assert any(line.endswith("UTC, issued 30 s ago") for line in lines)
        assert any(line.endswith("UTC, expires in 59 min 59 s") for line in lines)
        assert any(line.endswith("UTC, valid since 1 d 1 h") for line in lines)
        assert text.split(".")[2][:12] not in ran.out


def test_machines_are_told_that_nothing_is_verified(asapfn):
    said = claims()
    answer = json.loads(asapfn("inspect", sign(said, key_for("ES256")), "--json").out)
    assert answer["verified"] is False
    assert (answer["claims"], answer["header"]["alg"]) == (said, "ES256")


def test_what_could_act_on_a_terminal_is_escaped(asapfn):
    odd = "\x1b]0;owned\x07\x9b2J\u202egnp\u2028\n"
    text = forge(claims(iss=odd, **{f"n\x1b[2J{odd}": 1}), key_for("RS256"), kid=odd)
    for extra in ((), ("--json",)):
        ran = asapfn("inspect", text, *extra)
        assert ran.code == 0
        assert all(c.isprintable() or c == "\n" for c in ran.out)
    assert '"\\u001b]0;owned\\u0007\\x9b2J\\u202egnp\\u2028\\n"' in asapfn("inspect", text).out


@pytest.mark.parametrize(
    ("text", "shown", "told"),
    [
        (forge(claims(), key_for("RS256"), alg="none"), 'alg  "none"', "it is unsigned"),
        ("x.y.z", "cannot be read", "is it a token"),
        (sign({}, key_for("RS256")).rpartition(".")[0], 'alg  "RS256"', "fewer than three"),
        (forge(claims(exp="soon"), key_for("RS256")), '"soon"', "correct exp"),
        (forge(claims(exp=10**400), key_for("RS256")), "exp  1000", "correct exp"),
        (forge(claims(exp=True), key_for("RS256")), "exp  true", "correct exp"),
        (forge_bytes(b'{"alg": "RS256"}', b"[]", key_for("RS256")), "cannot be read", "complete"),
    ],
)  # fmt: skip
def test_of_a_broken_token_is_shown_what_can_be_read_and_what_is_wrong(text, shown, told, asapfn):
    ran = asapfn("inspect", text)
    assert ran.code == 1
    assert shown in ran.out
    assert "rejected  " in ran.out
    assert told in ran.out
    answer = json.loads(asapfn("inspect", text, "--json").out)
    assert (answer["verified"], answer["outcome"]) == (False, "rejected")


def test_without_a_token_there_is_nothing_to_show(asapfn):
    assert asapfn("inspect").code == 2
    ran = asapfn("inspect", "-", stdin=b" \n")
    assert (ran.code, ran.err) == (2, "asapfn: there is no token: it is empty\n")


def test_times_beyond_the_calendar_are_shown_as_numbers(asapfn):
    ran = asapfn("inspect", sign({"exp": 9e15, "nbf": -1e12}, key_for("RS256")))
    assert ran.code == 0
    assert ran.out.count("beyond the calendar, ") == 2
