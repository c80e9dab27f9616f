"""Explain a verdict: every rule for a token, what it saw and wanted, and what to do about it.

The rules are those of `verification`, called in the same order; here the first that is broken is
noted, and the others are looked at too. The key is looked up once and the signature verified once.
What to do about a rejection is in `asapfn.hints`.
"""

import re
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from asapfn._core import compact, verification
from asapfn._core.algorithms import ALGORITHMS, verify_signature
from asapfn._core.verification import Rule
from asapfn.errors import Reason, TokenRejected, Unavailable, one_of, shown
from asapfn.hints import hint
from asapfn.types import Check, Guard, Key, Policy, Token, Unverified

__all__ = ["Explanation", "Step", "explain"]

Outcome = Literal["pass", "fail", "skip"]
Error = TokenRejected | Unavailable

_FORM: Final = "three segments of base64url, the first two JSON objects"
_TYPES: Final = "names are strings, times are numbers"
_KEY: Final = ("key is found", "key fits", "signature")
_IN_TIME: Final = "not expired meanwhile"


class Step(NamedTuple):
    """A rule and what came of it.

    Attributes:
        rule: The rule's name.
        outcome: `pass`; `fail`; or `skip`: it does not apply, or could not be looked at.
        saw: The values it looked at, as far as they are known.
        wants: What they must be, in words; empty where the name says it.
        error: Why it failed.
    """

    rule: str
    outcome: Outcome
    saw: dict[str, Any]
    wants: str
    error: Error | None = None


class Explanation(NamedTuple):
    """What a verifier says of a token, and why.

    Attributes:
        verdict: The verified token; or what the verifier raises, the error of the first step that
            failed.
        steps: Every rule, in the order in which it is applied.
        hint: What to do about a rejection or an outage, in words; else empty.
    """

    verdict: Token | TokenRejected | Unavailable
    steps: tuple[Step, ...]
    hint: str


async def explain(token: str | bytes, policy: Policy, *checks: Check) -> Explanation:
    """Explain what a verifier says of a token: go through every rule, past the first that fails.

    The key is not looked up for a token that a guard rejects. Checks are called for every token
    that can be read, but awaited only if everything before them has passed. So the effects are
    those of a verification: a token that is accepted once is used up.

    Args:
        token: The token.
        policy: What is demanded of it: `policy(...)`, or a profile's.
        *checks: Checks for this token alone, as for the verifier.

    Returns:
        The explanation.

    Raises:
        TypeError: On wrong use, as `verify`.
        ValueError: If the policy cannot be applied.
    """
    policy = verification.validated(policy)
    checks = (*policy.checks, *checks)
    steps, unverified = _parsing_steps(token, policy)
    if unverified is None:
        claims = [rule.name for rule, _, _ in _claim_rules(policy)]
        guards = map(_name, policy.guards)
        steps += _skipped([*claims, *guards, *_KEY, _IN_TIME, *map(_name, checks)])
        return _rejected(steps, token)
    # As it was sent: a guard or the resolver may change what it is given.
    sent = unverified._replace(header=dict(unverified.header), claims=dict(unverified.claims))
    verified_at = policy.now()
    claim_steps, usable_until = _claim_steps(unverified, policy, verified_at)
    steps += claim_steps
    before_guards = len(steps)
    for guard in policy.guards:
        steps.append(await _step_of(guard, unverified, _passed(steps)))
    key_steps, key = _skipped(_KEY), None
    if _passed(steps[before_guards:]):
        alg = sent.header["alg"]
        key_steps, key = await _key_steps(unverified, alg, policy, _passed(steps))
    steps += key_steps
    late, passed = None, _passed(steps)
    if passed:
        verified_at = policy.now()
        if not verified_at < usable_until:
            late = verification.expired_meanwhile(usable_until, verified_at)
    steps.append(_step(_IN_TIME, {}, "", late, known=passed))
    verified = Token(unverified.header, unverified.claims, verified_at, usable_until)
    for check in checks:
        steps.append(await _step_of(check, verified, _passed(steps)))
    if _passed(steps):
        return Explanation(verified, tuple(steps), "")
    return _rejected(steps, token, sent, key)


def _step(
    rule: str,
    saw: dict[str, Any],
    wants: str = "",
    error: Error | None = None,
    *,
    known: bool = True,
) -> Step:
    return Step(rule, "fail" if error else "pass" if known else "skip", saw, wants, error)


def _skipped(rules: Iterable[str]) -> list[Step]:
    return [Step(rule, "skip", {}, "") for rule in rules]


def _passed(steps: Iterable[Step]) -> bool:
    return all(step.error is None for step in steps)


def _rejected(
    steps: list[Step],
    token: str | bytes,
    unverified: Unverified | None = None,
    key: Key | None = None,
) -> Explanation:
    failed = [(step.error, step.wants) for step in steps if step.error is not None]
    error, wants = failed[0]
    return Explanation(error, tuple(steps), hint(error, token, wants, unverified, key))


def _parsing_steps(token: str | bytes, policy: Policy) -> tuple[list[Step], Unverified | None]:
    """The rules of parsing; and the token if it can be read, whether its algorithm is accepted."""
    errors: dict[Reason, TokenRejected] = {}
    unverified = None
    for algorithms in (policy.algorithms, ALGORITHMS):
        try:
            unverified = verification.parse_token(token, algorithms)
        except TokenRejected as error:
            errors.setdefault(error.reason, error)
    saw = _algorithm(token)
    accepted, read = saw.get("alg") in policy.algorithms, unverified is not None
    formed = read or "invalid_claim" in errors
    wants, unsupported = one_of(policy.algorithms), errors.get("unsupported_algorithm")
    return [
        _step("algorithm", saw, wants, unsupported, known=accepted),
        _step("well formed", {}, _FORM, errors.get("malformed"), known=formed),
        _step("claim types", {}, _TYPES, errors.get("invalid_claim"), known=read),
    ], unverified


def _algorithm(token: str | bytes) -> dict[str, str]:
    """The alg of a token whose other parts may be broken; nothing if too long, or without one."""
    data = token.encode("ascii", "replace") if isinstance(token, str) else token
    if len(data) > compact.MAX_BYTES:
        return {}
    try:
        header = compact.decode_object(compact.decode_base64url(data.partition(b".")[0]))
    except ValueError:
        return {}
    return {"alg": header["alg"]} if isinstance(header.get("alg"), str) else {}


def _claim_rules(policy: Policy) -> list[tuple[Rule, tuple[str, ...], str]]:
    """The rules of `check_claims` in its order, what each looks at, and what it wants."""
    within = f"leeway {policy.leeway:g} s"
    lifetime = None if policy.max_lifetime is None else f"at most {policy.max_lifetime:g} s"
    audience = "any" if policy.audience is None else one_of(policy.audience) or "absent"
    # Rules that want None are not in this policy.
    rules: list[tuple[Rule, tuple[str, ...], str | None]] = [
        *[(verification.presence(name), (name,), "") for name in policy.required],
        (verification.NOT_EXPIRED, ("exp",), within),
        (verification.EXP_AFTER_IAT, ("exp", "iat"), ""),
        (verification.LIFETIME, ("exp", "iat"), lifetime),
        (verification.NBF_BEFORE_EXP, ("nbf", "exp"), ""),
        (verification.ISSUED, ("iat",), within),
        (verification.STARTED, ("nbf",), within),
        (verification.presence("aud"), ("aud",), "" if policy.audience_required else None),
        (verification.AUDIENCE, ("aud",), audience),
        (verification.TYP_PRESENT, ("typ",), None if policy.typ is None else ""),
        (verification.TYP, ("typ",), None if policy.typ is None else shown(policy.typ)),
    ]
    return [(rule, about, wants) for rule, about, wants in rules if wants is not None]


def _claim_steps(unverified: Unverified, policy: Policy, now: float) -> tuple[list[Step], float]:
    """The rules about claims, and the time until when the token may be used."""
    errors: dict[Rule, TokenRejected] = {}

    def note(rule: Rule, detail: str) -> None:
        errors[rule] = TokenRejected(rule.reason, detail, claim=rule.claim)

    header, claims, _, _ = unverified
    until = verification.check_claims(header, claims, now, policy, note)
    steps = []
    for rule, about, wants in _claim_rules(policy):
        saw = _values(unverified, about)
        absent = [name for name in about if name not in saw]
        if absent and rule not in errors:
            wants = f"no {' and no '.join(absent)}"
        steps.append(_step(rule.name, saw, wants, errors.get(rule), known=not absent))
    return steps, until


async def _key_steps(
    unverified: Unverified, algorithm: str, policy: Policy, passed: bool
) -> tuple[list[Step], Key | None]:
    """The rules about the key and the signature, and the key if there is one."""
    _, _, signing_input, signature = unverified
    found, fits, signed = _KEY
    saw = _values(unverified, ["kid"])
    key: Any = None
    holds, unsuitable = False, None
    try:
        key = await policy.resolver(unverified)
        if type(key) not in verification.KEY_TYPES:
            raise verification.no_key(key, unverified)
        try:
            holds = verify_signature(algorithm, key, signing_input, signature)
        except TokenRejected as error:
            unsuitable = error
    except (TokenRejected, Unavailable) as error:
        return [_step(found, saw, "", error), *_skipped([fits, signed])], None
    except Exception:
        if passed:
            raise
        # The resolver relies on what an earlier rule demands, or its key is no sound one.
        return _skipped(_KEY), None
    steps, form = [_step(found, saw)], {"alg": algorithm, "kty": key.key_type}
    if unsuitable:
        return [*steps, _step(fits, form, "", unsuitable), *_skipped([signed])], key
    forged = None if holds else verification.bad_signature(algorithm, key, unverified)
    return [*steps, _step(fits, form), _step(signed, {}, "made with this key", forged)], key


async def _step_of(test: Guard | Check, given: Any, passed: bool) -> Step:
    """Call a guard or a check, which may rely on what the rules before it demand.

    So unless these have passed, it is not awaited, and its errors of other types are ignored.
    """
    error: Error | None = None
    known = True
    try:
        outcome: object = test(given)
        if outcome is not None and type(given) is Unverified:
            raise TypeError(verification.GUARD_RETURNED)
        if passed:
            await verification.finish(outcome)
        else:
            known = outcome is None
            if isinstance(outcome, Coroutine):
                outcome.close()
    except (TokenRejected, Unavailable) as raised:
        error = raised
    except Exception:
        if passed:
            raise
        known = False
    wants = _wants(test)
    about = {*re.findall(r"\w+", wants), getattr(error, "claim", None)}
    return _step(_name(test), _values(given, about), wants, error, known=known)


def _name(test: Guard | Check) -> str:
    """A guard's or check's own name, or that of the function that made it, in words."""
    test = _unwrapped(test)
    path = getattr(test, "__qualname__", type(test).__qualname__).split(".")
    names = [part for part in path if part not in ("<locals>", "<lambda>", "check", "guard")]
    return (names or path)[-1].strip("_").replace("_", " ")


def _wants(test: Guard | Check) -> str:
    return (_unwrapped(test).__doc__ or "").strip().partition("\n")[0].removesuffix(".")


def _unwrapped(test: Guard | Check) -> Guard | Check:
    """The function that a partial calls, which has a name and a docstring of its own."""
    return test.func if isinstance(test, partial) else test


def _values(token: Unverified | Token, names: Iterable[str | None]) -> dict[str, Any]:
    """Values of a token, by the names of claims and of what is read of its header."""
    header = {name: token.header[name] for name in ("alg", "kid", "typ") if name in token.header}
    members = {**token.claims, **header}
    return {name: members[name] for name in sorted(filter(None, names)) if name in members}
