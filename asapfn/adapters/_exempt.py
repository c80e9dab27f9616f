"""Which requests go through without a token: those that `unless` names, read in one way alone.

An application, its framework, and what it passes a path on to may each decode it, resolve its dots,
join its slashes or cut it at a semicolon. So a request whose path or method could be read in two
ways is not exempt, whatever `unless` would say of it: it needs a token like any other.
"""

import re
from typing import Final

from asapfn._core.credentials import header_values
from asapfn.checks import require_target
from asapfn.errors import TokenRejected
from asapfn.types import Request, Unless

# U+FFFD stands for bytes that were no UTF-8. A % in a decoded path may be decoded again.
_SPECIAL: Final = re.compile(r"[%\\;?#\ufffd]|//|/\.\.?(?:/|\Z)")
_ENCODED_SLASH: Final = re.compile("%(?:2[Ff]|5[Cc])")


def is_exempt(unless: Unless | None, request: Request, path: str | None) -> bool:
    """Whether a request needs no token, as `unless` says, which is None where all need one.

    It is not asked where the method or the path may be read in another way, nor about the handshake
    of a websocket: these need a token. `path` is the decoded path that the application routes by;
    None where that is not certain. A TypeError if `unless` returns anything but a bool, such as a
    coroutine, which is true.
    """
    if unless is None or path is None or not _is_plain(request, path):
        return False
    answer: object = unless(request.method, path)
    if not isinstance(answer, bool):
        raise TypeError(f"unless returned {type(answer).__name__}, not True or False")
    return answer


def _is_plain(request: Request, path: str) -> bool:
    """Whether everybody reads this method and path alike."""
    # Methods differ by case (RFC 9110, section 9.1), but not to Django and Flask.
    if request.mismatch or request.method.upper() != request.method:
        return False
    if path[:1] not in ("", "/") or not path.isprintable() or _SPECIAL.search(path):
        return False
    if request.target is not None:
        try:
            require_target(request.target)
        except TokenRejected:
            return False
        if _ENCODED_SLASH.search(request.target.partition("?")[0]):
            return False
    return not any("websocket" in value.lower() for value in header_values(request, "upgrade"))
