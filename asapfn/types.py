"""The six callable shapes, and the plain tuples that pass between them.

Everything a user plugs in and everything the library hands out is one of the shapes below: a
function, never an object with methods to inherit. The tuples are data. `Unverified` and `Token`
are two types on purpose, so that a type checker tells what is trusted from what is not; tuples
that hold a token or a secret print without it.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

Key = RSAKey | ECKey | OKPKey | OctKey
Names = str | Collection[str]
Kind = Literal["fetched", "refreshed", "stale", "unknown", "rate_limited", "unavailable"]


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
        mismatch: What the application reads otherwise than `target` says, in words; empty where
            both are the same, or nothing was compared. A token that is bound to its request is
            then refused.
    """

    method: str
    target: str | None
    headers: tuple[tuple[str, str], ...]
    mismatch: str = ""

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
        max_age: Seconds the answer is fresh for, its Age already taken off; None when not said,
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
        issuer_misses: Look-ups of keys not in the cache that find none, for each issuer: a second,
            and at once. To refresh a key that is in the cache costs nothing.
        total_misses: The same for all issuers together.
        longest_wait: How long a look-up over budget waits for its turn.
        spread: By how much of its freshness a key is refreshed earlier, at most; each key by a
            random part of it, so that keys fetched together are not refreshed together.
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


Resolver = Callable[[Unverified], Awaitable[Key | None]]
Check = Callable[[Token], Awaitable[None] | None]
Fetch = Callable[[str, str], Awaitable[Document]]
FirstUse = Callable[[str, float], Awaitable[bool]]
Authorize = Callable[[str, str], str]
Authenticate = Callable[[Request], Awaitable[Token]]
Observe = Callable[[Event], None]


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
