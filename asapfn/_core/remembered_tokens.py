"""A verifier's memory: tokens whose signature held, and the key object that each was verified with.

The signature of a token that comes again is not verified again if the resolver returns the same key
object. The key is held here, so no other object can have its identity. The memory decides nothing
else. Most tokens come once; so what a token consists of is kept when it comes the second time, and
from the third on it is not parsed either. What is kept is as it was signed, and is never given out:
header and claims are copied for each caller.

The memory has at most `size` tokens, of at most `LONGEST` characters each. The oldest is dropped
for a new one; those that have expired are dropped before a new one comes in, at most once a minute.
"""

import json
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from asapfn.types import Key

# With this a token costs at most some 24 KiB, whatever its claims are.
LONGEST: Final = 4096
_MOST_CLAIMS: Final = 32
_BETWEEN_SWEEPS: Final = 60.0

# Not strict: what it reads was read strictly before.
_decode = json.JSONDecoder().raw_decode

# What a token consists of, as it was signed: the header, the claims, the payload, the signing input
# and the signature. The claims are None where they are nested or many; else the payload is empty.
Parts = tuple[dict[str, Any], dict[str, Any] | None, bytes, bytes, bytes]

# The key that a token was verified with; when the token expires, leeway included, in seconds since
# the epoch; and its parts, from the second time on. Plain tuples are made and unpacked fastest.
Remembered = tuple[object, float, Parts | None]
# What is remembered of a new token: an object that is no key.
NOTHING: Final[Remembered] = (object(), 0.0, None)


@dataclass(slots=True, eq=False)
class Memory:
    """What one verifier remembers; the functions below work on it.

    Attributes:
        size: The most tokens that it keeps.
        headers: Headers as they were read, by their segment (see `compact.parse`); None to keep
            none. Like the tokens they are not printed: a verifier prints all that it is made of.
        tokens: The tokens by their text, the oldest first. They are looked up without the lock.
        swept: When expired tokens were last dropped, in seconds since the epoch.
    """

    size: int
    headers: dict[bytes, dict[str, Any]] | None = field(default_factory=dict, repr=False)
    tokens: OrderedDict[str, Remembered] = field(default_factory=OrderedDict, repr=False)
    swept: float = -math.inf
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 0:
            raise ValueError(f"remember is a number of tokens, an int from 0, not {self.size!r}")


def text_of(token: object) -> str:
    """The text that bytes are remembered by; empty for what is not remembered at all."""
    # Bytes that are not ASCII become text that is not ASCII, of which no token consists.
    return token.decode("latin-1") if type(token) is bytes else ""


def keep(memory: Memory, text: str, key: Key, usable_until: float, now: float) -> None:
    """Keep a token whose signature holds by a key, unless it is too long or has no text.

    Both times, until when the token is usable and now, are in seconds since the epoch.
    """
    if not 0 < len(text) <= LONGEST:
        return
    with memory.lock:
        tokens = memory.tokens
        if not memory.swept <= now < memory.swept + _BETWEEN_SWEEPS:
            memory.swept = now
            for old in [t for t, (_, until, _) in tokens.items() if not now < until]:
                del tokens[old]
        tokens[text] = key, usable_until, None
        if len(tokens) > memory.size:
            tokens.popitem(last=False)


def keep_parts(
    memory: Memory,
    text: str,
    claims: dict[str, Any],
    payload: bytes,
    signing_input: bytes,
    signature: bytes,
) -> None:
    """Keep the parts of a token that is kept already; nobody may change these claims afterwards."""
    header = (memory.headers or {}).get(signing_input[: signing_input.index(b".")])
    if header is None:  # long, or not of strings alone
        return
    nested_or_many = payload.count(b"{") + payload.count(b"[") > 1 or len(claims) > _MOST_CLAIMS
    kept, reread_from = (None, payload) if nested_or_many else (claims, b"")
    with memory.lock:
        if text in memory.tokens:
            key, usable_until, _ = memory.tokens[text]
            parts = header, kept, reread_from, signing_input, signature
            memory.tokens[text] = key, usable_until, parts


def reread(payload: bytes) -> dict[str, Any]:
    """The claims of a payload that was read strictly before."""
    claims: dict[str, Any] = _decode(payload.decode().strip())[0]
    return claims
