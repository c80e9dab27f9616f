"""Signed tokens by which services prove to each other who they are: make them, verify them.

Begin with a profile: `asapfn.asap` (`signer`, `verifier`), `asapfn.connect` (`authorizer`,
`authenticator`), `asapfn.forge`, `asapfn.jitsi`, `asapfn.oidc`, `asapfn.oauth`,
`asapfn.webhooks`. `bearer` makes a verifier read a request, `also` and `any_of` compose what does,
`reading` makes a type of your own of the claims, and `asapfn.adapters` carries it into a framework.
Tokens of your own: `sign`, and `policy` with `verifier`, or `verify` for one token. `explain` says
why a token is rejected. `asapfn.keys` reads and makes keys, `asapfn.resolvers` finds them,
`asapfn.testing` makes what tests need.
"""

from asapfn._core.canonical import canonical_query, canonical_request, qsh
from asapfn._core.credentials import also, any_of, bearer
from asapfn._core.one_step import at_once
from asapfn._core.reading import reading
from asapfn._core.reporting import observed
from asapfn._core.signing import sign
from asapfn._core.verification import peek, policy, verifier, verify
from asapfn.errors import TokenRejected, Unavailable
from asapfn.explaining import Explanation, Step, explain
from asapfn.types import (
    Authenticate,
    Authorize,
    Caching,
    Check,
    Clock,
    Document,
    Event,
    Fetch,
    Guard,
    Key,
    Names,
    Observe,
    ObserveRequest,
    Policy,
    ReplayStore,
    Request,
    Resolver,
    Sign,
    Token,
    Unless,
    Unverified,
    Verdict,
    Verify,
)

__version__ = "0.1.0rc1"

__all__ = [
    "Authenticate",
    "Authorize",
    "Caching",
    "Check",
    "Clock",
    "Document",
    "Event",
    "Explanation",
    "Fetch",
    "Guard",
    "Key",
    "Names",
    "Observe",
    "ObserveRequest",
    "Policy",
    "ReplayStore",
    "Request",
    "Resolver",
    "Sign",
    "Step",
    "Token",
    "TokenRejected",
    "Unavailable",
    "Unless",
    "Unverified",
    "Verdict",
    "Verify",
    "__version__",
    "also",
    "any_of",
    "at_once",
    "bearer",
    "canonical_query",
    "canonical_request",
    "explain",
    "observed",
    "peek",
    "policy",
    "qsh",
    "reading",
    "sign",
    "verifier",
    "verify",
]
