"""Going through the rules one by one, past the first that fails.

A rule that cannot be looked at because an earlier one failed is passed over. What a rule saw goes
with its outcome, since the value is what one looks for in the end.
"""

from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

from asapfn import compact
from asapfn.algorithms import ALGORITHMS, verify_signature
from asapfn.cli.cases import Case, token_of
from asapfn.cli.rules import Rule
from asapfn.errors import TokenRejected, Unavailable
from asapfn.types import Key, Token, Unverified
from asapfn.verification import peek, reader

Outcome = Literal["pass", "FAIL", "skip"]
PARSING: Final = ("size", "header", "algorithm", "parameters", "payload", "claim types")
_MISSING: Final = ("missing_token", "ambiguous_token")


class Step(NamedTuple):
    """A rule and what came of it.

    Attributes:
        rule: The rule's name.
        outcome: `pass`; `FAIL`; or `skip`, since it does not apply or could not be looked at.
        saw: The values it looked at.
        wants: What they must be, in words.
        error: Why it failed.
    """

    rule: str
    outcome: Outcome
    saw: dict[str, Any]
    wants: str = ""
    error: TokenRejected | Unavailable | None = None


class Trail(NamedTuple):
    """All steps, and what was found on the way.

    Attributes:
        steps: The steps, in order.
        text: The token's text; empty where there is no one token.
        unverified: The token, if it could be read.
        key: The key, if one was found.
    """

    steps: list[Step]
    text: str
    unverified: Unverified | None
    key: Key | None


async def follow(case: Case, verdict: Token | TokenRejected | Unavailable) -> Trail:
    """Go through the rules of a case.

    Args:
        case: The token and how it is judged.
        verdict: What the profile's own verifier said, for the one rule that is not about a token
            but about a request: whether it has one.

    Returns:
        The steps. Those that go before the first FAIL are what the verdict rests on.
    """
    asks = f"{case.scheme} in Authorization" + " or jwt in the query" * (case.profile == "Connect")
    refused = verdict if isinstance(verdict, TokenRejected) and verdict.reason in _MISSING else None
    text = ""
    try:
        text = text if refused else token_of(case)
    except TokenRejected as error:  # of a target that no token is read from
        refused = error
    if refused is not None:
        rest = _skipped(case, PARSING)
        return Trail([Step("one token", "FAIL", {}, asks, refused), *rest], "", None, None)
    steps = [Step("one token", "pass", {}, asks)]
    parsing, unverified = _parse(text, case)
    steps += parsing
    if unverified is None:
        return Trail([*steps, *_skipped(case, ())], text, None, None)
    steps += [await _outcome(rule, unverified) for rule in case.before]
    found, key = await _key_steps(case, unverified, steps)
    steps += found
    steps += [await _outcome(rule, unverified) for rule in case.after]
    return Trail(steps, text, unverified, key)


def readable_header(text: str) -> dict[str, Any] | None:
    """The header of a token whose other parts may be broken.

    Args:
        text: The token.

    Returns:
        The header, or None if it cannot be read or names no algorithm.
    """
    try:
        header = compact.decode_object(compact.decode_base64url(_head(text)))
    except ValueError:
        return None
    return header if isinstance(header.get("alg"), str) else None


def _head(text: str) -> bytes:
    return text.partition(".")[0].encode("ascii", "replace")


def _parse(text: str, case: Case) -> tuple[list[Step], Unverified | None]:
    header = readable_header(text)
    taken = ", ".join(name for name in ALGORITHMS if name in case.algorithms)
    wants = {
        "size": f"at most {compact.MAX_BYTES} bytes",
        "header": "base64url of a JSON object with an alg",
        "algorithm": taken,
        "parameters": "no crit, no b64; kid and typ are strings",
        "payload": "three segments of strict base64url, the second a JSON object",
        "claim types": "names are strings, times are numbers",
    }
    saw = {} if header is None else {"algorithm": {"alg": header["alg"]}}
    failed, refusal, unverified = "", None, None
    try:
        unverified = reader(case.algorithms)(text)
    except TokenRejected as error:
        failed, refusal = _failed(error, text, header), error
        if failed == "algorithm":
            unverified = _read_anyway(text)
    steps: list[Step] = []
    outcome: Outcome = "pass"
    for rule in PARSING:
        if rule == failed:
            steps.append(Step(rule, "FAIL", saw.get(rule, {}), wants[rule], refusal))
            outcome = "skip" if unverified is None else "pass"
        else:
            steps.append(Step(rule, outcome, saw.get(rule, {}), wants[rule]))
    return steps, unverified


def _failed(error: TokenRejected, text: str, header: dict[str, Any] | None) -> str:
    """Which of the rules of parsing it was."""
    if error.reason == "unsupported_algorithm":
        return "algorithm"
    if error.reason == "invalid_claim":
        return "claim types"
    if len(text) > compact.MAX_BYTES:
        return "size"
    if header is None:
        return "header"
    try:
        compact.read_header(_head(text), [header["alg"]])
    except (TokenRejected, ValueError):
        return "parameters"
    return "payload"


def _read_anyway(text: str) -> Unverified | None:
    try:
        return peek(text)
    except TokenRejected:
        return None


async def _outcome(rule: Rule, unverified: Unverified) -> Step:
    values = {**unverified.header, **unverified.claims}
    saw = {name: values[name] for name in rule.about if name in values}
    if not rule.always and (absent := [name for name in rule.about if name not in saw]):
        return Step(rule.name, "skip", saw, f"no {' and no '.join(absent)}")
    try:
        await rule.test(unverified)
    except TokenRejected as error:
        return Step(rule.name, "FAIL", saw, rule.wants, error)
    return Step(rule.name, "pass", saw, rule.wants)


async def _key_steps(
    case: Case, unverified: Unverified, before: Iterable[Step]
) -> tuple[list[Step], Key | None]:
    """Whether there is a key, whether it fits, and whether it is the one that signed."""
    algorithm, where = unverified.header["alg"], f"in {case.source.name}"
    saw = {"kid": unverified.header["kid"]} if "kid" in unverified.header else {}
    rest = [Step("key fits", "skip", {}), Step("signature", "skip", {})]
    if any(step.rule == "key id" and step.outcome == "FAIL" for step in before):
        return [Step("key is found", "skip", saw, where), *rest], None
    try:
        key = await case.source.resolve(unverified)
        if key is None:
            raise TokenRejected("unknown_key")
    except (TokenRejected, Unavailable) as error:
        return [Step("key is found", "FAIL", saw, where, error), *rest], None
    found = Step("key is found", "pass", saw, where)
    form = {"alg": algorithm, "kty": key.key_type}
    try:
        holds = verify_signature(algorithm, key, unverified.signing_input, unverified.signature)
    except TokenRejected as error:
        return [found, Step("key fits", "FAIL", form, "", error), rest[1]], key
    bad = None if holds else TokenRejected("bad_signature")
    signature = Step("signature", "pass" if holds else "FAIL", {}, "made by this key", bad)
    return [found, Step("key fits", "pass", form), signature], key


def _skipped(case: Case, names: Iterable[str]) -> list[Step]:
    rules = [rule.name for rule in case.before], [rule.name for rule in case.after]
    key = ("key is found", "key fits", "signature")
    return [Step(name, "skip", {}) for name in (*names, *rules[0], *key, *rules[1])]
