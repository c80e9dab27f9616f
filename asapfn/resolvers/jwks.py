"""Keys from a set that is published at a URL: a JSON Web Key Set, or a map of certificates."""

import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

from asapfn._core import compact
from asapfn._core.algorithms import ALGORITHMS, mismatch
from asapfn._core.jwk import signing_uses, without_nulls
from asapfn._core.verification import has_verified
from asapfn.errors import TokenRejected
from asapfn.keys import DatedKey, import_dated_key, import_jwk, not_valid
from asapfn.resolvers.cache import Answer, Cache, look_up, report, require_bound
from asapfn.resolvers.sources import load_document, other_media_type, require_fetch, require_https
from asapfn.types import (
    Caching,
    Clock,
    Document,
    Fetch,
    Key,
    Names,
    Observe,
    Resolver,
    Unverified,
)

T = TypeVar("T")

_ACCEPT: Final = "application/jwk-set+json, application/json"
# About as many as fit into the largest document that is fetched; more would hold the event loop.
_MOST_KEYS: Final = 1000
_LONGEST_CAUSE: Final = 200
_PRIVATE: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"))


class Members(NamedTuple):
    """What a set holds: its keys; and by key id, why what else it holds cannot be used.

    None stands for what has no key id.
    """

    keys: list[DatedKey]
    faults: dict[str | None, list[str]]


# What reads a set: from its body to its members; a ValueError if it is none.
Read = Callable[[bytes], Members]


class KeySet(NamedTuple):
    """A set that was read: its members, its keys by their ids, and when that was."""

    keys: Sequence[DatedKey]
    faults: Mapping[str | None, list[str]]
    by_id: Mapping[str | None, Sequence[DatedKey]]
    completed: float


def jwks(
    url: str,
    fetch: Fetch,
    *,
    uses: Names = ("sig",),
    cooldown: float = 30.0,
    caching: Caching = Caching(),
    clock: Callable[[], float] = time.monotonic,
    observe: Observe | None = None,
) -> Resolver:
    """Find keys in a published set, and remember the set.

    Args:
        url: Where the set is.
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        uses: The values of `use` of keys that may verify; keys that have none may. A SPIFFE bundle
            has `jwt-svid`.
        cooldown: Seconds after a fetch during which a key that the set lacks is unknown; after
            them it makes the set be fetched again.
        caching: How long to remember the set, and how often to ask for it.
        clock: A clock in seconds, that never goes back.
        observe: Called with every event but a plain hit.

    Returns:
        A resolver, safe to share between threads and event loops. It gives the one key that has
        the token's `kid`, where it names one, and fits its algorithm; None when there is none.
        Copies of a key, of one RFC 7638 thumbprint, are one key. Members it does not understand,
        or that are too weak, or not for verifying signatures, are passed over. It raises
        TokenRejected `unknown_key` when the set has the token's `kid` and no key of it can be used,
        or more than one, with the reason, also for a token without `kid`; and `Unavailable` when
        the set cannot be had, or holds a symmetric or private key, or repeats a member's name.

    Raises:
        TypeError: If one of `uses` is not a str.
        ValueError: If the URL is not plain https, `uses` is empty or names `enc`, or the cooldown
            or a bound in `caching` is negative, infinite or not a number.
    """
    require_https(url)
    return key_sets(
        partial(always, url),
        without_query(url),
        fetch,
        read=read_jwks(uses),
        cooldown=cooldown,
        caching=caching,
        clock=clock,
        observe=observe,
    )


def certificates(
    url: str,
    fetch: Fetch,
    *,
    now: Clock = time.time,
    cooldown: float = 30.0,
    caching: Caching = Caching(),
    clock: Callable[[], float] = time.monotonic,
    observe: Observe | None = None,
) -> Resolver:
    """Find keys in a published map of certificates, `{kid: certificate}`, and remember the map.

    A certificate is believed for the place where it is found, as a bare key is: no chain is built,
    nor is its name compared. Its dates are, each time that its key is asked for.

    Args:
        url: Where the map is, a JSON object from key ids to PEM, such as
            `https://www.googleapis.com/robot/v1/metadata/x509/...`.
        fetch: As for `jwks`, like all that follow.
        now: The clock that the certificates' dates are compared with, seconds since the epoch.
        cooldown: See `jwks`.
        caching: See `jwks`.
        clock: See `jwks`.
        observe: See `jwks`.

    Returns:
        A resolver, as `jwks` makes it. A certificate that is not valid now, or whose key cannot be
        used, is passed over, and the refusal of a token that names it says why.

    Raises:
        ValueError: As for `jwks`.
    """
    require_https(url)
    return key_sets(
        partial(always, url),
        without_query(url),
        fetch,
        read=_certificate_map,
        now=now,
        cooldown=cooldown,
        caching=caching,
        clock=clock,
        observe=observe,
    )


def key_sets(
    set_of: Callable[[Unverified], str],
    source: str,
    fetch: Fetch,
    *,
    read: Read,
    locate: Callable[[Unverified], Awaitable[str]] | None = None,
    absent: Collection[int] = (),
    now: Clock = time.time,
    cooldown: float = 30.0,
    caching: Caching = Caching(),
    clock: Callable[[], float] = time.monotonic,
    observe: Observe | None = None,
) -> Resolver:
    """Find keys in the set that a token selects: `jwks`, but of many sets in one cache.

    `set_of` gives what a token's set is cached by, its https URL unless `locate` finds that;
    `source` is what the sets are called in events, `read` reads a set, the statuses `absent` mean
    that there is no such set, and `now` is the clock that certificates' dates are compared with.
    """
    require_fetch(fetch)
    require_bound("cooldown", cooldown)
    load = partial(
        load_json, locate or set_of, fetch, _ACCEPT, partial(_key_set, read, clock), absent
    )
    cache = Cache(load, source, caching, clock, observe, is_proven=_is_proven)
    return partial(_find, cache, cooldown, set_of, now)


def read_jwks(uses: Names) -> Read:
    """What reads a JSON Web Key Set, of keys for these uses; ValueError if they are none."""
    return partial(_jwk_set, signing_uses(uses))


def always(url: str, unverified: Unverified) -> str:
    """The URL, whatever the token."""
    return url


async def _find(
    cache: Cache[KeySet],
    cooldown: float,
    set_of: Callable[[Unverified], str],
    now: Clock,
    unverified: Unverified,
) -> Key | None:
    """The only key in the set that fits the token; past the cooldown in a newer set, if need be."""
    which = set_of(unverified)
    key_set = await look_up(cache, which, unverified)
    fits = _fitting(key_set, unverified, now)
    if not fits and key_set is not None and cache.clock() >= key_set.completed + cooldown:
        key_set = await look_up(cache, which, unverified, key_set)
        fits = _fitting(key_set, unverified, now)
    if len(fits) == 1:
        return fits[0]
    report(cache, "unknown", unverified, 0.0)
    if key_set is not None and (why := _why(key_set, unverified, len(fits), now)):
        raise TokenRejected("unknown_key", why, claim="kid")
    return None


def _why(key_set: KeySet, unverified: Unverified, fits: int, now: Clock) -> str:
    """Why the keys of the set that the token names cannot be used; empty if it names none."""
    kid, algorithm = unverified.header.get("kid"), unverified.header["alg"]
    if fits:
        seen = "the token has no kid, and more than one key of the set"
        if kid is not None:
            seen = "the key set has this kid, but more than one key of it"
        return f"{seen} fits {algorithm}"
    if kid is None:
        start = f"the token has no kid, and no key of the set can be used for {algorithm}: "
        kind = ALGORITHMS[algorithm].key_type
        named = [each for each in key_set.keys if type(each.key) is kind]
        faults = [fault for each in key_set.faults.values() for fault in each]
    else:
        start = "the key set has this kid, but "
        named = list(key_set.by_id.get(kid, ()))
        faults = key_set.faults.get(kid, [])
    causes = [mismatch(algorithm, each.key) or not_valid(each, now()) for each in named]
    each_once = "; ".join(dict.fromkeys(causes + faults))
    return f"{start}{each_once[:_LONGEST_CAUSE]}" if each_once else ""


async def load_json(
    url_of: Callable[[Unverified], str | Awaitable[str]],
    fetch: Fetch,
    accept: str,
    read: Callable[[bytes], T],
    absent: Collection[int],
    unverified: Unverified,
) -> Answer[T]:
    """Fetch the document of JSON that a token selects and read it, as `load_document` does."""
    url = url_of(unverified)
    if not isinstance(url, str):
        url = await url
    read_it = partial(_read_json, read, accept)
    return await load_document(url, fetch, accept, without_query(url), read_it, absent)


def _read_json(read: Callable[[bytes], T], accept: str, document: Document) -> T:
    """Read a body; the error names the media type where that and the body are not JSON's."""
    try:
        # Some servers put a byte order mark before JSON.
        return read(document.body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        if "json" in document.media_type or document.body.lstrip()[:1] == b"{":
            raise
        got = other_media_type(accept.split(", "), document)
        raise ValueError(f"{error}; {got}") from error.__cause__


def without_query(url: str) -> str:
    """A URL as it is named in errors and events: its query may hold a secret."""
    return url.partition("?")[0]


def _key_set(read: Read, clock: Callable[[], float], body: bytes) -> KeySet:
    """A set but for copies, so that a set of many copies costs its look-ups nothing."""
    keys, faults = read(body)
    first: dict[object, DatedKey] = {}
    for each in keys:
        same = each.key.kid, each.key.alg, each.key.thumbprint(), *each[1:]
        first.setdefault(same, each)
    by_id: dict[str | None, list[DatedKey]] = {}
    for each in first.values():
        by_id.setdefault(each.key.kid, []).append(each)
    return KeySet(list(first.values()), faults, by_id, clock())


def _is_proven(key_set: KeySet) -> bool:
    return any(has_verified(member.key) for member in key_set.keys)


def _fitting(key_set: KeySet | None, unverified: Unverified, now: Clock) -> list[Key]:
    kid = unverified.header.get("kid")
    if key_set is None:
        return []
    named = key_set.keys if kid is None else key_set.by_id.get(kid, ())
    algorithm = unverified.header["alg"]
    fits = [
        each.key for each in named if not (mismatch(algorithm, each.key) or not_valid(each, now()))
    ]
    return fits[:1] if _are_one(fits) else fits


def _are_one(keys: Sequence[Key]) -> bool:
    """Whether keys are copies of one: of the same thumbprint (RFC 7638), whatever else they say.

    The numbers that a thumbprint is of are compared as they are, which is faster.
    """
    return len(keys) > 1 and all(key.raw_value == keys[0].raw_value for key in keys[1:])


def _jwk_set(uses: frozenset[str], body: bytes) -> Members:
    try:
        key_set = compact.decode_object(body)
    except ValueError as error:
        raise ValueError(f"not a key set: {error}") from error
    given = key_set.get("keys")
    if not isinstance(given, list):
        other = any("BEGIN CERTIFICATE" in str(value) for value in key_set.values())
        advice = "; it is a map of certificates, which certificates reads" if other else ""
        raise ValueError(f"not a key set: no list of keys{advice}")
    if len(given) > _MOST_KEYS:
        raise ValueError(f"a set of {len(given)} keys: expected at most {_MOST_KEYS}")
    members = Members([], {})
    for member in given:
        if not isinstance(member, dict):
            continue
        member = without_nulls(member)
        if member.get("kty") == "oct" or not _PRIVATE.isdisjoint(member):
            raise ValueError("the set holds a symmetric or private key")
        try:
            members.keys.append(DatedKey(import_jwk(member, uses=uses), -math.inf, math.inf))
        except ValueError as error:
            kid = member.get("kid")
            # A number is no key id, but it is what a token's text was meant to name.
            named = str(kid) if isinstance(kid, str) or type(kid) is int else None
            members.faults.setdefault(named, []).append(str(error))
    return members


def _certificate_map(body: bytes) -> Members:
    try:
        given = without_nulls(compact.decode_object(body))
    except ValueError as error:
        raise ValueError(f"not a map of certificates: {error}") from error
    if isinstance(given.get("keys"), list):
        raise ValueError("not a map of certificates: it is a JSON Web Key Set, which jwks reads")
    if len(given) > _MOST_KEYS:
        raise ValueError(f"a map of {len(given)} certificates: expected at most {_MOST_KEYS}")
    members = Members([], {})
    for kid, text in given.items():
        if not isinstance(text, str):
            members.faults[kid] = ["it is not a certificate in PEM"]
            continue
        if "PRIVATE KEY-----" in text:
            raise ValueError("a private key is published: replace it at once")
        try:
            members.keys.append(import_dated_key(text, kid=kid))
        except ValueError as error:
            members.faults[kid] = [str(error)]
    return members
