"""Forge: Atlassian's calls of an app's remote, and the remote's calls back (Forge Remote).

Each call has an invocation token, which Forge signs: `verifier` verifies it by the keys that
Atlassian publishes, `keys`. `invocation` gives what it says, with names and types. Two access
tokens may come with it, `access_tokens`; `authorizer` sends them where they may go, and nowhere
else.
"""

from asapfn.forge.incoming import API_HOSTS, keys, policy, verifier
from asapfn.forge.invocation import Invocation, invocation
from asapfn.forge.outgoing import AccessTokens, access_tokens, authorizer

__all__ = [
    "API_HOSTS",
    "AccessTokens",
    "Invocation",
    "access_tokens",
    "authorizer",
    "invocation",
    "keys",
    "policy",
    "verifier",
]
