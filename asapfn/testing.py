"""What tests of a protected service need: no network, no file, no sleeping, no test framework.

    alice = testing.issuer("alice")
    app = make_app(testing.resolver(alice))
    client.get("/invoices", headers=alice.headers("billing"))

A service that is given its resolver, or its `Fetch`, is tested as it runs: with real tokens, of
issuers that are made here. `broken` makes a request that is rejected, for each reason that there
is. An outage is an entry in the table of `fetch`, and time is a `clock` that the test moves.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar, get_args

from anyio.lowlevel import checkpoint
from joserfc.jwk import RSAKey

from asapfn import asap, forge
from asapfn._core.algorithms import default_algorithm, make_signature
from asapfn._core.compact import encode_base64url, encode_segment
from asapfn._core.credentials import also, bearer
from asapfn._core.jwk import export_jwks
from asapfn._core.signing import aud_of, random_id, sign
from asapfn.checks import has_scopes, not_replayed, request_matches
from asapfn.errors import DESCRIPTIONS, Reason, TokenRejected, Unavailable
from asapfn.forge.invocation import split_base_url
from asapfn.keys import export_public_pem, generate, is_key_id
from asapfn.resolvers import keys_by_id
from asapfn.types import (
    Authenticate,
    Check,
    Clock,
    Document,
    Fetch,
    Key,
    Names,
    Request,
    Resolver,
    Token,
)

__all__ = [
    "ASAP_REASONS",
    "FORGE_API",
    "REPOSITORY",
    "Broken",
    "Issuer",
    "MovableClock",
    "authenticate",
    "broken",
    "clock",
    "fetch",
    "forge_claims",
    "issuer",
    "json_document",
    "key_set",
    "repository",
    "request",
    "resolver",
]

REPOSITORY: Final = "https://keys.example/"
"""Where `repository` has its keys, if nothing else is said."""

FORGE_API: Final = "https://api.atlassian.com/ex/jira/00000000-0000-0000-0000-000000000000"
"""The site that `forge_claims` are of, if nothing else is said."""

_NOT_FOUND: Final = Document(404, "", b"")
_Error = TypeVar("_Error", bound=TokenRejected | Unavailable)


async def _used(token_id: str, ttl_seconds: float) -> bool:
    """A replay store in which every token was used before."""
    return False


# Checks that reject an ASAP token for the reasons that ASAP's own policy does not have.
_CHECKS: Final[Mapping[Reason, Check]] = {
    "replayed": not_replayed(_used),
    "request_mismatch": request_matches("GET", "/"),
    "insufficient_scope": has_scopes("a-scope-of-nobody"),
}

ASAP_REASONS: Final[tuple[Reason, ...]] = tuple(
    reason for reason in get_args(Reason) if reason not in _CHECKS
)
"""The reasons that every `asap.verifier` with `issuers=` can give; see `broken`."""


class Issuer(NamedTuple):
    """A service that signs tokens, in a test.

    Attributes:
        name: Its name, the tokens' `iss`.
        key: Its private key, which carries a key id; for `asap.signer(alice.name, alice.key)`.
        now: The clock by which its tokens are issued.
    """

    name: str
    key: Key
    now: Clock

    def __repr__(self) -> str:
        return f"Issuer(name={self.name!r}, kid={self.key.kid!r})"

    def token(
        self, audience: Names, *, lifetime: float = 60, claims: Mapping[str, Any] | None = None
    ) -> str:
        """Sign a token, such as ASAP has it: `iss`, `aud`, `iat`, `exp` and a fresh `jti`.

        Args:
            audience: The service, or services, that the token is for.
            lifetime: Seconds from `iat` to `exp`; below zero it has expired.
            claims: More claims, or others in place of those; None as a value leaves one out.

        Returns:
            The token.

        Raises:
            TypeError: If a value is not JSON's.
        """
        return sign(_claims(self, audience, lifetime, claims), self.key)

    def headers(
        self, audience: Names, *, lifetime: float = 60, claims: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """The headers of a request with such a token: `Authorization: Bearer <token>`.

        Args:
            audience: As for `token`.
            lifetime: As for `token`.
            claims: As for `token`.

        Returns:
            The headers, for any test client.
        """
        token = self.token(audience, lifetime=lifetime, claims=claims)
        return {"Authorization": f"Bearer {token}"}

    def verified(
        self, audience: Names, *, lifetime: float = 60, claims: Mapping[str, Any] | None = None
    ) -> Token:
        """Such a token as a verifier returns it, for code that is given a `Token`.

        Args:
            audience: As for `token`.
            lifetime: As for `token`.
            claims: As for `token`.

        Returns:
            The token. Nothing was signed or verified.
        """
        made = _claims(self, audience, lifetime, claims)
        header = {"alg": default_algorithm(self.key), "kid": self.key.kid, "typ": "JWT"}
        return Token(header, made, self.now(), made.get("exp", float("inf")))


class Broken(NamedTuple):
    """A request that is rejected, and what rejects it.

    Attributes:
        reason: Why it is rejected.
        headers: The request's headers; none for `missing_token`.
        authenticate: Rejects it for that reason.
    """

    reason: Reason
    headers: Mapping[str, str]
    authenticate: Authenticate

    def __repr__(self) -> str:
        return f"Broken(reason={self.reason!r})"


@dataclass(slots=True)
class MovableClock:
    """A clock that stands still until a test moves it: `clock.time += 61`.

    Attributes:
        time: What it shows, in seconds since the epoch.
    """

    time: float

    def __call__(self) -> float:
        """Return what it shows."""
        return self.time


def clock(at: float = 1_800_000_000.0) -> MovableClock:
    """Make a clock that a test moves, for every `now=` and `clock=` of this library.

    Args:
        at: What it shows at first, in seconds since the epoch.

    Returns:
        The clock.
    """
    return MovableClock(at)


def issuer(
    name: str, *, kid: str | None = None, algorithm: str = "ES256", now: Clock = time.time
) -> Issuer:
    """Make an issuer with a key of its own.

    Args:
        name: Its name, the tokens' `iss`.
        kid: The key's id; by default `<name>/test.pem`, or `test` where that makes no key id of
            ASAP, as for a URL.
        algorithm: What it signs by. A key for ES256 takes 0.1 ms to make, one for RS256 a thousand
            times as long.
        now: The clock by which its tokens are issued, seconds since the epoch.

    Returns:
        The issuer.

    Raises:
        ValueError: If the algorithm is not known.
    """
    if kid is None:
        own = f"{name}/test.pem"
        kid = own if is_key_id(own) else "test"
    return Issuer(name, generate(algorithm, kid=kid), now)


def resolver(*issuers: Issuer) -> Resolver:
    """Make a resolver of issuers' keys, in place of one that fetches them.

    Args:
        *issuers: The issuers. With none of them each key is unknown.

    Returns:
        The resolver.

    Raises:
        ValueError: If two have the same key id.
    """
    return keys_by_id([each.key for each in issuers])


def repository(*issuers: Issuer, url: str = REPOSITORY) -> dict[str, Document | Unavailable]:
    """Lay out issuers' public keys as ASAP's key repository has them, for `fetch`.

    Args:
        *issuers: The issuers.
        url: The repository's URL, which `asap.repository` is given too; it ends in a slash.

    Returns:
        A table that the test may change: `table[url] = Unavailable(url, "connection refused")`.
    """
    media_type = "application/x-pem-file"
    return {
        f"{url}{each.key.kid}": Document(200, media_type, export_public_pem(each.key).encode())
        for each in issuers
    }


def key_set(*issuers: Issuer) -> Document:
    """The public keys of issuers as a JSON Web Key Set, for `fetch`.

    Args:
        *issuers: The issuers.

    Returns:
        The document.

    Raises:
        ValueError: If two have the same key id.
    """
    return json_document(export_jwks(each.key for each in issuers))


def json_document(value: Any) -> Document:
    """A document of JSON, such as OpenID Connect's configuration, for `fetch`.

    Args:
        value: What JSON is made of.

    Returns:
        The document, with status 200.

    Raises:
        TypeError: If a value is not JSON's.
    """
    return Document(200, "application/json", json.dumps(value).encode())


def fetch(
    table: Mapping[str, Document | Unavailable],
    *,
    otherwise: Document | Unavailable = _NOT_FOUND,
    observe: Callable[[str], object] | None = None,
) -> Fetch:
    """Make a `Fetch` that answers from a table, in place of `adapters.httpx.fetcher()`.

    Args:
        table: The answer for each URL: a document, or an outage. It is read at each request, so
            that a test may change it.
        otherwise: The answer for all other URLs. By default there is no such document, as a key
            repository says of a key that it does not have.
        observe: Called with each URL that is asked for, such as `asked.append`.

    Returns:
        The function. It raises TypeError for an answer that is neither.
    """

    async def fetch_from_table(url: str, accept: str) -> Document:
        await checkpoint()  # as a network does, it lets others run
        if observe is not None:
            observe(url)
        answer: object = table.get(url, otherwise)
        if isinstance(answer, Unavailable):
            raise _again(answer)
        if not isinstance(answer, Document):
            kind = type(answer).__name__
            raise TypeError(f"expected a Document or an Unavailable for {url}, got {kind}")
        return answer

    return fetch_from_table


def request(
    headers: Mapping[str, str] | None = None, *, method: str = "GET", target: str = "/"
) -> Request:
    """Make an incoming request, for an `Authenticate` that is called by the test itself.

    Args:
        headers: Its headers, such as `alice.headers("billing")`.
        method: Its HTTP method.
        target: Its path and query.

    Returns:
        The request.
    """
    return Request(method, target, tuple((headers or {}).items()))


def forge_claims(
    app_id: str,
    *,
    environment_type: str = "PRODUCTION",
    api_base_url: str = FORGE_API,
    account: str | None = None,
    lifetime: float = 25,
    now: Clock = time.time,
) -> dict[str, Any]:
    """Make the claims of an invocation token, as Forge sends it to an endpoint of an app.

        key = generate("RS256", kid="test")
        verify = forge.verifier(keys_by_id([key]), APP_ID)
        token = sign(forge_claims(APP_ID), key)

    Args:
        app_id: The app's ARI, `ari:cloud:ecosystem::app/<uuid>`.
        environment_type: Where the app is deployed to.
        api_base_url: Where the remote may call back to.
        account: The account id of the user who calls; None for a call from the backend.
        lifetime: Seconds until the token expires.
        now: The clock, seconds since the epoch.

    Returns:
        The claims, to be changed and signed.

    Raises:
        ValueError: If `app_id` is no app's ARI, or `api_base_url` not an https URL of a host and
            a path.

    Source: Atlassian Forge, "Forge Remote essentials", "The Forge Invocation Token (FIT)".
    """
    forge.policy(keys_by_id([]), app_id)  # it says what is wrong with the id
    if split_base_url(api_base_url) is None:
        what = "api_base_url, or --api-base-url, is an https URL of a host and a path"
        raise ValueError(f"{what}, such as {FORGE_API}")
    uuid, issued = FORGE_API.rpartition("/")[2], int(now())
    installation = f"ari:cloud:ecosystem::installation/{uuid}"
    environment = f"ari:cloud:ecosystem::environment/{uuid}"
    app = {
        "id": app_id,
        "appVersion": "1.0.0",
        "installationId": installation,
        "apiBaseUrl": api_base_url,
        "environment": {"type": environment_type, "id": environment},
        "module": {"type": "core:endpoint", "key": "test"},
        "installation": {
            "id": installation,
            "contexts": [{"name": "test", "apiBaseUrl": api_base_url}],
        },
    }
    return {
        "iss": "forge/invocation-token",
        "aud": app_id,
        "iat": issued,
        "nbf": issued,
        "exp": issued + lifetime,
        "jti": random_id(),
        "app": app,
    } | ({} if account is None else {"principal": account})


def authenticate(outcome: Token | TokenRejected | Unavailable) -> Authenticate:
    """Make an `Authenticate` that decides about all requests alike, whatever they hold.

    Args:
        outcome: The token that it returns, such as `alice.verified("billing")`, or what it raises,
            such as `TokenRejected("expired")` or `Unavailable("keys.example")`.

    Returns:
        The function.
    """

    async def decided(request: Request) -> Token:
        if isinstance(outcome, Token):
            return outcome
        raise _again(outcome)

    return decided


def broken(reason: Reason, by: Issuer, audience: str) -> Broken:
    """Make a request that is rejected for a reason.

        @pytest.mark.parametrize("reason", testing.ASAP_REASONS)
        def test_a_broken_token_is_refused(reason):
            answer = client.get("/", headers=testing.broken(reason, alice, "billing").headers)
            assert answer.json()["reason"] == reason

    Args:
        reason: The reason. A service that accepts ASAP's tokens gives those of `ASAP_REASONS`,
            provided that it names its issuers and does not set `subject_is_issuer=False`. The other
            three need more: `replayed` is for a good token, sent again to a verifier with a replay
            store; `request_mismatch` is for an endpoint that demands a `qsh`, as Connect does;
            `insufficient_scope` is for one that demands a scope.
        by: The issuer, that the service knows and accepts.
        audience: The service.

    Returns:
        The request's headers, and an `Authenticate` that gives the reason for them.

    Raises:
        ValueError: If there is no such reason, or the issuer signs by no algorithm of ASAP, or its
            key id does not begin with its name, as that of a URL does not.
    """
    if reason not in DESCRIPTIONS:
        raise ValueError(f"unknown reason {reason!r}: use one of {', '.join(DESCRIPTIONS)}")
    if default_algorithm(by.key) not in asap.ALGORITHMS:
        raise ValueError(f"the issuer signs by none of {', '.join(sorted(asap.ALGORITHMS))}")
    asap.signer(by.name, by.key)  # it says what is wrong with the key id
    verify = asap.verifier(resolver(by), audience, issuers=by.name, now=by.now)
    checks = [_CHECKS[reason]] if reason in _CHECKS else []
    return Broken(reason, _headers(reason, by, audience), also(bearer(verify), *checks))


def _headers(reason: Reason, by: Issuer, audience: str) -> dict[str, str]:
    """The headers of a request whose token is good but for what it is rejected for."""
    now, name, algorithm = int(by.now()), by.name, default_algorithm(by.key)
    # In place of a good token's, parameters of its header and claims.
    changed: dict[Reason, dict[str, Any]] = {
        "unsupported_algorithm": {"alg": "none"},
        "unknown_key": {"kid": f"{by.key.kid}.unknown"},
        "key_not_owned": {"kid": f"not-{name}/test.pem"},
        "issuer_not_allowed": {"kid": f"not-{name}/test.pem", "iss": f"not-{name}"},
        "unsuitable_key": {"alg": "ES256" if isinstance(by.key, RSAKey) else "RS256"},
        "missing_claim": {"exp": None},
        "invalid_claim": {"exp": str(now + 60)},
        "expired": {"iat": now - 7200, "exp": now - 3600},
        "not_yet_valid": {"iat": now + 3600, "exp": now + 3660},
        "lifetime_too_long": {"exp": now + 7200},
        "wrong_audience": {"aud": f"not-{audience}"},
        "subject_mismatch": {"sub": f"not-{name}"},
        "request_mismatch": {"qsh": "0" * 64},
    }
    claims = changed.get(reason, {})
    header = {"alg": algorithm, "kid": by.key.kid, "typ": "JWT"}
    header |= {each: claims.pop(each) for each in ("alg", "kid") if each in claims}
    payload = encode_segment(_claims(by, audience, 60, claims))
    signing_input = encode_segment(header) + b"." + payload
    signature = bytearray(make_signature(algorithm, by.key, signing_input))
    signature[-1] ^= reason == "bad_signature"
    token = (signing_input + b"." + encode_base64url(bytes(signature))).decode("ascii")
    if reason == "malformed":
        token = token.rpartition(".")[0]
    if reason == "ambiguous_token":
        token = f"{token} {token}"
    return {} if reason == "missing_token" else {"Authorization": f"Bearer {token}"}


def _claims(
    by: Issuer, audience: Names, lifetime: float, changed: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The claims of a token, some of them changed; what is changed to None is left out."""
    issued = int(by.now())
    made = {
        "iss": by.name,
        "aud": aud_of(audience),
        "iat": issued,
        "exp": issued + lifetime,
        "jti": random_id(),
    } | dict(changed or {})
    return {name: value for name, value in made.items() if value is not None}


def _again(error: _Error) -> _Error:
    """The error once more, to raise, so that the given one collects no traceback and no notes."""
    kind = type(error)
    again = kind.__new__(kind, *error.args)
    again.__cause__ = error.__cause__
    again.__suppress_context__ = error.__suppress_context__  # else True, also without a cause
    vars(again).update(vars(error))
    for note in vars(again).pop("__notes__", ()):
        again.add_note(note)
    return again
