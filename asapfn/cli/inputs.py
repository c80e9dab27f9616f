"""Where tokens, secrets and keys come from: files, the environment, standard input.

No secret need be on the command line, where every user of the machine can read it and the shell
remembers it. What names the place of a secret is never repeated in a message, for somebody will
give the secret itself instead.
"""

import os
import re
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getpass
from importlib import import_module
from pathlib import Path
from typing import Final

from joserfc.jwk import OctKey

from asapfn import keys
from asapfn._core import compact
from asapfn.cli.options import Arguments, Options, option
from asapfn.types import Key

WHERE: Final = "a file, - for standard input, or env:NAME for an environment variable"
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
_LONGEST_LINE: Final = 4095  # of a terminal on Linux, its line feed included


def read_bytes(where: str, what: str) -> bytes:
    """Read what is somewhere, without the line feed that an editor put at its end.

    Args:
        where: A file, `-` for standard input, or `env:NAME`.
        what: What it is, for messages.

    Returns:
        The bytes.

    Raises:
        ValueError: If there is nothing, or it cannot be read.
    """
    if where.startswith("env:"):
        name = where.removeprefix("env:")
        if name not in os.environ:
            known = f" {name}" if _VARIABLE.fullmatch(name) else ""
            raise ValueError(f"environment variable{known} is not set")
        data = os.environ[name].encode("utf-8", "surrogateescape")
    elif where == "-":
        data = standard_input(what)
    else:
        try:
            data = read_file(where)
        except OSError as error:
            raise ValueError(f"cannot read the {what}: {error.strerror}; give {WHERE}") from None
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data:
        raise ValueError(f"the {what} is empty")
    return data


def in_variable(name: str) -> str:
    """The place of a key or a secret that is in a variable; empty if it is not."""
    return f"env:{name}" if os.environ.get(name) else ""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a blocking read at once: the event loop's own handler waits for its end.

    It is for reads alone. Raised anywhere else, KeyboardInterrupt can leave cancel scopes open.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def read_file(path: str | Path) -> bytes:
    """The bytes of a file, which may be a pipe."""
    with interruptible():
        return Path(path).read_bytes()


def standard_input(what: str) -> bytes:
    """What is on standard input; on a terminal it is asked for, and not shown."""
    with interruptible():
        return _asked(what) if sys.stdin.isatty() else sys.stdin.buffer.read()


def _asked(what: str) -> bytes:
    """What is typed into the terminal, which does not show it."""
    prompt = f"{what} (not shown): "
    try:
        termios = import_module("termios")
    except ImportError:  # Windows
        return getpass(prompt).encode()
    shown = termios.tcgetattr(sys.stdin)
    hidden = [*shown[:3], shown[3] & ~termios.ECHO, *shown[4:]]
    # Drained, not flushed as by getpass: several lines may have been pasted at once.
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, hidden)
    try:
        print(prompt, end="", file=sys.stderr, flush=True)
        # A read that begins just after Ctrl-C would not see it: none begins before there is input.
        while not select.select([sys.stdin], [], [], 0.2)[0]:
            pass
        text = line = sys.stdin.readline()
        if len(line) >= _LONGEST_LINE:
            raise ValueError(f"a terminal cuts off a line here: give the {what} in a file")
        while "-----BEGIN" in text and "-----END" not in text and line:
            line = sys.stdin.readline()
            text += line
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, shown)
        sys.stderr.write("\n")
    return text.encode("utf-8", "surrogateescape")


def read_key(where: str, what: str, kid: str | None, password_from: str | None = None) -> Key:
    """Read a key: PEM, a certificate's too, ASAP's data URI, or a JWK.

    Args:
        where: As for `read_bytes`.
        what: What it is, for messages.
        kid: The key id that a PEM is to carry, or a data URI or JWK without one.
        password_from: Where the password of an encrypted PEM is, as for `read_bytes`.

    Returns:
        The key.

    Raises:
        ValueError: If it cannot be read, is none of these, or carries another key id than `kid`.
    """
    data = read_bytes(where, what)
    text = data.decode("utf-8", "replace").strip().strip("\"'")
    if keys.is_data_uri(text):
        return keys.import_data_uri(text, kid=kid)
    if b"CERTIFICATE-----" in data:
        return keys.import_certificate(data, kid=kid)
    if not text.startswith("{"):
        return keys.import_pem(data, kid=kid, password=_password(data, what, password_from))
    members = compact.decode_object(data)
    if members.get("kid") is None:
        members["kid"] = kid
    key = keys.import_jwk(members)
    if kid not in (None, key.kid):
        raise ValueError(f"the {what} carries another key id than --kid")
    return key


def read_secret(options: Options) -> OctKey | None:
    """The secret that is shared with a product: by --secret-from, or else a variable."""
    where = options.secret_from or in_variable("ASAPFN_SECRET")
    return keys.import_secret(read_bytes(where, "secret")) if where else None


def _password(data: bytes, what: str, where: str | None) -> bytes | None:
    """The password of a private key, if it is encrypted; on a terminal it is asked for."""
    if where is None and b"ENCRYPTED" in data:
        if not sys.stdin.isatty():
            raise ValueError(f"the {what} is encrypted: give its password by --password-from")
        where = "-"
    return None if where is None else read_bytes(where, "password")


def add_token(parser: Arguments) -> None:
    """Add the token to a command."""
    what = (
        "the token, - for standard input, or @FILE; its scheme or a request's head may be around it"
    )
    option(parser, "token TOKEN", what, nargs="?")


def read_token(options: Options) -> str:
    """The text that holds a token: the argument itself, `-` for standard input, or a file.

    Returns:
        The text, without white space around it; it may be empty on standard input, or beside a
        URL.

    Raises:
        ValueError: If there is none, it is empty otherwise, or it is a PEM.
    """
    where: str | None = options.token
    url = getattr(options, "url", None)
    if where is None:
        if url is not None:
            return ""
        if not sys.stdin.isatty():
            raise ValueError("give the token: itself, - for standard input, or @FILE")
        where = "-"
    data, place = where.encode("utf-8", "replace"), "the argument"
    if where == "-":
        data, place = standard_input("token"), "standard input"
    elif where.startswith("@") or os.path.isfile(where):
        data, place = read_file(where.removeprefix("@")), "the file"
    text = data.decode("utf-8", "replace").strip()
    if text.startswith("-----BEGIN "):
        raise ValueError(f"{place} holds a PEM, not a token")
    # An empty text is a request without a token, if it is piped in or comes with the URL.
    if not text and (sys.stdin.isatty() if where == "-" else url is None):
        raise ValueError("the token is empty")
    return text


def authorization(text: str, scheme: str) -> tuple[tuple[str, str], ...]:
    """The headers of the request that a token came with.

    Args:
        text: A token; or `SCHEME TOKEN`; or whole lines of a request's head, of which those that
            say `Authorization:` count. Empty for no token.
        scheme: The scheme to suppose for a bare token.

    Returns:
        The `Authorization` headers.
    """
    lines = [line.partition(":") for line in text.splitlines()]
    values = [value.strip() for name, _, value in lines if name.strip().lower() == "authorization"]
    if text and not values:
        first, _, rest = text.partition(" ")
        values = [text if first.isalpha() and rest else f"{scheme} {text}"]
    return tuple(("Authorization", value) for value in values)
