"""Tokens by which services prove to each other who they are: ASAP, Connect, Forge, Jitsi.

This is the front door. Keys are in `asapfn.keys`, what finds them in `asapfn.resolvers`, what a
token must also satisfy in `asapfn.checks`, ready compositions in `asapfn.profiles`, and the ways to
clients and frameworks in `asapfn.adapters`.
"""

from asapfn.authentication import bearer
from asapfn.canonical import canonical_query, canonical_request, qsh
from asapfn.errors import TokenRejected, Unavailable
from asapfn.signing import sign
from asapfn.types import (
    Authenticate,
    Authorize,
    Caching,
    Check,
    Document,
    Event,
    Fetch,
    FirstUse,
    Key,
    Names,
    Observe,
    Request,
    Resolver,
    Token,
    Unverified,
)
from asapfn.verification import peek, verify

__all__ = [
    "Authenticate",
    "Authorize",
    "Caching",
    "Check",
    "Document",
    "Event",
    "Fetch",
    "FirstUse",
    "Key",
    "Names",
    "Observe",
    "Request",
    "Resolver",
    "Token",
    "TokenRejected",
    "Unavailable",
    "Unverified",
    "bearer",
    "canonical_query",
    "canonical_request",
    "peek",
    "qsh",
    "sign",
    "verify",
]
