"""Authenticate a request by the token in its `Authorization` header; combine what does that."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from asapfn._core.verification import finish
from asapfn.errors import Reason, TokenRejected
from asapfn.types import Authenticate, Check, Request, Token, require_function

# A token of HTTP, such as a method, a field's name or a scheme (RFC 9110, section 5.6.2).
TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Longer than any token; some servers have no limit.
_LONGEST: Final = 65_536
_AUTHORIZATION: Final = "authorization"
_LENGTH: Final = len(_AUTHORIZATION)
# The reasons which say that a token is of another scheme or profile, in the order in which rules
# are applied. A token is rejected for one of them always or never. So a token that one profile has
# accepted is not left to another later, when it has expired, was used, or its key was revoked.
_OF_ANOTHER: Final[tuple[Reason, ...]] = (
    "missing_token",
    "unsupported_algorithm",
    "missing_claim",
    "lifetime_too_long",
    "wrong_audience",
    "issuer_not_allowed",
)
# What a profile's policy may require; if any other claim is missing, a check has rejected.
_REQUIRED: Final = frozenset(["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "kid", "typ"])
_DECIDED: Final = "_asapfn_decided"


def bearer(verify: Callable[[str], Awaitable[Token]]) -> Authenticate:
    """Authenticate requests by `Authorization: Bearer <token>` (RFC 6750, section 2.1).

    Args:
        verify: Verifies a token, such as `asap.verifier(...)`.

    Returns:
        A function from an incoming request to its verified token. It raises what `verify` does,
        and TokenRejected `missing_token` or `ambiguous_token`.

    Raises:
        TypeError: If `verify` is no function, such as a policy.
    """
    require_function(verify, "bearer needs a function that verifies, such as verifier(...)")

    async def authenticate(request: Request) -> Token:
        return await verify(credentials(request, "Bearer"))

    return authenticate


def also(authenticate: Authenticate, *checks: Check) -> Authenticate:
    """Demand more of the callers of one endpoint, over a verifier that several share.

    `also(authenticate, has_scopes("refunds"))` is for refunds, and `authenticate` for the rest.

    Args:
        authenticate: Says who sent a request, such as `bearer(verify)`.
        *checks: What the verified token must also satisfy, in this order (`asapfn.checks`). They
            come after all that `authenticate` does: if it has a replay store, a token that fails
            one of them is used up. To avoid that, give `not_replayed(store)` here, last.

    Returns:
        A function that does what `authenticate` does, and then raises what the checks do. It raises
        TypeError for a check that returns a value.
    """

    async def authenticate_also(request: Request) -> Token:
        token: object = await authenticate(request)
        if not isinstance(token, Token):
            raise TypeError(f"authenticate returned {type(token).__name__}, not a Token")
        try:
            for check in checks:
                await finish(check(token))
        except TokenRejected as error:
            # The token is that of this profile, so that no other of `any_of` decides about it.
            vars(error)[_DECIDED] = True
            raise
        return token

    return authenticate_also


def any_of(*authenticates: Authenticate) -> Authenticate:
    """Accept several kinds of tokens: the first whose scheme or profile fits decides.

    `any_of(bearer(asap.verifier(...)), bearer(verifier(workloads)))` is for services and for
    pipelines. Each is asked in turn. The next is asked only where a token is of another profile:
    its scheme, its algorithm, its audience or its issuer is another, it lives for longer than the
    profile allows, or lacks a registered claim that the profile requires. All else decides: a token
    that is expired, used, or signed by a key that is not known to the one it fits is rejected
    though another might accept it; and an outage is one.

    Give all of them the same leeway: times come before audience and issuer, so the least leeway
    among those that are asked first holds for the tokens of the others too. A policy of your own
    names its issuers by a guard, so that tokens of others cost it no look-up.

    Args:
        *authenticates: Such as `bearer(verify)` or `connect.authenticator(...)`, in the order in
            which they are asked.

    Returns:
        A function from an incoming request to its verified token. It raises what the one that fits
        does. Where none fits, it raises TokenRejected with the reason of the one that the token
        comes closest to, and all their details; `missing_token` only where none found a token.

    Raises:
        ValueError: If there is none.
    """
    if not authenticates:
        raise ValueError("any_of needs at least one function that authenticates")

    async def authenticate_any(request: Request) -> Token:
        errors = list[TokenRejected]()
        for authenticate in authenticates:
            try:
                return await authenticate(request)
            except TokenRejected as error:
                if not _is_of_another(error):
                    raise
                errors.append(error)
        raise _closest(errors)

    return authenticate_any


def _is_of_another(error: TokenRejected) -> bool:
    """Whether a rejection says that the token is of another profile, and no check has rejected."""
    if _DECIDED in vars(error) or error.reason not in _OF_ANOTHER:
        return False
    return error.reason != "missing_claim" or error.claim in _REQUIRED


def _closest(errors: Iterable[TokenRejected]) -> TokenRejected:
    """One rejection made of several: the reason of the last rule that was reached, all details."""
    ranked = sorted(errors, key=lambda error: _OF_ANOTHER.index(error.reason), reverse=True)
    detail = "; ".join(filter(None, dict.fromkeys(error.detail for error in ranked)))
    return TokenRejected(ranked[0].reason, detail, claim=ranked[0].claim)


def header_values(request: Request, name: str) -> list[str]:
    """The values of the headers of a name, in order, without the white space around them."""
    wanted = name.lower()
    return [value.strip(" \t") for each, value in request.headers if each.lower() == wanted]


def credentials(request: Request, scheme: str) -> str:
    """The one token in a request's one `Authorization` header of a scheme, in any case.

    TokenRejected `missing_token` without such a header, for another scheme, or without a token;
    `ambiguous_token` for more than one header, or more than one token in it; `malformed` for a
    header of more than 65,536 characters.
    """
    # The length first: it is cheaper, and differs for most.
    try:
        values = [
            value
            for name, value in request.headers
            if len(name) == _LENGTH and name.lower() == _AUTHORIZATION
        ]
    except ValueError:
        kind = type(request.headers).__name__
        raise TypeError(
            f"a Request's headers are pairs of name and value, such as .items(), not a {kind}"
        ) from None
    if len(values) > 1:
        raise TokenRejected("ambiguous_token", "more than one Authorization header")
    if values and len(values[0]) > _LONGEST:
        raise TokenRejected("malformed", f"Authorization is longer than {_LONGEST} characters")
    given, _, rest = values[0].strip(" ").partition(" ") if values else ("", "", "")
    token = rest.lstrip(" ")
    if not token or len(given) != len(scheme) or given.lower() != scheme.lower():
        raise TokenRejected("missing_token", f"expected Authorization: {scheme} <token>")
    if " " in token:
        twice = token.lower().startswith(f"{scheme.lower()} ")
        what = "the scheme stands twice" if twice else "more than one token"
        raise TokenRejected("ambiguous_token", f"{what} in Authorization")
    return token
