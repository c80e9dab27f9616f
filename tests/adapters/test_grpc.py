"""gRPC: a method of any kind has its caller's token, or the call is ended before it."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, get_args

import anyio.to_thread
import grpc
import pytest
from grpc import aio

from asapfn import Request, Token, TokenRejected, Unavailable, asap, bearer, connect
from asapfn.adapters.grpc import call_credentials, interceptor, token
from asapfn.errors import DESCRIPTIONS, Reason
from asapfn.keys import import_secret
from asapfn.resolvers import keys_by_id, shared_secrets
from asapfn.types import Verdict
from tests.support.grpc_service import (
    KINDS,
    REACHED,
    SERVICE,
    begin,
    by_http2,
    call,
    channel,
    channel_credentials,
    grpc_server,
)
from tests.support.keyring import key_for

ORDERS, SHIPPING = key_for("ES256", "orders"), key_for("ES256", "shipping")
AUTHENTICATE = bearer(
    asap.verifier(keys_by_id([ORDERS, SHIPPING]), "billing", issuers=["orders", "shipping"])
)
METHODS = [*KINDS, *(f"plain_{kind}" for kind in KINDS), "written_unary_stream"]
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
MISSING = "missing_token: There is no token"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # all that grpc.aio knows


@pytest.fixture(autouse=True)
def _nothing_reached_yet() -> None:
    REACHED.clear()


def header(issuer: str = "orders") -> str:
    key = {"orders": ORDERS, "shipping": SHIPPING}[issuer]
    return f"Bearer {asap.signer(issuer, key)('billing')}"


def good(issuer: str = "orders") -> list[tuple[str, Any]]:
    return [("authorization", header(issuer))]


@pytest.fixture(scope="module")
async def server(anyio_backend: str) -> AsyncIterator[str]:
    async with grpc_server(interceptor(AUTHENTICATE)) as where:
        yield where


@pytest.fixture(scope="module")
async def client(server: str) -> AsyncIterator[Any]:
    async with channel(server) as opened:
        yield opened


class Ended(NamedTuple):
    """How a call ended that reached no method."""

    code: grpc.StatusCode
    details: str
    trailing: dict[str, Any]


async def refusal(client: Any, name: str = "unary_unary", metadata: Any = (), **more: Any) -> Ended:
    """How a call ends. A stream sends nothing: a message that is on its way while the server ends
    the call is an internal error to grpc.aio, which hides the status."""
    answer = begin(client, name, "a b", metadata, silent=True, **more)
    ended = Ended(
        await answer.code(), await answer.details(), dict(list(await answer.trailing_metadata()))
    )
    assert REACHED == []
    return ended


@pytest.mark.parametrize("name", METHODS)
async def test_a_method_of_each_kind_has_its_callers_token(client: Any, name: str) -> None:
    assert REACHED == []
    answer = await call(client, name, "a b", good())
    together = "a b: orders" if "unary_unary" in name else "a: orders b: orders"
    assert " ".join(answer) == together


@pytest.mark.parametrize("name", METHODS)
async def test_a_call_without_a_token_reaches_no_method(client: Any, name: str) -> None:
    error = await refusal(client, name)
    assert (error.code, error.details) == (UNAUTHENTICATED, MISSING)
    error = await refusal(client, name, [("authorization", f"{header()}x")])
    assert error.code == UNAUTHENTICATED


@pytest.mark.parametrize("name", [*METHODS, "nothing"])
async def test_a_refusal_waits_for_no_message(server: str, name: str) -> None:
    answer = await anyio.to_thread.run_sync(by_http2, server, name, ())
    assert (answer["grpc-status"], answer["grpc-message"]) == ("16", MISSING)
    assert REACHED == []


async def test_which_methods_there_are_is_shown_to_known_callers_alone(client: Any) -> None:
    assert (await refusal(client, "no_unary_unary")).code == UNAUTHENTICATED
    error = await refusal(client, "no_unary_unary", good())
    assert error.code == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("name", ["unary_unary", "stream_stream", "plain_stream_stream"])
async def test_each_reason_is_its_status_and_a_fixed_text(name: str) -> None:
    reasons: list[str] = [*get_args(Reason), "unavailable"]

    async def authenticate(request: Request) -> Token:
        reason: Any = dict(request.headers)["reason"]
        if reason == "unavailable":
            raise Unavailable("https://secret.example/", "a secret detail")
        raise TokenRejected(reason, "a secret detail")

    forbidden = {"issuer_not_allowed", "insufficient_scope"}
    async with grpc_server(interceptor(authenticate)) as where, channel(where) as client:
        for reason in reasons:
            error = await refusal(client, name, [("reason", reason)])
            if reason == "unavailable":
                assert error.code == grpc.StatusCode.UNAVAILABLE
                assert error.details == "unavailable: Try again later"
                assert error.trailing == {"grpc-retry-pushback-ms": "5000"}
                continue
            denied = grpc.StatusCode.PERMISSION_DENIED
            assert error.code == (denied if reason in forbidden else UNAUTHENTICATED)
            text: Any = DESCRIPTIONS
            assert error.details == f"{reason}: {text[reason]}"
            assert error.trailing == {}


def fields(*values: bytes, name: bytes = b"authorization") -> list[tuple[bytes, bytes]]:
    return [(name, value) for value in values]


def bad_metadata() -> dict[str, tuple[list[tuple[bytes, bytes]], str]]:
    """What a client may send that gRPC's own would not, and what comes of it."""
    one = header().encode()
    return {
        "two entries": (fields(one, one), "ambiguous_token"),
        "two entries, one of them empty": (fields(b"", one), "ambiguous_token"),
        "two entries, one of another scheme": (fields(b"Basic eA==", one), "ambiguous_token"),
        "two tokens in one": (fields(one + b" a"), "ambiguous_token"),
        "joined by a comma": (fields(one + b", " + one), "ambiguous_token"),
        "joined by a comma alone": (fields(one + b"," + one[7:]), "malformed"),
        "a binary key": (fields(b64encode(one), name=b"authorization-bin"), "missing_token"),
        "an empty one": (fields(b""), "missing_token"),
        "a scheme alone": (fields(b"Bearer"), "missing_token"),
        "a token alone": (fields(one[7:]), "missing_token"),
        "in another key": (fields(one, name=b"x-authorization"), "missing_token"),
        "in a cookie": (fields(b"authorization=" + one, name=b"cookie"), "missing_token"),
    }


@pytest.mark.parametrize("case", bad_metadata())
async def test_metadata_of_a_bad_client_reaches_no_method(server: str, case: str) -> None:
    sent, reason = bad_metadata()[case]
    answer = await anyio.to_thread.run_sync(by_http2, server, "unary_unary", sent, b"\0\0\0\0\1a")
    assert answer["grpc-status"] == "16"
    assert answer["grpc-message"].startswith(f"{reason}: ")
    assert REACHED == []


@pytest.mark.parametrize(
    "sent",
    [
        fields(b"Bearer \xff\xfe"),
        fields(b"Bearer a\xc3\xa9.b.c"),
        [(b"x", b"\xff"), (b"Authorization", b"Bearer a.b.c")],
        fields(b"Bearer a.b.c", name=b"authorization-bin"),
        fields(b"Bearer " + b"a" * 17_000),
        fields(*[b"Bearer a.b.c"] * 1000),
    ],
    ids=["no UTF-8", "no ASCII", "upper case", "no base64", "huge", "many"],
)
async def test_what_grpc_itself_refuses_reaches_no_method(
    server: str, client: Any, sent: Any
) -> None:
    answer = await anyio.to_thread.run_sync(by_http2, server, "unary_unary", sent, b"\0\0\0\0\1a")
    assert answer.get("grpc-status") != "0"
    assert REACHED == []
    assert await call(client, "unary_unary", "a", good()) == ["a: orders"]


async def test_a_binary_entry_does_no_harm(client: Any) -> None:
    more = [("authorization-bin", b"\xff"), ("trace-bin", b"\0"), ("x", "y")]
    assert await call(client, "unary_unary", "a", [*more, *good()]) == ["a: orders"]


@pytest.mark.parametrize("size", [17_000, 70_000])
async def test_a_huge_token_is_malformed_where_grpc_lets_it_through(size: int) -> None:
    async with (
        grpc_server(interceptor(AUTHENTICATE), max_metadata_size=1_000_000) as where,
        channel(where) as client,
    ):
        error = await refusal(client, metadata=[("authorization", f"Bearer {'a' * size}")])
        assert error.details == "malformed: The token is not well formed"


async def test_what_is_authenticated_is_the_call_as_http2_has_it() -> None:
    seen: list[Request] = []

    async def authenticate(request: Request) -> Token:
        seen.append(request)
        return await AUTHENTICATE(request)

    async with grpc_server(interceptor(authenticate)) as where, channel(where) as client:
        await call(client, "unary_unary", "a", [*good(), ("a", "1"), ("b-bin", b"\1"), ("a", "2")])
    (request,) = seen
    assert (request.method, request.target) == ("POST", "/test.Who/unary_unary")
    assert [pair for pair in request.headers if pair[0] in ("a", "b-bin")] == [
        ("a", "1"),
        ("a", "2"),
    ]
    assert request.mismatch == ""


async def test_a_connect_token_is_for_one_method() -> None:
    secret = "a secret of at least thirty-two bytes"

    async def secret_of(issuer: str) -> str | None:
        return secret

    base_url = "https://app.example"
    authenticate = connect.authenticator(shared_secrets(secret_of), base_url=base_url)
    authorize = connect.authorizer("product", import_secret(secret), base_url=base_url)
    sent = [("authorization", authorize("POST", f"{base_url}/{SERVICE}/unary_unary"))]
    async with grpc_server(interceptor(authenticate)) as where, channel(where) as client:
        error = await refusal(client, "plain_unary_unary", sent)
        assert error.details == "request_mismatch: The token is for another request"
        assert await call(client, "unary_unary", "a", sent) == ["a: product"]


HEALTH = f"/{SERVICE}/health"


async def test_unless_exempts_what_it_names_and_a_method_there_finds_no_token() -> None:
    asked: list[tuple[str, str]] = []
    found: list[str] = []
    verdicts: list[Verdict] = []

    def unless(method: str, path: str) -> bool:
        asked.append((method, path))
        return path.startswith(HEALTH)

    async def health(request: str, context: Any) -> str:
        with pytest.raises(RuntimeError, match="no verified token: expected this to run in a meth"):
            token()
        found.append(request)
        return "well"

    def plain(request: str, context: Any) -> str:
        with pytest.raises(RuntimeError, match="not to be exempt by its unless="):
            token()
        return "well"

    make = grpc.unary_unary_rpc_method_handler
    odd = ["health%2e", "health//a", "health/../a", "health;a", "health?a"]
    methods = dict.fromkeys(["health", "a", *odd], make(health, bytes.decode))
    methods["health_plain"] = make(plain, bytes.decode)
    guarded = interceptor(AUTHENTICATE, unless=unless, observe=verdicts.append)

    async with grpc_server(guarded, methods=methods) as where, channel(where) as client:

        async def ask(name: str, metadata: Any = ()) -> str:
            path = f"/{SERVICE}/{name}"
            method = client.unary_unary(
                path, request_serializer=str.encode, response_deserializer=bytes.decode
            )
            answer: str = await method(name, metadata=tuple(metadata), timeout=20)
            return answer

        assert await ask("health") == await ask("health", good()) == "well"
        assert await ask("health_plain") == "well"
        assert verdicts == []
        assert asked == [("POST", HEALTH)] * 2 + [("POST", f"{HEALTH}_plain")]
        for name in ["a", *odd]:
            with pytest.raises(aio.AioRpcError) as caught:
                await ask(name)
            assert caught.value.details() == MISSING
    assert found == ["health", "health"]
    assert asked[3:] == [("POST", f"/{SERVICE}/a")]
    assert [verdict.reason for verdict in verdicts] == ["missing_token"] * 6


async def test_a_method_of_a_server_without_the_interceptor_finds_no_token() -> None:
    async with grpc_server() as where, channel(where) as client:
        with pytest.raises(aio.AioRpcError, match="there is no verified token"):
            await call(client, "unary_unary", "a", good())
    with pytest.raises(RuntimeError, match="there is no verified token"):
        token()


async def test_a_server_that_is_started_by_a_method_does_not_have_its_token() -> None:
    async def starts(request: str, context: Any) -> str:
        exempt = interceptor(AUTHENTICATE, unless=lambda method, path: True)
        async with grpc_server(exempt) as where, channel(where) as client:
            with pytest.raises(aio.AioRpcError, match="there is no verified token"):
                await call(client, "unary_unary", "b")
        return str(token().claims["iss"])

    methods = {"unary_unary": grpc.unary_unary_rpc_method_handler(starts, bytes.decode)}
    outer = grpc_server(interceptor(AUTHENTICATE), methods=methods)
    async with outer as where, channel(where) as client:
        assert await call(client, "unary_unary", "a", good()) == ["orders"]


@pytest.mark.parametrize("name", METHODS)
async def test_calls_at_once_each_have_their_own_token(client: Any, name: str) -> None:
    async def ask(number: int) -> bool:
        issuer = ("orders", "shipping")[number % 2]
        answer = " ".join(await call(client, name, f"a{number} b{number}", good(issuer)))
        others = {"orders": "shipping", "shipping": "orders"}
        return issuer in answer and others[issuer] not in answer

    assert all(await asyncio.gather(*map(ask, range(24))))


async def test_each_call_is_reported_and_refusals_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    verdicts: list[Verdict] = []

    async def authenticate(request: Request) -> Token:
        if ("down", "yes") in request.headers:
            raise Unavailable("https://keys.example/", "connection refused")
        return await AUTHENTICATE(request)

    guarded = interceptor(authenticate, observe=verdicts.append)
    async with grpc_server(guarded) as where, channel(where) as client:
        with caplog.at_level(logging.INFO, "asapfn"):
            await call(client, "stream_stream", "a b", good())
            await call(client, "plain_unary_unary", "a", good("shipping"))
            REACHED.clear()
            await refusal(client)
            await refusal(client, metadata=[("down", "yes")])
    seen = [verdict[:2] + verdict[3:4] for verdict in verdicts]
    assert seen == [
        ("accepted", "", "orders"),
        ("accepted", "", "shipping"),
        ("rejected", "missing_token", ""),
        ("unavailable", "unavailable", ""),
    ]
    assert verdicts[2].detail == "expected Authorization: Bearer <token>"
    assert verdicts[3].detail == "https://keys.example/: connection refused"
    logged = [record for record in caplog.records if record.name == "asapfn"]
    assert [record.levelname for record in logged] == ["INFO", "WARNING"]
    assert [record.__dict__["asapfn_reason"] for record in logged] == [
        "missing_token",
        "unavailable",
    ]


async def nothing(request: Request) -> Any:
    return None


async def fails(request: Request) -> Token:
    raise LookupError("a secret text")


def raises(*arguments: Any) -> Any:
    raise LookupError("a secret text")


@pytest.mark.parametrize(
    "guarded",
    [
        interceptor(nothing),
        interceptor(fails),
        interceptor(AUTHENTICATE, unless=raises),
        interceptor(AUTHENTICATE, unless=lambda method, path: 1),  # type: ignore[arg-type, return-value]
        interceptor(AUTHENTICATE, observe=raises),
    ],
    ids=["no token", "authenticate", "unless", "unless, no bool", "observe"],
)
async def test_an_error_of_ones_own_reaches_no_method_and_no_client(
    guarded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with grpc_server(guarded) as where, channel(where) as client:
        for name in ("unary_unary", "plain_stream_stream"):
            error = await refusal(client, name, good())
            assert error.code == grpc.StatusCode.INTERNAL
            assert error.details == "internal error"
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.name for record in errors] == ["asapfn"] * 2
    assert all(record.exc_info for record in errors)


async def test_a_client_that_leaves_ends_its_authentication() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hangs(request: Request) -> Token:
        if ("hang", "yes") not in request.headers:
            return await AUTHENTICATE(request)
        began.set()
        try:
            return await asyncio.Future()
        finally:
            ended.set()

    async with grpc_server(interceptor(hangs)) as where, channel(where) as client:
        asking = asyncio.ensure_future(call(client, "unary_unary", "a", [("hang", "yes")]))
        await asyncio.wait_for(began.wait(), 20)
        asking.cancel()
        await asyncio.wait_for(ended.wait(), 20)
        assert await call(client, "unary_unary", "a", good()) == ["a: orders"]
    assert REACHED == ["a"]


async def test_call_credentials_put_a_token_on_each_call(server: str) -> None:
    made: list[tuple[str, str]] = []

    def authorize(method: str, url: str) -> str:
        made.append((method, url))
        return header()

    async with channel(server, call_credentials(authorize)) as client:
        for name in METHODS:
            await call(client, name, "a", ())
    assert made == [("POST", f"https://{server}/{SERVICE}/{name}") for name in METHODS]


async def test_call_credentials_serve_one_call_and_grpcs_own_threads(server: str) -> None:
    mine = call_credentials(asap.authorizer(asap.signer("orders", ORDERS), "billing"))
    async with channel(server) as client:
        assert await call(client, "unary_unary", "a", credentials=mine) == ["a: orders"]

    def ask() -> Any:
        with grpc.secure_channel(server, channel_credentials(mine)) as client:
            return client.unary_unary(f"/{SERVICE}/unary_unary")(b"a", timeout=20)

    assert await anyio.to_thread.run_sync(ask) == b"a: orders"


async def test_a_connect_token_is_made_for_the_url_that_grpc_gives() -> None:
    secret = "a secret of at least thirty-two bytes"
    authorize = connect.authorizer("product", import_secret(secret), base_url="https://localhost")

    async def secret_of(issuer: str) -> str | None:
        return secret

    authenticate = connect.authenticator(shared_secrets(secret_of), base_url="https://localhost")

    def to_any_port(method: str, url: str) -> str:
        return authorize(method, f"https://localhost/{url.split('/', 3)[3]}")

    async with grpc_server(interceptor(authenticate)) as where:
        async with channel(where, call_credentials(to_any_port)) as client:
            assert await call(client, "stream_unary", "a") == ["a: product"]
        # A URL that is not below base_url gets no token.
        async with channel(where, call_credentials(authorize)) as client:
            REACHED.clear()
            error = await refusal(client)
            assert "below base_url" in str(error.details)


@pytest.mark.parametrize("header", ["Bearer a\nb: c", "Bearer \xe9", None, b"Bearer a"])
async def test_a_header_that_is_none_is_not_sent(server: str, header: Any) -> None:
    def authorize(method: str, url: str) -> Any:
        return header

    async with channel(server, call_credentials(authorize)) as client:
        error = await refusal(client)
    assert error.details != MISSING
    if not isinstance(header, str):
        assert f"authorize returned {type(header).__name__}, not a str" in str(error.details)


async def test_a_token_is_not_sent_in_the_clear() -> None:
    made: list[str] = []

    def authorize(method: str, url: str) -> str:
        made.append(url)
        return header()

    plain = aio.server(interceptors=[interceptor(AUTHENTICATE)])
    port = plain.add_insecure_port("127.0.0.1:0")
    await plain.start()
    mine = call_credentials(authorize)
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as client:
            with pytest.raises((aio.AioRpcError, aio.UsageError)):
                await call(client, "unary_unary", "a", credentials=mine)
    finally:
        await plain.stop(0)
    assert made == []


async def test_a_server_of_another_name_gets_no_token(server: str) -> None:
    made: list[str] = []

    def authorize(method: str, url: str) -> str:
        made.append(url)
        return header()

    # The certificate is for localhost.
    where = server.replace("localhost", "127.0.0.1")
    async with channel(where, call_credentials(authorize)) as client:
        assert (await refusal(client)).code == grpc.StatusCode.UNAVAILABLE
    assert made == []
