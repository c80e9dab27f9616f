"""The rules of verification one by one, in the order in which `verify` applies them.

None is written here a second time: each is put to the library's own function, with nothing but what
that rule is about, so that it alone can fail. What verifies for real stops at the first failure;
here the rest is still looked at, for whoever has one thing wrong often has two.
"""

import math
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, NamedTuple

from asapfn.errors import TokenRejected
from asapfn.resolvers import only_issuers
from asapfn.resolvers.compose import key_id_of, require_owner
from asapfn.types import Check, Key, Names, Token, Unverified, as_names
from asapfn.verification import screener

Audience = Callable[[dict[str, Any]], frozenset[str] | None]


class Rule(NamedTuple):
    """One rule.

    Attributes:
        name: The rule, in words.
        about: The claims, or parameters of the header, that it looks at.
        wants: What they must be, in words; empty where the name says it.
        test: Raises TokenRejected for a token that breaks it.
        always: Whether it also applies to a token that lacks what it is about.
    """

    name: str
    about: tuple[str, ...]
    wants: str
    test: Callable[[Unverified], Awaitable[object]]
    always: bool = False


async def nobody(unverified: Unverified) -> Key | None:
    """A resolver that knows no key."""
    return None


def claim_rules(
    *,
    required: Collection[str],
    audience: Audience,
    wanted: str,
    leeway: float,
    max_lifetime: float | None,
    now: Callable[[], float],
) -> list[Rule]:
    """The rules about claims, which come before any key is looked for.

    Args:
        required: Claims that must be there, in the order in which they are asked for.
        audience: From the claims to the audiences that are accepted, None for no `aud`.
        wanted: The same in words.
        leeway: Seconds by which clocks may differ.
        max_lifetime: The longest life in seconds, or None.
        now: The clock, seconds since the epoch.

    Returns:
        The rules, in order.
    """
    screen = screener(None, (), leeway, None)

    def in_time(claims: dict[str, Any]) -> None:
        screen(claims, now())

    def in_order(claims: dict[str, Any]) -> None:
        # Compared with each other, times must not fail for the time it is.
        screen(claims, -math.inf)

    def short(claims: dict[str, Any]) -> None:
        screener(None, (), leeway, max_lifetime)(claims, -math.inf)

    def for_us(claims: dict[str, Any]) -> None:
        screener(audience(claims), (), leeway, None)(claims, now())

    within = f"leeway {leeway:g} s" if leeway else "no leeway"
    names = f"wanted: {wanted}"
    rules = [_presence(name) for name in required]
    rules.append(_claim_rule("not expired", ("exp",), within, ("expired",), in_time))
    rules.append(_claim_rule("exp is after iat", ("exp", "iat"), "", ("invalid_claim",), in_order))
    if max_lifetime is not None:
        most = f"at most {max_lifetime:g} s"
        rules.append(_claim_rule("lifetime", ("exp", "iat"), most, ("lifetime_too_long",), short))
    rules += [
        _claim_rule("nbf is before exp", ("nbf", "exp"), "", ("invalid_claim",), in_order),
        _claim_rule("issued by now", ("iat",), within, ("not_yet_valid",), in_time),
        _claim_rule("valid by now", ("nbf",), within, ("not_yet_valid",), in_time),
        _claim_rule("audience", ("aud",), names, ("missing_claim", "wrong_audience"), for_us, True),
    ]
    return rules


def _presence(name: str) -> Rule:
    def there(claims: dict[str, Any]) -> None:
        screener(None, (name,), 0.0, None)(claims, -math.inf)

    return _claim_rule(f"{name} is there", (name,), "", ("missing_claim",), there, True)


def _claim_rule(
    name: str,
    about: tuple[str, ...],
    wants: str,
    reasons: Collection[str],
    screen: Callable[[dict[str, Any]], None],
    always: bool = False,
) -> Rule:
    """The rule that `screen` sees broken, when it says so for one of these reasons.

    It is shown only the claims that the rule is about; others would speak of other rules.
    """

    async def test(unverified: Unverified) -> None:
        try:
            screen({n: value for n, value in unverified.claims.items() if n in about})
        except TokenRejected as error:
            if error.reason in reasons:
                raise

    return Rule(name, about, wants, test, always)


def issuer_rule(issuers: Names) -> Rule:
    """The rule that the issuer is an allowed one.

    Args:
        issuers: Those that are allowed.
    """
    wants = f"wanted: {' or '.join(sorted(as_names(issuers, 'issuers')))}"
    return Rule("issuer is allowed", ("iss",), wants, only_issuers(nobody, issuers))


def kid_is_there() -> Rule:
    """The rule that there is a key id, of whatever form."""

    async def there(unverified: Unverified) -> None:
        # Without a form to keep, its absence is all that can be wrong.
        try:
            key_id_of(unverified)
        except TokenRejected as error:
            if error.reason == "missing_claim":
                raise

    return Rule("key id", ("kid",), "", there, always=True)


def kid_rules() -> list[Rule]:
    """The rules that there is a key id, well formed, and that it is the issuer's."""

    async def well_formed(unverified: Unverified) -> None:
        key_id_of(unverified)

    async def owned(unverified: Unverified) -> None:
        try:
            require_owner(unverified)
        except TokenRejected as error:
            if error.reason == "key_not_owned":
                raise

    return [
        Rule("key id", ("kid",), "parts of A-Z a-z 0-9 _ . - + between /", well_formed, True),
        Rule(
            "key is the issuer's",
            ("kid", "iss"),
            "kid begins with iss and a slash",
            owned,
        ),
    ]


def check_rule(
    name: str, about: Iterable[str], wants: str, check: Check, now: Callable[[], float]
) -> Rule:
    """The rule that a check of the library makes.

    Args:
        name: The rule, in words.
        about: The claims it looks at.
        wants: What they must be, in words.
        check: The check. It is shown the token as though its signature held.
        now: The clock, seconds since the epoch.
    """

    async def test(unverified: Unverified) -> None:
        moment = now()
        until = unverified.claims.get("exp", math.inf)
        outcome = check(Token(unverified.header, unverified.claims, moment, until))
        if outcome is not None:
            await outcome

    return Rule(name, tuple(about), wants, test, always=True)
