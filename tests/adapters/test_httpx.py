import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import anyio
import httpx
import httpx2
import pytest
from servers import answers, asgi_server, hangs, raw_server, response, trusting

from asapfn.adapters.httpx import auth, fetcher, request_hook
from asapfn.errors import Unavailable
from asapfn.types import Document

TOKEN = "Bearer aaaa.bbbb.cccc"
PEM = "application/x-pem-file"


class Seen(NamedTuple):
    target: str
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.headers if field == name]


class Recorder:
    """An application that keeps what it was asked, and redirects where `to` says."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.seen: list[Seen] = []
        self.to: str | None = None
        self.wait = 0.0
        self.fields: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        target = scope["raw_path"].decode() + "?" * bool(scope["query_string"])
        fields = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        self.seen.append(Seen(target + scope["query_string"].decode(), fields))
        await anyio.sleep(self.wait)
        redirect = [(b"location", self.to.encode())] if self.to and scope["path"] == "/go" else []
        await send(
            {
                "type": "http.response.start",
                "status": 302 if redirect else 200,
                "headers": [
                    (b"content-type", b"Text/Plain; charset=utf-8"),
                    *redirect,
                    *self.fields,
                ],
            }
        )
        await send({"type": "http.response.body", "body": b"hello"})


Servers = tuple[tuple[str, Recorder], tuple[str, Recorder]]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    first, second = Recorder(), Recorder()
    with asgi_server(first) as origin, asgi_server(second) as elsewhere:
        yield (origin, first), (elsewhere, second)


@pytest.fixture
def app(servers: Servers) -> Recorder:
    servers[0][1].forget()
    return servers[0][1]


@pytest.fixture
def origin(servers: Servers, app: Recorder) -> str:
    return servers[0][0]


@pytest.fixture
def elsewhere(servers: Servers) -> tuple[str, Recorder]:
    servers[1][1].forget()
    return servers[1]


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def package(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def client(package: Any) -> AsyncIterator[Any]:
    async with package.AsyncClient(verify=trusting()) as client:
        yield client


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
    assert (await fetcher(client)(f"{origin}/key", PEM))[3:] == (200, 20, 10)
    app.fields = [(b"cache-control", b"no-store")]
    assert (await fetcher(client)(f"{origin}/key", PEM))[3:] == (0, None, None)


async def test_a_redirect_is_an_answer_whatever_the_client_is_set_to(
    package: Any, app: Recorder, origin: str, elsewhere: tuple[str, Recorder]
) -> None:
    app.to = f"{elsewhere[0]}/key"
    async with package.AsyncClient(verify=trusting(), follow_redirects=True) as client:
        document = await fetcher(client)(f"{origin}/go", PEM)
    assert document.status == 302
    assert (len(app.seen), elsewhere[1].seen) == (1, [])


async def test_no_credentials_of_the_client_are_sent(
    package: Any, app: Recorder, origin: str
) -> None:
    async with package.AsyncClient(
        verify=trusting(),
        auth=("user", "password"),
        headers={"authorization": TOKEN, "Proxy-Authorization": TOKEN, "X-Mine": "stays"},
        cookies={"session": "secret"},
        params={"api_key": "secret"},
        base_url=f"{origin}/base/",
    ) as client:
        app.fields = [(b"set-cookie", b"planted=1; Path=/")]
        for _ in range(2):
            await fetcher(client)(f"{origin}/key?version=2", PEM)
    assert [seen.target for seen in app.seen] == ["/key?version=2"] * 2
    for seen in app.seen:
        assert seen.all("x-mine") == ["stays"]
        for name in ("authorization", "proxy-authorization", "cookie"):
            assert seen.all(name) == []


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
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "path", ["/key\x00", "/k\ney", "/" + "k" * 70_000, "/\udc80", ":port/", ":99999/"]
)
async def test_a_url_that_the_client_refuses_is_unavailable(client: Any, path: str) -> None:
    with pytest.raises(Unavailable) as raised:
        await fetcher(client)(f"https://localhost{path}", PEM)
    assert isinstance(raised.value.__cause__, Exception)


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
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert str(raised.value) == "https://localhost/key: RuntimeError"
    assert raised.value.source == "https://localhost/key"


async def test_whatever_a_hook_of_the_client_raises_is_unavailable(
    package: Any, origin: str
) -> None:
    async def fail(response: Any) -> None:
        response.raise_for_status()
        raise LookupError("the hook's own")

    async with package.AsyncClient(verify=trusting(), event_hooks={"response": [fail]}) as client:
        with pytest.raises(Unavailable, match="LookupError") as raised:
            await fetcher(client)(f"{origin}/key", PEM)
    assert isinstance(raised.value.__cause__, LookupError)


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


@pytest.mark.parametrize(
    "limit", [{"timeout": 0}, {"timeout": -1.0}, {"timeout": float("nan")}, {"max_bytes": 0}]
)
async def test_a_limit_that_is_not_positive_is_a_programming_error(client: Any, limit: Any) -> None:
    with pytest.raises(ValueError, match="positive"):
        fetcher(client, **limit)


class Calls:
    """An `Authorize` that keeps what it was asked for."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def __call__(self, method: str, url: str) -> str:
        self.made.append((method, url))
        return TOKEN

    async def later(self, method: str, url: str) -> str:
        await anyio.sleep(0)
        return self(method, url)


@pytest.fixture
def calls() -> Calls:
    return Calls()


async def test_auth_serves_an_async_client(
    package: Any, app: Recorder, origin: str, calls: Calls
) -> None:
    async with package.AsyncClient(verify=trusting(), auth=auth(calls)) as client:
        await client.post(f"{origin}/a%2Fb c?d=e%20f#part", content=b"x")
    assert calls.made == [("POST", f"{origin}/a%2Fb%20c?d=e%20f")]
    assert app.seen[0].all("authorization") == [TOKEN]


def test_auth_serves_a_sync_client(package: Any, app: Recorder, origin: str, calls: Calls) -> None:
    with package.Client(verify=trusting()) as client:
        client.get(f"{origin}/key", auth=auth(calls))
        client.get(f"{origin}/key")
    assert [seen.all("authorization") for seen in app.seen] == [[TOKEN], []]


@pytest.mark.parametrize("authorize", [Calls().later, lambda method, url: None])
async def test_auth_refuses_what_is_no_plain_function_giving_text(
    client: Any, origin: str, authorize: Any
) -> None:
    with pytest.raises(TypeError, match="request_hook"):
        await client.get(origin, auth=auth(authorize))


async def test_auth_does_not_follow_a_redirect_to_another_origin(
    package: Any, app: Recorder, origin: str, elsewhere: tuple[str, Recorder], calls: Calls
) -> None:
    app.to = f"{elsewhere[0]}/end"
    async with package.AsyncClient(
        verify=trusting(), auth=auth(calls), follow_redirects=True
    ) as client:
        assert (await client.get(f"{origin}/go")).text == "hello"
    assert app.seen[0].all("authorization") == [TOKEN]
    assert [seen.all("authorization") for seen in elsewhere[1].seen] == [[]]
    assert len(calls.made) == 1


@pytest.fixture(params=["plain", "async"])
def authorize(request: pytest.FixtureRequest, calls: Calls) -> Any:
    return calls if request.param == "plain" else calls.later


Hooked = Callable[..., Any]


@pytest.fixture
def hooked(package: Any, authorize: Any) -> Hooked:
    def open_client(*origins: str, **settings: Any) -> Any:
        hook = request_hook(authorize, origins=origins)
        return package.AsyncClient(
            verify=trusting(), follow_redirects=True, event_hooks={"request": [hook]}, **settings
        )

    return open_client


async def test_the_hook_puts_a_token_on_requests_to_its_origins(
    hooked: Hooked, app: Recorder, origin: str, calls: Calls
) -> None:
    async with hooked("https://other.example", origin.upper()) as client:
        await client.get(f"{origin}/a%2Fb?c=d#part")
    assert calls.made == [("GET", f"{origin}/a%2Fb?c=d")]
    assert app.seen[0].all("authorization") == [TOKEN]


async def test_the_hook_does_not_tell_authorize_a_password(
    hooked: Hooked, origin: str, calls: Calls
) -> None:
    async with hooked(origin) as client:
        await client.get(f"{origin.replace('//', '//user:hunter2@')}/key")
    assert calls.made == [("GET", f"{origin}/key")]


async def test_the_hook_gives_no_token_to_another_origin(
    hooked: Hooked, app: Recorder, origin: str, calls: Calls
) -> None:
    async with hooked("https://localhost", origin.replace("https", "http")) as client:
        await client.get(f"{origin}/key")
        await client.get(f"{origin}/key", headers={"Authorization": "Basic mine"})
    assert [seen.all("authorization") for seen in app.seen] == [[], ["Basic mine"]]
    assert calls.made == []


async def test_the_hook_gives_no_token_to_where_a_redirect_points(
    hooked: Hooked, app: Recorder, origin: str, elsewhere: tuple[str, Recorder]
) -> None:
    app.to = f"{elsewhere[0]}/end"
    async with hooked(origin) as client:
        assert (await client.get(f"{origin}/go")).text == "hello"
    assert app.seen[0].all("authorization") == [TOKEN]
    assert [seen.all("authorization") for seen in elsewhere[1].seen] == [[]]


async def test_the_hook_makes_a_token_anew_for_a_redirect_within_its_origins(
    hooked: Hooked, app: Recorder, origin: str, elsewhere: tuple[str, Recorder], calls: Calls
) -> None:
    app.to = f"{elsewhere[0]}/end"
    async with hooked(origin, elsewhere[0]) as client:
        await client.get(f"{origin}/go")
    assert calls.made == [("GET", f"{origin}/go"), ("GET", f"{elsewhere[0]}/end")]
    assert elsewhere[1].seen[0].all("authorization") == [TOKEN]


async def test_the_hook_speaks_plain_http_where_an_origin_says_so(
    hooked: Hooked, app: Recorder
) -> None:
    with asgi_server(app, tls=False) as origin:
        async with hooked(origin) as client:
            await client.get(f"{origin}/key")
        async with hooked(origin.replace("http", "https")) as client:
            await client.get(f"{origin}/key")
    assert [seen.all("authorization") for seen in app.seen] == [[TOKEN], []]


@pytest.mark.parametrize(
    ("given", "kept"), [(None, None), ("Basic mine", "Basic mine")], ids=["ours", "the user's"]
)
async def test_a_token_for_plain_http_does_not_follow_the_upgrade_to_https(
    package: Any, authorize: Any, given: str | None, kept: str | None
) -> None:
    # httpx keeps the header from port 80 to 443 of one host. Those ports are not a test's to open,
    # so here the transport answers.
    seen: list[tuple[str, str | None]] = []

    def answer(request: Any) -> Any:
        seen.append((str(request.url), request.headers.get("Authorization")))
        to = {"http://mesh/a": "http://mesh/b", "http://mesh/b": "https://mesh/c"}
        location = to.get(str(request.url))
        headers = {"Location": location} if location else {}
        return package.Response(302 if location else 200, headers=headers)

    async def replace(request: Any) -> None:
        if given is not None:
            request.headers["Authorization"] = given

    hooks = [request_hook(authorize, origins="http://mesh"), replace]
    async with package.AsyncClient(
        transport=package.MockTransport(answer),
        follow_redirects=True,
        event_hooks={"request": hooks[:1] if given is None else hooks},
    ) as client:
        await client.get("http://mesh/a")
    sent = given or TOKEN
    assert seen == [("http://mesh/a", sent), ("http://mesh/b", sent), ("https://mesh/c", kept)]


@pytest.mark.parametrize("origins", ["https://localhost/", "localhost", "ftp://localhost", ()])
def test_a_malformed_origin_is_a_programming_error(origins: Any, calls: Calls) -> None:
    with pytest.raises(ValueError, match="origin"):
        request_hook(calls, origins=origins)
