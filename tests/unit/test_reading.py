"""Claims as a type of one's own: what fits is read, and what does not is rejected."""

import dataclasses
import json
from typing import Any, Literal

import httpx
import msgspec
import pydantic
import pytest

from asapfn import (
    Token,
    TokenRejected,
    Unavailable,
    asap,
    bearer,
    explain,
    policy,
    reading,
    testing,
    verifier,
)
from asapfn.adapters.asgi import protect
from asapfn.checks import claims_fit
from asapfn.types import Verify

pytestmark = pytest.mark.no_event_loop

ALICE = testing.issuer("alice")
VERIFY = asap.verifier(testing.resolver(ALICE), "service", issuers="alice")
GOOD = {"team": "billing", "level": 3}


class Model(pydantic.BaseModel):
    iss: str
    team: Literal["billing", "shipping"]
    level: int


class Struct(msgspec.Struct):
    iss: str
    team: Literal["billing", "shipping"]
    level: int


@dataclasses.dataclass
class Plain:
    iss: str
    team: str
    level: int


def plain(claims: dict[str, Any]) -> Plain:
    if claims["team"] not in ("billing", "shipping"):
        raise ValueError("no such team")
    return Plain(claims["iss"], claims["team"], int(claims["level"]))


def struct(claims: dict[str, Any]) -> Struct:
    return msgspec.convert(claims, Struct)


READERS: dict[str, tuple[Any, tuple[type[Exception], ...]]] = {
    "pydantic": (Model.model_validate, ()),
    "pydantic, of a dataclass": (pydantic.TypeAdapter(Plain).validate_python, ()),
    "msgspec": (struct, (msgspec.ValidationError,)),
    "dataclass": (plain, (KeyError,)),
}
EACH = pytest.mark.parametrize("name", READERS)


def token(**claims: Any) -> str:
    return ALICE.token("service", claims=GOOD | claims)


@EACH
async def test_what_fits_is_read(name: str) -> None:
    read, errors = READERS[name]
    caller = await reading(VERIFY, read, errors=errors)(token())
    assert not isinstance(caller, Token)
    assert (caller.iss, caller.team, caller.level) == ("alice", "billing", 3)
    request = testing.request({"Authorization": f"Bearer {token()}"})
    assert (await reading(bearer(VERIFY), read)(request)).iss == "alice"


@EACH
@pytest.mark.parametrize("wrong", [{"level": "a lot"}, {"team": None}], ids=["wrong", "missing"])
async def test_what_does_not_fit_is_an_invalid_claim_that_says_why(
    name: str, wrong: dict[str, Any]
) -> None:
    read, errors = READERS[name]
    with pytest.raises(TokenRejected) as rejected:
        await reading(VERIFY, read, errors=errors)(token(email="x@secret.example", **wrong))
    error = rejected.value
    assert (error.reason, error.status) == ("invalid_claim", 401)
    assert error.detail.startswith("the claims do not fit: ")
    assert error.detail.isprintable()
    assert len(error.detail) <= 200
    # What a model says of one claim shows no other, and the error keeps none.
    assert "secret" not in error.detail
    assert error.__cause__ is error.__context__ is None
    with pytest.raises(TokenRejected) as by_check:
        await VERIFY(token(**wrong), claims_fit(read, errors=errors))
    assert by_check.value.detail == error.detail


async def test_the_detail_names_the_claim() -> None:
    details = {}
    for name, (read, errors) in READERS.items():
        for wrong in ({"level": "a lot"}, {"team": None}):
            with pytest.raises(TokenRejected) as rejected:
                await reading(VERIFY, read, errors=errors)(token(**wrong))
            detail = rejected.value.detail.removeprefix("the claims do not fit: ")
            details[name, "wrong" if "level" in wrong else "missing"] = detail, rejected.value.claim
    number = "Input should be a valid integer, unable to parse string as an integer"
    assert details == {
        ("pydantic", "wrong"): (f"level: {number}", "level"),
        ("pydantic", "missing"): ("team: Field required", None),
        ("pydantic, of a dataclass", "wrong"): (f"level: {number}", "level"),
        ("pydantic, of a dataclass", "missing"): ("team: Field required", None),
        ("msgspec", "wrong"): (
            "ValidationError: Expected `int`, got `str` - at `$.level`",
            None,
        ),
        ("msgspec", "missing"): (
            "ValidationError: Object missing required field `team`",
            None,
        ),
        ("dataclass", "wrong"): (
            "ValueError: invalid literal for int() with base 10: 'a lot'",
            None,
        ),
        ("dataclass", "missing"): ("KeyError: 'team'", None),
    }


class Fault(dict[str, Any]):
    """A fault that counts how often one is read."""

    read = 0

    def __getitem__(self, name: str) -> Any:
        Fault.read += 1
        return super().__getitem__(name)


@pytest.mark.parametrize("arguments", ["those of pydantic 2", "none"])
async def test_of_very_many_faults_the_first_are_formatted(arguments: str) -> None:
    """A token of 16 KiB has room for 20,000, which would hold the event loop."""
    faults = [Fault(loc=("tags", number), msg="no") for number in range(20_000)]
    asked: list[dict[str, Any]] = []

    class Faulty(ValueError):
        def errors(self, **named: Any) -> list[Fault]:
            if named and arguments == "none":
                raise TypeError("errors() takes no arguments")
            asked.append(named)
            return faults

    def read(claims: dict[str, Any]) -> None:
        raise Faulty

    Fault.read = 0
    with pytest.raises(TokenRejected) as rejected:
        await reading(VERIFY, read)(token(tags=[]))
    whole = "; ".join(f"tags.{number}: no" for number in range(100))
    assert rejected.value.detail == f"the claims do not fit: {whole}"[:200]
    assert rejected.value.claim == "tags"
    assert Fault.read <= 200
    # What is not in the detail is not asked for: of pydantic 2 it costs as much as the rest.
    unused = dict.fromkeys(("include_url", "include_context", "include_input"), False)
    assert asked == [{} if arguments == "none" else unused]


async def test_a_detail_of_many_faults_of_pydantic_begins_with_the_first() -> None:
    class Tags(pydantic.BaseModel):
        tags: list[int | bytes]

    with pytest.raises(TokenRejected) as rejected:
        await reading(VERIFY, Tags.model_validate)(token(tags=[{}] * 2000))
    detail = rejected.value.detail
    assert detail.startswith("the claims do not fit: tags.0.int: Input should be a valid integer; ")
    assert len(detail) == 200


async def test_what_a_model_says_of_all_claims_has_no_place() -> None:
    class Both(pydantic.BaseModel):
        @pydantic.model_validator(mode="after")
        def never(self) -> "Both":
            raise ValueError("not together")

    with pytest.raises(TokenRejected, match=r"do not fit: Value error, not together$"):
        await reading(VERIFY, Both.model_validate)(token())


@pytest.mark.anyio
async def test_a_client_sees_nothing_of_the_claims() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it was let in")

    def repeats(claims: dict[str, Any]) -> None:
        raise ValueError(f"got {claims}")

    verify = verifier(policy(testing.resolver(ALICE), claims_fit(repeats), audience="service"))
    transport = httpx.ASGITransport(protect(app, bearer(verify)))
    async with httpx.AsyncClient(transport=transport) as client:
        headers = {"Authorization": f"Bearer {token(email='x@secret.example')}"}
        answer = await client.get("https://service.example/", headers=headers)
    assert answer.json() == {"title": "Unauthorized", "status": 401, "reason": "invalid_claim"}
    for shown in (answer.text, json.dumps(dict(answer.headers))):
        assert "secret" not in shown
        assert "alice" not in shown


class NotAValueError(Exception):
    """As `msgspec.ValidationError` is before 0.21."""


async def test_what_is_no_value_error_is_a_rejection_where_it_is_named() -> None:
    def read(claims: dict[str, Any]) -> None:
        raise NotAValueError("no")

    with pytest.raises(NotAValueError):
        await reading(VERIFY, read)(token())
    with pytest.raises(NotAValueError):
        await VERIFY(token(), claims_fit(read))
    with pytest.raises(TokenRejected, match="do not fit: NotAValueError: no"):
        await reading(VERIFY, read, errors=(KeyError, NotAValueError))(token())


@pytest.mark.parametrize("error", [TokenRejected("replayed"), Unavailable("a database")])
async def test_a_decision_of_the_reader_comes_out_as_it_is(error: Exception) -> None:
    def read(claims: dict[str, Any]) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        await reading(VERIFY, read, errors=(Exception,))(token())
    assert raised.value is error


async def test_an_error_of_the_verifier_comes_out_unchanged() -> None:
    for decided in (TokenRejected("expired"), Unavailable("keys")):
        with pytest.raises(type(decided)):
            await reading(testing.authenticate(decided), dict)(testing.request())


class Later:
    """What can be awaited and is no coroutine."""

    def __await__(self) -> Any:
        raise AssertionError("it was awaited")


async def reads_later(claims: dict[str, Any]) -> None:
    raise AssertionError("it was run")


@pytest.mark.parametrize("read", [reads_later, lambda claims: Later()], ids=["async", "awaitable"])
async def test_an_async_reader_that_would_read_nothing_lets_nobody_in(read: Any) -> None:
    with pytest.raises(TypeError, match="read is async"):
        await reading(VERIFY, read)(token())
    with pytest.raises(TypeError, match="read is async"):
        await VERIFY(token(), claims_fit(read))


async def test_what_a_reader_does_to_the_claims_changes_no_token() -> None:
    def greedy(claims: dict[str, Any]) -> str:
        return str(claims.pop("team"))

    assert (await VERIFY(token(), claims_fit(greedy))).claims["team"] == "billing"
    assert await reading(VERIFY, greedy)(token()) == "billing"


async def test_checks_for_one_token_are_given_as_before() -> None:
    def nobody(verified: Token) -> None:
        raise TokenRejected("insufficient_scope")

    verify: Verify = VERIFY
    with pytest.raises(TokenRejected, match="insufficient_scope"):
        await reading(verify, Model.model_validate)(token(), nobody)


async def test_explain_shows_the_check() -> None:
    rules = policy(testing.resolver(ALICE), claims_fit(Model.model_validate), audience="service")
    found = await explain(token(level="a lot"), rules)
    (failed,) = [step for step in found.steps if step.outcome == "fail"]
    assert (failed.rule, failed.wants) == ("claims fit", "The claims can be read")


async def test_all_arguments_are_those_of_what_verifies() -> None:
    seen: list[object] = []

    async def verify(text: str, *checks: object, leeway: float) -> Token:
        seen.append((text, checks, leeway))
        return await VERIFY(text)

    read = reading(verify, plain)
    text = token()
    assert await read(text, len, leeway=2.5) == Plain("alice", "billing", 3)
    assert seen == [(text, (len,), 2.5)]


async def test_of_several_claims_that_do_not_fit_the_first_is_named() -> None:
    read = reading(VERIFY, Model.model_validate)
    with pytest.raises(TokenRejected) as raised:
        await read(token(team="a: b", level="high"))
    assert raised.value.claim == "team"
    assert "; level: " in raised.value.detail
