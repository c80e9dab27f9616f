"""What Connect does once: import a secret while it is the same, and hash a request."""

from typing import Any

import pytest

from asapfn import checks, connect
from asapfn.errors import TokenRejected
from asapfn.resolvers import shared_secrets, sources
from asapfn.types import Authenticate, Caching, Key, Resolver
from tests.support.keysources import asking
from tests.support.tenants import BASE, SECRETS, rejection, request, resolver, token_for

pytestmark = pytest.mark.no_event_loop

TARGET = "/connect/page?a=1"


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The secrets that were imported, in order."""
    each: list[Any] = []
    really = sources.import_secret

    def import_secret(secret: Any) -> Any:
        each.append(secret)
        return really(secret)

    monkeypatch.setattr(sources, "import_secret", import_secret)
    return each


@pytest.fixture
def secrets() -> dict[str, Any]:
    return {"one": "a" * 32, "two": "a" * 32}


@pytest.fixture
def resolve(secrets: dict[str, Any]) -> Resolver:
    async def look_up(issuer: str) -> Any:
        return secrets.get(issuer)

    return shared_secrets(look_up)


async def test_a_secret_is_imported_once_while_it_is_the_same(
    imports: list[Any], secrets: dict[str, Any], resolve: Resolver
) -> None:
    async def key_of(issuer: str) -> Key:
        key = await resolve(asking(None, issuer))
        assert key is not None
        return key

    first, other = await key_of("one"), await key_of("two")
    assert (await key_of("one"), await key_of("two")) == (first, other)
    assert first is not other
    assert (first is await key_of("one"), other is await key_of("two")) == (True, True)
    assert imports == ["a" * 32] * 2
    secrets["one"] = b"a" * 32  # the same secret
    assert await key_of("one") is first
    secrets["one"] = "b" * 32
    assert (await key_of("one")).raw_value == b"b" * 32
    secrets["one"] = "a" * 32
    assert (await key_of("one")).raw_value == b"a" * 32
    assert imports == ["a" * 32] * 2 + ["b" * 32, "a" * 32]


async def test_a_secret_that_is_gone_or_no_secret_is_forgotten(
    imports: list[Any], secrets: dict[str, Any], resolve: Resolver
) -> None:
    assert await resolve(asking(None, "one")) is not None
    del secrets["one"]
    assert await resolve(asking(None, "one")) is None
    secrets["one"] = "short"
    for _ in range(2):
        with pytest.raises(TokenRejected, match="unsuitable_key"):
            await resolve(asking(None, "one"))
    secrets["one"] = "a" * 32
    assert await resolve(asking(None, "one")) is not None
    assert imports == ["a" * 32, "short", "short", "a" * 32]


async def test_the_1025th_issuer_makes_all_forgotten(imports: list[Any]) -> None:
    async def look_up(issuer: str) -> str:
        return f"{issuer:>40}"

    resolve = shared_secrets(look_up)
    for issuer in [*range(1024), 0, 1023, 1024, 1024, 0]:
        await resolve(asking(None, str(issuer)))
    assert len(imports) == 1026


@pytest.mark.anyio
async def test_a_cache_is_not_kept_from_importing_what_it_fetches(imports: list[Any]) -> None:
    now = 0.0

    async def look_up(issuer: str) -> str:
        return "a" * 32

    caching = Caching(default_age=10.0, spread=0.0)
    resolve = shared_secrets(look_up, caching=caching, clock=lambda: now)
    first = await resolve(asking(None, "one"))
    assert await resolve(asking(None, "one")) is first
    now = 11.0
    assert await resolve(asking(None, "one")) is not first
    assert len(imports) == 2


# The request


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The requests that were hashed, in order."""
    each: list[tuple[str, str]] = []
    really = checks.canonical_request

    def canonical_request(method: str, url: str, **options: Any) -> str:
        each.append((method, url))
        return really(method, url, **options)

    monkeypatch.setattr(checks, "canonical_request", canonical_request)
    return each


@pytest.mark.parametrize("remember", [0, 1024])
async def test_a_request_is_hashed_once_and_only_for_a_token_that_is_verified(
    hashed: list[tuple[str, str]], remember: int
) -> None:
    authenticate = connect.authenticator(resolver, base_url=BASE, remember=remember)
    for times in range(1, 4):
        await authenticate(request(TARGET, token_for()))
        assert hashed == [("GET", "/page?a=1")] * times
    hashed.clear()
    forged = token_for(secret=SECRETS["umbrella"])
    assert (await rejection(authenticate, request(TARGET, forged))).reason == "bad_signature"
    assert hashed == []


async def test_a_remembered_token_is_for_its_request_alone() -> None:
    authenticate = connect.authenticator(resolver, base_url=BASE)
    token = token_for()
    for _ in range(3):
        await authenticate(request(TARGET, token))
        for target in ("/connect/page?a=2", "/connect/page", "/connect/"):
            refused = await rejection(authenticate, request(target, token))
            assert refused.reason == "request_mismatch"


async def test_a_remembered_token_of_a_tenant_whose_secret_was_replaced() -> None:
    current: list[Any] = [SECRETS["acme"]]

    async def look_up(issuer: str) -> Any:
        return current[0]

    authenticate = connect.authenticator(shared_secrets(look_up), base_url=BASE)
    sent = request(TARGET, token_for())
    for _ in range(3):
        await authenticate(sent)
    for secret, reason in (
        (SECRETS["umbrella"], "bad_signature"),
        (None, "unknown_key"),
        ("short", "unsuitable_key"),
    ):
        current[0] = secret
        for _ in range(2):
            assert (await rejection(authenticate, sent)).reason == reason
    current[0] = SECRETS["acme"]
    await authenticate(sent)


@pytest.mark.parametrize("name", ["jwt", "%6Awt", "j%77t", "%6a%77%74"])
async def test_a_token_is_found_by_each_spelling_of_its_parameter(name: str) -> None:
    authenticate: Authenticate = connect.authenticator(resolver, base_url=BASE)
    token = token_for()
    accepted = await authenticate(request(f"/connect/page?a=1&{name}={token}"))
    assert accepted.claims["iss"] == "acme"
    twice = request(f"/connect/page?a=1&{name}={token}&jwt={token}x")
    assert (await rejection(authenticate, twice)).reason == "ambiguous_token"


@pytest.mark.parametrize("name", ["JWT", "+jwt", "jwt+", "jwt%20", "%jwt", "jwt%", "x", ""])
async def test_no_other_parameter_is_a_token(name: str) -> None:
    authenticate: Authenticate = connect.authenticator(resolver, base_url=BASE)
    sent = request(f"/connect/page?a=1&{name}={token_for()}")
    assert (await rejection(authenticate, sent)).reason == "missing_token"


@pytest.mark.parametrize("make", ["authenticator", "context_authenticator"])
def test_remember_is_a_number_of_tokens(make: str) -> None:
    base: dict[str, Any] = {"base_url": BASE} if make == "authenticator" else {}
    with pytest.raises(ValueError, match="remember is a number of tokens"):
        getattr(connect, make)(resolver, remember=-1, **base)
