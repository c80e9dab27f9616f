"""ASAP from one end to the other: tokens, and keys that are fetched over real HTTPS."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

from asapfn import asap
from asapfn._core import compact
from asapfn._core.credentials import bearer
from asapfn._core.signing import sign
from asapfn._core.verification import peek
from asapfn.adapters.asgi import key_repository
from asapfn.adapters.httpx import fetcher
from asapfn.errors import TokenRejected
from asapfn.keys import export_private_pem
from asapfn.replay import in_memory
from asapfn.types import Fetch, Request, Token
from tests.support.keyring import key_for
from tests.support.servers import asgi_server, trusting

ALGORITHMS = [f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)]
OURS = key_for("ES256")
MALLORYS = key_for("ES256", "mallory")
UNPUBLISHED = key_for("ES384", "secretive")


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
    authorize = asap.authorizer(asap.signer("issuer", OURS, reuse_fraction=0.5), "service")
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
    header = {"alg": "none", "kid": OURS.kid}
    return b".".join(map(compact.encode_segment, (header, claims))).decode() + "."


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
