"""Describe an exception in a few words, by the cause at the end of its chain."""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from asapfn.errors import escaped

_LONGEST: Final = 200
# OpenSSL's library and reason before the sentence, and the place in Python's source after it.
_SSL_EXTRAS: Final = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")


def described(error: BaseException, *secrets: str) -> str:
    """Name an exception, and what caused it.

    Args:
        error: The exception.
        secrets: What must not be quoted; where a text holds one, the exception is only named.

    Returns:
        The exception's type, and the text of the last exception of its chain that has one, escaped
        and cut to 200 characters.
    """
    texts = [text for text in map(_text, _chain(error)) if text]
    name = type(error).__name__
    if not texts or any(secret and secret in texts[-1] for secret in secrets):
        return name
    return f"{name}: {escaped(texts[-1])}"[:_LONGEST]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those it came from. httpcore hides them: they are in `__context__` alone."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        if isinstance(each, BaseExceptionGroup):
            each = each.exceptions[0]
        else:
            each = each.__cause__ or each.__context__


def _text(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return ""
    if isinstance(error, ssl.SSLError):
        return _SSL_EXTRAS.sub("", str(error.strerror or error))
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error)
