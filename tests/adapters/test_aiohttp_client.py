"""The aiohttp client: a token goes on requests to its origins, and to no others."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import yarl

from asapfn import Request, connect, qsh
from asapfn.adapters.aiohttp import client_middleware
from asapfn.keys import import_secret
from tests.support.aiohttp_service import CONNECT, SECRET, aiohttp_server, authorizer
from tests.support.calls import TOKEN, Calls
from tests.support.servers import Recorder, asgi_server, trusting


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # all that aiohttp knows


@contextlib.asynccontextmanager
async def session(authorize: Any, *origins: str) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=trusting())
    middleware = client_middleware(authorize, origins=origins)
    async with aiohttp.ClientSession(connector=connector, middlewares=[middleware]) as client:
        yield client


async def send(client: Any, url: Any, *, method: str = "GET", **settings: Any) -> str:
    async with client.request(method, url, **settings) as answer:
        return str(await answer.text())


async def test_a_token_is_put_on_requests_to_its_origins(
    authorize: Any, calls: Calls, app: Recorder, origin: str
) -> None:
    async with session(authorize, "https://other.example", origin.upper()) as client:
        await send(client, f"{origin}/a?b=c#part", method="POST")
    assert calls.made == [("POST", f"{origin}/a?b=c")]
    assert app.seen[0].all("authorization") == [TOKEN]


async def test_a_header_of_the_users_is_replaced_there(
    calls: Calls, app: Recorder, origin: str
) -> None:
    async with session(calls, origin) as client:
        await send(client, f"{origin}/a", headers={"authorization": "Basic mine"})
        await send(client, f"{origin.replace('//', '//user:hunter2@')}/a")
    assert [seen.all("authorization") for seen in app.seen] == [[TOKEN], [TOKEN]]
    assert calls.made == [("GET", f"{origin}/a")] * 2


async def test_another_origin_gets_no_token(calls: Calls, app: Recorder, origin: str) -> None:
    async with session(calls, "https://localhost", origin.replace("https", "http")) as client:
        await send(client, f"{origin}/a")
        await send(client, f"{origin}/a", headers={"Authorization": "Basic mine"})
    assert [seen.all("authorization") for seen in app.seen] == [[], ["Basic mine"]]
    assert calls.made == []


async def test_a_token_does_not_go_to_where_a_redirect_points(
    authorize: Any, app: Recorder, origin: str, elsewhere: tuple[str, Recorder]
) -> None:
    app.to = f"{elsewhere[0]}/end"
    async with session(authorize, origin) as client:
        assert await send(client, f"{origin}/go") == "hello"
    assert app.seen[0].all("authorization") == [TOKEN]
    assert [seen.all("authorization") for seen in elsewhere[1].seen] == [[]]


async def test_a_token_is_made_anew_for_a_redirect_within_the_origins(
    calls: Calls, app: Recorder, origin: str, elsewhere: tuple[str, Recorder]
) -> None:
    app.to = f"{elsewhere[0]}/end"
    async with session(calls, origin, elsewhere[0]) as client:
        await send(client, f"{origin}/go")
    assert calls.made == [("GET", f"{origin}/go"), ("GET", f"{elsewhere[0]}/end")]
    assert elsewhere[1].seen[0].all("authorization") == [TOKEN]


async def test_a_token_goes_by_plain_http_where_an_origin_says_so(
    calls: Calls, app: Recorder
) -> None:
    with asgi_server(app, tls=False) as origin:
        async with session(calls, origin) as client:
            await send(client, f"{origin}/a")
        async with session(calls, origin.replace("http", "https")) as client:
            await send(client, f"{origin}/a")
    assert [seen.all("authorization") for seen in app.seen] == [[TOKEN], []]


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb?next=%2Fhome%3Fa&x=a+b&y=a%20b&z=%2B",
        "/a b/é?q=é&q=ü&empty&eq==",
        "/%7Euser/%61?%61=%7E&b=%c3%a9",
        "/a/../b?c=d;e=f",
        "//double//",
    ],
)
@pytest.mark.parametrize("encoded", [False, True])
async def test_a_qsh_is_that_of_the_url_as_it_is_sent(
    app: Recorder, origin: str, target: str, encoded: bool
) -> None:
    if encoded and not target.isascii():
        target = "/a%20b/%C3%A9"
    key = import_secret(SECRET)
    authorize = connect.authorizer("product", key, base_url=origin)
    async with session(authorize, origin) as client:
        await send(client, yarl.URL(f"{origin}{target}", encoded=encoded))
    (seen,) = app.seen
    request = Request("GET", seen.target, tuple(seen.headers))
    assert (await CONNECT(request)).claims["qsh"] == qsh("GET", seen.target)


async def test_a_websocket_counts_as_http(calls: Calls) -> None:
    with aiohttp_server() as origin:
        for scheme in ("wss", "https"):
            url = origin.replace("https", scheme)
            good = authorizer()
            async with session(good, origin) as client, client.ws_connect(f"{url}/ws") as opened:
                assert await opened.receive_str() == "issuer"
        async with session(calls, "http://localhost") as client:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(f"{origin.replace('https', 'wss')}/ws")
    assert (refused.value.status, calls.made) == (401, [])


@pytest.mark.parametrize("origins", ["https://localhost/a", "localhost", "wss://localhost", ()])
def test_a_malformed_origin_is_a_programming_error(origins: Any, calls: Calls) -> None:
    with pytest.raises(ValueError, match="origin"):
        client_middleware(calls, origins=origins)
