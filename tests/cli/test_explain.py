import hashlib
import json
import time
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from forging import forge
from keyring import key_for

from asapfn import TokenRejected, canonical_request, qsh, sign
from asapfn.cli.cases import PROFILES, judge
from asapfn.cli.parsing import Parser
from asapfn.cli.steps import follow
from asapfn.compact import decode_base64url, encode_base64url
from asapfn.errors import DESCRIPTIONS
from asapfn.keys import export_public_pem, generate, import_secret

SECRET = b"a secret of the tenant's, long enough"
URL = "https://app.example/jira/issue?b=2&a=x+y&c=%7E%2A&c=!&b=10"
ARI = "ari:cloud:ecosystem::app/8db33309"
NOW = int(time.time())


class Broken(NamedTuple):
    """A broken token: how it is asked about, and what is wrong with it."""

    arguments: tuple[str, ...]
    text: str
    reason: str
    rule: str
    cause: str


def good(**claims: Any) -> dict[str, Any]:
    """Claims of a good ASAP token, with some changed; None leaves one out."""
    made = {"iss": "issuer", "aud": "billing", "iat": NOW, "exp": NOW + 60, "jti": "1"} | claims
    return {name: value for name, value in made.items() if value is not None}


def asap(**claims: Any) -> str:
    return sign(good(**claims), key_for("RS256"))


def connect(canonical: str | None = None, **claims: Any) -> str:
    hashed = hashlib.sha256((canonical or "").encode()).hexdigest()
    made = {"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": hashed} | claims
    return sign({n: value for n, value in made.items() if value is not None}, import_secret(SECRET))


def forge_token(kid: str | None = "k", **claims: Any) -> str:
    made = {"iss": "forge/invocation-token", "nbf": NOW, "aud": ARI} | claims
    return forge(good(**made), key_for("RS256"), kid=kid)


def jitsi(**claims: Any) -> str:
    return asap(**({"room": "tea"} | claims))


ASAP = ("asap", "--audience", "billing", "--key-directory", "{keys}", "--issuer", "issuer")
CONNECT = ("connect", "--url", URL, "--secret-from", "{secret}")
BELOW = (*CONNECT, "--base-url", "https://app.example/jira")
FORGE = ("forge", "--app-id", ARI, "--public-key", "{keys}/issuer/RS256.pem")
JITSI = ("jitsi", "--issuer", "issuer", "--audience", "billing")
JITSI = (*JITSI, "--public-key", "{keys}/issuer/RS256.pem")

head, body, tail = asap().split(".")
canonical = canonical_request("GET", URL)
below = canonical_request("GET", URL, base_url="/jira")


def in_der() -> str:
    """A token whose ECDSA signature is in DER."""
    signed, _, signature = sign(good(), key_for("ES256")).rpartition(".")
    raw = decode_base64url(signature.encode())
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    return f"{signed}.{encode_base64url(encode_dss_signature(r, s)).decode()}"


def by_secret(secret: bytes) -> str:
    claims = {"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": qsh("GET", URL)}
    return sign(claims, import_secret(secret))


TOKENS = {
    "nothing": Broken(ASAP, "", "missing_token", "one token", "send one token"),
    "another scheme": Broken(ASAP, f"JWT {asap()}", "missing_token", "one token", "by the scheme"),
    "two headers": Broken(
        ASAP,
        f"Authorization: Bearer {asap()}\nauthorization: Bearer {asap()}",
        "ambiguous_token",
        "one token",
        "in one place",
    ),
    "in quotes": Broken(ASAP, f'"{asap()}"', "malformed", "header", "in quotes"),
    "cut": Broken(ASAP, f"{head}.{body}", "malformed", "payload", "fewer than three"),
    "padded": Broken(ASAP, f"{asap()}==", "malformed", "payload", "padding"),
    "standard base64": Broken(ASAP, f"{head}.{body}.ab+/", "malformed", "payload", "base64url, -"),
    "broken lines": Broken(ASAP, f"{head}.{body[:9]}\n{body[9:]}.{tail}", "malformed", "payload",
                           "white space"),
    "percent-encoded": Broken(ASAP, asap().replace(".", "%2E"), "malformed", "header", "percent"),
    "no signature": Broken(ASAP, f"{head}.{body}.", "malformed", "payload", "signature is empty"),
    "claims that are no object": Broken(ASAP, forge(["iss"], key_for("RS256")), "malformed",
                                        "payload", "is it a token"),
    "unsigned": Broken(ASAP, forge(good(), key_for("RS256"), alg="none"), "unsupported_algorithm",
                       "algorithm", "unsigned"),
    "an extension": Broken(ASAP, forge(good(), key_for("RS256"), crit=["x"]), "malformed",
                           "parameters", "is it a token"),
    "too long": Broken(ASAP, asap() + "A" * 16_384, "malformed", "size", "is it a token"),
    "HS256": Broken(ASAP, sign(good(), key_for("HS256")), "unsupported_algorithm", "algorithm",
                    "sign by an algorithm"),
    "no jti": Broken(ASAP, asap(jti=None), "missing_claim", "jti is there", "set jti"),
    "no aud": Broken(ASAP, asap(aud=None), "missing_claim", "audience", "set aud"),
    "no kid": Broken(ASAP, forge(good(), key_for("RS256"), kid=None), "missing_claim", "key id",
                     "set kid"),
    "exp a string": Broken(ASAP, asap(exp=str(NOW + 60)), "invalid_claim", "claim types",
                           "mend exp"),
    "kid a number": Broken(ASAP, forge(good(), key_for("RS256"), kid=7), "malformed",
                           "parameters", "is it a token"),
    "exp before iat": Broken(ASAP, asap(iat=NOW + 90), "invalid_claim", "exp is after iat", "exp"),
    "nbf after exp": Broken(ASAP, asap(nbf=NOW + 90), "invalid_claim", "nbf is before exp", "nbf"),
    "ill-formed kid": Broken(ASAP, forge(good(), key_for("RS256"), kid="issuer/../x"),
                             "invalid_claim", "key id", "mend kid"),
    "expired": Broken(ASAP, asap(iat=NOW - 99, exp=NOW - 39), "expired", "not expired", "clocks"),
    "iat to come": Broken(ASAP, asap(iat=NOW + 50), "not_yet_valid", "issued by now", "clocks"),
    "nbf to come": Broken(ASAP, asap(nbf=NOW + 50), "not_yet_valid", "valid by now", "clocks"),
    "two hours": Broken(ASAP, asap(exp=NOW + 7200), "lifetime_too_long", "lifetime", "shorter"),
    "audience in another case": Broken(ASAP, asap(aud="Billing"), "wrong_audience", "audience",
                                       "upper and lower case alone"),
    "audience with a slash": Broken(ASAP, asap(aud=["x", "billing/"]), "wrong_audience",
                                    "audience", "a slash at the end alone"),
    "another audience": Broken(ASAP, asap(aud="shipping"), "wrong_audience", "audience", "letter"),
    "a stranger": Broken(ASAP, asap(iss="stranger"), "issuer_not_allowed", "issuer is allowed",
                         "add the issuer"),
    "issuer in another case": Broken(ASAP, asap(iss="Issuer"), "issuer_not_allowed",
                                     "issuer is allowed", "upper and lower case alone"),
    "unpublished": Broken(ASAP, forge(good(), key_for("RS256"), kid="issuer/no.pem"),
                          "unknown_key", "key is found", "publish"),
    "another's key": Broken(ASAP, forge(good(), key_for("RS256"), kid="other/RS256.pem"),
                            "key_not_owned", "key is the issuer's", "iss/"),
    "a key that does not fit": Broken(ASAP, forge(good(), key_for("RS256"),
                                                  kid="issuer/ES256.pem"),
                                      "unsuitable_key", "key fits", "algorithm"),
    "another key signed": Broken(ASAP, sign(good(), generate("RS256", kid="issuer/RS256.pem")),
                                 "bad_signature", "signature", "another key published"),
    "ECDSA in DER": Broken(ASAP, in_der(), "bad_signature", "signature", "in DER"),
    "another's signature by ECDSA": Broken(ASAP, sign(good(), generate("ES256",
                                                                       kid="issuer/ES256.pem")),
                                           "bad_signature", "signature", "another key published"),
    "another subject": Broken(ASAP, asap(sub="ann"), "subject_mismatch", "subject", "leave sub"),
    "used before": Broken((*ASAP, "--used", "{used}"), asap(), "replayed", "first use", "anew"),
    "a secret with its line feed": Broken(CONNECT, by_secret(SECRET + b"\n"), "bad_signature",
                                          "signature", "with a line feed"),
    "a secret in base64": Broken(
        ("connect", "--url", URL, "--secret-from", "{secret64}"), by_secret(SECRET),
        "bad_signature", "signature", "decoded from base64",
    ),
    "a secret in base64, too short for its algorithm": Broken(
        ("connect", "--url", URL, "--secret-from", "{secret64}"),
        sign({"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": qsh("GET", URL)},
             import_secret(SECRET * 2)),
        "bad_signature", "signature", "another key published"),
    "another secret": Broken(CONNECT, by_secret(SECRET * 2), "bad_signature", "signature", "key"),
    "a secret for HS512": Broken(
        CONNECT,
        forge({"iss": "tenant", "iat": NOW, "exp": NOW + 60, "qsh": qsh("GET", URL)},
              key_for("HS512"), alg="HS512", kid=None),
        "unsupported_algorithm", "algorithm", "sign by"),
    "a context token": Broken(CONNECT, connect(qsh="context-qsh"), "request_mismatch", "request",
                              "it is a context token"),
    "no context token": Broken(("connect", "--context", "--secret-from", "{secret}"),
                               connect(canonical), "request_mismatch", "request",
                               "for one request"),
    "qsh a number": Broken(CONNECT, connect(qsh=7), "request_mismatch", "request", "compare"),
    "no qsh": Broken(CONNECT, connect(qsh=None), "missing_claim", "qsh is there", "set qsh"),
    "an audience unasked": Broken(CONNECT, connect(canonical, aud="me"), "wrong_audience",
                                  "audience", "letter"),
    "a malformed URL": Broken(("connect", "--url", "/%zz", "--secret-from", "{secret}"),
                              connect(canonical), "request_mismatch", "request", "malformed"),
    "another request": Broken(CONNECT, connect("GET&/other&"), "request_mismatch", "request",
                              "none of the requests"),
    "of Isolated Cloud": Broken(FORGE, forge_token(context={"icLabel": "x"}), "invalid_claim",
                                "not of Isolated Cloud", "keys of Isolated Cloud"),
    "Forge without a kid": Broken(FORGE, forge_token(None), "missing_claim", "key id", "set kid"),
    "Forge for another app": Broken(FORGE, forge_token(aud="x"), "wrong_audience", "audience", ""),
    "Forge by another": Broken(FORGE, forge_token(iss="me"), "invalid_claim", "issuer", "iss"),
    "Jitsi without a room": Broken(JITSI, jitsi(room=None), "missing_claim", "room is there",
                                   "set room"),
    "Jitsi, room a number": Broken(JITSI, jitsi(room=7), "invalid_claim", "room", "mend room"),
    "Jitsi, for nobody": Broken(
        ("jitsi", "--issuer", "*", "--audience", "*", "--no-room", "--public-key",
         "{keys}/issuer/RS256.pem"),
        jitsi(aud=[]), "wrong_audience", "audience", "letter"),
}  # fmt: skip

# What a token's qsh was made of, instead of the expected request, and how that is told.
PITFALLS = {
    "base URL not taken off": (BELOW, canonical, "the path of the base URL is not taken off"),
    "base URL unknown here": (CONNECT, below, "another base URL: /jira is taken off"),
    "base URL once more": (BELOW, f"GET&/jira{canonical[4:]}", "begins with /jira once more"),
    "a slash more": (CONNECT, canonical.replace("issue&", "issue/&"), "a slash more at the end"),
    "a slash less": (CONNECT, canonical.replace("/jira", "jira"), "a slash less at the start"),
    "two slashes": (CONNECT, canonical.replace("/jira", "//jira"), "a slash more at the start"),
    "+ for a space": (CONNECT, canonical.replace("%20", "+"), "a space is written +"),
    "+ for itself": (CONNECT, canonical.replace("%20", "%2B"), "taken for a plus sign"),
    "method in lower case": (CONNECT, canonical.replace("GET", "get"), "in another case, get"),
    "another method": (CONNECT, canonical.replace("GET", "POST"), "the method is POST"),
    "no query": (CONNECT, "GET&/jira/issue&", "the query is left out"),
    "no parameter c": (CONNECT, canonical.replace("&c=%21,~%2A", ""), "the parameter c"),
    "not sorted": (CONNECT, "GET&/jira/issue&b=2&a=x%20y&c=~%2A&c=%21&b=10", "are not sorted"),
    "not joined": (CONNECT, "GET&/jira/issue&a=x%20y&b=10&b=2&c=%21&c=~%2A", "are not joined"),
    "values not sorted": (CONNECT, "GET&/jira/issue&a=x%20y&b=2,10&c=~%2A,%21", "not sorted"),
    "as it was sent": (
        CONNECT,
        "GET&/jira/issue&b=2&a=x+y&c=%7E%2A&c=!&b=10",
        "neither encoded anew",
    ),
    "not encoded": (CONNECT, "GET&/jira/issue&a=x y&b=10,2&c=!,~*", "query is not encoded"),
    "the whole URL": (CONNECT, f"GET&https://app.example{canonical[4:]}", "scheme and host"),
    "commas encoded": (CONNECT, canonical.replace(",", "%2C"), "comma between values"),
    "JavaScript": (CONNECT, canonical.replace("%21", "!").replace("%2A", "*"), "JavaScript"),
    "Java": (CONNECT, "GET&/jira/issue&a=x+y&b=10,2&c=%21,%7E*", "Java"),
    "two at once": (BELOW, "get&/issue&", "in another case, get; the query is left out"),
    "a form": ((*CONNECT, "--form-from", "{form}"), "GET&/jira/issue&f=1", "the form stands in"),
}


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
    assert cause in answer["mend"]
    assert explained.code == 1
    known = [each for each in given if each != "--form-from"]
    verified = asapfn("verify", *known, "-", "--json", stdin=text.encode())
    assert verified.code == 1
    refusal = json.loads(verified.out)
    assert refusal == first["error"]
    assert refusal.items() <= answer.items()


def test_every_reason_is_among_the_broken_tokens():
    assert {token.reason for token in TOKENS.values()} == set(DESCRIPTIONS)
    assert len(TOKENS) + len(PITFALLS) >= 30


@pytest.mark.parametrize("pitfall", PITFALLS)
def test_explain_finds_the_request_that_a_qsh_was_made_of(pitfall, asapfn, places):
    arguments, made_of, cause = PITFALLS[pitfall]
    ran = asapfn("explain", *asked(arguments, places), connect(made_of), "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["reason"]) == (1, "request_mismatch")
    assert failing(answer)[0]["rule"] == "request"
    assert answer["request"]["token"]["canonical"] == made_of
    assert cause in answer["mend"]
    assert cause in "; ".join(answer["request"]["token"]["why"])
    expected = below if "--base-url" in arguments else canonical
    assert answer["request"]["expected"] == expected
    assert answer["request"]["qsh"] == hashlib.sha256(expected.encode()).hexdigest()


# Ways in which an ASAP token can be wrong that can be had together.
FAULTS: dict[str, dict[str, Any]] = {
    "no jti": {"jti": None},
    "no aud": {"aud": None},
    "expired": {"iat": NOW - 99, "exp": NOW - 50},
    "iat after exp": {"iat": NOW + 99},
    "too long": {"exp": NOW + 7200},
    "to come": {"nbf": NOW + 50},
    "nbf after exp": {"nbf": NOW + 90_000},
    "another audience": {"aud": "x"},
    "another issuer": {"iss": "stranger"},
    "another subject": {"sub": "x"},
    "no kid": {"kid": None},
    "ill-formed kid": {"kid": "issuer/./x"},
    "another's kid": {"kid": "x/y"},
    "no such key": {"kid": "issuer/none.pem"},
    "key of another type": {"kid": "issuer/ES256.pem"},
    "not taken": {"alg": "HS512"},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_first_rule_that_fails_is_what_verify_says_of_tokens_with_two_faults(
    fault, places
):
    parser = Parser()
    PROFILES["asap"].add_arguments(parser)
    options = parser.parse_args(asked(ASAP[1:], places))
    for other in FAULTS:
        changed = FAULTS[fault] | FAULTS[other]
        header = {name: changed[name] for name in ("kid", "alg") if name in changed}
        claims = {name: value for name, value in changed.items() if name not in header}
        text = forge(good(**claims), key_for("RS256"), signed_as="RS256", **header)
        case = await PROFILES["asap"].case(options, text, no_fetch, time.time)
        verdict = await judge(case)
        trail = await follow(case, verdict)
        first = next(step.error for step in trail.steps if step.outcome == "FAIL")
        assert isinstance(verdict, TokenRejected)
        assert isinstance(first, TokenRejected)
        assert (verdict.args, verdict.claim) == (first.args, first.claim), other


async def no_fetch(url: str, accept: str) -> Any:
    raise AssertionError("nothing is fetched")


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
        assert (ran.code, answer["outcome"], answer["mend"]) == (0, "accepted", "")
        assert failing(answer) == []
        assert "accepted" in asapfn("explain", *asked(arguments, places), text).out


def test_rules_behind_the_first_that_fails_are_looked_at_too(asapfn, places):
    text = asap(iat=NOW - 99, exp=NOW - 50, aud="x", sub="y")
    ran = asapfn("explain", *asked(ASAP, places), text, "--json")
    rules = [rule["rule"] for rule in failing(json.loads(ran.out))]
    assert rules == ["not expired", "audience", "subject"]


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


@pytest.mark.parametrize(
    ("at", "text"), [("iat", "x"), ("iat", ""), ("iat", asap(iat=None)), ("soon", ""), ("nan", "")]
)
def test_a_time_that_is_none_is_wrong_use(at, text, asapfn, places):
    ran = asapfn("explain", *asked(ASAP, places), "-", "--at", at, stdin=text.encode())
    assert ran.code == 2
    assert ran.err.startswith("asapfn: --at")


def test_the_report_for_a_person_shows_each_rule_its_value_and_the_mend(asapfn, places):
    made_of = PITFALLS["a slash more"][1]
    out = asapfn("explain", *asked(CONNECT, places), connect(made_of)).out
    lines = out.splitlines()
    assert "a Connect token" in lines[0]
    assert any(line.split()[:2] == ["pass", "signature"] for line in lines)
    assert any(line.split()[:2] == ["FAIL", "request"] for line in lines)
    assert f"  expected  {canonical}" in lines
    assert f"  token's   {made_of}" in lines
    assert lines[-2].startswith("rejected  request_mismatch (qsh).")
    assert lines[-1].startswith(
        "to mend   its hash is of this request in another form: a slash more"
    )
    out = asapfn("explain", *asked(CONNECT, places), connect("x")).out
    assert "  token's   none of those that were tried" in out.splitlines()
    out = asapfn("explain", *asked(ASAP, places), asap(iat=NOW - 99, exp=NOW - 40)).out
    assert "ago  (leeway 10 s)" in out
    assert "(no nbf)" in out


def test_an_outage_is_told_with_exit_code_3(asapfn, places, tmp_path):
    (tmp_path / "issuer").mkdir()
    (tmp_path / "issuer" / "RS256.pem").write_text("no key")
    arguments = ("asap", "--audience", "billing", "--key-directory", tmp_path, asap())
    ran = asapfn("explain", *arguments, "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["outcome"], answer["status"]) == (3, "unavailable", 503)
    assert failing(answer)[0]["rule"] == "key is found"
    assert "ask again" in answer["mend"]
    out = asapfn("explain", *arguments).out
    assert out.splitlines()[-2].startswith(f"unavailable  {tmp_path}: not a public key")


def test_no_part_of_the_signature_is_shown(asapfn, places):
    for extra in ((), ("--json",)):
        ran = asapfn("explain", *asked(ASAP, places), asap(aud="x"), *extra)
        assert asap(aud="x").split(".")[2][:12] not in ran.out + ran.err
