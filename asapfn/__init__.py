"""Tokens by which services prove to each other who they are: ASAP, Connect, Forge, Jitsi.

Keys are in `asapfn.keys`, what finds them in `asapfn.resolvers`, what a token must also satisfy in
`asapfn.guards` and `asapfn.checks`, ready policies in `asapfn.asap`, `connect`, `forge` and
`jitsi`, and what connects them to clients and frameworks in `asapfn.adapters`.
"""

from asapfn._core.canonical import canonical_query, canonical_request, qsh
from asapfn._core.credentials import bearer
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
    Policy,
    ReplayStore,
    Request,
    Resolver,
    Sign,
    Token,
    Unverified,
    Verify,
)

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
    "Policy",
    "ReplayStore",
    "Request",
    "Resolver",
    "Sign",
    "Step",
    "Token",
    "TokenRejected",
    "Unavailable",
    "Unverified",
    "Verify",
    "bearer",
    "canonical_query",
    "canonical_request",
    "explain",
    "peek",
    "policy",
    "qsh",
    "sign",
    "verifier",
    "verify",
]
