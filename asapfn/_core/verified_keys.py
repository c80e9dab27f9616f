"""Which key objects have verified a signature.

Anyone can send a token that names an existing key; only the key's owner can make it verify. So a
cache prefers to keep the keys that have. The mark is on the key object and says nothing about any
other token: it is read by caches alone.
"""

from typing import Final

from asapfn.types import Key

MARK: Final = "_asapfn_verified"


def has_verified(key: Key) -> bool:
    """Whether a token's signature has held with this key."""
    return MARK in vars(key)
