"""Keys from a map of certificates that is published at a URL, as Google and Firebase have them."""

import time
from collections.abc import Callable
from functools import partial

from asapfn._core import compact
from asapfn._core.jwk import without_nulls
from asapfn.errors import Unavailable
from asapfn.keys import import_dated_key
from asapfn.resolvers.jwks import MOST_KEYS, Members, always, key_sets, without_query
from asapfn.resolvers.sources import require_https
from asapfn.types import Caching, Clock, Fetch, Observe, Resolver


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
        read=_certificates,
        now=now,
        cooldown=cooldown,
        caching=caching,
        clock=clock,
        observe=observe,
    )


def _certificates(body: bytes, url: str) -> Members:
    try:
        given = without_nulls(compact.decode_object(body))
    except ValueError as error:
        raise Unavailable(url, f"not a map of certificates: {error}") from error
    if isinstance(given.get("keys"), list):
        detail = "not a map of certificates: it is a JSON Web Key Set, which jwks reads"
        raise Unavailable(url, detail)
    if len(given) > MOST_KEYS:
        detail = f"a map of {len(given)} certificates: expected at most {MOST_KEYS}"
        raise Unavailable(url, detail)
    members = Members([], {})
    for kid, text in given.items():
        if not isinstance(text, str):
            members.faults[kid] = ["it is not a certificate in PEM"]
            continue
        if "PRIVATE KEY-----" in text:
            raise Unavailable(url, "a private key is published: replace it at once")
        try:
            members.keys.append(import_dated_key(text, kid=kid))
        except ValueError as error:
            members.faults[kid] = [str(error)]
    return members
