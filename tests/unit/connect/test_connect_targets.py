"""Connect, the receiving side: a request target is no URL, and lies below the base URL."""

from collections.abc import Awaitable, Callable

import pytest

from asapfn import connect
from asapfn._core.canonical import qsh
from asapfn._core.signing import sign
from asapfn.checks import CONTEXT_QSH, request_matches
from asapfn.connect.incoming import query_tokens
from asapfn.errors import TokenRejected
from asapfn.types import Request, Token
from tests.support import installs
from tests.support.published import Published
from tests.support.tenants import BASE, request, resolver, token_for

pytestmark = pytest.mark.no_event_loop

# How a target is refused, by what it says.
REFUSED = {
    "/connect/page?a=1#&b=2": "holds a #",
    "/connect/page?a=1#": "holds a #",
    "/connect/page?#&admin=1": "holds a #",
    "/connect/page#?a=1": "holds a #",
    "#/connect/page?a=1": "holds a #",
    "https://app.example/connect/page?a=1#": "holds a #",
    "https://app.example/connect/page?a=1": "does not begin with /",
    "app.example/connect/page?a=1": "does not begin with /",
    "connect/page?a=1": "does not begin with /",
    "page?a=1": "does not begin with /",
    "?a=1": "does not begin with /",
    "": "does not begin with /",
    "*": "does not begin with /",
    " /connect/page?a=1": "does not begin with /",
    "\\connect\\page?a=1": "does not begin with /",
    "/connect/page?a=1 ": "not printable ASCII, or a space",
    "/connect/page?a=1\t": "not printable ASCII, or a space",
    "/connect/page?a=1\n": "not printable ASCII, or a space",
    "/connect/page?a=1\x00": "not printable ASCII, or a space",
    "/connect/page?a=1\x7f": "not printable ASCII, or a space",
    "/connect/page?a=é": "not printable ASCII, or a space",
    "/connect/page?a=\xa0": "not printable ASCII, or a space",
    "/connect/é?a=1": "not printable ASCII, or a space",
    "/connect/page?a=\udcff": "not printable ASCII, or a space",
}
EACH = pytest.mark.parametrize(("target", "why"), REFUSED.items())

Ask = Callable[[Request], Awaitable[object]]
computed = connect.authenticator(resolver, base_url=BASE)
stripped = connect.authenticator(resolver, base_url=BASE, proxy_strips_prefix=True)
context = connect.context_authenticator(resolver)
EACH_KIND = pytest.mark.parametrize(
    "ask", [computed, stripped, context], ids=["computed", "behind a proxy", "context"]
)


async def refusal(ask: Ask, sent: Request) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        await ask(sent)
    assert (caught.value.reason, caught.value.claim) == ("request_mismatch", "qsh")
    return caught.value


def install_of(published: Published) -> Ask:
    async def ask(sent: Request) -> object:
        return await installs.install(published, request=sent)

    return ask


@EACH
@EACH_KIND
async def test_a_target_that_is_read_in_two_ways_is_refused_with_the_token_in_the_header(
    ask: Ask, target: str, why: str
) -> None:
    fixed = CONTEXT_QSH if ask is context else qsh("GET", "/page?a=1")
    assert why in str(await refusal(ask, request(target, token_for(qsh=fixed))))


@EACH
@EACH_KIND
async def test_no_token_is_read_from_a_target_that_is_read_in_two_ways(
    ask: Ask, target: str, why: str
) -> None:
    fixed = CONTEXT_QSH if ask is context else qsh("GET", "/page?a=1")
    with_token = target.replace("?", f"?jwt={token_for(qsh=fixed)}&", 1)
    assert why in str(await refusal(ask, request(with_token)))


@EACH
async def test_an_install_to_a_target_that_is_read_in_two_ways_is_refused(
    target: str, why: str
) -> None:
    published = Published()
    sent = installs.request(sign(installs.claims(), installs.KEY), target)
    assert why in str(await refusal(install_of(published), sent))
    assert published.asked == []


@EACH
def test_request_matches_and_query_tokens_refuse_it_too(target: str, why: str) -> None:
    with pytest.raises(TokenRejected, match=why):
        query_tokens(target)
    check = request_matches("GET", target, base_url=BASE)
    with pytest.raises(TokenRejected, match=why) as caught:
        check(Token({}, {"qsh": qsh("GET", "/page?a=1")}, 0, 1))
    assert caught.value.reason == "request_mismatch"


async def test_a_fragment_adds_no_parameter_to_a_request_that_was_signed() -> None:
    """The application of most servers would read the B-2 of it."""
    token = token_for(url="/page?issue=A-1")
    await computed(request("/connect/page?issue=A-1", token))
    for odd in ("/connect/page?issue=A-1#&issue=B-2", f"/connect/page?issue=A-1&jwt={token}#&b=2"):
        await refusal(computed, request(odd, token if "jwt" not in odd else None))


@EACH_KIND
async def test_what_the_application_reads_otherwise_is_refused(ask: Ask) -> None:
    fixed = CONTEXT_QSH if ask is context else qsh("GET", "/page?a=1")
    sent = request("/connect/page?a=1", token_for(qsh=fixed))._replace(mismatch="another path")
    assert "another path" in str(await refusal(ask, sent))


async def test_an_install_that_the_application_reads_otherwise_is_refused() -> None:
    sent = installs.request(sign(installs.claims(), installs.KEY))._replace(mismatch="another path")
    assert "another path" in str(await refusal(install_of(Published()), sent))


OUTSIDE = [
    "/page?a=1",
    "/users/../page?a=1",
    "/connected/page?a=1",
    "/connect;/page?a=1",
    "/Connect/page?a=1",
    "/%63onnect/page?a=1",
    "//connect/page?a=1",
    "/?a=1",
    "/?/connect/page?a=1",
]


@pytest.mark.parametrize("target", OUTSIDE)
async def test_a_path_outside_of_the_base_url_is_refused(target: str) -> None:
    """POST /users?id=7 must not pass with the token for POST /connect/users?id=7."""
    error = await refusal(computed, request(target, token_for(qsh=qsh("GET", target))))
    assert "/connect; where a proxy removes that, use proxy_strips_prefix=True" in str(error)
    check = request_matches("GET", target, base_url=BASE)
    with pytest.raises(TokenRejected, match="proxy_strips_prefix"):
        check(Token({}, {"qsh": qsh("GET", target)}, 0, 1))


@pytest.mark.anyio
async def test_an_install_outside_of_the_base_url_is_refused() -> None:
    published = Published()
    published.put(f"{installs.FIRST}{installs.KEY.kid}", installs.KEY)
    sent = installs.request(sign(installs.claims(), installs.KEY), "/installed")
    assert "proxy_strips_prefix" in str(await refusal(install_of(published), sent))

    async def behind_a_proxy(sent: Request) -> object:
        return await installs.install(published, request=sent, proxy_strips_prefix=True)

    await behind_a_proxy(sent)
    await refusal(behind_a_proxy, installs.request(sign(installs.claims(), installs.KEY)))


async def test_behind_a_proxy_that_strips_the_prefix_each_request_has_one_target() -> None:
    token = token_for()
    assert (await stripped(request("/page?a=1", token))).claims["iss"] == "acme"
    # By the proxy this came from /connect/connect/page, for which nothing was signed.
    await refusal(stripped, request("/connect/page?a=1", token))
    await stripped(request("/connect/page?a=1", token_for(url="/connect/page?a=1")))


@pytest.mark.parametrize("base", ["", "https://app.example", "https://app.example/", "/"])
async def test_without_a_path_in_the_base_url_nothing_is_outside(base: str) -> None:
    authenticate = connect.authenticator(resolver, base_url=base)
    for target in ("/page?a=1", "/page/?a=1"):
        assert (await authenticate(request(target, token_for()))).claims["iss"] == "acme"
    sent = request("//page", token_for(url="//page"))
    assert (await authenticate(sent)).claims["iss"] == "acme"


@pytest.mark.parametrize("target", ["/connect", "/connect/", "/connect?", "/connect/?"])
async def test_the_base_url_itself_is_inside(target: str) -> None:
    assert (await computed(request(target, token_for(url="/")))).claims["iss"] == "acme"


@pytest.mark.parametrize("method", ["get", "Get", "geT"])
async def test_a_method_that_is_not_in_upper_case_is_refused(method: str) -> None:
    """To the algorithm `get` is `GET`; uvicorn with h11 hands it over as it is, and an application
    that compares the method takes a `post` for something else than what was signed."""
    sent = request("/connect/page?a=1", token_for("GET", "/page?a=1"))._replace(method=method)
    for ask in (computed, stripped):
        if ask is stripped:
            sent = sent._replace(target="/page?a=1")
        assert "upper case" in (await refusal(ask, sent)).detail
        await ask(sent._replace(method="GET"))
