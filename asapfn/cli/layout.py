"""Where `keygen`, `activate` and `publish` keep keys, and under which names.

Below one directory a key pair has three places: `staged/KID`, the private key that nothing signs
with yet; `private/KID`, the private keys that services sign with; `public/KID`, the public keys.
"""

from pathlib import Path
from typing import Final

# What a private key's file has behind its key id, by the form of the key.
SUFFIXES: Final = {"pem": "", "data-uri": ".uri", "jwk": ".jwk"}


def require_last(root: Path, kid: str, *places: str) -> None:
    """Refuse a key id whose name does not sort behind the others: the last by name signs."""
    issuer, _, name = kid.rpartition("/")
    for place in places:
        others = (root / place / issuer).glob("*.pem*")
        last = max(others, key=lambda path: path.name, default=None)
        if last is not None and last.name >= name:
            raise ValueError(
                f"{name} would never sign: {last} sorts after it, and signers use the last by"
                f" name; choose a name behind it, such as {last.name.partition('.pem')[0]}_2.pem"
            )
