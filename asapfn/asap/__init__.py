"""ASAP: tokens from service to service (Atlassian S2S Authentication Protocol specification).

An issuer signs short-lived tokens with its private key, and publishes the public key in a
repository under a key id that begins with its own name. Whoever receives a token finds that key and
verifies. `outgoing` signs, `incoming` verifies, `environment` sets both up from variables.
"""

from asapfn._core.algorithms import ASAP as ALGORITHMS
from asapfn.asap.environment import signer_from_env, verifier_from_env
from asapfn.asap.incoming import policy, repository, verifier
from asapfn.asap.outgoing import authorizer, claims, private_key_directory, signer

__all__ = [
    "ALGORITHMS",
    "authorizer",
    "claims",
    "policy",
    "private_key_directory",
    "repository",
    "signer",
    "signer_from_env",
    "verifier",
    "verifier_from_env",
]
