"""What `reading` and `asapfn.testing` make, as type checkers see it: checked, and run."""

import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, assert_type

import msgspec
import pydantic
import pytest
from fastapi import Depends

from asapfn import Authenticate, Fetch, Request, Resolver, Token, asap, bearer, reading, testing
from asapfn.adapters.fastapi import requires
from asapfn.checks import claims_fit
from asapfn.errors import Reason
from asapfn.types import Check, Clock

ALICE = testing.issuer("alice")
VERIFY = asap.verifier(testing.resolver(ALICE), "service", issuers="alice")


class Model(pydantic.BaseModel):
    iss: str


class Struct(msgspec.Struct):
    iss: str


@dataclasses.dataclass
class Plain:
    iss: str


def convert(claims: dict[str, Any]) -> Struct:
    return msgspec.convert(claims, Struct)


def plain(claims: dict[str, Any]) -> Plain:
    return Plain(claims["iss"])


async def test_a_type_checker_sees_what_the_reader_returns() -> None:
    token = ALICE.token("service")
    model = await reading(VERIFY, Model.model_validate)(token)
    assert_type(model, Model)
    struct = await reading(VERIFY, convert)(token)
    assert_type(struct, Struct)
    of_own = await reading(VERIFY, plain, errors=(KeyError,))(token)
    assert_type(of_own, Plain)
    adapted = await reading(VERIFY, pydantic.TypeAdapter(Plain).validate_python)(token)
    assert_type(adapted, Plain)
    assert model.iss == struct.iss == of_own.iss == adapted.iss == "alice"


async def test_what_is_verified_is_given_as_before() -> None:
    by_request: Callable[[Request], Awaitable[Plain]] = reading(bearer(VERIFY), plain)
    caller = await by_request(testing.request(ALICE.headers("service")))
    assert_type(caller, Plain)
    check: Check = claims_fit(Model.model_validate)
    await reading(VERIFY, plain)(ALICE.token("service"), check)
    with pytest.raises(TypeError, match="positional"):
        await by_request()  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        assert caller.team  # type: ignore[attr-defined]


def test_what_errors_are_is_looked_at_before_any_token_comes() -> None:
    def of_a_str(claims: str) -> None: ...

    reading(VERIFY, of_a_str)  # type: ignore[arg-type]
    reading(reading(VERIFY, plain), plain)  # type: ignore[arg-type]
    for make in (partial(reading, VERIFY), claims_fit):
        with pytest.raises(TypeError, match="iterable"):
            make(plain, errors=KeyError)  # type: ignore[arg-type]


CALLER = requires(bearer(VERIFY), claims_fit(Model.model_validate))


def caller(token: Annotated[Token, Depends(CALLER)]) -> Model:
    return Model.model_validate(token.claims)


def test_a_dependency_that_is_optional_or_not_enforced_may_be_none() -> None:
    strict: Callable[..., Awaitable[Token]] = requires(bearer(VERIFY))
    optional = requires(bearer(VERIFY), optional=True)
    assert_type(optional, Callable[..., Awaitable[Token | None]])
    unenforced = requires(bearer(VERIFY), enforce=False)
    assert_type(unenforced, Callable[..., Awaitable[Token | None]])
    wrong: Callable[..., Awaitable[Token]] = optional  # type: ignore[assignment]
    assert all(map(callable, (strict, optional, unenforced, wrong)))
    assert caller(ALICE.verified("service")).iss == "alice"


async def test_what_testing_makes_is_of_the_types_of_the_library() -> None:
    clock: Clock = testing.clock(1_700_000_000)
    issuer: testing.Issuer = testing.issuer("alice", now=clock)
    resolver: Resolver = testing.resolver(issuer, ALICE._replace(key=testing.issuer("bob").key))
    table = testing.repository(issuer)
    asked: list[str] = []
    fetch: Fetch = testing.fetch(table, observe=asked.append)
    decide: Authenticate = testing.authenticate(issuer.verified("service"))
    reason: Reason
    for reason in testing.ASAP_REASONS:
        assert testing.broken(reason, issuer, "service").reason == reason
    with pytest.raises(ValueError, match="unknown reason"):
        testing.broken("tired", issuer, "service")  # type: ignore[arg-type]
    assert all(map(callable, (resolver, fetch, decide)))
