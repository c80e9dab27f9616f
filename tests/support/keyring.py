"""One key for each algorithm, made once: generating RSA keys is what makes tests slow.

Names are the ones ASAP gives: `key_for("RS256")` carries the key id `issuer/RS256.pem`.
"""

import functools

from asapfn.keys import export_private_pem, generate, import_pem
from asapfn.types import Key


@functools.cache
def key_for(algorithm: str, issuer: str = "issuer") -> Key:
    """A private key or a secret for the algorithm, the same one each time it is asked for."""
    return generate(algorithm, kid=f"{issuer}/{algorithm}.pem")


@functools.cache
def renamed(algorithm: str, issuer: str = "issuer", *, kid: str | None = None) -> Key:
    """The same private key under another key id, or none; reading RSA keys is slow, too."""
    return import_pem(export_private_pem(key_for(algorithm, issuer)), kid=kid)
