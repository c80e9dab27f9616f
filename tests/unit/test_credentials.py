"""`bearer`, and the credentials of a request."""

import pytest

from asapfn._core.credentials import bearer, credentials
from asapfn._core.signing import sign
from asapfn._core.verification import verify
from asapfn.errors import TokenRejected
from asapfn.resolvers import keys_by_id
from asapfn.types import Request, Token
from tests.support.verifying import CLAIMS, KEY, assert_tells_nothing, clock


def request(*headers: tuple[str, str]) -> Request:
    return Request("GET", None, (("Host", "localhost"), *headers))


def refusal(*values: str, scheme: str = "Bearer") -> str:
    with pytest.raises(TokenRejected) as raised:
        credentials(request(*(("Authorization", value) for value in values)), scheme)
    return raised.value.reason


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize(
    "value", ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c", " Bearer a.b.c "]
)
def test_header_and_scheme_are_compared_without_case(name: str, value: str) -> None:
    assert credentials(request((name, value)), "Bearer") == "a.b.c"


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "a.b.c",
        "Basic a.b.c",
        "JWT a.b.c",
        "Bearera.b.c",
        "Basic a b c",
        "Digest a.b.c",
        "Bearer\ta.b.c",
        "Bearer\u00a0a.b.c",
        "Bearer,a.b.c",
        "Bearer= a.b.c",
    ],
)
def test_without_our_scheme_there_is_no_token(value: str) -> None:
    assert refusal(value) == "missing_token"


def test_without_the_header_there_is_no_token() -> None:
    assert refusal() == "missing_token"
    with pytest.raises(TokenRejected) as raised:
        credentials(request(("X-Authorization", "Bearer a.b.c")), "Bearer")
    assert raised.value.reason == "missing_token"


@pytest.mark.parametrize(
    "values",
    [
        ["Bearer a.b.c", "Bearer a.b.c"],
        ["Bearer a.b.c", "Basic x"],
        ["Basic x", "Bearer a.b.c"],
        ["", "Bearer a.b.c"],
        ["Bearer a.b.c d.e.f"],
        ["Bearer a.b.c, Bearer d.e.f"],
        ["Bearer a.b.c ,"],
    ],
)
def test_a_second_token_is_ambiguous(values: list[str]) -> None:
    assert refusal(*values) == "ambiguous_token"


@pytest.mark.parametrize(
    "name", ["If-None-Match", "authorizatiom", "authorizationx", "uthorization"]
)
def test_another_header_of_such_a_name_holds_no_token(name: str) -> None:
    other = (name, "Bearer d.e.f")
    assert (
        credentials(request(other, ("Authorization", "Bearer a.b.c"), other), "Bearer") == "a.b.c"
    )
    with pytest.raises(TokenRejected, match="missing_token"):
        credentials(request(other), "Bearer")


@pytest.mark.parametrize("token", ["X", "XX", "XaX", "xx", "\ta.b.c", "a.b.c\t", "x" * 65_529])
def test_a_token_is_given_as_it_was_sent(token: str) -> None:
    assert credentials(request(("Authorization", f"Bearer {token}")), "Bearer") == token


def test_a_header_longer_than_any_token_is_malformed() -> None:
    with pytest.raises(TokenRejected) as raised:
        credentials(request(("Authorization", "Bearer " + "x" * 65_530)), "Bearer")
    assert str(raised.value) == "malformed: Authorization is longer than 65536 characters"


def test_headers_that_are_no_pairs_are_a_programming_error() -> None:
    for headers, kind in (({"Authorization": "Bearer a.b.c"}, "dict"), (["abc"], "list")):
        wrong = Request("GET", None, headers)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=rf"pairs of name and value.* not a {kind}$"):
            credentials(wrong, "Bearer")


def test_another_scheme_is_looked_for_when_asked() -> None:
    assert credentials(request(("Authorization", "jwt a.b.c")), "JWT") == "a.b.c"
    assert refusal("Bearer a.b.c", scheme="JWT") == "missing_token"


async def test_bearer_hands_the_token_to_verify_and_lets_its_answer_through() -> None:
    token = sign(CLAIMS, KEY)

    async def verify_token(given_token: str) -> Token:
        return await verify(given_token, keys_by_id([KEY]), audience="service", now=clock)

    authenticate = bearer(verify_token)
    verified = await authenticate(request(("Authorization", f"Bearer {token}")))
    assert verified.claims == CLAIMS
    for value, reason in {
        f"Bearer {token},": "malformed",
        f"Bearer {token}\t": "malformed",
        f"Basic {token}": "missing_token",
        f"Bearer {token} {token}": "ambiguous_token",
    }.items():
        with pytest.raises(TokenRejected) as raised:
            await authenticate(request(("Authorization", value)))
        assert raised.value.reason == reason
        assert_tells_nothing(raised.value, token)
