"""What one endpoint demands: checks of its own, over an authentication that several share."""

from collections.abc import MutableMapping
from typing import Any, Final

from asapfn._core.verification import finish
from asapfn.adapters._refusal import Outcome, admit
from asapfn.errors import TokenRejected, Unavailable
from asapfn.types import Authenticate, Check, Request, Token

_VERIFIED: Final = "asapfn.verified"
_REFUSED: Final = "asapfn.refused"


async def admit_to(
    authenticate: Authenticate,
    checks: tuple[Check, ...],
    carrier: MutableMapping[str, Any],
    request: Request,
    optional: bool,
) -> Outcome:
    """Authenticate a request to an endpoint, which has checks of its own.

    A request is authenticated once by the same function, also where a router and an endpoint both
    require it: with a store of used tokens the second time would be a replay. So verified tokens
    are kept in the carrier, the request's scope or environ. A token that is optional must satisfy
    the checks where it is there.
    """
    # By the function itself, since another may come to have the id of one that is gone; and by the
    # request, since an application may make another one of what carries it.
    verified: list[tuple[Authenticate, Request, Token]] = carrier.setdefault(_VERIFIED, [])
    known = [token for by, asked, token in verified if by is authenticate and asked == request]
    admitted = known[0] if known else await admit(authenticate, request, optional)
    if not isinstance(admitted, Token):
        return admitted
    if not known:
        verified.append((authenticate, request, admitted))
    outcome = await satisfying(admitted, checks)
    if outcome is not admitted:
        carrier[_REFUSED] = request
    return outcome


async def satisfying(
    token: Token, checks: tuple[Check, ...]
) -> Token | TokenRejected | Unavailable:
    """The token, if it satisfies checks; else why not."""
    try:
        for check in checks:
            await finish(check(token))
    except (TokenRejected, Unavailable) as error:
        return error
    return token


def carry(carrier: MutableMapping[str, Any], request: Request, token: Token | None) -> Token | None:
    """Put a token where an endpoint finds it, unless a check there has refused it; what is there.

    A check that enforces nothing lets a request through to what may demand less of the same token.
    """
    carrier.pop("asapfn.token", None)
    if token is None or carrier.get(_REFUSED) == request:
        return None
    carrier["asapfn.token"] = token
    return token
