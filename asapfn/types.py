"""The types of functions that everything is made of, and the tuples that pass between them.

Everything that can be plugged in is a function of one of the types at the end: a plain `async def`
fits, or a `def` that returns an awaitable. Their parameters are passed by position, so a function
may name its own as it likes. The tuples are data. `Unverified` and `Token` are two types on
purpose: a type checker sees what may be trusted. Tuples that hold a token or a secret print
without it.
"""

import time
from collections.abc import Awaitable, Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

Key = RSAKey | ECKey | OKPKey | OctKey
"""A key as joserfc has it, with its `kid` and `alg`."""

Names = str | Collection[str]
"""One name, or several: a str is one name."""

Kind = Literal["fetched", "refreshed", "stale", "unknown", "rate_limited", "unavailable"]
"""What a key source did."""


class Unverified(NamedTuple):
    """A token that was parsed and not verified: nothing in it may be believed.

    Attributes:
        header: The JOSE header. `alg` is a string; `kid` and `typ` are strings where present.
        claims: The claims, their registered members of the right types where present.
        signing_input: The bytes the signature is over (RFC 7515, section 5.2).
        signature: The signature's bytes.
    """

    header: Mapping[str, Any]
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Unverified(header={dict(self.header)!r}, claims={self.claims!r})"


class Token(NamedTuple):
    """A verified token.

    Attributes:
        header: The JOSE header.
        claims: The claims.
        verified_at: When it was verified, in seconds since the epoch.
        usable_until: When it stops being accepted, in seconds since the epoch: `exp` plus the
            leeway, or infinity for a token without `exp`.
    """

    header: Mapping[str, Any]
    claims: dict[str, Any]
    verified_at: float
    usable_until: float


class Request(NamedTuple):
    """An incoming request, as much of it as authentication needs.

    Attributes:
        method: The HTTP method.
        target: The path and query as they were sent, undecoded; None where the server does not
            say.
        headers: Pairs of name and value, in order, so that a header sent twice is seen twice.
        mismatch: What the application reads that differs from `target`, in words; empty if nothing
            differs, or nothing was compared. If it is not empty, a token that is bound to its
            request is refused.
        server: If `target` is None, the name of the server, and why it gives no target; empty if
            that is not known.
    """

    method: str
    target: str | None
    headers: tuple[tuple[str, str], ...]
    mismatch: str = ""
    server: str = ""

    def __repr__(self) -> str:
        path = None if self.target is None else self.target.partition("?")[0]
        names = tuple(name for name, _ in self.headers)
        return f"Request(method={self.method!r}, path={path!r}, headers={names!r})"


class Document(NamedTuple):
    """What a `Fetch` brought back, whatever the status.

    Attributes:
        status: The HTTP status.
        media_type: The media type in lower case, without parameters; empty when there is none.
        body: The body.
        max_age: Seconds the answer is fresh for, its Age already subtracted; None when not said,
            0 for `no-store`.
        stale_while_revalidate: Seconds it may be used while it is being refreshed (RFC 5861).
        stale_if_error: Seconds it may be used when it cannot be refreshed (RFC 5861).
        must_revalidate: Whether it must not be used once it is no longer fresh, as `no-store` and
            `must-revalidate` say.
        retry_after: Seconds after which to ask again, as the header of that name says; None when
            not said.
    """

    status: int
    media_type: str
    body: bytes
    max_age: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    must_revalidate: bool = False
    retry_after: float | None = None


class Caching(NamedTuple):
    """How long keys are kept, and how much asking is allowed. Times are in seconds.

    Attributes:
        default_age: Freshness of a key whose source says nothing.
        min_age: The least freshness, whatever the source says; also the longest pause after a
            fetch that failed, unless the source asks for a longer one.
        max_age: The most freshness, whatever the source says.
        stale_if_error: How long a key outlives its freshness when its source is down; a source
            may ask for less, never for more.
        unknown_for: How long it is remembered that there is no such key, or none that can be used.
        max_keys: The size of each table: keys that have verified a token, keys that have not yet,
            unknown keys, failures, issuers' budgets. A key that has verified is never pushed out by
            one that has not.
        issuer_misses: How many look-ups of each issuer may find no key: in a second, and at once.
            To refresh a key that is in the cache does not count.
        total_misses: The same for all issuers together.
        longest_wait: How long a look-up over budget waits for its turn.
        spread: The part of its freshness by which a key is refreshed earlier, at most. It is random
            for each key, so that keys fetched together are not refreshed together.
    """

    default_age: float = 600.0
    min_age: float = 5.0
    max_age: float = 86_400.0
    stale_if_error: float = 3600.0
    unknown_for: float = 20.0
    max_keys: int = 1024
    issuer_misses: tuple[float, int] = (20.0, 200)
    total_misses: tuple[float, int] = (200.0, 5_000)
    longest_wait: float = 2.0
    spread: float = 0.05


class Event(NamedTuple):
    """Something a key source did.

    Attributes:
        kind: `fetched`: a key was found; `refreshed`: a known key was found again; `stale`: a
            key past its freshness was served, since its source is down or just being asked;
            `unknown`: there is no such key; `rate_limited`: not asked, too many misses;
            `unavailable`: the source did not answer.
        source: Which source.
        key_id: Which key, or the empty string. It may come from a token not verified.
        seconds: What it took; for `stale`, how long the key is past its freshness.
        detail: What the cause was, for `unavailable`, and for `stale` when the source is down:
            printable ASCII of at most 200 characters.
    """

    kind: Kind
    source: str
    key_id: str
    seconds: float
    detail: str = ""


class Verdict(NamedTuple):
    """What became of a request.

    Attributes:
        outcome: `accepted`, `rejected` or `unavailable`.
        reason: The `Reason` of a rejection, `unavailable` for an outage; empty where accepted.
        detail: What was expected and what was seen, or what caused the outage: printable ASCII of
            at most 600 characters, for the log.
        issuer: The token's issuer where it is accepted, and so verified; else empty. Printable
            ASCII of at most 200 characters. If any key may sign for any issuer, as by
            `jitsi.verifier(issuers=None)`, there is no limit to how many issuers appear here.
        seconds: What it took.
    """

    outcome: Literal["accepted", "rejected", "unavailable"]
    reason: str
    detail: str
    issuer: str
    seconds: float


class Resolver(Protocol):
    """Finds the key that a token must have been signed with."""

    def __call__(self, unverified: Unverified, /) -> Awaitable[Key | None]:
        """Find the key. Nothing in the token may be believed yet.

        Returns:
            The key; None when there is no such key.

        Raises:
            TokenRejected: When the source must not be asked for this token.
            Unavailable: When the source could not be asked, or did not answer.
        """
        ...


class Guard(Protocol):
    """Rejects a token before its key is looked up, by what the token says of itself.

    `explain` shows a guard by its name, and by the first line of its docstring as what it wants.
    """

    def __call__(self, unverified: Unverified, /) -> None:
        """Return None to let the token pass. It must have no effect: anybody can send the token.

        Raises:
            TokenRejected: When the token is not acceptable, whatever its signature.
        """
        ...


class Check(Protocol):
    """What a verified token must also satisfy: the signature holds, the token may be believed.

    `explain` shows a check by its name, and by the first line of its docstring as what it wants.
    """

    def __call__(self, token: Token, /) -> Awaitable[None] | None:
        """Return None, or an awaitable of None, to accept; any other value is a TypeError.

        A check that has an effect, such as remembering the token, must be asynchronous: `explain`
        awaits it only if everything before it has passed.

        Raises:
            TokenRejected: When the token does not satisfy it.
            Unavailable: When that could not be found out.
        """
        ...


class Verify(Protocol):
    """Verifies tokens by one policy, such as `verifier` and the profiles make it."""

    def __call__(self, token: str | bytes, /, *checks: Check) -> Awaitable[Token]:
        """Verify a token; checks for this token alone come after the policy's own.

        Returns:
            The verified token.

        Raises:
            TokenRejected: With its reason.
            Unavailable: When it could not be found out whether the token is valid.
        """
        ...


class Authenticate(Protocol):
    """Finds the token of an incoming request, and verifies it."""

    def __call__(self, request: Request, /) -> Awaitable[Token]:
        """Authenticate a request.

        Returns:
            The verified token.

        Raises:
            TokenRejected: With its reason; `missing_token` when the request has none.
            Unavailable: When it could not be found out whether the token is valid.
        """
        ...


class Unless(Protocol):
    """Names the requests that go through without a token, such as health checks."""

    def __call__(self, method: str, path: str, /) -> bool:
        """Return True to let a request through without a token, and False for all others.

        It is not asked about a request whose method or path may be read in two ways: a method that
        is not in upper case, an encoded slash, several slashes in a row, dot segments, a `%`, `;`,
        `?`, `#` or backslash in the decoded path. Such a request needs a token.

        Args:
            method: The method, in upper case.
            path: The decoded path that the application routes by, below where it is mounted.
        """
        ...


class Sign(Protocol):
    """Signs tokens of one issuer."""

    def __call__(self, audience: Names, /) -> str:
        """Return a token for these audiences.

        Raises:
            ValueError: When there is no audience.
        """
        ...


class Authorize(Protocol):
    """Gives an outgoing request its `Authorization` header."""

    def __call__(self, method: str, url: str, /) -> str:
        """Return the header's value, such as `Bearer <token>`, for a request as it is sent.

        Raises:
            ValueError: When the request cannot be signed, such as for a malformed URL.
        """
        ...


class Fetch(Protocol):
    """Fetches documents over HTTP."""

    def __call__(self, url: str, accept: str, /) -> Awaitable[Document]:
        """Get a URL, with this `Accept` header.

        Returns:
            What was answered, whatever its status.

        Raises:
            Unavailable: When there is no answer, or one that cannot be read.
        """
        ...


class ReplayStore(Protocol):
    """Remembers which tokens were used, so that each is accepted once."""

    def __call__(self, token_id: str, ttl_seconds: float, /) -> Awaitable[bool]:
        """Remember an id, for at least so many seconds.

        Returns:
            True exactly once for an id while it is remembered, else False.

        Raises:
            Unavailable: When it could not be remembered.
        """
        ...


class Observe(Protocol):
    """Receives events, for logs and metrics."""

    def __call__(self, event: Event, /) -> None:
        """Make a note of an event, quickly. It must not raise."""
        ...


class ObserveRequest(Protocol):
    """Receives what became of each request, for logs and metrics."""

    def __call__(self, verdict: Verdict, /) -> None:
        """Make a note of a verdict, quickly. It must not raise."""
        ...


class Clock(Protocol):
    """A clock, such as `time.time`."""

    def __call__(self) -> float:
        """Return the time in seconds: since the epoch, unless it is said otherwise."""
        ...


class Policy(NamedTuple):
    """Everything that a verifier demands of a token, as data. `policy` makes one that is valid.

    Attributes:
        resolver: Finds the key.
        audience: The token's `aud` must name one of these; an empty set accepts no token that has
            an `aud`, None accepts any `aud` that names something.
        audience_required: Whether the token must have an `aud`.
        algorithms: The algorithms that are accepted.
        required: Claims that the token must have.
        leeway: Seconds by which clocks may differ.
        max_lifetime: The longest `exp - iat` that is accepted, in seconds, or None.
        typ: The `typ` that the header must have, or None.
        guards: Called in order after the claims, before the key is looked up.
        checks: Called in order after the signature.
        now: The clock, seconds since the epoch.
    """

    resolver: Resolver
    audience: frozenset[str] | None
    audience_required: bool
    algorithms: frozenset[str]
    required: tuple[str, ...] = ("exp",)
    leeway: float = 0.0
    max_lifetime: float | None = None
    typ: str | None = None
    guards: tuple[Guard, ...] = ()
    checks: tuple[Check, ...] = ()
    now: Clock = time.time


def as_names(names: Names, what: str) -> frozenset[str]:
    """The set of names that `names` stands for: a str is one name, never a set of letters.

    Args:
        names: One name, or several.
        what: What they name, for the message.

    Raises:
        TypeError: If a name is not a str.
        ValueError: If there is no name.
    """
    if isinstance(names, str):
        return frozenset([names])
    wrong = f"{what} must be a str or a collection of str"
    if not isinstance(names, Iterable):
        raise TypeError(wrong)
    each = frozenset(names)
    if not all(isinstance(name, str) for name in each):
        raise TypeError(wrong)
    if not each:
        raise ValueError(f"{what} is empty: nothing would be accepted")
    return each


def require_bool(given: object, what: str) -> None:
    """Raise TypeError for what is neither True nor False: the text "false" of a setting is true."""
    if not isinstance(given, bool):
        raise TypeError(f"{what} must be True or False, not {type(given).__name__}")


def require_function(given: object, what: str) -> None:
    """Raise TypeError for what cannot be called; `what` says what it should be."""
    if not callable(given):
        raise TypeError(f"{what}, not {type(given).__name__}")
