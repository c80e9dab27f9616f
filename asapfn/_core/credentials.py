"""Who sent a request: from its `Authorization` header to a verified token."""

from collections.abc import Awaitable, Callable
from typing import Final

from asapfn.errors import TokenRejected
from asapfn.types import Authenticate, Request, Token

# Longer than any token; some servers have no limit.
_LONGEST: Final = 65_536
_AUTHORIZATION: Final = "authorization"
_LENGTH: Final = len(_AUTHORIZATION)


def bearer(verify: Callable[[str], Awaitable[Token]]) -> Authenticate:
    """Authenticate requests by `Authorization: Bearer <token>` (RFC 6750, section 2.1).

    Args:
        verify: Verifies a token, such as `asap.verifier(...)`.

    Returns:
        A function from an incoming request to its verified token. It raises what `verify` does,
        and TokenRejected `missing_token` or `ambiguous_token`.
    """

    async def authenticate(request: Request) -> Token:
        return await verify(credentials(request, "Bearer"))

    return authenticate


def credentials(request: Request, scheme: str) -> str:
    """The one token in a request's one `Authorization` header.

    Args:
        request: The request.
        scheme: The authentication scheme, compared without regard to case (RFC 9110, 11.1).

    Returns:
        The token.

    Raises:
        TokenRejected: `missing_token`: no such header, or of another scheme, or without a token;
            `ambiguous_token`: more than one header, or more than one token in it; `malformed`: a
            header of more than 65,536 characters.
    """
    # The length first: it is cheaper, and differs for most.
    values = [
        value
        for name, value in request.headers
        if len(name) == _LENGTH and name.lower() == _AUTHORIZATION
    ]
    if len(values) > 1:
        raise TokenRejected("ambiguous_token", "more than one Authorization header")
    if values and len(values[0]) > _LONGEST:
        raise TokenRejected("malformed", f"Authorization is longer than {_LONGEST} characters")
    given, _, rest = values[0].strip(" ").partition(" ") if values else ("", "", "")
    token = rest.lstrip(" ")
    if not token or len(given) != len(scheme) or given.lower() != scheme.lower():
        raise TokenRejected("missing_token", f"expected Authorization: {scheme} <token>")
    if " " in token:
        raise TokenRejected("ambiguous_token", "more than one token in Authorization")
    return token
