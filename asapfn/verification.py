"""Verification: a token and a resolver in, a `Token` out, or a reason why not.

The order is the design: what costs nothing comes first, so that a hopeless token never costs a
fetch, and what has an effect comes last, so that nothing but a token whose signature holds gets
there. Parse and types; algorithm; required claims; time, lifetime, audience, type; the key; its
fitness; the signature; whether it expired meanwhile; the checks, in their order.
"""

import math
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, Protocol, get_args

from asapfn import compact
from asapfn.algorithms import ALGORITHMS, ASYMMETRIC, signature_verifier
from asapfn.errors import TokenRejected
from asapfn.types import Check, Key, Names, Resolver, Token, Unverified, as_names
from asapfn.verified_keys import mark_verified

_STRINGS: Final = frozenset(["iss", "sub", "jti"])
_TIMES: Final = frozenset(["exp", "iat", "nbf"])
_KEY_TYPES: Final = get_args(Key)
_LATEST: Final = 2**63


class Judge(Protocol):
    """An async function of what a reader gave, and of checks for this token alone."""

    def __call__(self, unverified: Unverified, /, *more: Check) -> Awaitable[Token]:
        """Verify the token, and put it to the checks after all others."""
        ...


def peek(token: str | bytes) -> Unverified:
    """Read a token without verifying it: to look at, never to act on.

    Args:
        token: The token.

    Returns:
        Header and claims, of the right types where they are registered (RFC 7519, section 4.1).

    Raises:
        TokenRejected: `malformed`, `unsupported_algorithm`, or `invalid_claim` for a registered
            claim of the wrong type.
        TypeError: If the token is neither str nor bytes.
    """
    return _peek(token)


def reader(algorithms: Collection[str]) -> Callable[[str | bytes], Unverified]:
    """Make a `peek` for the algorithms that are taken, which remembers headers.

    Args:
        algorithms: Their names; any other is `unsupported_algorithm`.

    Returns:
        The function. It raises what `peek` does.

    Raises:
        TypeError: If `algorithms` is a bare str.
        ValueError: If an algorithm is not known.
    """
    return _reader(compact.header_reader(_known(algorithms)))


def _reader(
    read_header: Callable[[bytes], dict[str, Any]],
) -> Callable[[str | bytes], Unverified]:
    def read(token: str | bytes) -> Unverified:
        header, payload, signing_input, signature = compact.parse(token, read_header)
        try:
            claims = compact.decode_object(payload)
        except ValueError as error:
            raise TokenRejected("malformed", f"claims: {error}") from None
        for name, value in claims.items():
            if name in _STRINGS:
                if type(value) is not str:
                    raise TokenRejected("invalid_claim", f"{name} is not a string", claim=name)
            elif name in _TIMES:
                # Not bool, which is an int to Python; not beyond what a float can be compared with.
                if type(value) not in (int, float) or not -_LATEST < value < _LATEST:
                    raise TokenRejected("invalid_claim", f"{name} is not a time", claim=name)
            elif name == "aud" and type(value) is not str and not _are_strings(value):
                raise TokenRejected("invalid_claim", "aud is not a string or strings", claim="aud")
        # Past the class's own __new__, which is written in Python.
        return tuple.__new__(Unverified, (header, claims, signing_input, signature))

    return read


_peek: Final = _reader(compact.read_header)


def _are_strings(value: object) -> bool:
    return type(value) is list and all(type(each) is str for each in value)


def _known(algorithms: Collection[str]) -> frozenset[str]:
    if isinstance(algorithms, str):
        raise TypeError("algorithms takes a collection of names, not one str")
    names = frozenset(algorithms)
    if not names <= ALGORITHMS.keys():
        raise ValueError(f"unknown algorithm: use those of {', '.join(ALGORITHMS)}")
    return names


async def verify(
    token: str | bytes,
    resolver: Resolver,
    *checks: Check,
    audience: Names | None = None,
    algorithms: Collection[str] = ASYMMETRIC,
    required: Collection[str] = ("exp",),
    leeway: float = 0.0,
    max_lifetime: float | None = None,
    typ: str | None = None,
    now: Callable[[], float] = time.time,
) -> Token:
    """Verify a token: its signature, its times, its audience, and whatever else is asked.

    Args:
        token: The token, a JWS in compact serialization.
        resolver: Finds the key. It is asked only for a token that everything else speaks for.
        *checks: What the verified token must also satisfy, in this order (`asapfn.checks`).
        audience: Whom the token must be for, one of these names. None takes only tokens that
            name no audience.
        algorithms: The algorithms that are taken; secrets' (`HS256`) only when named.
        required: Claims that must be there.
        leeway: Seconds by which clocks may differ.
        max_lifetime: The longest `exp - iat` that is taken, in seconds; it makes both required.
        typ: The `typ` the header must have (RFC 8725, section 3.11), compared without regard to
            case and to a leading `application/`.
        now: The clock, seconds since the epoch.

    Returns:
        The verified token.

    Raises:
        TokenRejected: With its reason. 401, but for `issuer_not_allowed`.
        Unavailable: If the resolver or a check could not tell.
        TypeError: On wrong use: a token that is no str or bytes, a bare str for `algorithms` or
            `required`, a resolver that returns no key, a check that returns a value.
        ValueError: If there is nothing in `audience`, an algorithm is not known, or the leeway is
            negative or not finite.
    """
    if isinstance(required, str):
        raise TypeError("required takes a collection of names, not one str")
    names = _known(algorithms)
    settle = judge(
        resolver,
        checks,
        audience=None if audience is None else as_names(audience, "audience"),
        required=required,
        leeway=leeway,
        max_lifetime=max_lifetime,
        typ=typ,
        now=now,
    )
    read = _reader(partial(compact.read_header, algorithms=names))
    return await settle(read(token))


def judge(
    resolver: Resolver,
    checks: Sequence[Check] = (),
    *,
    audience: frozenset[str] | None,
    required: Collection[str],
    leeway: float,
    max_lifetime: float | None = None,
    typ: str | None = None,
    now: Callable[[], float],
) -> Judge:
    """Make the rest of `verify`, once for many tokens that a `reader` has read.

    Args:
        resolver: As for `verify`, like all that follow.
        checks: See `verify`.
        audience: See `verify`; a set of names.
        required: See `verify`.
        leeway: See `verify`.
        max_lifetime: See `verify`.
        typ: See `verify`.
        now: See `verify`.

    Returns:
        An async function of what the reader gave, unchanged, and of checks for this token alone,
        that come last. It gives the verified token, and raises what `verify` does.

    Raises:
        ValueError: If the leeway is negative or not finite.
    """
    screen = screener(audience, required, leeway, max_lifetime)
    signature_holds = signature_verifier()

    async def settle(unverified: Unverified, *more: Check) -> Token:
        header, claims, signing_input, signature = unverified
        usable_until = screen(claims, now())
        if typ is not None:
            _require_typ(header, typ)
        key = await resolver(unverified)
        if key is None:
            raise TokenRejected("unknown_key")
        if type(key) not in _KEY_TYPES:
            raise TypeError(f"the resolver returned {type(key).__name__}, not a key or None")
        if not signature_holds(header["alg"], key, signing_input, signature):
            raise TokenRejected("bad_signature")
        mark_verified(key)
        moment = now()  # the key may have been long in coming, and a store forgets what has expired
        if not moment < usable_until:
            raise TokenRejected("expired", claim="exp")
        verified = tuple.__new__(Token, (header, claims, moment, usable_until))
        for check in (*checks, *more) if more else checks:
            outcome = check(verified)
            if outcome is not None:
                await _settle(outcome)
        return verified

    return settle


def screener(
    audience: frozenset[str] | None,
    required: Collection[str],
    leeway: float,
    max_lifetime: float | None,
) -> Callable[[dict[str, Any], float], float]:
    """Make what refuses a token that its claims speak against, before a key is asked for.

    Args:
        audience: As for `judge`, like all that follow.
        required: See `judge`.
        leeway: See `judge`.
        max_lifetime: See `judge`.

    Returns:
        A function of the claims and the time, which gives the time until when the token lives.
        Times are compared by what must hold, which nothing does with NaN for a clock.

    Raises:
        ValueError: If the leeway is negative or not finite.
    """
    if not 0 <= leeway < math.inf:
        raise ValueError("leeway is a finite number of seconds, from 0")
    if max_lifetime is not None:
        required = (*required, "exp", "iat")

    def screen(claims: dict[str, Any], now: float) -> float:
        for name in required:
            if name not in claims:
                raise TokenRejected("missing_claim", name, claim=name)
        expires, issued, starts = claims.get("exp"), claims.get("iat"), claims.get("nbf")
        until, latest = math.inf, now + leeway
        if expires is not None:
            until = expires + leeway
            if not now < until:
                raise TokenRejected("expired", claim="exp")
            if issued is not None and expires <= issued:
                raise TokenRejected("invalid_claim", "exp is not after iat", claim="exp")
            if max_lifetime is not None and not expires - issued <= max_lifetime:
                raise TokenRejected("lifetime_too_long", f"over {max_lifetime:g} s", claim="exp")
            if starts is not None and starts >= expires:
                raise TokenRejected("invalid_claim", "nbf is not before exp", claim="nbf")
        if issued is not None and not issued <= latest:
            raise TokenRejected("not_yet_valid", claim="iat")
        if starts is not None and not starts <= latest:
            raise TokenRejected("not_yet_valid", claim="nbf")
        given = claims.get("aud")
        if given is None:
            if audience is not None:
                raise TokenRejected("missing_claim", "aud", claim="aud")
        elif audience is None:
            raise TokenRejected("wrong_audience", "no audience is expected", claim="aud")
        elif audience.isdisjoint([given] if type(given) is str else given):
            raise TokenRejected("wrong_audience", claim="aud")
        return until

    return screen


def _require_typ(header: Any, typ: str) -> None:
    given = header.get("typ")
    if given is None:
        raise TokenRejected("missing_claim", "the header has no typ", claim="typ")
    if given.lower().removeprefix("application/") != typ.lower().removeprefix("application/"):
        raise TokenRejected("invalid_claim", "typ is another", claim="typ")


async def _settle(outcome: object) -> None:
    """A check says no by raising; a value, such as a predicate's False, must not pass."""
    value = await outcome if isinstance(outcome, Awaitable) else outcome
    if value is not None:
        raise TypeError("a check returns None or an awaitable of None, and raises to reject")
