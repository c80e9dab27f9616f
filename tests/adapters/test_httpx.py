import gc
import math
import time
from typing import Any

import anyio
import pytest

from asapfn.adapters.httpx import fetcher
from asapfn.errors import Unavailable
from asapfn.types import Document
from tests.support.servers import Recorder, answers, hangs, raw_server, response, trusting

TOKEN = "Bearer aaaa.bbbb.cccc"
PEM = "application/x-pem-file"


async def test_it_asks_for_the_media_type_and_no_encoding(
    client: Any, app: Recorder, origin: str
) -> None:
    await fetcher(client)(f"{origin}/issuer/key.pem", PEM)
    (seen,) = app.seen
    assert seen.target == "/issuer/key.pem"
    assert seen.all("accept") == [PEM]
    assert seen.all("accept-encoding") == ["identity"]


async def test_it_brings_the_answer_with_its_media_type_bare(client: Any, origin: str) -> None:
    document = await fetcher(client)(f"{origin}/key", PEM)
    assert document == Document(200, "text/plain", b"hello", None, None, None)


@pytest.mark.parametrize(
    "status", ["200 OK", "204 No Content", "304 Not Modified", "403 No", "404 None", "503 Down"]
)
async def test_any_status_is_an_answer(client: Any, status: str) -> None:
    with raw_server(answers(response(status))) as origin:
        document = await fetcher(client)(f"{origin}/key", PEM)
    assert document == Document(int(status[:3]), "", b"", None, None, None)


async def test_it_reads_how_long_the_answer_may_be_kept(
    client: Any, app: Recorder, origin: str
) -> None:
    app.fields = [
        (b"cache-control", b"public, MAX-AGE=300"),
        (b"cache-control", b"stale-while-revalidate=20, stale-if-error=10"),
        (b"age", b"100"),
    ]
    assert (await fetcher(client)(f"{origin}/key", PEM))[3:] == (200, 20, 10, False, None)
    app.fields = [(b"cache-control", b"no-store"), (b"retry-after", b"30")]
    assert (await fetcher(client)(f"{origin}/key", PEM))[3:] == (0, None, None, True, 30)


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("{elsewhere}/key?token=hunter2", "localhost"),
        ("//user:hunter2@Other.example/", "other.example"),
        ("/hunter2", "the same host"),
        ("https://[hunter2", "the same host"),
    ],
)
async def test_a_redirect_is_refused_by_status_and_host_whatever_the_client_is_set_to(
    package: Any,
    app: Recorder,
    origin: str,
    elsewhere: tuple[str, Recorder],
    location: str,
    host: str,
) -> None:
    app.to = location.format(elsewhere=elsewhere[0])
    async with package.AsyncClient(verify=trusting(), follow_redirects=True) as client:
        with pytest.raises(Unavailable) as raised:
            await fetcher(client)(f"{origin}/go", PEM)
    assert str(raised.value) == (
        f"{origin}/go: status 302 (Found), a redirect to {host}: redirects are not followed"
    )
    assert (len(app.seen), elsewhere[1].seen) == (1, [])


async def test_no_credentials_of_the_client_are_sent(
    package: Any, app: Recorder, origin: str
) -> None:
    async with package.AsyncClient(
        verify=trusting(),
        auth=("user", "password"),
        headers={
            "authorization": TOKEN,
            "Proxy-Authorization": TOKEN,
            "X-Auth-Token": TOKEN,
            "x-api-key": "secret",
            "Cookie": "session=secret",
        },
        cookies={"session": "secret"},
        params={"api_key": "secret"},
        base_url=f"{origin}/base/",
    ) as client:
        app.fields = [(b"set-cookie", b"planted=1; Path=/")]
        headers = {"User-Agent": "mine/1.0", "X-API-Key": "mine", "accept": "text/html"}
        for _ in range(2):
            await fetcher(client, headers=headers)(f"{origin}/key?version=2", PEM)
    assert [seen.target for seen in app.seen] == ["/key?version=2"] * 2
    for seen in app.seen:
        assert seen.all("user-agent") == ["mine/1.0"]
        assert seen.all("x-api-key") == ["mine"]
        assert seen.all("accept") == [PEM]
        for name in ("authorization", "proxy-authorization", "cookie", "x-auth-token"):
            assert seen.all(name) == []


async def test_of_a_clients_own_fields_only_those_that_a_fetch_needs_are_sent(
    package: Any, app: Recorder, origin: str
) -> None:
    """Wherever a provider's metadata points: a header of any name may be a credential."""
    own = {"X-Api-Key": "secret", "X-Amz-Security-Token": "secret", "User-Agent": "mine/1.0"}
    own |= {"Host": "elsewhere.example"}
    async with package.AsyncClient(verify=trusting(), headers=own) as client:
        await fetcher(client, headers={"X-Tenant": "ours"}, origins=origin)(f"{origin}/key", PEM)
        await fetcher(client)(f"{origin}/key", PEM)
    first, second = (dict(seen.headers) for seen in app.seen)
    needed = {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert set(first) == needed | {"x-tenant"}
    assert set(second) == needed
    assert second["user-agent"] == "mine/1.0"
    assert first["host"] == second["host"] == origin.removeprefix("https://")


async def test_credentials_that_the_fetcher_is_given_are_sent(
    client: Any, app: Recorder, origin: str
) -> None:
    await fetcher(client, headers={"Authorization": TOKEN})(f"{origin}/key", PEM)
    assert app.seen[0].all("authorization") == [TOKEN]


async def test_headers_with_origins_go_nowhere_else(
    client: Any, app: Recorder, origin: str, elsewhere: tuple[str, Recorder]
) -> None:
    other, other_app = elsewhere
    headers = {"Authorization": TOKEN, "X-API-Key": "mine"}
    fetch = fetcher(client, headers=headers, origins=f"{origin.upper()}/")
    for url in (f"{origin}/key", f"{other}/key", f"{other}/{origin}"):
        await fetch(url, PEM)
    assert [seen.all("authorization") for seen in app.seen] == [[TOKEN]]
    assert [seen.all("x-api-key") for seen in app.seen] == [["mine"]]
    assert len(other_app.seen) == 2
    for seen in other_app.seen:
        assert seen.all("authorization") == seen.all("x-api-key") == []
        assert seen.all("accept") == [PEM]
    await fetcher(client, headers=headers, origins=[origin, other])(f"{other}/key", PEM)
    assert other_app.seen[-1].all("authorization") == [TOKEN]


@pytest.mark.parametrize("origins", ["https://x.example/keys", "x.example", "https://u@x", ()])
def test_what_is_no_origin_for_headers_is_refused(origins: Any) -> None:
    with pytest.raises(ValueError, match="origin"):
        fetcher(headers={"Authorization": TOKEN}, origins=origins)


async def test_the_clients_own_time_outs_do_not_apply(
    package: Any, app: Recorder, origin: str
) -> None:
    app.wait = 0.2
    async with package.AsyncClient(verify=trusting(), timeout=0.1) as client:
        assert (await fetcher(client)(f"{origin}/key", PEM)).status == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/key",
        "ftp://localhost/key",
        "file:///etc/passwd",
        "data:text/plain,key",
        "localhost/key",
        "/key",
        "",
        "https:",
        "https:///key",
        "https://:443/key",
        "https://user:hunter2@localhost/key",
        "https://hunter2@localhost/key",
        "https://@localhost/key",
        "https://user:hunter2@[::1/key",
        "https://user:hunter2@local\u2100host/key",
    ],
)
async def test_a_url_that_could_never_be_fetched_is_a_programming_error(
    package: Any, url: str
) -> None:
    async with package.AsyncClient(verify=trusting(), base_url="https://localhost/") as client:
        with pytest.raises(ValueError, match="fetched") as raised:
            await fetcher(client)(url, PEM)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    "path", ["/key\x00", "/k\ney", "/" + "k" * 70_000, "/\udc80", ":port/", ":99999/"]
)
async def test_a_url_that_the_client_refuses_is_unavailable(client: Any, path: str) -> None:
    with pytest.raises(Unavailable) as raised:
        await fetcher(client)(f"https://localhost{path}", PEM)
    assert raised.value.detail


@pytest.mark.parametrize("end", ["\n", "\r\nX: y", "\x00", "\x7f"])
def test_a_header_that_cannot_be_sent_is_refused_and_not_quoted(end: str) -> None:
    with pytest.raises(ValueError, match="control characters") as raised:
        fetcher(headers={"Authorization": f"Bearer hunter2{end}"})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        *("Bearer hunter2 ", " Bearer hunter2", "Bearer hunter2\t", "\tBearer hunter2", " "),
        *("Bearer hunter2\u00a0", "Bearer hunter2\u20ac", "Bearer hunter2\udc80", "h\xfcnter2"),
    ],
)
def test_a_header_that_the_client_would_quote_or_not_send_is_refused(value: str) -> None:
    """As a secret from a file or a form has a space at its end, which h11 quotes with it."""
    with pytest.raises(ValueError, match="header") as raised:
        fetcher(headers={"Authorization": value})
    assert "hunter2" not in str(raised.value)
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    "name", ["Authorization: Bearer hunter2", "hunter2 ", "", "x\n", "hunter2\u20ac", "a:", "(a)"]
)
def test_a_header_whose_name_is_no_token_is_refused_and_not_quoted(name: str) -> None:
    with pytest.raises(ValueError, match="a header's name is a token") as raised:
        fetcher(headers={name: "value"})
    assert "hunter2" not in str(raised.value)


async def test_an_error_that_quotes_a_header_is_only_named(package: Any) -> None:
    async def quote(request: Any) -> None:
        raise LookupError(f"{request.headers['X-Api-Key']}: not a header of version 1")

    async with package.AsyncClient(event_hooks={"request": [quote]}) as client:
        for value, detail in (
            ("hunter2", "LookupError"),
            ("1", "LookupError: 1: not a header of version 1"),
        ):
            fetch = fetcher(client, headers={"X-Api-Key": value, "X-Version": "1"})
            with pytest.raises(Unavailable) as raised:
                await fetch("https://localhost/key", PEM)
            assert raised.value.detail == detail


async def test_an_outage_keeps_nothing_of_the_request_and_its_credentials(client: Any) -> None:
    fetch = fetcher(client, headers={"Authorization": "Bearer hunter2"})
    with pytest.raises(Unavailable, match="refused") as raised:
        await fetch("https://localhost:1/key", PEM)
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


async def test_white_space_before_the_url_does_not_bring_in_the_base_url(
    package: Any, app: Recorder, origin: str
) -> None:
    async with package.AsyncClient(verify=trusting(), base_url=origin) as client:
        with pytest.raises(Unavailable):
            await fetcher(client)(f" {origin}/key", PEM)
    assert app.seen == []


async def test_a_closed_client_is_unavailable(package: Any) -> None:
    client = package.AsyncClient(verify=trusting())
    await client.aclose()
    with pytest.raises(Unavailable) as raised:
        await fetcher(client)("https://localhost/key?token=secret#part", PEM)
    assert str(raised.value) == (
        "https://localhost/key: RuntimeError: Cannot send a request, as the client has been closed."
    )
    assert raised.value.source == "https://localhost/key"


async def test_whatever_a_hook_of_the_client_raises_is_unavailable(
    package: Any, origin: str
) -> None:
    async def fail(response: Any) -> None:
        response.raise_for_status()
        raise LookupError("the hook's own")

    async with package.AsyncClient(verify=trusting(), event_hooks={"response": [fail]}) as client:
        with pytest.raises(Unavailable, match="LookupError: the hook's own"):
            await fetcher(client)(f"{origin}/key", PEM)


async def test_the_callers_own_cancellation_is_not_an_outage(client: Any) -> None:
    with raw_server(hangs()) as origin, anyio.move_on_after(0.3) as scope:
        await fetcher(client)(f"{origin}/key", PEM)
    assert scope.cancelled_caught


async def test_the_deadline_is_one_for_the_whole(client: Any) -> None:
    started = time.monotonic()
    with raw_server(hangs(response(length=10))) as origin:
        with pytest.raises(Unavailable, match=r"no whole answer within 0\.3 seconds"):
            await fetcher(client, timeout=0.3)(f"{origin}/key", PEM)
        assert 0.3 <= time.monotonic() - started < 3


def test_a_client_that_is_not_async_is_a_programming_error(package: Any) -> None:
    with package.Client() as client, pytest.raises(TypeError, match="AsyncClient"):
        fetcher(client)


@pytest.mark.parametrize("timeout", [0, -1.0, math.nan, math.inf])
async def test_a_timeout_that_is_no_time_is_a_programming_error(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be positive and finite seconds"):
        fetcher(timeout=timeout)


@pytest.mark.parametrize("limit", [{"max_bytes": 0}, {"max_bytes": -1}, {"max_concurrent": 0}])
async def test_a_limit_that_is_not_positive_is_a_programming_error(limit: Any) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        fetcher(**limit)


def test_a_fetcher_prints_without_its_credentials() -> None:
    assert "hunter2" not in repr(fetcher(headers={"Authorization": "Bearer hunter2"}))


def origins_of(fetch: Any) -> list[str]:
    """The origins whose sockets a fetcher knows."""
    return list(fetch.args[0].sockets.values())


async def test_an_origin_is_forgotten_with_its_last_socket(
    package: Any, origin: str, elsewhere: tuple[str, Recorder]
) -> None:
    """Those that a client keeps must be found again, and a key's place may be of any origin."""
    ours = origin.removeprefix("https://")
    async with package.AsyncClient(verify=trusting()) as client:
        fetch = fetcher(client)
        for port in range(1, 11):
            with pytest.raises(Unavailable):
                await fetch(f"https://localhost:{port}/key", PEM)
        assert origins_of(fetch) == []
        await fetch(f"{origin}/key", PEM)
        await fetch(f"{elsewhere[0]}/key", PEM)
        assert ours in origins_of(fetch)
    gc.collect()
    with pytest.raises(Unavailable, match="closed"):
        await fetch("https://localhost:1/key", PEM)
    assert origins_of(fetch) == []
