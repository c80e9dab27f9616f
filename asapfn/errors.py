"""The two exceptions of this library, and what an HTTP client gets to see of them.

`TokenRejected` means that the token is not accepted; `Unavailable` that this could not be found
out. Each has a stable code to act on, and a detail for the log: what was expected and what was
seen. What is sent to a client is made from fixed texts alone, so nothing of a token, a key or an
expected value is disclosed.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

Reason = Literal[
    "malformed",
    "unsupported_algorithm",
    "missing_claim",
    "invalid_claim",
    "expired",
    "not_yet_valid",
    "lifetime_too_long",
    "wrong_audience",
    "unknown_key",
    "key_not_owned",
    "unsuitable_key",
    "bad_signature",
    "subject_mismatch",
    "replayed",
    "request_mismatch",
    "missing_token",
    "ambiguous_token",
    "issuer_not_allowed",
    "insufficient_scope",
]

_LONGEST: Final = 200
# Begins a detail that names what each of several failures was caused by.
EVERY_MIRROR: Final = "every mirror is unavailable: "

DESCRIPTIONS: Final[Mapping[Reason, str]] = {
    "malformed": "The token is not well formed",
    "unsupported_algorithm": "The token's algorithm is not accepted",
    "missing_claim": "The token lacks a claim",
    "invalid_claim": "A claim of the token is not valid",
    "expired": "The token has expired",
    "not_yet_valid": "The token is not valid yet",
    "lifetime_too_long": "The token is valid for too long",
    "wrong_audience": "The token is for another audience",
    "unknown_key": "The token's key is not known",
    "key_not_owned": "The token's key is not its issuer's",
    "unsuitable_key": "The token's key does not fit its algorithm",
    "bad_signature": "The token's signature does not match",
    "subject_mismatch": "The token's subject is not its issuer",
    "replayed": "The token was used before",
    "request_mismatch": "The token is for another request",
    "missing_token": "There is no token",
    "ambiguous_token": "There is more than one token",
    "issuer_not_allowed": "The token's issuer is not allowed",
    "insufficient_scope": "The token lacks a scope",
}

_FORBIDDEN: Final[frozenset[Reason]] = frozenset(["issuer_not_allowed", "insufficient_scope"])


class TokenRejected(Exception):
    """The token is not accepted.

    Args:
        reason: The stable code, one of `Reason`.
        detail: What was expected and what was seen, for the log; never a token, a secret or a key.
        claim: The claim or header parameter that was at fault, where there is one.

    Attributes:
        reason: As given.
        detail: As given.
        claim: As given.
        status: The HTTP status to answer: 403 for `issuer_not_allowed` and `insufficient_scope`,
            else 401.

    Raises:
        ValueError: If `reason` is none of the known ones.
    """

    def __init__(self, reason: Reason, detail: str = "", *, claim: str | None = None) -> None:
        if reason not in DESCRIPTIONS:
            raise ValueError(f"unknown reason {reason!r}: use one of {', '.join(DESCRIPTIONS)}")
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail
        self.claim = claim
        self.status = 403 if reason in _FORBIDDEN else 401

    def __str__(self) -> str:
        return ": ".join(filter(None, self.args))


class Unavailable(Exception):
    """It could not be found out whether the token is valid; trying again later may help.

    The cause, where there is one, is chained as `__cause__`.

    Args:
        source: What did not answer: a URL, or a name such as "replay store".
        detail: What happened, for the log.
        retry_after: Seconds after which the source wants to be asked again, if it said so.
        answered: Whether the source answered, with nothing that can be used. Then this is no outage
            for other keys.

    Attributes:
        source: As given.
        detail: As given.
        retry_after: As given.
        answered: As given.
        status: The HTTP status to answer: 503.
    """

    def __init__(
        self,
        source: str,
        detail: str = "",
        *,
        retry_after: float | None = None,
        answered: bool = False,
    ) -> None:
        super().__init__(source, detail)
        self.source = source
        self.detail = detail
        self.retry_after = retry_after
        self.answered = answered
        self.status = 503

    def __str__(self) -> str:
        return ": ".join(filter(None, self.args))


def cause(error: BaseException) -> str:
    """What an error was caused by, in the words of the deepest one in its chain that adds any.

    Args:
        error: The error. Its causes, its contexts unless it hides them behind words of its own,
            and the first of each group are followed.

    Returns:
        The message, without the source of an `Unavailable`, or the error's type where no message
        is in the chain; escaped to printable ASCII, and cut to 200 characters.
    """
    words, seen, link = "", list[BaseException](), error
    while link not in seen and EVERY_MIRROR not in words:
        seen.append(link)
        own = link.detail if isinstance(link, Unavailable) else str(link)
        # A message that ends with this one, and says more, is kept.
        if own and f": {own}" not in words:
            words = own
        # An error without words, as httpcore has them, is explained by its context only.
        context = None if own and link.__suppress_context__ else link.__context__
        within = link.exceptions[0] if isinstance(link, BaseExceptionGroup) else None
        link = within or link.__cause__ or context or link
    return escaped(words or type(error).__name__)


def escaped(text: str, longest: int = _LONGEST) -> str:
    """Text from outside in one line of printable ASCII, cut to so many characters."""
    printable = re.sub(r"[^ -~]", lambda match: ascii(match[0])[1:-1], text[:longest])
    return printable[:longest]


def challenge(error: TokenRejected, scheme: str = "Bearer") -> str:
    """The value of the `WWW-Authenticate` header that goes with a rejection.

    Args:
        error: Why the token was rejected.
        scheme: The authentication scheme that is expected.

    Returns:
        The scheme, with an error code and a fixed text unless the token was missing (RFC 6750,
        sections 3 and 3.1). No value from a token is in it.
    """
    if error.reason == "missing_token":
        return scheme
    code = "insufficient_scope" if error.status == 403 else "invalid_token"
    if error.reason == "ambiguous_token":
        code = "invalid_request"
    return f'{scheme} error="{code}", error_description="{DESCRIPTIONS[error.reason]}"'


def shown(value: Any) -> str:
    """A value for a detail, as JSON: in one line of ASCII, cut to 200 characters."""
    return listed([value], "")


def one_of(names: Iterable[str]) -> str:
    """Names for a detail, any of which would do: in one line of ASCII, cut to 200 characters."""
    return listed(sorted(names), "or")


def listed(values: Iterable[Any], word: str) -> str:
    """Values for a detail, a word between them: in one line of ASCII, cut to 200 characters."""
    text = f" {word} ".join(map(_as_json, values))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str).replace("\x7f", "\\u007f")
