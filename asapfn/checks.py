"""What a verified token must also satisfy, as functions to pass to `verify`.

Each of these makes a check: a function of the verified token that raises when it is not satisfied.
Checks run in the order they are given. One with an effect, `not_replayed`, goes last, so that a
token which fails another check is not used up.
"""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from anyio.lowlevel import current_token

from asapfn._core.canonical import base_path, canonical_request, is_below
from asapfn._core.reading import read_claims
from asapfn.errors import TokenRejected, listed, shown
from asapfn.types import ReplayStore, Token, Unverified, require_bool

CONTEXT_QSH = "context-qsh"
_KEPT_LONGER: Final = 60.0

# Origin form (RFC 9112, section 3.2.1), and characters that some senders do not encode.
_LONGEST_TARGET: Final = 65_536
_TARGET: Final = re.compile(r"/[!\"$-~]*")
# RFC 6749, section 3.3.
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")


def subject_is_issuer() -> Callable[[Token], None]:
    """Require that the token's subject is its issuer.

    Returns:
        A check that rejects with `subject_mismatch` when `sub` is there and is not `iss`. An absent
        `sub` means the issuer (ASAP specification, "Claims").
    """

    def check(token: Token) -> None:
        """The sub is the iss, or absent."""
        if "sub" in token.claims and token.claims["sub"] != token.claims.get("iss"):
            issuer, subject = token.claims.get("iss"), token.claims["sub"]
            detail = f"expected the iss, {shown(issuer)}, or no sub; got {shown(subject)}"
            raise TokenRejected("subject_mismatch", detail, claim="sub")

    return check


def claim_equals(name: str, value: Any) -> Callable[[Token], None]:
    """Require that a claim has a value.

    Args:
        name: The claim.
        value: What it must equal, of the same type: True is not 1, nor is [True] [1].

    Returns:
        A check that rejects with `missing_claim` or `invalid_claim`.
    """
    return _claim_check("claim_equals", name, "is", shown(value), partial(_is_same, value))


def claim_includes(name: str, *values: Any, any_of: bool = False) -> Callable[[Token], None]:
    """Require that a claim, which is a list, includes values, such as `groups`, `roles` or `scp`.

    Args:
        name: The claim.
        *values: What it must include, of the same types: True is not 1.
        any_of: Whether one of the values is enough; else all must be there.

    Returns:
        A check that rejects with `missing_claim`, or with `invalid_claim` also where the claim is
        no list: a part of a text is not included in it.

    Raises:
        ValueError: If there is no value.
    """
    _require_some(values, "value")
    of_values = any if any_of else all

    def includes(given: Any) -> bool:
        among = given if isinstance(given, list) else []
        return of_values(_is_among(among, value) for value in values)

    expected = listed(values, "or" if any_of else "and")
    return _claim_check("claim_includes", name, "includes", expected, includes)


def claim_is_one_of(name: str, values: Collection[Any]) -> Callable[[Unverified | Token], None]:
    """Require that a claim has one of several values. It is a check, and also a guard.

    Args:
        name: The claim.
        values: What it may equal, of the same type: True is not 1. A str is one value.

    Returns:
        A check that rejects with `missing_claim` or `invalid_claim`.

    Raises:
        ValueError: If there is no value.
    """
    each = (values,) if isinstance(values, str) else tuple(values)
    _require_some(each, "value")
    expected = listed(each, "or")
    return _claim_check("claim_is_one_of", name, "is", expected, partial(_is_among, each))


def has_scopes(*scopes: str) -> Callable[[Token], None]:
    """Require scopes, as the claim `scope` grants them: texts with spaces between them.

    For a list, as some issuers have it in `scp`, there is `claim_includes("scp", ...)`.

    Args:
        *scopes: The scopes, all of which must be granted; compared exactly.

    Returns:
        A check that rejects with `insufficient_scope`, also where there is no such claim, and with
        `invalid_claim` where it is no text.

    Raises:
        TypeError: If a scope is not a str.
        ValueError: If there is no scope, or one is empty or has a space.

    Source: RFC 8693, section 4.2; RFC 6749, section 3.3; RFC 6750, section 3.1.
    """
    _require_some(scopes, "scope")
    if not all(isinstance(scope, str) for scope in scopes):
        raise TypeError("a scope must be a str: has_scopes('read', 'write')")
    if not all(map(_SCOPE.fullmatch, scopes)):
        raise ValueError("a scope is one word of printable ASCII without quotes and backslashes")

    def check(token: Token) -> None:
        granted = token.claims.get("scope", "")
        if not isinstance(granted, str):
            raise _invalid("scope", "a text", granted)
        if missing := set(scopes).difference(granted.split(" ")):
            detail = f"expected {listed(sorted(missing), 'and')}, got {shown(granted)}"
            raise TokenRejected("insufficient_scope", detail, claim="scope")

    check.__doc__ = f"scope includes {listed(scopes, 'and')}"
    return check


def claims_fit(
    read: Callable[[dict[str, Any]], Any], *, errors: tuple[type[Exception], ...] = ()
) -> Callable[[Token], None]:
    """Require that a function can read the claims, such as a model of pydantic's validates them.

        authenticate = also(bearer(verify), claims_fit(Caller.model_validate))

    Args:
        read: A plain function from the claims to what is wanted of them, as for `asapfn.reading`;
            what it returns is dropped, so that a view calls it again.
        errors: What it raises besides ValueError where they do not fit.

    Returns:
        A check that rejects with `invalid_claim`. It raises TypeError if `read` is async.
    """
    of_claims: tuple[type[Exception], ...] = (ValueError, *errors)

    def check(token: Token) -> None:
        """The claims can be read."""
        read_claims(token, read, of_claims)

    return check


def _require_some(values: Collection[Any], what: str) -> None:
    if not values:
        raise ValueError(f"at least one {what} is needed: nothing would be checked")


def _claim_check(
    maker: str, name: str, relation: str, expected: str, holds: Callable[[Any], bool]
) -> Callable[[Unverified | Token], None]:
    """Make the check of one claim, which `explain` shows by the name of its maker."""

    def check(token: Unverified | Token) -> None:
        if name not in token.claims:
            raise _missing(name)
        given = token.claims[name]
        if not holds(given):
            raise _invalid(name, expected, given)

    check.__qualname__, check.__doc__ = maker, f"{name} {relation} {expected}"
    return check


def _missing(name: str) -> TokenRejected:
    return TokenRejected("missing_claim", f"the token has no {name}", claim=name)


def _is_among(values: Iterable[Any], given: Any) -> bool:
    return any(_is_same(each, given) for each in values)


def _is_same(value: Any, given: Any) -> bool:
    """Whether two values of JSON are equal, and of the same types throughout."""
    if type(given) is not type(value) or given != value:
        return False
    if isinstance(given, dict):
        return all(_is_same(value[name], given[name]) for name in given)
    return not isinstance(given, list) or all(map(_is_same, value, given))


def _invalid(name: str, expected: str, given: Any) -> TokenRejected:
    detail = f"{name}: expected {expected}, got {shown(given)}"
    return TokenRejected("invalid_claim", detail, claim=name)


def request_matches(
    method: str,
    target: str,
    *,
    base_url: str = "",
    form: str | bytes | None = None,
    proxy_strips_prefix: bool = False,
    decoded_path: bool = False,
) -> Callable[[Token], None]:
    """Require that the token was made for this request: the computed `qsh` of Connect.

    Args:
        method: The HTTP method; one that is not in upper case is refused, since applications
            differ in how they read it.
        target: The request's target, as it was sent. It is no URL: what holds a `#`, does not
            begin with `/`, or is not printable ASCII without spaces is refused, since servers and
            applications differ in how they read it.
        base_url: The app's base URL, whose path is not part of the canonical request. A target
            that is not below it is refused.
        form: A form body, which stands in for an empty query of a POST or PUT.
        proxy_strips_prefix: Whether a proxy has removed the base URL's path from each target.
        decoded_path: Whether a `qsh` over the decoded path is accepted too, as for
            `connect.authenticator`.

    Returns:
        A check that rejects with `missing_claim` when there is no `qsh`, and with
        `request_mismatch` when it differs, or the request is malformed. The comparison takes
        constant time.

    Raises:
        TypeError: If a URL is not a str, or an option no bool.
        ValueError: If the base URL is malformed.
    """
    base = received_base(base_url, proxy_strips_prefix)
    require_bool(decoded_path, "decoded_path")

    def check(token: Token) -> None:
        """The qsh is the hash of the request."""
        require_request(method, target, base, form, token, decoded_path=decoded_path)

    return check


def received_base(base_url: str, proxy_strips_prefix: bool) -> str:
    """The path that received targets are below; ValueError if the base URL is malformed."""
    require_bool(proxy_strips_prefix, "proxy_strips_prefix")
    base = base_path(base_url)
    return "" if proxy_strips_prefix else base


def require_request(
    method: str,
    target: str,
    base: str,
    form: str | bytes | None,
    token: Token,
    *,
    decoded_path: bool = False,
) -> None:
    """Refuse a token that was not made for a request, as `request_matches` does.

    With `decoded_path` one that was made for its path, decoded, is accepted as well.
    """
    canonical = _received_request(method, target, base, form)
    expected, given = _hash(canonical), _qsh_of(token)
    if _is_hash(given, expected):
        return
    detail = f"expected {expected}, the hash of {shown(canonical)}; got {shown(given)}"
    decoded = _decoded(canonical, target.partition("?")[0][len(base) :])
    if decoded != canonical and _is_hash(given, _hash(decoded)):
        if decoded_path:
            return
        detail += "; that is the hash over the decoded path, which decoded_path=True accepts"
    raise _mismatch(detail)


def _received_request(method: str, target: str, base: str, form: str | bytes | None) -> str:
    """The canonical form of a request that was received, below the path of a base URL."""
    require_target(target)
    # Methods differ by case (RFC 9110, section 9.1), and the canonical request does not keep it.
    if method.upper() != method:
        raise _mismatch("the method is not in upper case")
    if not is_below(target.partition("?")[0], base):
        raise _mismatch(
            f"the request target is not below the base URL's path, {base}; where a proxy removes"
            " that, use proxy_strips_prefix=True"
        )
    try:
        return canonical_request(method, target[len(base) :], form=form)
    except ValueError as error:
        why = str(error)
    raise _mismatch(why)


def _decoded(canonical: str, path: str) -> str:
    """The canonical request, of the path as Java's `URI.getPath` decodes it, if that is UTF-8."""
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return canonical
    method, _, query = canonical.split("&", 2)
    uri = (decoded.removesuffix("/") or "/").replace("&", "%26")
    return f"{method}&{uri}&{query}"


def require_target(target: str) -> None:
    """Refuse a received request target that servers and applications may read in two ways.

    Args:
        target: The target.

    Raises:
        TokenRejected: `request_mismatch`: it holds a `#`, does not begin with `/`, is not
            printable ASCII without spaces, or is longer than 65,536 characters.
    """
    if len(target) <= _LONGEST_TARGET and _TARGET.fullmatch(target):
        return
    why = "holds what is not printable ASCII, or a space"
    if len(target) > _LONGEST_TARGET:
        why = f"is longer than {_LONGEST_TARGET} characters"
    elif "#" in target:
        why = "holds a #"
    elif not target.startswith("/"):
        why = "does not begin with /"
    raise _mismatch(f"the request target {why}")


def context_token() -> Callable[[Token], None]:
    """Require Connect's fixed `qsh`, that of context tokens.

    An endpoint accepts one kind of token, computed or fixed: one that accepts either was the
    vulnerability of 2021.

    Returns:
        A check that rejects with `missing_claim` or `request_mismatch`.
    """
    return partial(_qsh_equals, CONTEXT_QSH)


def not_replayed(store: ReplayStore) -> Callable[[Token], Awaitable[None]]:
    """Require that the token was not used before. Give this check last.

    A token is known by its `iss` and `jti` together and is remembered for a minute longer than it
    could be accepted, leeway included (ASAP specification, "Replay"): a clock that is set back by
    up to a minute, or another machine's that is as much behind, lets no used token pass.

    Args:
        store: Answers True exactly once for an id, such as `replay.in_memory()`. An id is
            81 characters, `<issuer>:<token>`: 16 hexadecimal digits that all ids of an issuer
            share, the first of its SHA-256, and the 64 of a SHA-256 over issuer and `jti`.

    Returns:
        A check that rejects with `replayed`, or with `missing_claim` when `iss`, `jti` or `exp` is
        not there. It raises `Unavailable` when the store cannot answer.
    """

    async def check(token: Token) -> None:
        """The iss and jti were not used before."""
        current_token()  # raises where there is no event loop: see _core/one_step.py
        for name in ("iss", "jti", "exp"):
            if name not in token.claims:
                raise _missing(name)
        token_id = _token_id(token.claims["iss"], token.claims["jti"])
        life = token.usable_until - token.verified_at + _KEPT_LONGER
        if await store(token_id, life) is not True:
            jti, issuer = shown(token.claims["jti"]), shown(token.claims["iss"])
            detail = f"expected a jti that was not used before, got {jti} of iss {issuer}"
            raise TokenRejected("replayed", detail, claim="jti")

    return check


def _token_id(issuer: str, jti: str) -> str:
    whose = hashlib.sha256(issuer.encode()).hexdigest()[:16]
    # The length says where the issuer ends; the hash bounds what a store has to keep.
    return f"{whose}:{hashlib.sha256(f'{len(issuer)}:{issuer}{jti}'.encode()).hexdigest()}"


def _qsh_equals(expected: str, token: Token) -> None:
    """The qsh is that of a context token."""
    given = _qsh_of(token)
    if not _is_hash(given, expected):
        raise _mismatch(f"expected {expected}; got {shown(given)}")


def _qsh_of(token: Token) -> object:
    if token.claims.get("qsh") is None:
        raise _missing("qsh")
    return token.claims["qsh"]


def _mismatch(detail: str) -> TokenRejected:
    return TokenRejected("request_mismatch", detail, claim="qsh")


def _hash(canonical: str) -> str:
    return hashlib.sha256(canonical.encode()).hexdigest()


def _is_hash(given: object, expected: str) -> bool:
    """Whether a claim is the expected text; the comparison takes constant time."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())
