"""Wrong use gets a sentence that names the command, the flag or the file that was meant."""

import base64
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from asapfn import asap, forge, peek
from asapfn.adapters.asgi import key_repository
from asapfn.cli import main
from asapfn.cli.inputs import read_file
from asapfn.keys import export_data_uri, export_private_pem, export_public_pem, generate
from asapfn.types import Token
from tests.support.keyring import key_for
from tests.support.servers import asgi_server, authority

SECRET = "a secret of the tenant's, long enough"
TOKEN = ("token", "asap", "--issuer", "issuer", "--audience", "billing")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A directory with keys as keygen lays them out, a token, and a secret."""
    key = key_for("RS256")
    for place, text in (("private", export_private_pem(key)), ("public", export_public_pem(key))):
        (tmp_path / "keys" / place / "issuer").mkdir(parents=True)
        (tmp_path / "keys" / place / key.kid).write_text(text)
    (tmp_path / "token.txt").write_text(asap.signer("issuer", key)("billing"))
    (tmp_path / "keys" / "staged" / "issuer").mkdir(parents=True)
    (tmp_path / "keys" / "staged" / "issuer" / "Z.pem").write_text(export_private_pem(key))
    (tmp_path / "encrypted.pem").write_text(export_private_pem(key, "password"))
    (tmp_path / "password").write_text("password\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def verify(*more):
    return ("verify", "asap", "@token.txt", "--audience", "billing", *more)


def test_no_argument_lists_the_commands(asapfn):
    ran = asapfn()
    assert (ran.code, ran.out) == (2, "")
    assert "\n    verify " in ran.err
    assert "\n    activate " in ran.err
    ran = asapfn("verify")
    assert ran.code == 2
    assert "\n    connect " in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verfy", "asap"), "did you mean verify?"),
        (("key-gen",), "did you mean keygen?"),
        (("verify", "assap"), "did you mean asap?"),
        (("verify", "asap", "x", "--aud", "billing"), "did you mean --audience?"),
        (("token", "asap", "--key", "x"), "did you mean --key-from?"),
        (
            ("keygen", "--isuer", "a"),
            "required: --issuer; --isuer is unknown: did you mean --issuer?\n",
        ),
        (("keygen", "--owner", "a"), "required: --issuer; --owner is unknown\n"),
        (("verify", "forge", "--audience", "a"), "required: --app-id; --audience is unknown\n"),
        (("keygen", "--issuer", "a", "--algoritm=ES256"), "did you mean --algorithm?"),
        (("keygen", "--issuer", "a", "--format", "jwt"), "did you mean jwk?"),
        (("verify", "asap", "x", "--audience", "a", "--key-dir", "x"), "did you mean"),
        (("token", "asap", "--key-form", "x"), "did you mean --key-from?"),
    ],
)
def test_what_is_unknown_gets_a_suggestion(arguments, said, asapfn):
    ran = asapfn(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_what_is_like_nothing_gets_none(asapfn):
    for arguments in (
        ("zzzz",), ("",), ("keygen", "--issuer", "a", "--qqqq"), ("keygen", "-p"),
        verify("--token", "x"), verify("--keys", "x"), ("zzzz", "--audience", "a"),
    ):  # fmt: skip
        ran = asapfn(*arguments)
        assert ran.code == 2
        assert "did you mean" not in ran.err


def test_a_wrong_flag_shows_the_usage_of_its_command(asapfn):
    ran = asapfn("verify", "asap", "x", "--audience", "a", "--tokne", "x")
    assert ran.err.startswith("usage: asapfn verify asap ")


@pytest.mark.parametrize("command", ["verify", "explain"])
@pytest.mark.parametrize(
    ("directory", "said"),
    [
        ("none", "--key-directory none is not a directory"),
        ("token.txt", "--key-directory token.txt is not a directory"),
        ("keys/private", "has private keys, and verifying needs the public ones: keys/public"),
        ("keys", "--key-directory keys is not where the public keys are: keys/public is"),
    ],
)  # fmt: skip
def test_a_wrong_key_directory_is_wrong_use_for_who_verifies(
    command, directory, said, asapfn, home
):
    ran = asapfn(command, *verify("--key-directory", directory)[1:])
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.parametrize(
    ("directory", "said"),
    [
        ("none", "--key-directory none is not a directory"),
        ("keys/public", "has public keys, and signing needs the private ones: keys/private"),
        ("keys", "--key-directory keys is not where the private keys are: keys/private is"),
        ("empty", "--key-directory: no *.pem file in empty/issuer"),
    ],
)  # fmt: skip
def test_a_wrong_key_directory_is_wrong_use_for_who_signs(directory, said, asapfn, home):
    (home / "empty").mkdir()
    ran = asapfn(*TOKEN, "--key-directory", directory)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_a_directory_that_no_keygen_made_is_used_as_it_is(asapfn, home):
    (home / "keys" / "public").rename(home / "mine")
    assert asapfn(*verify("--key-directory", "mine")).code == 0
    (home / "keys" / "private").rename(home / "ours")
    ran = asapfn(*verify("--key-directory", "ours"))
    assert ran.code == 2
    assert "--key-directory ours has private keys, and verifying needs the public ones" in ran.err
    ran = asapfn(*TOKEN, "--key-directory", "mine")
    assert ran.code == 2
    assert "--key-directory mine has public keys, and signing needs the private ones" in ran.err


PUBLIC = ("--audience", "billing", "--key-directory", "keys/public")
PRIVATE = ("--key-directory", "keys/private")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "asap", "@keys/public/issuer/RS256.pem", *PUBLIC), "the file holds a PEM, not"),
        (("inspect", "keys/public/issuer/RS256.pem"), "the file holds a PEM, not a token"),
        (("explain", "asap", f"-----BEGIN X\n{SECRET}", *PUBLIC), "the argument holds a PEM, not"),
        (("verify", "asap", "", *PUBLIC), "the token is empty"),
        (("explain", "asap", " ", *PUBLIC), "the token is empty"),
        (("verify", "asap", "@empty.txt", *PUBLIC), "the token is empty"),
        ((*TOKEN, "--key-from", "env:NO_SUCH"), "environment variable NO_SUCH is not set"),
        ((*TOKEN, "--key-directory", "keys/private/issuer"),
         "give DIR without the issuer: keys/private\n"),
        ((*TOKEN, *PRIVATE, "--lifetime", "2h"), "expected seconds, such as 120, not 2h"),
        ((*verify(), "--leeway", "1.5m"), "expected seconds, such as 120, not 1.5m"),
        (("activate", "x", "--wait", "30s"), "--wait: expected seconds, such as 120, not 30s"),
        (("request", "asap", "/", "--timeout", "1 h"), "expected seconds, such as 120, not 1 h"),
        (("token", "--issuer", "orders"),
         "the value after --issuer was taken for PROFILE: give PROFILE before the flags"),
        (("--json", "verify", "asap"), "unrecognized arguments: --json"),
        (("--issuer", "orders", "token"),
         "the value after --issuer was taken for COMMAND: give COMMAND before the flags"),
        (("qsh", "https://x.example/"), "required: URL; give METHOD, then URL"),
        (("token", "connect", "/x", "--issuer", "a"), "required: URL; give METHOD, then URL"),
        (("activate", "issuer/Z.pem", "--repository", "localhost:8544"),
         "such as https://keys.example/, not localhost:8544\n"),
        (("publish", "keys/public", "--check", "localhost:8544/keys"),
         "such as https://keys.example/, not localhost:8544/keys\n"),
        (("activate", "Z.pem", "--now"), "a key id begins with its issuer: give issuer/Z.pem"),
        (("activate", "Y.pem", "--now"), "not staged in keys/staged: issuer/Z.pem is"),
        (("activate", "issuer/RS256.pem", "--now"),
         "keys/private/issuer/RS256.pem exists: the key is active already"),
        (("activate", "RS256.pem", "--now"), "RS256.pem exists: the key is active already"),
    ],
)  # fmt: skip
def test_what_a_newcomer_types_gets_a_sentence_that_says_what_to_give(
    arguments, said, asapfn, home
):
    (home / "empty.txt").write_text("\n")
    ran = asapfn(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert SECRET not in ran.err


@pytest.mark.parametrize("form", [export_private_pem, export_data_uri])
def test_a_key_in_place_of_its_directory_is_not_repeated(form, asapfn, home):
    """As in --key-directory "$KEY"."""
    key = form(key_for("ES256"))
    for arguments in ((*TOKEN, "--key-directory", key), verify("--key-directory", key),
                      ("publish", key, "--to", "www")):  # fmt: skip
        ran = asapfn(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert not [part for part in key.split("\n") if len(part) > 40 and part[30:] in ran.err]


def test_a_pem_on_standard_input_is_no_token(asapfn, home):
    pem = (home / "keys" / "public" / "issuer" / "RS256.pem").read_bytes()
    ran = asapfn("verify", "asap", "-", *PUBLIC, stdin=pem)
    assert (ran.code, ran.err) == (2, "asapfn: standard input holds a PEM, not a token\n")


def test_the_issuers_own_folder_is_recognized_for_any_issuer(asapfn, home, monkeypatch):
    make = ("keygen", "--issuer", "a/b", "--name", "1.pem", "--algorithm", "ES256")
    assert asapfn(*make).code == asapfn("activate", "a/b/1.pem", "--now").code == 0
    signs = ("token", "asap", "--issuer", "a/b", "--audience", "billing", "--key-directory")
    assert "without the issuer: keys/private\n" in asapfn(*signs, "keys/private/a/b/").err
    monkeypatch.chdir("keys/private")
    assert "without the issuer: .\n" in asapfn(*signs, "a/b").err
    assert "without" not in asapfn(*signs, "a").err


def test_an_audience_with_a_comma_is_explained(asapfn, home):
    for audience in (("billing,shipping",), ("vault,billing", "shipping")):
        given = [each for name in audience for each in ("--audience", name)]
        made = asapfn("token", "asap", "--issuer", "issuer", *given, *PRIVATE).out.strip()
        ran = asapfn("explain", "asap", made, *PUBLIC)
        assert ran.code == 1
        assert "aud is one name with a comma; give each audience by itself" in ran.out


def test_a_key_that_is_only_staged_is_named_with_the_command_that_is_missing(asapfn, tmp_path):
    asapfn("keygen", "--issuer", "issuer", "--name", "1.pem", "--algorithm", "ES256",
           "--directory", tmp_path)  # fmt: skip
    ran = asapfn(*TOKEN, "--key-directory", tmp_path / "private")
    assert ran.code == 2
    assert "issuer/1.pem is staged: asapfn activate issuer/1.pem" in ran.err


@pytest.mark.parametrize("given", ["keys/staged", "keys/staged/", "./keys/private/../staged"])
def test_nothing_signs_with_a_staged_key(given, asapfn, home):
    ran = asapfn(*TOKEN, "--key-directory", given)
    assert (ran.code, ran.out) == (2, "")
    said = f"--key-directory {given}: issuer/Z.pem is staged: asapfn activate issuer/Z.pem\n"
    assert ran.err.endswith(said)


def test_a_directory_that_is_named_staged_by_somebody_else_signs(asapfn, home):
    (home / "mine").mkdir()
    (home / "keys" / "staged").rename(home / "mine" / "staged")
    assert asapfn(*TOKEN, "--key-directory", "mine/staged").code == 0


@pytest.mark.parametrize("command", ["verify", "explain", "inspect"])
def test_a_tokens_file_is_recognized_without_the_at_sign(command, asapfn, home):
    rest = ("--audience", "billing", "--key-directory", "keys/public")
    where = ("asap", "token.txt", *rest) if command != "inspect" else ("token.txt",)
    assert asapfn(command, *where).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*TOKEN, "--key-from", "keys/private/issuer/RS256.pem"), "--kid"),
        ((*TOKEN, "--key-from", "encrypted.pem", "--kid", "issuer/k.pem"), "--password-from"),
        (TOKEN, "--key-from, --key-directory, or ASAP_PRIVATE_KEY"),
        (verify(), "--repository, --jwks, --key-directory, or --public-key"),
        (("verify", "connect", "@token.txt", "--url", "/"), "--secret-from"),
        (verify("--key-directory", "keys/public", "--cacert", "none"), "--cacert none"),
        (verify("--repository", "http://localhost/x"), "--repository: keys come from an https URL"),
        (verify("--repository", "http://localhost/x"), "not http://localhost/x"),
        (verify("--repository", "http://localhost/x"), "for development use --key-directory DIR"),
        (verify("--jwks", "http://localhost/x"), "--jwks: keys come from an https URL"),
        (verify("--jwks", "none"), "none: No such file"),
        (("publish", "keys/public", "--check", "http://x"), "--check: keys come from an https"),
        (("activate", "issuer/Z.pem", "--repository", "keys"), "https://keys.example/, not keys\n"),
    ],
)  # fmt: skip
def test_the_flag_that_is_missing_or_wrong_is_named(arguments, said, asapfn, home):
    ran = asapfn(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_an_encrypted_key_is_read_with_its_password(asapfn, home):
    ran = asapfn(*TOKEN, "--key-from", "encrypted.pem", "--kid", "issuer/k.pem",
                 "--password-from", "password")  # fmt: skip
    assert peek(ran.out.strip()).header["kid"] == "issuer/k.pem"


def test_the_reason_of_tls_is_shown_with_the_flag_by_each_command(asapfn, home):
    authority().cert_pem.write_to_path("authority.pem")
    why = "certificate verify failed: unable to get local issuer certificate"
    with asgi_server(key_repository([key_for("RS256")])) as url:
        for arguments in (
            verify("--repository", url),
            ("explain", *verify("--repository", url)[1:]),
            verify("--jwks", f"{url}/.well-known/jwks.json"),
            verify("--repository", f"{url} | {url}"),
            ("request", "asap", url, *TOKEN[2:], "--key-directory", "keys/private"),
        ):
            ran = asapfn(*arguments)
            assert ran.code == 3
            assert why in ran.out + ran.err
            assert "--cacert FILE" in ran.out + ran.err
            assert asapfn(*arguments, "--cacert", "authority.pem").code != 3


def test_a_forge_token_for_a_test_is_accepted(asapfn, home):
    app = "ari:cloud:ecosystem::app/8db33309-0a5d-4c9e-a4ea-1d5ee2d0a2b7"
    ran = asapfn("token", "forge", "--app-id", app, "--key-from", "keys/private/issuer/RS256.pem",
                 "--kid", "test", "--claim", 'context={"siteUrl":"x"}')  # fmt: skip
    claims = peek(ran.out.strip()).claims
    assert (claims["iss"], claims["aud"]) == ("forge/invocation-token", app)
    assert claims["context"] == {"siteUrl": "x"}
    assert asapfn("verify", "forge", ran.out.strip(), "--app-id", app,
                  "--environment-type", "PRODUCTION",
                  "--public-key", "keys/public/issuer/RS256.pem").code == 0  # fmt: skip


def test_a_forge_token_for_a_test_is_a_whole_invocation(asapfn, home):
    app = "ari:cloud:ecosystem::app/8db33309-0a5d-4c9e-a4ea-1d5ee2d0a2b7"
    base_url = "https://api.stg.atlassian.com/ex/confluence/x"
    signs = ("--app-id", app, "--key-from", "keys/private/issuer/RS256.pem", "--kid", "test")
    made = [asapfn("token", "forge", *signs, *more).out.strip() for more in ((), (
        "--environment-type", "STAGING", "--api-base-url", base_url, "--account", "557058:x",
    ))]  # fmt: skip
    first, second = (forge.invocation(Token({}, peek(each).claims, 0.0, 0.0)) for each in made)
    assert (first.app, first.environment_type, first.account) == (app, "PRODUCTION", None)
    assert first.api_base_url == f"https://api.atlassian.com/ex/jira/{first.cloud_ids[0]}"
    assert (second.environment_type, second.account) == ("STAGING", "557058:x")
    assert (second.api_base_url, second.cloud_ids) == (base_url, ("x",))
    bad = asapfn("token", "forge", *signs, "--api-base-url", "http://api.atlassian.com/ex/jira/x")
    assert bad.code == 2
    assert "--api-base-url" in bad.err


def test_a_jitsi_token_for_a_test_is_accepted(asapfn, home):
    ran = asapfn("token", "jitsi", "--issuer", "meet", "--audience", "jitsi", "--room", "standup",
                 "--key-from", "keys/private/issuer/RS256.pem", "--kid", "any id")  # fmt: skip
    assert peek(ran.out.strip()).claims["room"] == "standup"
    assert asapfn("verify", "jitsi", ran.out.strip(), "--issuer", "meet", "--audience", "jitsi",
                  "--public-key", "keys/public/issuer/RS256.pem").code == 0  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("forge", "--app-id", "8db33309", "--key-from", "k", "--kid", "k"), "ari:cloud"),
        (("forge", "--app-id", "ari:cloud:ecosystem::app/x"), "--key-from"),
        (("jitsi", "--issuer", "i", "--audience", "a", "--room", "r",
          "--key-from", "keys/private/issuer/RS256.pem"), "--kid"),
    ],
)  # fmt: skip
def test_a_test_token_that_cannot_be_made_says_what_is_missing(arguments, said, asapfn, home):
    ran = asapfn("token", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_a_jwk_without_a_kid_gets_the_one_that_is_given(asapfn, home):
    jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")}
    jitsi = ("token", "jitsi", "--issuer", "meet", "--audience", "jitsi", "--room", "standup")
    for members, kid in ((jwk, "new"), (jwk | {"kid": None}, "new"), (jwk | {"kid": "own"}, "own")):
        (home / "oct.json").write_text(json.dumps(members))
        ran = asapfn(*jitsi, "--key-from", "oct.json", "--kid", kid)
        assert peek(ran.out.strip()).header["kid"] == kid
    ran = asapfn(*jitsi, "--key-from", "oct.json", "--kid", "another")
    assert "carries another key id than --kid" in ran.err
    (home / "oct.json").write_text(json.dumps(jwk))
    ran = asapfn(*jitsi, "--key-from", "oct.json")
    assert (ran.code, ran.out) == (2, "")
    assert "the key has no key id: give it by --kid" in ran.err
    assert "PEM" not in ran.err


def test_without_the_library_for_completion_the_program_runs(asapfn, monkeypatch):
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert asapfn("qsh", "GET", "/").code == 0


def test_generated_keys_are_read_in_each_form(asapfn, home):
    (home / "uri").write_text(export_data_uri(generate("ES256", kid="issuer/k.pem")))
    assert asapfn(*TOKEN, "--key-from", "uri").code == 0


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_without_the_systems_own_calls_the_standard_library_asks(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "termios", None)  # as on Windows
    monkeypatch.setattr("asapfn.cli.inputs.getpass", lambda prompt: SECRET)
    monkeypatch.setattr(sys, "stdin", Screen())
    assert main(["token", "connect", "GET", "/x", "--issuer", "a", "--secret-from", "-"]) == 0
    assert peek(capsys.readouterr().out.strip()).claims["iss"] == "a"


def test_a_forge_token_is_looked_up_where_atlassian_publishes_its_keys(asapfn, home, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    app = "ari:cloud:ecosystem::app/x"
    made = asapfn("token", "forge", "--app-id", app, "--kid", "k",
                  "--key-from", "keys/private/issuer/RS256.pem").out.strip()  # fmt: skip
    ran = asapfn("verify", "forge", made, "--app-id", app)
    assert ran.code == 3
    assert "atlassian-dev.net" in ran.out


def test_a_thread_reads_a_file_as_the_main_thread_does(tmp_path):
    (tmp_path / "token.txt").write_text("token")
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(read_file, tmp_path / "token.txt").result() == b"token"


EMPTY = [
    ("verify connect a.b.c --url / --secret-from", "--secret-from"),
    ("verify connect a.b.c --url / --public-key", "--public-key"),
    ("explain asap a.b.c --audience a --key-directory", "--key-directory"),
    ("verify asap a.b.c --key-directory keys/public --audience", "--audience"),
    ("verify asap a.b.c --audience a --key-directory keys/public --used", "--used"),
    ("verify asap a.b.c --audience a --key-directory keys/public --issuer", "--issuer"),
    ("verify asap a.b.c --audience a --repository https://x/ --cacert", "--cacert"),
    ("verify jitsi a.b.c --issuer a --audience", "--audience"),
    ("token asap --key-from", "--key-from"),
    ("token asap --issuer", "--issuer"),
    ("token asap --subject", "--subject"),
    ("token asap --password-from", "--password-from"),
    ("token connect POST / --issuer a --form-from", "--form-from"),
    ("qsh POST / --form-from", "--form-from"),
    ("keygen --issuer a --directory", "--directory"),
    ("keygen --issuer", "--issuer"),
    ("activate a/b.pem --now --directory", "--directory"),
    ("publish keys/public --to", "--to"),
    ("publish", "DIR"),
]


@pytest.mark.parametrize(("arguments", "name"), EMPTY)
def test_a_name_or_a_place_that_is_empty_is_not_one_that_was_left_out(
    arguments, name, asapfn, monkeypatch, tmp_path
):
    """Such as of a variable of the shell that is not set: something else would be used."""
    monkeypatch.chdir(tmp_path)
    for variable in ("ASAP_ISSUER", "ASAP_AUDIENCE", "ASAP_SUBJECT", "ASAPFN_SECRET"):
        monkeypatch.setenv(variable, "s" * 40)
    monkeypatch.setenv("ASAP_PUBLIC_KEY_REPOSITORY_URL", "https://keys.example/")
    more = ("--to", "www") if arguments == "publish" else ()
    ran = asapfn(*arguments.split(), "", *more)
    assert (ran.code, ran.out) == (2, "")
    assert f"error: argument {name}: expected a value, got an empty one" in ran.err


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("verify oidc a.b.c --audience a --issuer S3cr3t --issuer S3cr3t", "--issuer"),
        ("verify asap a.b.c --audience a --jwks S3cr3t --jwks=S3cr3t", "--jwks"),
        ("explain forge a.b.c --app-id S3cr3t --app-id S3cr3t", "--app-id"),
        ("verify connect a.b.c --url /1 --context --url /2", "--url"),
        ("explain asap a.b.c --audience a --leeway 10 --leeway 10", "--leeway"),
        ("token asap --lifetime 60 --json --lifetime 61", "--lifetime"),
        ("request asap https://x/ -X PUT --request POST", "-X/--request"),
        ("keygen --issuer a --name S3cr3t --name S3cr3t", "--name"),
        ("keygen --issuer a --format jwk --format pem", "--format"),
        ("activate a/b.pem --wait 1 --wait 2", "--wait"),
        ("publish keys/public --to a --to b", "--to"),
    ],
)
def test_an_option_of_one_value_is_not_given_twice(arguments, name, asapfn, monkeypatch, tmp_path):
    """The first would not count, without a word; others may be given again."""
    monkeypatch.chdir(tmp_path)
    ran = asapfn(*arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert f"error: argument {name}: given twice" in " ".join(ran.err.split())
    assert "S3cr3t" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        ("request asap https://x.example/", "--timeout"),
        ("activate orders/1.pem --repository https://x.example/", "--wait"),
        ("token asap", "--lifetime"),
        ("verify asap a.b.c --audience a", "--leeway"),
    ],
)
def test_seconds_that_no_float_holds_are_wrong_use(arguments, flag, asapfn):
    """Python's OverflowError ended with 1, which means rejected."""
    ran = asapfn(*arguments.split(), flag, "9" * 400)
    assert (ran.code, ran.out) == (2, "")
    assert f"argument {flag}: expected seconds, such as 120\n" in ran.err
