from collections.abc import Callable
from typing import Any

import pytest

from asapfn import connect
from asapfn.adapters.httpx import auth, request_hook
from asapfn.keys import import_secret
from tests.support.calls import TOKEN, Calls
from tests.support.servers import Recorder, asgi_server, trusting


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


def connect_for(origin: str) -> Any:
    secret = import_secret("a tenant's secret of more than 32 bytes")
    return connect.authorizer("app", secret, base_url=f"{origin}/wiki")


async def test_auth_with_a_connect_authorizer_sends_nothing_to_another_origin(
    package: Any, app: Recorder, origin: str, elsewhere: tuple[str, Recorder]
) -> None:
    wrong = [f"{elsewhere[0]}/wiki/rest/x", f"{origin}/rest/x", f"{origin}/wiki/%2e%2e/rest/x"]
    give = auth(connect_for(origin))
    async with package.AsyncClient(verify=trusting(), auth=give) as client:
        for url in wrong:
            with pytest.raises(ValueError, match="not below base_url"):
                await client.get(url)
        await client.get(f"{origin}/wiki/rest/x")
    with package.Client(verify=trusting(), auth=give) as client:
        for url in wrong:
            with pytest.raises(ValueError, match="not below base_url"):
                client.get(url)
    assert elsewhere[1].seen == []
    assert [seen.target for seen in app.seen] == ["/wiki/rest/x"]
    assert app.seen[0].all("authorization")[0].startswith("JWT ")


async def test_auth_with_a_connect_authorizer_gives_no_token_to_where_a_redirect_points(
    package: Any, app: Recorder, elsewhere: tuple[str, Recorder], origin: str
) -> None:
    secret = import_secret("a tenant's secret of more than 32 bytes")
    authorize = connect.authorizer("app", secret, base_url=origin)
    app.to = f"{elsewhere[0]}/wiki/rest/x"
    async with package.AsyncClient(
        verify=trusting(), auth=auth(authorize), follow_redirects=True
    ) as client:
        assert (await client.get(f"{origin}/go")).text == "hello"
    assert app.seen[0].all("authorization")[0].startswith("JWT ")
    assert [seen.all("authorization") for seen in elsewhere[1].seen] == [[]]


async def test_the_hook_with_a_connect_authorizer_signs_for_no_other_origin_it_is_given(
    package: Any, elsewhere: tuple[str, Recorder], origin: str
) -> None:
    hook = request_hook(connect_for(origin), origins=[origin, elsewhere[0]])
    hooks = {"request": [hook]}
    async with package.AsyncClient(verify=trusting(), event_hooks=hooks) as client:
        with pytest.raises(ValueError, match="not below base_url"):
            await client.get(f"{elsewhere[0]}/wiki/rest/x")
    assert elsewhere[1].seen == []


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


@pytest.mark.parametrize("origins", ["https://localhost/a", "localhost", "ftp://localhost", ()])
def test_a_malformed_origin_is_a_programming_error(origins: Any, calls: Calls) -> None:
    with pytest.raises(ValueError, match="origin"):
        request_hook(calls, origins=origins)
