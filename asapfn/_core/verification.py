"""Verification: a token and a policy in, a verified token out, or the reason why not.

What costs nothing comes first, so a token that cannot be accepted never costs a fetch; what may
have an effect comes last, so it sees only tokens whose signature holds:

    parsing     well formed, an accepted algorithm, registered claims of the right types
    claims      required claims, times, lifetime, audience, typ
    guards      the policy's, such as an issuer allow-list and key ownership
    key         the resolver, the key's fitness, the signature; expiry again, if that took long
    checks      the policy's, then those for this token alone

`_verify` applies them, and the functions below it come in the same order; policies are made at the
end. Each rule is written once: `_verify` stops at the first that is broken; `explaining` calls the
same functions, and gives `check_claims` a `refuse` that makes a note and returns.
"""

import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from numbers import Real
from types import NoneType
from typing import Any, Final, NamedTuple, cast, get_args

from asapfn._core import compact
from asapfn._core.algorithms import ALGORITHMS, ASYMMETRIC, other_form, verify_signature
from asapfn._core.remembered_tokens import NOTHING, Memory, keep, keep_parts, reread, text_of
from asapfn.errors import Reason, TokenRejected, one_of, shown
from asapfn.types import (
    Check,
    Clock,
    Guard,
    Key,
    Names,
    Policy,
    Resolver,
    Token,
    Unverified,
    Verify,
    as_names,
    require_bool,
    require_function,
)

_RESOLVER: Final = "a resolver is a function that finds keys, such as keys_by_id([key])"
GUARD_RETURNED: Final = "a guard returns None, and raises to reject"
# What `verify` remembers of tokens and their headers.
_REMEMBERS_NOTHING: Final = Memory(0, None)
# Makes a NamedTuple faster than its own __new__, which is written in Python.
_new_tuple: Final = tuple.__new__


def verifier(policy: Policy, *, remember: int = 1024) -> Verify:
    """Make a function that verifies tokens by a policy, once for many tokens.

    The signature of a token that comes again is not verified again if the resolver returns the same
    key object. All other rules are applied each time.

    Args:
        policy: What is demanded of a token: `policy(...)`, or a profile's.
        remember: The most tokens that are remembered, of at most 4,096 characters each; the oldest
            is dropped for a new one. 0 remembers none.

    Returns:
        An async function of a token, and of checks for this token alone, that gives the verified
        token. It raises what `verify` does. It is safe to share between threads and event loops.

    Raises:
        TypeError: If the audience is neither a set nor None, or as for `policy`.
        ValueError: If an algorithm is not known, the leeway is negative or not finite, or
            `remember` is negative or no int.
    """
    # A plain tuple is unpacked faster than a NamedTuple.
    return partial(_verify, tuple(validated(policy)), Memory(remember))


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
    now: Clock = time.time,
) -> Token:
    """Verify one token. For many by the same policy, `verifier(policy(...))` is faster.

    The options are prepared once for the same values; nothing of a token is remembered.

    Args:
        token: The token, a JWS in compact serialization.
        resolver: Finds the key; called only for a token that nothing else speaks against.
        *checks: What the verified token must also satisfy, in this order (`asapfn.checks`).
        audience: The token must be for one of these names. None accepts only tokens that name no
            audience.
        algorithms: The algorithms that are accepted; secrets' (`HS256`) only when named.
        required: Claims that the token must have.
        leeway: Seconds by which clocks may differ.
        max_lifetime: The longest `exp - iat` that is accepted, in seconds; it requires both claims.
        typ: The `typ` the header must have (RFC 8725, section 3.11), compared without regard to
            case; one without a slash is meant as `application/...` (RFC 7515, section 4.1.9).
        now: The clock, seconds since the epoch.

    Returns:
        The verified token.

    Raises:
        TokenRejected: With its reason. Status 401, but 403 for `issuer_not_allowed`.
        Unavailable: If the resolver or a check could not find out.
        TypeError: On wrong use: a token that is no str or bytes, a bare str for `algorithms` or
            `required`, a resolver that returns no key, a check that returns a value.
        ValueError: If there is nothing in `audience`, an algorithm is not known, or the leeway is
            negative or not finite.
    """
    require_function(resolver, _RESOLVER)
    options = _options(
        _fixed(audience), _fixed(algorithms), _fixed(required), leeway, max_lifetime, typ
    )
    return await _verify((resolver, *options, checks, now), _REMEMBERS_NOTHING, token)


async def _verify(
    rules: tuple[Any, ...], memory: Memory, token: str | bytes, /, *more: Check
) -> Token:
    """Verify a token by the members of a policy that is validated."""
    resolver, _, _, algorithms, _, _, _, _, guards, checks, now = rules
    text = token if type(token) is str else text_of(token)
    verified_with, _, parts = known = memory.tokens.get(text, NOTHING)
    # Parsing.
    if parts is None:
        header, payload, signing_input, signature = compact.parse(token, algorithms, memory.headers)
        claims = decode_claims(payload)
        if known is not NOTHING:
            # A copy, since guards and others may change the claims.
            keep_parts(memory, text, claims.copy(), payload, signing_input, signature)
    else:
        header, kept, payload, signing_input, signature = parts
        header, claims = header.copy(), reread(payload) if kept is None else kept.copy()
    unverified = _new_tuple(Unverified, (header, claims, signing_input, signature))
    algorithm = header["alg"]
    # Claims, and guards.
    usable_until = check_claims(header, claims, now(), rules, _raise)
    for guard in guards:
        if guard(unverified) is not None:
            raise TypeError(GUARD_RETURNED)
    # The key and the signature.
    key = await resolver(unverified)
    new = key is not verified_with
    if new:
        if type(key) not in KEY_TYPES:
            raise no_key(key, unverified)
        if not verify_signature(algorithm, key, signing_input, signature):
            raise bad_signature(algorithm, key, unverified)
    if MARK not in key.__dict__:
        key.__dict__[MARK] = True
    verified_at = now()  # the key may have taken long, and a store forgets what has expired
    if not verified_at < usable_until:
        raise expired_meanwhile(usable_until, verified_at)
    if new and memory.size:
        keep(memory, text, key, usable_until, verified_at)
    # Checks.
    verified = _new_tuple(Token, (header, claims, verified_at, usable_until))
    for check in (*checks, *more) if more else checks:
        outcome = check(verified)
        if outcome is not None:
            await finish(outcome)
    return verified


# Parsing

_STRINGS: Final = frozenset(["iss", "sub", "jti"])
_TIMES: Final = frozenset(["exp", "iat", "nbf"])
_MAX_TIME: Final = 2**63


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
    return parse_token(token, ALGORITHMS)


def parse_token(token: str | bytes, algorithms: Collection[str]) -> Unverified:
    """Parse a token as `compact.parse` does, and its claims, the registered ones by their types."""
    header, payload, signing_input, signature = compact.parse(token, algorithms)
    return Unverified(header, decode_claims(payload), signing_input, signature)


def decode_claims(payload: bytes) -> dict[str, Any]:
    """Read the claims; TokenRejected if they are malformed, or a registered one's type is wrong."""
    try:
        claims = compact.decode_object(payload)
    except ValueError as error:
        raise TokenRejected("malformed", f"claims: {error}") from None
    for name, value in claims.items():
        if name in _STRINGS:
            if type(value) is not str:
                raise _wrong_type(name, "a string", value)
        elif name in _TIMES:
            # Not bool, which is an int to Python; not beyond what a float can be compared with.
            if type(value) not in (int, float) or not -_MAX_TIME < value < _MAX_TIME:
                raise _wrong_type(name, "a time", value)
        elif name == "aud" and type(value) is not str and not _are_strings(value):
            raise _wrong_type(name, "a string or strings", value)
    return claims


def _are_strings(value: object) -> bool:
    return type(value) is list and all(type(each) is str for each in value)


def _wrong_type(name: str, expected: str, value: object) -> TokenRejected:
    detail = f"{name} is not {expected}: {shown(value)}"
    return TokenRejected("invalid_claim", detail, claim=name)


# Claims


class Rule(NamedTuple):
    """A rule about claims; a token that breaks it is rejected with this reason and claim."""

    name: str
    reason: Reason
    claim: str


# Called for a broken rule, with the detail: it raises, or makes a note of the rule and returns.
Refuse = Callable[[Rule, str], None]

NOT_EXPIRED: Final = Rule("not expired", "expired", "exp")
EXP_AFTER_IAT: Final = Rule("exp is after iat", "invalid_claim", "exp")
LIFETIME: Final = Rule("lifetime", "lifetime_too_long", "exp")
NBF_BEFORE_EXP: Final = Rule("nbf is before exp", "invalid_claim", "nbf")
ISSUED: Final = Rule("issued by now", "not_yet_valid", "iat")
STARTED: Final = Rule("valid by now", "not_yet_valid", "nbf")
AUDIENCE: Final = Rule("audience", "wrong_audience", "aud")
TYP_PRESENT: Final = Rule("typ is in the header", "missing_claim", "typ")
TYP: Final = Rule("typ", "invalid_claim", "typ")


def presence(name: str) -> Rule:
    """The rule that a claim is there."""
    return Rule(f"{name} is there", "missing_claim", name)


def check_claims(
    header: Mapping[str, Any],
    claims: Mapping[str, Any],
    now: float,
    policy: tuple[Any, ...],
    refuse: Refuse,
) -> float:
    """Apply the rules about claims; returns the time until when the token may be used.

    The policy is a `Policy`, or the tuple of its members. Times are compared by what must hold,
    which nothing does with NaN for a clock.
    """
    _, audience, audience_required, _, required, leeway, max_lifetime, typ, _, _, _ = policy
    for name in required:
        if name not in claims:
            refuse(presence(name), f"the token has no {name}")
    expires, issued, starts = claims.get("exp"), claims.get("iat"), claims.get("nbf")
    until, latest = math.inf, now + leeway
    if expires is not None:
        until = expires + leeway
        if not now < until:
            refuse(NOT_EXPIRED, _time("exp", expires, now, leeway))
        if issued is not None and expires <= issued:
            refuse(EXP_AFTER_IAT, f"exp {expires} is not after iat {issued}")
        if max_lifetime is not None and issued is not None and not expires - issued <= max_lifetime:
            detail = f"expected at most {max_lifetime:g} s, got {expires - issued:g} s"
            refuse(LIFETIME, detail)
        if starts is not None and starts >= expires:
            refuse(NBF_BEFORE_EXP, f"nbf {starts} is not before exp {expires}")
    if issued is not None and not issued <= latest:
        refuse(ISSUED, _time("iat", issued, now, leeway))
    if starts is not None and not starts <= latest:
        refuse(STARTED, _time("nbf", starts, now, leeway))
    given = claims.get("aud")
    if given is None:
        if audience_required:
            refuse(presence("aud"), "the token has no aud")
    elif audience is None:
        if not any(given):  # neither "", nor a list of nothing else
            refuse(AUDIENCE, f"expected an audience, got {shown(given)}")
    elif given not in audience if type(given) is str else audience.isdisjoint(given):
        refuse(AUDIENCE, f"expected {one_of(audience) or 'no aud'}, got {shown(given)}")
    if typ is not None:
        given_typ = header.get("typ")
        if given_typ is None:
            refuse(TYP_PRESENT, "the header has no typ")
        elif _media_type(given_typ) != _media_type(typ):
            refuse(TYP, f"expected {shown(typ)}, got {shown(given_typ)}")
    return until


def _media_type(typ: str) -> str:
    """The media type that a typ is short for (RFC 7515, section 4.1.9), ASCII in lower case."""
    # Not by an f-string, which has the name of a member of an Enum, not its text.
    whole = typ if "/" in typ else "application/" + typ
    return whole.lower() if whole.isascii() else whole


def _raise(rule: Rule, detail: str) -> None:
    raise TokenRejected(rule.reason, detail, claim=rule.claim)


def _time(name: str, value: float, now: float, leeway: float) -> str:
    return f"{name} is {value}, now {now:.0f}, leeway {leeway:g} s"


# The key and the signature

KEY_TYPES: Final = get_args(Key)
MARK: Final = "_asapfn_verified"  # set on each key that a signature has held with
_BY_FORM: Final = {
    "": ("not made with", ""),
    "DER": ("made with", ", but in DER, not as r and s side by side (RFC 7518, section 3.4)"),
    "salt": ("made with", ", but its salt is not as long as the hash (RFC 7518, section 3.5)"),
}


def no_key(key: object, unverified: Unverified) -> TokenRejected | TypeError:
    """The error for what a resolver returned that is not a key, such as None for an unknown one."""
    if key is not None:
        return TypeError(f"the resolver returned {type(key).__name__}, not a key or None")
    return TokenRejected("unknown_key", f"no key for {_kid_and_iss(unverified)}")


def bad_signature(algorithm: str, key: Key, unverified: Unverified) -> TokenRejected:
    """The error for a signature that does not hold by the key that was found."""
    form = other_form(algorithm, key, unverified.signing_input, unverified.signature)
    made, but = _BY_FORM[form]
    detail = f"{made} the {algorithm} key of {_kid_and_iss(unverified)}{but}"
    return TokenRejected("bad_signature", detail)


def _kid_and_iss(unverified: Unverified) -> str:
    """The token's kid and iss, by which keys are looked up, for a detail."""
    kid, issuer = unverified.header.get("kid"), shown(unverified.claims.get("iss"))
    return f"iss {issuer}; there is no kid" if kid is None else f"kid {shown(kid)} of iss {issuer}"


def has_verified(key: Key) -> bool:
    """Whether a token's signature has held with this key object.

    Anyone can send a token that names a key; only the key's owner can make it verify. So caches
    prefer to keep the keys that have. The mark says nothing about any other token.
    """
    return MARK in vars(key)


def expired_meanwhile(usable_until: float, now: float) -> TokenRejected:
    """The error for a token that expired while its key was looked up."""
    detail = f"usable until {usable_until:.3f}, and the key was found at {now:.3f}"
    return TokenRejected("expired", detail, claim="exp")


# Checks


async def finish(outcome: object) -> None:
    """Await what a check returned. A value, such as a predicate's False, must not pass."""
    value = await outcome if isinstance(outcome, Awaitable) else outcome
    if value is not None:
        raise TypeError("a check returns None or an awaitable of None, and raises to reject")


# Policies


def policy(
    resolver: Resolver,
    *checks: Check,
    audience: Names | None = None,
    audience_required: bool = True,
    algorithms: Collection[str] = ASYMMETRIC,
    required: Collection[str] = ("exp",),
    leeway: float = 0.0,
    max_lifetime: float | None = None,
    typ: str | None = None,
    guards: Collection[Guard] = (),
    now: Clock = time.time,
) -> Policy:
    """Make a policy: everything that is demanded of a token, for `verifier` and `explain`.

    Args:
        resolver: As for `verify`, like all arguments that are not listed here.
        *checks: See `verify`.
        audience: See `verify`.
        audience_required: Whether the token must have an `aud` when an `audience` is given.
        algorithms: See `verify`.
        required: See `verify`.
        leeway: See `verify`.
        max_lifetime: See `verify`.
        typ: See `verify`.
        guards: Called in this order after the claims, before the key is looked up
            (`asapfn.guards`).
        now: See `verify`.

    Returns:
        The policy. To change it, use `policy._replace(...)`.

    Raises:
        TypeError: If a name is not a str, `algorithms` or `required` a bare str,
            `audience_required` no bool, `leeway` or `max_lifetime` no number, or the clock, a guard
            or a check no function.
        ValueError: As for `verify`.
    """
    for name, names in (("algorithms", algorithms), ("required", required)):
        if isinstance(names, str):
            raise TypeError(f"{name} is a collection of names, not one str")
    require_bool(audience_required, "audience_required")
    return validated(
        Policy(
            resolver,
            frozenset() if audience is None else as_names(audience, "audience"),
            audience_required and audience is not None,
            frozenset(algorithms),
            tuple(required),
            leeway,
            max_lifetime,
            typ,
            tuple(guards),
            checks,
            now,
        )
    )


def validated(policy: Policy) -> Policy:
    """The policy, requiring what its `max_lifetime` needs; an error if it cannot be applied."""
    given: object = policy
    if not isinstance(given, Policy):
        found = type(given).__name__
        raise TypeError(f"a policy is what policy(resolver, ...) makes, not {found}")
    require_function(policy.resolver, _RESOLVER)
    if not isinstance(policy.audience, (frozenset, set, NoneType)):
        raise TypeError("a policy's audience is a frozenset of names, or None for any")
    require_bool(policy.audience_required, "audience_required")
    if not policy.algorithms <= frozenset(ALGORITHMS):
        raise ValueError(f"unknown algorithm: use those of {', '.join(ALGORITHMS)}")
    required: object = policy.required
    if isinstance(required, str):
        raise TypeError("required is a collection of names, not one str")
    leeway, longest = _seconds(policy.leeway, "leeway"), policy.max_lifetime
    if not 0 <= leeway < math.inf:
        raise ValueError("leeway is a finite number of seconds, from 0")
    # An iterator that came in by `_replace` would be used up by the first token, and a set of
    # algorithms that changes later would not be looked at for a header that was read before.
    policy = policy._replace(
        algorithms=frozenset(policy.algorithms),
        required=tuple(policy.required),
        leeway=leeway,
        max_lifetime=None if longest is None else _seconds(longest, "max_lifetime"),
        guards=tuple(policy.guards),
        checks=tuple(policy.checks),
    )
    # What would be a TypeError with the first token, or with the first that is rejected.
    typ = () if policy.typ is None else (policy.typ,)
    if not all(isinstance(n, str) for n in (*(policy.audience or ()), *policy.required, *typ)):
        raise TypeError("the names in a policy are str: its audience, required and typ")
    require_function(policy.now, "a clock is a function that returns seconds")
    for test in (*policy.guards, *policy.checks):
        require_function(test, "a guard or check is a function of a token")
    if longest is None:
        return policy
    missing = [name for name in ("exp", "iat") if name not in policy.required]
    return policy._replace(required=(*policy.required, *missing))


def _seconds(given: object, name: str) -> float:
    """A number of seconds, as one that is compared with times; TypeError for what is no number."""
    if isinstance(given, (int, float)):
        return given
    if isinstance(given, (Real, Decimal)):
        return float(given)
    raise TypeError(f"{name} is a number of seconds, not {type(given).__name__}")


# Prepared once for each set of options, within bounds.
@lru_cache(maxsize=64)
def _options(
    audience: Any, algorithms: Any, required: Any, leeway: Any, max_lifetime: Any, typ: Any
) -> tuple[Any, ...]:
    """The members of a policy after its resolver and before its checks."""
    made = policy(
        cast("Resolver", callable),  # any: `verify` has its own
        audience=audience,
        algorithms=algorithms,
        required=required,
        leeway=leeway,
        max_lifetime=max_lifetime,
        typ=typ,
    )
    return tuple(made)[1:9]


_FIXED: Final = frozenset([str, tuple, frozenset, NoneType])


def _fixed(names: Any) -> Any:
    """A collection as one that can be hashed, for `lru_cache`; anything else as it is."""
    if type(names) in _FIXED or isinstance(names, str) or not isinstance(names, Iterable):
        return names
    return tuple(names)
