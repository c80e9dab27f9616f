"""The standard library's logging: what key sources do is written to a logger.

An event has nothing secret in it. What it has of a token is the key id, which anybody may have
chosen: it is quoted and cut, so that it makes no lines of its own and fills no disk.
"""

import logging
from collections.abc import Mapping
from typing import Final

from asapfn.types import Event, Kind, Observe

__all__ = ["observer"]

_MESSAGE: Final = "asapfn: %s: key %s of %s (%.3f s)%s"
_LONGEST: Final = 200

# A warning is what an operator should look into.
_LEVELS: Final[Mapping[Kind, int]] = {
    "fetched": logging.INFO,
    "refreshed": logging.DEBUG,
    "stale": logging.INFO,
    "unknown": logging.INFO,
    "rate_limited": logging.WARNING,
    "unavailable": logging.WARNING,
}


def observer(logger: logging.Logger) -> Observe:
    """Write a key source's events to a logger.

    Args:
        logger: The logger. `unavailable` and `rate_limited` are warnings, `refreshed` is for
            debugging, the others are informational.

    Returns:
        A function for `observe=`. Each record has the event's members as `asapfn_kind`,
        `asapfn_source`, `asapfn_key_id`, `asapfn_seconds` and `asapfn_detail`, for a formatter
        that writes JSON.
    """

    def observe(event: Event) -> None:
        kind, source, key_id, seconds, detail = event
        level = _LEVELS[kind]
        if not logger.isEnabledFor(level):
            return
        key_id = ascii(key_id[:_LONGEST])
        extra = {
            "asapfn_kind": kind,
            "asapfn_source": source,
            "asapfn_key_id": key_id,
            "asapfn_seconds": seconds,
            "asapfn_detail": detail,
        }
        because = f": {detail}" if detail else ""
        logger.log(level, _MESSAGE, kind, key_id, source, seconds, because, extra=extra)

    return observe
