"""What fits the types of functions: plain functions as users write them, called by position."""

from collections.abc import Awaitable

import pytest

from asapfn import (
    Authenticate,
    Authorize,
    Check,
    Clock,
    Document,
    Event,
    Fetch,
    Guard,
    Key,
    Names,
    Observe,
    Policy,
    ReplayStore,
    Request,
    Resolver,
    Sign,
    Token,
    TokenRejected,
    Unverified,
    Verify,
    bearer,
    policy,
    verifier,
)

TOKEN = Token({"alg": "RS256"}, {"iss": "a"}, 0.0, 1.0)


async def find(token_seen: Unverified) -> Key | None:
    return None


def find_later(token_seen: Unverified) -> Awaitable[Key | None]:
    return find(token_seen)


def is_known(token_seen: Unverified) -> None:
    raise TokenRejected("issuer_not_allowed")


def is_admin(token_seen: Token) -> None:
    raise TokenRejected("invalid_claim")


async def is_member(token_seen: Token) -> None:
    raise TokenRejected("invalid_claim")


async def accept(text: str | bytes, *more: Check) -> Token:
    return TOKEN


def accept_later(text: str | bytes, *more: Check) -> Awaitable[Token]:
    return accept(text, *more)


async def accept_str(text: str) -> Token:
    return TOKEN


async def who(asked: Request) -> Token:
    return TOKEN


def sign_for(service: Names) -> str:
    return "a.b.c"


def header(verb: str, address: str) -> str:
    return "Bearer a.b.c"


async def get(address: str, media_types: str) -> Document:
    return Document(404, "", b"")


async def use(name: str, seconds: float) -> bool:
    return True


def note(event: Event) -> None:
    return None


def stopped() -> float:
    return 0.0


RESOLVERS: list[Resolver] = [find, find_later]
GUARDS: list[Guard] = [is_known]
CHECKS: list[Check] = [is_admin, is_member]
VERIFIERS: list[Verify] = [accept, accept_later, verifier(policy(find))]
AUTHENTICATES: list[Authenticate] = [who, bearer(accept), bearer(accept_str), bearer(VERIFIERS[2])]
SIGNS: list[Sign] = [sign_for]
AUTHORIZES: list[Authorize] = [header]
FETCHES: list[Fetch] = [get]
STORES: list[ReplayStore] = [use]
EVENTS: list[Event] = []
OBSERVES: list[Observe] = [note, EVENTS.append]
CLOCKS: list[Clock] = [stopped]
POLICY: Policy = policy(find, is_admin, is_member, guards=GUARDS, now=stopped)


async def by_name(verify: Verify, resolve: Resolver, fetch: Fetch) -> None:
    # Names of parameters are each function's own: a call by name would work for some alone.
    await verify(token="a.b.c")  # type: ignore[call-arg]
    await resolve(unverified=Unverified({}, {}, b"", b""))  # type: ignore[call-arg]
    await fetch(url="https://a.example/", accept="*/*")  # type: ignore[call-arg]


async def wrong_functions() -> None:
    async def no_key(token_seen: Unverified) -> str:
        return ""

    def predicate(token_seen: Token) -> bool:
        return False

    async def async_guard(token_seen: Unverified) -> None: ...

    policy(no_key)  # type: ignore[arg-type]
    policy(find, predicate)  # type: ignore[arg-type]
    policy(find, guards=[async_guard])  # type: ignore[list-item]


async def test_a_call_by_name_fails_where_the_function_has_another_name() -> None:
    with pytest.raises(TypeError, match="token"):
        await by_name(accept, find, get)
    with pytest.raises(TypeError, match="token"):
        await by_name(verifier(POLICY), find, get)
