"""What an operator sees who knows nothing of the code: each refusal and outage, with its cause.

Real servers refuse, over real faults. The words that must be found in their logs, and in what
`asapfn explain` says of the same token, are written here by hand.
"""

import contextlib
import datetime
import io
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import trustme

from asapfn import qsh, sign
from asapfn.cli import main
from asapfn.errors import DESCRIPTIONS, TokenRejected
from asapfn.keys import export_private_pem, export_public_pem, generate, import_secret
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.nginx_keys import nginx, snippet
from tests.support.processes import running
from tests.support.redis_server import RedisServer, redis_server
from tests.support.servers import (
    answers,
    authority,
    hangs,
    raw_server,
    response,
    serving,
    trusting,
)

SUPPORT = Path(__file__).parents[1] / "support"
TLS = ["--keyfile={certificate}", "--certfile={certificate}"]
SERVERS = {
    "uvicorn": [
        *("-m", "uvicorn", "operated:by_asgi", "--fd={fd}", "--no-access-log"),
        *("--ssl-keyfile={certificate}", "--ssl-certfile={certificate}"),
    ],
    "gunicorn": ["-m", "gunicorn", "operated:by_wsgi", "--bind=fd://{fd}", "--threads=8", *TLS],
}
SECRET = "the tenant's own secret, of 48 bytes, known to it"
CREDENTIALS = "Basic YmlsbGluZzpzZXNhbWUgb3Blbg=="
PASSWORD = "open-sesame-of-redis"
# Signed when the module is read, used perhaps half an hour later.
NOW = int(time.time())
END = NOW + 3500
RSA, ES = key_for("RS256", "orders"), key_for("ES256", "orders")
FORGED = generate("ES256", kid=ES.kid)
LEAKED = export_private_pem(generate("ES256", kid="leaked/es.pem"))


class Case(NamedTuple):
    """A request, and what must be found of it.

    Attributes:
        sent: Its `Authorization`, or none, or two.
        log: Patterns, in this order in one line of the service's log.
        said: Patterns, each in what `asapfn explain` says of the same token.
        path: Where the request goes.
        asked: The arguments of `asapfn explain`, but for the token.
        times: How often it is sent.
    """

    sent: tuple[str, ...]
    log: tuple[str, ...]
    said: tuple[str, ...]
    path: str = "/"
    asked: tuple[str, ...] = ("asap", "--audience", "billing", "--repository", "{keys}")
    times: int = 1


def claims(**changed: Any) -> dict[str, Any]:
    """Claims of a good token, some of them changed; None leaves one out."""
    made = {"iss": "orders", "aud": "billing", "iat": NOW, "exp": END, "jti": "1"} | changed
    return {name: value for name, value in made.items() if value is not None}


def token(**changed: Any) -> str:
    return sign(claims(**changed), ES)


def bearer(text: str) -> tuple[str, ...]:
    return (f"Bearer {text}",)


def product() -> tuple[str, ...]:
    """A Connect token for a request that is not the one it comes with."""
    made = {"iss": "tenant", "iat": NOW, "exp": END, "qsh": qsh("GET", "/connect")}
    return (f"JWT {sign(made, import_secret(SECRET))}",)


ASAP = Case._field_defaults["asked"]
CONNECT = ("connect", "--url", "https://app.example/connect?a=1", "--secret-from", "{secret}")

REASONS = {
    "malformed": Case(
        bearer(f'"{token()}"'),
        ("rejected malformed", "base64url"),
        ("rejected  malformed", "it is in quotes: remove them"),
    ),
    "unsupported_algorithm": Case(
        bearer(sign(claims(), import_secret(SECRET))),
        ("rejected unsupported_algorithm", "ES256", 'got "HS256"'),
        ("rejected  unsupported_algorithm", "signed with a shared secret, as Connect tokens are"),
    ),
    "missing_claim": Case(
        bearer(token(jti=None)),
        ("rejected missing_claim", "no jti"),
        ("rejected  missing_claim", "have the signer set jti"),
    ),
    "invalid_claim": Case(
        bearer(token(iat=END + 9)),
        ("rejected invalid_claim", f"exp {END} is not after iat {END + 9}"),
        ("rejected  invalid_claim", "have the signer correct exp"),
    ),
    "expired": Case(
        bearer(token(iat=NOW - 900, exp=NOW - 300)),
        ("rejected expired", f"exp is {NOW - 300}", "now", "leeway 10 s"),
        ("rejected  expired", "expired [0-9]+ min .*ago", "compare the two machines' clocks"),
    ),
    "not_yet_valid": Case(
        bearer(token(nbf=END - 9)),
        ("rejected not_yet_valid", f"nbf is {END - 9}", "now"),
        ("rejected  not_yet_valid", "valid in [0-9]+ min", "compare the clocks"),
    ),
    "lifetime_too_long": Case(
        bearer(token(exp=NOW + 7200)),
        ("rejected lifetime_too_long", "at most 3600 s", "got 7200 s"),
        ("rejected  lifetime_too_long", "got 7200 s", "sign for a shorter time"),
    ),
    "wrong_audience": Case(
        bearer(token(aud="Billing")),
        ("rejected wrong_audience", 'expected "billing"', 'got "Billing"'),
        ("rejected  wrong_audience", "differ only in upper and lower case"),
    ),
    "unknown_key": Case(
        bearer(forge(claims(), ES, kid="orders/new.pem")),
        ("rejected unknown_key", '"orders/new.pem"', 'iss "orders"'),
        (
            "rejected  unknown_key",
            "publish the public key under this kid",
            "replaced or revoked",
            "key is found",
        ),
    ),
    "key_not_owned": Case(
        bearer(forge(claims(), ES, kid="shipping/es.pem")),
        ("rejected key_not_owned", 'expected "orders/', 'got "shipping/es.pem"'),
        ("rejected  key_not_owned", "name the key after its issuer"),
    ),
    "unsuitable_key": Case(
        bearer(forge(claims(), RSA, kid=ES.kid)),
        ("rejected unsuitable_key", "RS256 needs a key of type RSA, not EC"),
        ("rejected  unsuitable_key", "the algorithm that the published key is for"),
    ),
    "bad_signature": Case(
        bearer(sign(claims(), FORGED)),
        ("rejected bad_signature", "ES256", '"orders/ES256.pem"'),
        ("rejected  bad_signature", "another key signed than the one published under this kid"),
    ),
    "subject_mismatch": Case(
        bearer(token(sub="ann")),
        ("rejected subject_mismatch", '"orders"', 'got "ann"'),
        ("rejected  subject_mismatch", "leave sub out", "--any-subject"),
    ),
    "replayed": Case(
        bearer(token(jti="used")),
        ("rejected replayed", 'got "used" of iss "orders"'),
        ("rejected  replayed", "this service accepts a token once"),
        "/once",
        (*ASAP, "--used", "{used}"),
        times=2,
    ),
    "request_mismatch": Case(
        product(),
        ("rejected request_mismatch", "GET&/connect&a=1", f'got "{qsh("GET", "/connect")}"'),
        ("rejected  request_mismatch", "the query is left out"),
        "/connect?a=1",
        CONNECT,
    ),
    "missing_token": Case(
        (),
        ("rejected missing_token", "expected Authorization: Bearer"),
        ("rejected  missing_token", "send one token in the Authorization header"),
    ),
    "ambiguous_token": Case(
        bearer(token()) * 2,
        ("rejected ambiguous_token", "more than one Authorization header"),
        ("rejected  ambiguous_token", "send one token, in one place"),
    ),
    "issuer_not_allowed": Case(
        bearer(forge(claims(iss="ordres"), ES)),
        ("rejected issuer_not_allowed", "expected ", 'got "ordres"'),
        ("rejected  issuer_not_allowed", 'expected "orders", got "ordres"', "add the issuer"),
        "/",
        (*ASAP, "--issuer", "orders"),
    ),
    "insufficient_scope": Case(
        bearer(token(scope="invoices")),
        ("rejected insufficient_scope", 'expected "refunds"', 'got "invoices"'),
        ("rejected  insufficient_scope", "have the caller ask for the scope"),
        "/scoped",
        (*ASAP, "--scope", "refunds"),
    ),
}


def outage(issuer: str, log: str, *said: str) -> Case:
    """A good token, of an issuer whose repository has the fault of its name."""
    sent = bearer(forge(claims(iss=issuer), ES, kid=f"{issuer}/es.pem"))
    place = "https://keys.invalid/" if issuer == "unresolved" else "https://localhost:"
    return Case(
        sent,
        ("unavailable: ", place, log),
        ("unavailable  ", log, *said),
        asked=("asap", "--audience", "billing", "--repository", f"{{{issuer}}}"),
    )


OUTAGES = {
    "refused": outage("refused", "Connection refused", "check the host and port"),
    "unresolved": outage(
        "unresolved", "Name or service not known|name resolution", "correct the host name"
    ),
    "untrusted": outage(
        "untrusted",
        "certificate verify failed: unable to get local issuer certificate",
        "trust the authority",
        "SSL_CERT_FILE",
        "--cacert",
    ),
    "misnamed": outage(
        "misnamed",
        "certificate verify failed: Hostname mismatch, certificate is not valid for 'localhost'",
        "the host name that its certificate is for",
    ),
    "outdated": outage(
        "outdated", "certificate verify failed: certificate has expired", "certificate renewed"
    ),
    "failing": outage("failing", "status 500", "look into the log of that server"),
    "overloaded": outage("overloaded", "status 503", "the server's own outage"),
    "page": outage(
        "page",
        "expected media type application/x-pem-file, got text/html",
        "served as application/x-pem-file",
    ),
    "stock": outage(
        "stock", "got application/x-x509-ca-cert", "asapfn publish --check", "x-pem-file"
    ),
    "moved": outage("moved", "a redirect to login.example", "the URL of the keys themselves"),
    "hanging": outage("hanging", "no whole answer within 5 seconds", "not overloaded"),
    "large": outage("large", "larger than 65536 bytes", "check what is published there"),
    "cut": outage("cut", "peer closed connection without sending complete message body"),
    "empty": outage("empty", "not a public key", "check what is published there"),
    "leaked": outage("leaked", "a private key is published", "make a new key pair"),
}
# Of these `asapfn explain` says that it is not the token.
STORE = {
    "hanging store": Case(
        bearer(token(jti="4")), ("unavailable: replay store: no answer",), ("accepted",), "/once"
    ),
    "stopped store": Case(
        bearer(token(jti="5")),
        ("unavailable: replay store: .*Connection refused",),
        ("accepted",),
        "/once",
    ),
}
CASES = REASONS | OUTAGES | STORE
SECRETS = [SECRET, CREDENTIALS.split()[1], PASSWORD, *LEAKED.splitlines()[1:-1]]
SECRETS += [each.rpartition(".")[2][:20] for case in CASES.values() for each in case.sent]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The URLs of the repositories: nginx with the README's snippet, and one for each fault."""
    root = tmp_path_factory.mktemp("www")
    for name, key in ((RSA.kid, RSA), (ES.kid, ES), ("stock/es.pem", ES)):
        (root / str(name)).parent.mkdir(exist_ok=True)
        (root / str(name)).write_text(export_public_pem(key))
    pem = "Content-Type: application/x-pem-file"
    page = response("200 OK", b"<html>Sign in</html>", "Content-Type: text/html")
    faults = {
        "failing": response("500 Internal Server Error"),
        "overloaded": response("503 Service Unavailable", b"", "Retry-After: 7"),
        "page": page,
        "moved": response("302 Found", b"", "Location: https://login.example/?to=keys"),
        "large": response("200 OK", b"x" * 70_000, pem),
        "cut": response("200 OK", b"-----BEGIN", pem, length=600),
        "empty": response("200 OK", b"To be done\n", pem),
        "leaked": response("200 OK", LEAKED.encode(), pem),
    }
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificates = {
        "untrusted": serving(issuer=trustme.CA()),
        "misnamed": serving("keys.example"),
        "outdated": serving("localhost", not_after=past),
    }
    as_it_comes = re.sub("types .*|default_type .*", "", snippet("nginx"))
    with contextlib.ExitStack() as stack, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        urls = {
            "keys": stack.enter_context(nginx(root, root.parent / "nginx")),
            "stock": stack.enter_context(nginx(root, root.parent / "stock", as_it_comes)),
            "refused": f"https://localhost:{closed.getsockname()[1]}/",
            "unresolved": "https://keys.invalid/",
            "hanging": stack.enter_context(raw_server(hangs())),
        }
        for name, data in faults.items():
            urls[name] = stack.enter_context(raw_server(answers(data)))
        for name, context in certificates.items():
            urls[name] = stack.enter_context(raw_server(answers(page), context=context))
        yield urls


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--requirepass", PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def log(
    request: pytest.FixtureRequest,
    places: dict[str, str],
    redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """All that a server has written when each request was made."""
    folder = tmp_path_factory.mktemp("server")
    redis.start()
    environment = {
        "KEYS": places["keys"],
        "FAULTY": json.dumps({name: places[name] for name in OUTAGES}),
        "REDIS": redis.url.replace("//", f"//:{PASSWORD}@"),
        "SECRET": SECRET,
        "CREDENTIALS": CREDENTIALS,
    }
    command = SERVERS[request.param.partition(",")[0]]
    if "," in request.param:
        environment["QUIET"] = "1"
    with running(command, within=SUPPORT, folder=folder, environment=environment) as origin:
        first = OUTAGES | REASONS
        with ThreadPoolExecutor(8) as pool:
            statuses = dict(zip(first, pool.map(partial(ask, origin), first.values()), strict=True))
        refused: dict[str, int] = {name: TokenRejected(name).status for name in DESCRIPTIONS}
        assert statuses == dict.fromkeys(OUTAGES, 503) | refused
        with redis.paused():
            assert ask(origin, STORE["hanging store"]) == 503
        redis.kill()
        assert ask(origin, STORE["stopped store"]) == 503
    return (folder / "log.txt").read_text()


def ask(origin: str, case: Case) -> int:
    """The status of the answer, the last one."""
    headers = [("Authorization", value) for value in case.sent]
    with httpx.Client(verify=trusting(), timeout=60) as client:
        for _ in range(case.times):
            status = client.get(origin + case.path, headers=headers).status_code
    return status


@pytest.fixture(scope="module")
def explained(places: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `asapfn explain` says of each token."""
    folder = tmp_path_factory.mktemp("explained")
    where = places | {name: str(folder / name) for name in ("secret", "used")}
    (folder / "secret").write_text(SECRET)
    (folder / "used").write_text(REASONS["replayed"].sent[0])
    authority().cert_pem.write_to_path(str(folder / "authority.pem"))
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
        commands = {}
        for name, case in CASES.items():
            head = "".join(f"Authorization: {value}\n" for value in case.sent)
            (folder / f"{name}.txt").write_text(f"GET {case.path} HTTP/1.1\n{head}")
            arguments = [each.format(**where) for each in case.asked]
            commands[name] = ["explain", *arguments, f"@{folder / name}.txt"]
        # In a process of its own, while this one asks about the others.
        waiting = commands.pop("hanging")
        with subprocess.Popen(
            [sys.executable, "-m", "asapfn", *waiting], stdout=subprocess.PIPE, text=True
        ) as process:
            for name, command in commands.items():
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    code = main(command)
                assert code == (3 if name in OUTAGES else 0 if name in STORE else 1), name
                said[name] = out.getvalue()
            said["hanging"] = process.communicate(timeout=60)[0]
    return said


def test_there_is_a_request_for_each_reason() -> None:
    assert set(REASONS) == set(DESCRIPTIONS)
    assert len(OUTAGES | STORE) >= 10


@pytest.mark.parametrize("log", ["uvicorn", "gunicorn"], indirect=True)
def test_the_log_names_the_cause_of_each_refusal(log: str) -> None:
    assert_each_in(log, REASONS)


@pytest.mark.parametrize("log", ["uvicorn", "gunicorn", "uvicorn, nothing set up"], indirect=True)
def test_the_log_names_the_cause_of_each_outage(log: str) -> None:
    assert_each_in(log, OUTAGES | STORE)


def assert_each_in(log: str, cases: dict[str, Case]) -> None:
    missing = [name for name, case in cases.items() if not re.search(".*".join(case.log), log)]
    assert missing == [], log


@pytest.mark.parametrize("log", ["uvicorn", "gunicorn", "uvicorn, nothing set up"], indirect=True)
def test_the_log_holds_nothing_secret(log: str) -> None:
    assert [each for each in SECRETS if each in log] == []


@pytest.mark.parametrize("name", CASES)
def test_explain_names_the_cause(name: str, explained: dict[str, str]) -> None:
    for words in CASES[name].said:
        assert re.search(words, explained[name]), explained[name]


def test_explain_shows_nothing_secret(explained: dict[str, str]) -> None:
    text = "\n".join(explained.values())
    assert [each for each in SECRETS if each in text] == []
