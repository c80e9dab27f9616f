"""ASAP from one end to the other: tokens, and keys that are fetched over real HTTPS."""

import contextlib
import datetime
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
import trustme
from keyring import key_for
from servers import (
    Behaviour,
    answers,
    asgi_server,
    drips,
    hangs,
    raw_server,
    resets,
    response,
    serving,
    trusting,
)

from asapfn import compact
from asapfn.adapters.asgi import key_repository
from asapfn.adapters.httpx import fetcher
from asapfn.authentication import bearer
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_private_pem, export_public_pem
from asapfn.profiles import asap
from asapfn.replay import in_memory
from asapfn.resolvers import pem_repository
from asapfn.signing import sign
from asapfn.types import Caching, Fetch, Key, Request, Resolver, Token
from asapfn.verification import peek

ALGORITHMS = [f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)]
OURS = key_for("ES256")
MALLORYS = key_for("ES256", "mallory")
UNPUBLISHED = key_for("ES384", "secretive")
PEM = "Content-Type: application/x-pem-file"
PUBLIC = export_public_pem(OURS).encode()


class Repository:
    """A key repository that counts what it is asked for."""

    def __init__(self) -> None:
        keys = [key_for(algorithm) for algorithm in ALGORITHMS]
        self.app = key_repository([*keys, MALLORYS])
        self.asked: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.asked[f"{scope['method']} {scope['path']}"] += 1
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Repository]]:
    repository = Repository()
    with asgi_server(repository) as origin:
        yield origin, repository


@pytest.fixture
def origin(server: tuple[str, Repository]) -> str:
    return server[0]


@pytest.fixture
def asked(server: tuple[str, Repository]) -> Counter[str]:
    """What the repository is asked for from here on."""
    server[1].asked.clear()
    return server[1].asked


@pytest.fixture
async def fetch() -> AsyncIterator[Fetch]:
    async with httpx.AsyncClient(verify=trusting()) as client:
        yield fetcher(client, timeout=2.0)


Verify = Callable[[str], Awaitable[Token]]


@pytest.fixture
def verify(origin: str, fetch: Fetch) -> Verify:
    return asap.verifier(asap.repository(origin, fetch), "service", issuers=["issuer", "secretive"])


async def reason_of(verify: Verify, token: str) -> tuple[str, int]:
    with pytest.raises(TokenRejected) as raised:
        await verify(token)
    return raised.value.reason, raised.value.status


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_is_verified_by_a_key_that_is_fetched(
    verify: Verify, asked: Counter[str], algorithm: str
) -> None:
    token = asap.signer("issuer", key_for(algorithm))("service")
    verified = await verify(token)
    assert verified.claims == peek(token).claims
    assert asked == {f"GET /issuer/{algorithm}.pem": 1}


async def test_a_key_is_fetched_once_for_many_tokens_in_turn_and_at_once(
    verify: Verify, asked: Counter[str]
) -> None:
    sign_for = asap.signer("issuer", OURS)
    taken: list[str] = []

    async def call() -> None:
        taken.append((await verify(sign_for("service"))).claims["jti"])

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(call)
    for _ in range(50):
        await call()
    assert len(set(taken)) == 100
    assert asked == {"GET /issuer/ES256.pem": 1}


async def test_a_request_is_authenticated_by_its_header(verify: Verify) -> None:
    authorize = asap.authorizer("issuer", OURS, "service", reuse_fraction=0.5)
    header = authorize("GET", "https://service.example/")
    authenticate = bearer(verify)
    verified = await authenticate(Request("GET", None, (("authorization", header),)))
    assert verified.claims["iss"] == "issuer"
    with pytest.raises(TokenRejected) as raised:
        await authenticate(Request("GET", None, (("authorization", header),) * 2))
    assert raised.value.reason == "ambiguous_token"


def tampered(claims: dict[str, Any]) -> str:
    head, _, signature = sign(claims, OURS).split(".")
    _, longer, _ = sign(claims | {"exp": claims["exp"] + 600}, OURS).split(".")
    return f"{head}.{longer}.{signature}"


def unsigned(claims: dict[str, Any]) -> str:
    return compact.signing_input({"alg": "none", "kid": OURS.kid}, claims).decode() + "."


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], str], str, int, int]] = {
    "expired": (
        lambda claims: sign(claims | {"iat": claims["iat"] - 90, "exp": claims["iat"] - 30}, OURS),
        "expired",
        401,
        0,
    ),
    "for another": (lambda claims: sign(claims | {"aud": "other"}, OURS), "wrong_audience", 401, 0),
    "unsigned": (unsigned, "unsupported_algorithm", 401, 0),
    "under someone else's key id": (lambda claims: sign(claims, MALLORYS), "key_not_owned", 401, 0),
    "of an issuer not allowed": (
        lambda claims: sign(claims | {"iss": "mallory"}, MALLORYS),
        "issuer_not_allowed",
        403,
        0,
    ),
    "tampered with": (tampered, "bad_signature", 401, 1),
    "by someone else's key": (
        lambda claims: sign(claims, MALLORYS, kid=OURS.kid),
        "bad_signature",
        401,
        1,
    ),
    "by a key not published": (
        lambda claims: sign(claims | {"iss": "secretive"}, UNPUBLISHED),
        "unknown_key",
        401,
        1,
    ),
    "by another kind of key": (
        lambda claims: sign(claims, key_for("ES384"), kid=OURS.kid),
        "unsuitable_key",
        401,
        1,
    ),
}


@pytest.mark.parametrize(("make", "reason", "status", "fetches"), REFUSED.values(), ids=REFUSED)
async def test_a_bad_token_is_refused_and_a_hopeless_one_fetches_nothing(
    verify: Verify,
    asked: Counter[str],
    make: Callable[[dict[str, Any]], str],
    reason: str,
    status: int,
    fetches: int,
) -> None:
    token = make(asap.claims("issuer", "service"))
    for _ in range(2):
        assert await reason_of(verify, token) == (reason, status)
    # Twice refused, once asked: what was found is remembered, and so is that nothing was.
    assert asked.total() == fetches


async def test_a_token_is_taken_once(origin: str, fetch: Fetch) -> None:
    repository = asap.repository(origin, fetch)
    verify = asap.verifier(repository, "service", issuers="issuer", replay=in_memory())
    token = asap.signer("issuer", OURS)("service")
    assert await verify(token)
    assert await reason_of(verify, token) == ("replayed", 401)


async def test_a_signer_and_a_verifier_from_the_environment_meet(origin: str, fetch: Fetch) -> None:
    environ = {
        "ASAP_ISSUER": "issuer",
        "ASAP_KEY_ID": "issuer/ES256.pem",
        "ASAP_PRIVATE_KEY": export_private_pem(OURS).replace("\n", "\\n"),
        "ASAP_AUDIENCE": "service",
        "ASAP_SERVER_AUDIENCE": "service",
        "ASAP_PUBLIC_KEY_REPOSITORY_URL": origin,
    }
    token = asap.signer_from_env(environ)(None)
    assert await asap.verifier_from_env(fetch, environ, issuers="issuer")(token)


# A repository that is not as it should be


def key(status: str = "200 OK", body: bytes = PUBLIC, *headers: str) -> Behaviour:
    return answers(response(status, body, *(headers or (PEM,))))


def elsewhere(status: str) -> Behaviour:
    """A redirect to where the key is; it must not be followed."""
    return key(status, PUBLIC, PEM, "Location: /issuer/ES256.pem")


FOUND: dict[str, Behaviour] = {
    "200": key(),
    "parameters of the media type": key("200 OK", PUBLIC, f"{PEM}; charset=us-ascii"),
    "a media type in capitals": key("200 OK", PUBLIC, PEM.upper()),
    "text around the key": key("200 OK", b"The key:\r\n" + PUBLIC.replace(b"\n", b"\r\n")),
}
NO_SUCH_KEY: dict[str, Behaviour] = {
    "204": answers(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
    "403": key("403 Forbidden", b"<html>", "Content-Type: text/html"),
    "404": key("404 Not Found", b"", "Content-Type: text/plain"),
    "404 with a key": key("404 Not Found"),
}
OUTAGES: dict[str, Behaviour] = {
    "201": key("201 Created"),
    "206": key("206 Partial Content"),
    "301": elsewhere("301 Moved Permanently"),
    "302": elsewhere("302 Found"),
    "307": elsewhere("307 Temporary Redirect"),
    "400": key("400 Bad Request"),
    "401": key("401 Unauthorized"),
    "410": key("410 Gone"),
    "429": key("429 Too Many Requests"),
    "500": key("500 Internal Server Error"),
    "503": key("503 Service Unavailable"),
    "another media type": key("200 OK", PUBLIC, "Content-Type: text/plain"),
    "no media type": answers(response("200 OK", PUBLIC)),
    "no body": key("200 OK", b""),
    "no key": key("200 OK", b"<html>"),
    "half a key": key("200 OK", PUBLIC[:-40]),
    "two keys": key("200 OK", PUBLIC * 2),
    "a private key": key("200 OK", export_private_pem(OURS).encode()),
    "10 MB": key("200 OK", PUBLIC + b" " * 10_000_000),
    "a slow drip": drips(response("200 OK", b"", PEM, length=len(PUBLIC))),
    "a hang": hangs(),
    "a reset": resets(),
    "a reset within the body": resets(response("200 OK", PUBLIC[:50], PEM, length=len(PUBLIC))),
    "a body cut off": answers(response("200 OK", PUBLIC[:50], PEM, length=len(PUBLIC))),
    "no answer": answers(b""),
    "gzip": key("200 OK", PUBLIC, PEM, "Content-Encoding: gzip"),
}


@contextlib.asynccontextmanager
async def resolver_of(*bases: str) -> AsyncIterator[Resolver]:
    async with httpx.AsyncClient(verify=trusting(), follow_redirects=True) as client:
        yield pem_repository(bases, fetcher(client, timeout=0.4), caching=Caching(min_age=0))


def counted(behaviour: Behaviour, paths: list[bytes]) -> Behaviour:
    def counting(peer: Any, request: bytes, stopping: Any) -> None:
        paths.append(request.split(b" ", 2)[1])
        behaviour(peer, request, stopping)

    return counting


async def resolve(resolver: Resolver) -> Key | None:
    return await resolver(peek(asap.signer("issuer", OURS)("service")))


@pytest.mark.parametrize("behaviour", FOUND.values(), ids=FOUND)
async def test_a_repository_that_answers_with_the_key_has_it(behaviour: Behaviour) -> None:
    with raw_server(behaviour) as base:
        async with resolver_of(base) as resolver:
            found = await resolve(resolver)
    assert found is not None
    assert found.kid == OURS.kid
    assert export_public_pem(found) == export_public_pem(OURS)


@pytest.mark.parametrize("behaviour", NO_SUCH_KEY.values(), ids=NO_SUCH_KEY)
async def test_a_repository_that_says_there_is_no_such_key_is_believed(
    behaviour: Behaviour,
) -> None:
    paths: list[bytes] = []
    with raw_server(counted(behaviour, paths)) as base, raw_server(key()) as mirror:
        async with resolver_of(base, mirror) as resolver:
            verify = asap.verifier(resolver, "service", issuers=None)
            for _ in range(2):
                token = asap.signer("issuer", OURS)("service")
                assert await reason_of(verify, token) == ("unknown_key", 401)
    assert paths == [b"/issuer/ES256.pem"]


@pytest.mark.parametrize("behaviour", OUTAGES.values(), ids=OUTAGES)
async def test_a_repository_that_answers_anything_else_is_unavailable_and_a_mirror_is_asked(
    behaviour: Behaviour,
) -> None:
    paths: list[bytes] = []
    with raw_server(counted(behaviour, paths)) as base:
        async with resolver_of(base) as resolver:
            verify = asap.verifier(resolver, "service", issuers=None)
            with pytest.raises(Unavailable) as raised:
                await verify(asap.signer("issuer", OURS)("service"))
        assert raised.value.status == 503
        assert raised.value.source.startswith(base)
        assert "PRIVATE" not in str(raised.value)
        # A redirect was not followed, and nothing was tried twice.
        assert paths == [b"/issuer/ES256.pem"]
        with raw_server(key()) as mirror:
            async with resolver_of(base, mirror) as resolver:
                assert await resolve(resolver) is not None


CERTIFICATES: dict[str, Callable[[], Any]] = {
    "a stranger's": lambda: serving("localhost", issuer=trustme.CA()),
    "another host's": lambda: serving("other.example"),
    "an expired one": lambda: serving(
        "localhost", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    ),
}


@pytest.mark.parametrize("context", CERTIFICATES.values(), ids=CERTIFICATES)
async def test_a_repository_with_a_bad_certificate_is_unavailable(
    context: Callable[[], Any],
) -> None:
    paths: list[bytes] = []
    with raw_server(counted(key(), paths), context=context()) as base:
        async with resolver_of(base) as resolver:
            with pytest.raises(Unavailable):
                await resolve(resolver)
    assert paths == []


async def test_a_repository_that_is_not_there_is_unavailable() -> None:
    with raw_server(key()) as base:
        pass
    async with resolver_of(base) as resolver:
        with pytest.raises(Unavailable):
            await resolve(resolver)
