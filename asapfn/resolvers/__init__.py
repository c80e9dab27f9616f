"""Resolvers: from a token not yet verified to the key that must have signed it.

A resolver is an async function, so that any other can be put before, behind or around it. Sources
find keys, `policy` puts conditions and alternatives around them, `cache` keeps them.
"""

from asapfn.resolvers._prefetch import keep_warm, prefetch
from asapfn.resolvers.cache import (
    Activity,
    activity,
    cached,
    clear,
    is_prefetch,
    issuer_kid_algorithm,
)
from asapfn.resolvers.discovery import discovered
from asapfn.resolvers.jwks import certificates, jwks
from asapfn.resolvers.policy import (
    by_issuer,
    first_of,
    only_issuers,
    owned_by_issuer,
    with_deadline,
)
from asapfn.resolvers.sources import keys_by_id, pem_directory, pem_repository, shared_secrets
from asapfn.types import Caching

__all__ = [
    "Activity",
    "Caching",
    "activity",
    "by_issuer",
    "cached",
    "certificates",
    "clear",
    "discovered",
    "first_of",
    "is_prefetch",
    "issuer_kid_algorithm",
    "jwks",
    "keep_warm",
    "keys_by_id",
    "only_issuers",
    "owned_by_issuer",
    "pem_directory",
    "pem_repository",
    "prefetch",
    "shared_secrets",
    "with_deadline",
]
