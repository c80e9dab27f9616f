"""ASAP, the sending side: claims, tokens, and the `Authorization` header."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from asapfn._core.algorithms import ASAP, default_algorithm, require_key
from asapfn._core.signing import REGISTERED, aud_of, more_claims, random_id, require_names, times
from asapfn._core.signing import sign as sign_claims
from asapfn.errors import shown
from asapfn.keys import import_pem, is_key_id
from asapfn.types import Authorize, Clock, Event, Key, Names, Observe, Sign, as_names

_MAX_REUSED: Final = 1024
_LOGGER: Final = logging.getLogger("asapfn")


def claims(
    issuer: str,
    audience: Names,
    *,
    subject: str | None = None,
    lifetime: float = 60,
    additional: Mapping[str, Any] | None = None,
    now: Clock = time.time,
    new_jti: Callable[[], str] = random_id,
) -> dict[str, Any]:
    """The claims of an ASAP token (ASAP specification, "Claims").

    Args:
        issuer: The service that signs.
        audience: The service, or services, the token is for.
        subject: The subject, `sub`; None means the issuer.
        lifetime: Seconds until it expires, at most 3600.
        additional: More claims.
        now: The clock, seconds since the epoch.
        new_jti: Makes an id that is unique, by default 128 random bits.

    Returns:
        The claims, ready for `sign`.

    Raises:
        TypeError: If a name is not a str.
        ValueError: If there is no audience, the lifetime is out of bounds, or `additional` holds a
            claim that is set here.
    """
    more = more_claims(additional, REGISTERED)
    made: dict[str, Any] = {
        "iss": issuer,
        "aud": aud_of(audience),
        **times(now(), lifetime, 3600),
        "jti": new_jti(),
    }
    if subject is not None:
        made["sub"] = subject
    require_names(made)
    made.update(more)
    return made


def signer(
    issuer: str,
    key: Key | Callable[[], Key],
    *,
    subject: str | None = None,
    lifetime: float = 60,
    additional: Mapping[str, Any] | None = None,
    reuse_fraction: float = 0.0,
    now: Clock = time.time,
    new_jti: Callable[[], str] = random_id,
) -> Sign:
    """Make a function that signs a token for an audience.

    Args:
        issuer: The service that signs.
        key: Its private key, carrying a key id under the issuer's name; or a function that gives
            the key in use, such as `private_key_directory(...)`.
        subject: The subject, `sub`; None means the issuer.
        lifetime: Seconds until a token expires, at most 3600.
        additional: More claims.
        reuse_fraction: For what part of its life a token is given out again for the same audience:
            0 signs each time, 0.95 is usual. Not for receivers with a replay store, which accept
            a token once.
        now: The clock, seconds since the epoch.
        new_jti: Makes an id that is unique, by default 128 random bits.

    Returns:
        A function from an audience, or several, to a token. Safe under threads.

    Raises:
        TypeError: If the issuer, the subject or an audience is not a str.
        ValueError: If `reuse_fraction` or `lifetime` is out of bounds, the key cannot sign by one
            of ASAP's algorithms, or its key id is missing, ill-formed or not the issuer's.
    """
    if not 0 <= reuse_fraction < 1:
        raise ValueError("reuse_fraction is at least 0 and less than 1")
    current = _own(issuer, key)
    more = None if additional is None else dict(additional)
    claims_for = partial(claims, issuer, subject=subject, lifetime=lifetime, additional=more)

    def make(audience: Names, signing_key: Key, time_: float) -> str:
        return sign_claims(claims_for(audience, now=lambda: time_, new_jti=new_jti), signing_key)

    # What is wrong is raised at once, without reading the caller's clock or using up an id.
    trial = claims_for("any")
    if not callable(key):
        sign_claims(trial, current())
    if reuse_fraction == 0:
        return lambda audience: make(audience, current(), now())
    return _reusing(make, current, now, lifetime * reuse_fraction)


def _own(issuer: str, key: Key | Callable[[], Key]) -> Callable[[], Key]:
    """A function that gives the key in use, and checks each that is new."""
    accepted: Key | None = None

    def current() -> Key:
        nonlocal accepted
        signing_key = key() if callable(key) else key
        if signing_key is not accepted:
            _require_own(issuer, signing_key)
            accepted = signing_key
        return signing_key

    return current


def _reusing(
    make: Callable[[Names, Key, float], str],
    current: Callable[[], Key],
    now: Clock,
    seconds: float,
) -> Sign:
    """Give out an audience's token again for some seconds, while its key is the key in use."""
    signed: OrderedDict[object, tuple[str, Key, float, float]] = OrderedDict()
    lock = threading.Lock()

    def sign_for(audience: Names) -> str:
        signing_key, time_ = current(), now()
        about = audience if isinstance(audience, str) else frozenset(audience)
        with lock:
            token, used, since, until = signed.get(about, ("", signing_key, 0.0, 0.0))
            if used is signing_key and since <= time_ < until:
                signed.move_to_end(about)
                return token
        token = make(audience, signing_key, time_)
        with lock:
            since = int(time_)
            signed[about] = (token, signing_key, since, since + seconds)
            signed.move_to_end(about)
            if len(signed) > _MAX_REUSED:
                signed.popitem(last=False)
        return token

    return sign_for


def authorizer(sign: Sign, audience: Names) -> Authorize:
    """Make what gives outgoing requests their `Authorization` header.

    Args:
        sign: Signs the tokens: `signer(...)` or `signer_from_env()`.
        audience: The service, or services, the requests go to.

    Returns:
        A function of a method and a URL, which ASAP does not look at, that gives `Bearer <token>`.
        It raises what `sign` raises.

    Raises:
        TypeError: If a name is not a str, or `sign` is not a function.
        ValueError: If there is no audience.
    """
    if not callable(sign):
        raise TypeError("sign is a function that signs, such as asap.signer(...) makes")
    names = audience if isinstance(audience, str) else as_names(audience, "audience")

    def authorize(method: str, url: str) -> str:
        return f"Bearer {sign(names)}"

    return authorize


def private_key_directory(
    path: str | Path,
    issuer: str,
    *,
    refresh: float = 60.0,
    clock: Clock = time.monotonic,
    observe: Observe | None = None,
) -> Callable[[], Key]:
    """Sign with the newest key of a directory, so that keys are replaced by adding a file.

    A file that cannot be used (half written, unreadable, not a private key for ASAP) is passed
    over for the newest one that can. Each reading that passes over a file reports it, with the
    cause, as a WARNING to the logger `asapfn`.

    Args:
        path: The directory. The issuer's keys are `{path}/{issuer}/*.pem`; the last by name is the
            one in use, and `{issuer}/{file name}` its key id.
        issuer: The service that signs.
        refresh: Seconds after which the directory is read again.
        clock: A clock in seconds, that never goes back.
        observe: Called with an `unavailable` event for each file that is passed over.

    Returns:
        A function that gives the key in use, for `signer`. Once it has given one
        it goes on giving it while its file, or the whole directory, cannot be read.

    Raises:
        ValueError: If the path is a key, there is no file, or none that can be used and the newest
            is not a private key that `issuer` can sign with, or its name makes no key id.
        OSError: If there is no file that can be used, and the newest cannot be read.
    """
    if "-----BEGIN" in str(path):
        raise ValueError("path is that of a directory of keys, and this is a key")
    folder = Path(path) / issuer

    def read(in_use: Key | None) -> Key:
        start = clock()
        key, failures = _newest_usable(folder, issuer, in_use)
        if key is None:
            raise _with_staged(Path(path), issuer, failures[0][1])
        for kid, error in failures:
            cause = shown(str(error))
            _LOGGER.warning("asapfn: %a cannot be used: %s; signing with %a", kid, cause, key.kid)
            if observe is not None:
                observe(Event("unavailable", str(folder), kid, clock() - start))
        return key

    current, due = read(None), clock() + refresh

    def key_in_use() -> Key:
        nonlocal current, due
        if clock() >= due:
            due = clock() + refresh
            found = read(current)
            if found != current:
                current = found
        return current

    return key_in_use


def _newest_usable(
    folder: Path, issuer: str, in_use: Key | None
) -> tuple[Key | None, list[tuple[str, Exception]]]:
    """The newest key that can be used, else the one in use, and what was wrong with those newer."""
    failures: list[tuple[str, Exception]] = []
    try:
        files = sorted(folder.glob("*.pem"), reverse=True)
    except OSError as error:  # such as a stale handle of a network file system
        return in_use, [(f"{issuer}/", error)]
    for file in files:
        kid = f"{issuer}/{file.name}"
        try:
            return _private_key(file, issuer, kid), failures
        except (OSError, ValueError) as error:
            failures.append((kid, error.with_traceback(None)))
        if in_use is not None and kid == in_use.kid:
            break  # an older one would undo a rotation because of one failed reading
    if not failures:
        failures.append((f"{issuer}/", ValueError(f"no *.pem file in {folder}")))
    return in_use, failures


def _with_staged(path: Path, issuer: str, error: Exception) -> Exception:
    """The error; if there is no key but one is staged, an error that names `asapfn activate`."""
    if path.name == "private" and str(error).startswith("no *.pem file"):
        staged = max((path.parent / "staged" / issuer).glob("*.pem"), default=None)
        if staged is not None:
            kid = f"{issuer}/{staged.name}"
            return ValueError(f"{error}; {kid} is staged: asapfn activate {kid}")
    return error


def _private_key(file: Path, issuer: str, kid: str) -> Key:
    key = import_pem(file.read_bytes(), kid=kid)
    _require_own(issuer, key)
    if not key.is_private:
        raise ValueError(f"{file} is a public key: the private one is needed to sign")
    return key


def _require_own(issuer: str, key: Key) -> None:
    require_key(key)
    if key.kid is None or not is_key_id(key.kid) or not key.kid.startswith(f"{issuer}/"):
        raise ValueError(
            f"the key's kid must be well formed and begin with {issuer}/, and is {shown(key.kid)}"
        )
    if default_algorithm(key) not in ASAP:
        raise ValueError("ASAP signs with RSA or an EC key on P-256, P-384 or P-521")
