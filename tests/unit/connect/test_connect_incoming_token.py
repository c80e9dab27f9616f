"""Connect, the receiving side: where a token may stand, and that there is one."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn import connect
from asapfn._core.canonical import qsh
from asapfn.checks import CONTEXT_QSH
from asapfn.connect.incoming import query_tokens
from asapfn.types import Authenticate
from tests.support.tenants import BASE, rejection, request, resolver, token_for

pytestmark = pytest.mark.no_event_loop


@pytest.fixture
def authenticate() -> Authenticate:
    return connect.authenticator(resolver, base_url=BASE, audience=("app", "https://app.example"))


@pytest.fixture
def context() -> Authenticate:
    return connect.context_authenticator(resolver, audience="app")


@pytest.mark.parametrize("target", ["/connect/page?a=1", "/connect/page/?a=%31"])
async def test_a_token_for_this_request_is_accepted_in_the_header(
    authenticate: Authenticate, target: str
) -> None:
    assert (await authenticate(request(target, token_for()))).claims["iss"] == "acme"


@pytest.mark.parametrize("name", ["jwt", "%6Awt", "j%77%74"])
@pytest.mark.parametrize("place", ["{}={}&a=1", "a=1&{}={}", "&&a=1&{}={}&"])
async def test_a_token_for_this_request_is_accepted_in_the_query(
    authenticate: Authenticate, name: str, place: str
) -> None:
    query = place.format(name, token_for().replace(".", "%2E"))
    assert (await authenticate(request(f"/connect/page?{query}"))).claims["iss"] == "acme"


@pytest.mark.parametrize("other", ["JWT", "Jwt", "jwt2", "xjwt", "%256Awt"])
async def test_another_parameter_is_not_the_token(authenticate: Authenticate, other: str) -> None:
    sent = request(f"/connect/page?a=1&{other}={token_for()}")
    assert (await rejection(authenticate, sent)).reason == "missing_token"


@pytest.mark.parametrize("which", ["computed", "fixed"])
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("jwt={0}x", ["JWT {0}"]),
        ("jwt=x", ["JWT {0}"]),
        ("jwt={0}&jwt={0}x", []),
        ("jwt={0}&a=1&%6Awt=x", []),
        ("", ["JWT {0}", "JWT {0}"]),
        ("", ["JWT {0}", "Basic eA=="]),
        ("", ["JWT {0} {0}"]),
        ("jwt={0}", ["JWT {0}", "JWT {0}"]),
    ],
)
async def test_two_tokens_are_ambiguous(
    authenticate: Authenticate, context: Authenticate, which: str, query: str, headers: list[str]
) -> None:
    token = token_for(qsh=CONTEXT_QSH if which == "fixed" else qsh("GET", "/page"))
    sent = request(f"/page?{query.format(token)}", None, *[h.format(token) for h in headers])
    error = await rejection(context if which == "fixed" else authenticate, sent)
    assert error.reason == "ambiguous_token"
    assert token not in str(error)


@pytest.mark.parametrize("which", ["computed", "fixed"])
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("jwt={0}", ["JWT {0}"]),
        ("jwt=", ["JWT {0}"]),
        ("jwt", ["jwt {0}"]),
        ("jwt={0}&jwt={0}", []),
        ("jwt={0}&%6Awt=", []),
    ],
)
async def test_the_same_token_twice_is_one_and_an_empty_parameter_is_none(
    authenticate: Authenticate, context: Authenticate, which: str, query: str, headers: list[str]
) -> None:
    token = token_for(qsh=CONTEXT_QSH if which == "fixed" else qsh("GET", "/page"))
    path = "/page" if which == "fixed" else "/connect/page"
    sent = request(f"{path}?{query.format(token)}", None, *[h.format(token) for h in headers])
    found = await (context if which == "fixed" else authenticate)(sent)
    assert found.claims["iss"] == "acme"


@pytest.mark.parametrize("query", ["?jwt=", "?a=1&jwt"])
async def test_an_empty_parameter_alone_is_no_token(authenticate: Authenticate, query: str) -> None:
    sent = request(f"/connect/page{query}")
    assert (await rejection(authenticate, sent)).reason == "missing_token"


@pytest.mark.parametrize("headers", [(), ("Bearer x",), ("JWT",), ("",)])
async def test_no_token_is_missing(authenticate: Authenticate, headers: tuple[str, ...]) -> None:
    sent = request("/connect/page?a=1", None, *headers)
    assert (await rejection(authenticate, sent)).reason == "missing_token"


async def test_the_scheme_of_something_else_leaves_the_query_to_us(
    authenticate: Authenticate,
) -> None:
    sent = request(f"/connect/page?a=1&jwt={token_for()}", None, "Basic eA==")
    assert (await authenticate(sent)).claims["iss"] == "acme"


@pytest.mark.parametrize("value", ["x", "%FF", "a+b", "%00"])
async def test_a_query_token_that_is_none_is_malformed(
    authenticate: Authenticate, value: str
) -> None:
    sent = request(f"/connect/page?a=1&jwt={value}")
    assert (await rejection(authenticate, sent)).reason == "malformed"


names = st.sampled_from(["jwt", "JWT", "a", "%6Awt", "j+wt", "", "%", "%FF"])
values = st.text(st.characters(exclude_characters="&#", exclude_categories=["Cs"]), max_size=5)


@given(st.lists(st.tuples(names, values), max_size=6))
def test_what_is_taken_for_the_token_is_what_the_hash_leaves_out(
    pairs: list[tuple[str, str]],
) -> None:
    found = query_tokens("/?" + "&".join(f"{name}={quote(value)}" for name, value in pairs))
    assert found == [value for name, value in pairs if name in ("jwt", "%6Awt")]
