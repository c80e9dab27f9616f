"""Read claims into a type of the caller's own, such as a model of pydantic or a dataclass."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

from asapfn.errors import TokenRejected, Unavailable, escaped
from asapfn.types import Token

_P = ParamSpec("_P")
_T = TypeVar("_T")

# More than fit into a detail: of many elements of a list each may be a fault.
_MOST_FAULTS: Final = 100


def reading(
    verify: Callable[_P, Awaitable[Token]],
    read: Callable[[dict[str, Any]], _T],
    *,
    errors: tuple[type[Exception], ...] = (),
) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Make a function that verifies, and returns the claims as a type of your own.

        class Caller(pydantic.BaseModel):
            iss: str
            team: str

        verify_caller = reading(asap.verifier(...), Caller.model_validate)
        caller = await verify_caller(token)  # a Caller

    For msgspec, and for a dataclass, it is a function that says its type, so that type checkers see
    it: `def read(claims) -> Caller: return msgspec.convert(claims, Caller)`, before 0.21 with
    `errors=(msgspec.ValidationError,)`, since there that is no ValueError; or
    `return Caller(claims["iss"], claims["team"])` with `errors=(KeyError,)`.

    For adapters, which hand on a `Token`, there is the check `checks.claims_fit(read)`: a request
    whose claims do not fit is refused, and in the view `read(token.claims)` succeeds.

    Args:
        verify: Verifies: `asap.verifier(...)`, or what authenticates a request, such as
            `bearer(verify)`. Its parameters stay as they are.
        read: A plain function from the claims to what is wanted. It raises ValueError, as
            `pydantic.ValidationError` is one, where they do not fit.
        errors: What else it raises where they do not fit. Any other error comes out unchanged.

    Returns:
        An async function that returns what `read` does. It raises what `verify` does, TokenRejected
        `invalid_claim` where the claims do not fit, and TypeError if `read` is async.
    """
    of_claims: tuple[type[Exception], ...] = (ValueError, *errors)

    async def verify_and_read(*args: _P.args, **named: _P.kwargs) -> _T:
        return read_claims(await verify(*args, **named), read, of_claims)

    return verify_and_read


def read_claims(
    token: Token, read: Callable[[dict[str, Any]], _T], of_claims: tuple[type[Exception], ...]
) -> _T:
    """Read a token's claims; TokenRejected `invalid_claim` where they do not fit."""
    try:
        value = read(token.claims.copy())
    except (TokenRejected, Unavailable):
        raise
    except of_claims as error:
        detail = _described(error)
    else:
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise TypeError("read is async, so nothing was read: expected a plain function")
        return value
    # Not from the error, which may hold all of the claims.
    name = detail.partition(":")[0].partition(".")[0]
    claim = name if name in token.claims else None
    raise TokenRejected("invalid_claim", escaped(f"the claims do not fit: {detail}"), claim=claim)


def _described(error: Any) -> str:
    """What does not fit, and where; without the values, which pydantic puts into its message."""
    try:
        first = _faults(error)[:_MOST_FAULTS]
        faults = [(".".join(map(str, each["loc"])), each["msg"]) for each in first]
    except (AttributeError, TypeError, KeyError):
        return f"{type(error).__name__}: {error}"
    return "; ".join(f"{place}: {message}" if place else message for place, message in faults)


def _faults(error: Any) -> Any:
    """The faults of pydantic's error, without URLs, contexts and inputs if it can omit these."""
    try:
        return error.errors(include_url=False, include_context=False, include_input=False)
    except TypeError:
        return error.errors()
