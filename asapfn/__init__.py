"""Tokens by which services prove to each other who they are: ASAP, Connect, Forge, Jitsi.

Keys are in `asapfn.keys`, what finds them in `asapfn.resolvers`, what a token must also satisfy in
`asapfn.guards` and `asapfn.checks`, ready policies in `asapfn.profiles`, and what connects them to
clients and frameworks in `asapfn.adapters`.
"""

from asapfn.authentication import bearer
from asapfn.canonical import canonical_query, canonical_request, qsh
from asapfn.errors import TokenRejected, Unavailable
from asapfn.explaining import Explanation, Step, explain
from asapfn.signing import sign
from asapfn.types import (
    Authenticate,
    Authorize,
    Caching,
    Check,
    Clock,
    Document,
    Event,
    Fetch,
    FirstUse,
    Guard,
    Key,
    Names,
    Observe,
    Policy,
    Request,
    Resolver,
    Sign,
    Token,
    Unverified,
    Verify,
)
from asapfn.verification import peek, policy, verifier, verify

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
    "FirstUse",
    "Guard",
    "Key",
    "Names",
    "Observe",
    "Policy",
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
