"""What an outage says of its cause."""

import errno
import socket
import ssl

import pytest

from asapfn.adapters._causes import described, escaped


def caused(error: BaseException, by: BaseException | None) -> BaseException:
    error.__cause__ = by
    return error


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)")
VERIFY = ssl.SSLCertVerificationError(1, "[SSL: X_Y] certificate verify failed: why (_ssl.c:1006)")

CAUSES = {
    "one without a text": (LookupError(), "LookupError"),
    "its own text": (LookupError("why"), "LookupError: why"),
    "the last of the chain": (
        caused(LookupError("a"), caused(KeyError(), REFUSED)),
        "LookupError: Connection refused",
    ),
    "the last that has a text": (caused(LookupError("a"), ValueError()), "LookupError: a"),
    "a certificate": (
        caused(OSError("connecting"), VERIFY),
        "OSError: certificate verify failed: why",
    ),
    "a name that is not known": (
        socket.gaierror(-2, "Name or service not known"),
        "gaierror: Name or service not known",
    ),
    "the first of several": (
        caused(OSError("all failed"), ExceptionGroup("g", [REFUSED, VERIFY])),
        "OSError: Connection refused",
    ),
    "a text to escape": (ValueError("a\r\n\x00é\u2028"), r"ValueError: a\r\n\x00\xe9\u2028"),
}


@pytest.mark.parametrize(("error", "text"), CAUSES.values(), ids=CAUSES)
def test_the_cause_is_at_the_end_of_the_chain(error: BaseException, text: str) -> None:
    assert described(error) == text


def test_the_cause_is_found_though_the_chain_is_hidden() -> None:
    try:
        try:
            raise REFUSED
        except OSError:
            raise LookupError("a") from None
    except LookupError as error:
        assert described(error) == "LookupError: Connection refused"


def test_a_chain_that_is_a_circle_ends() -> None:
    first, second = LookupError("first"), LookupError("second")
    first.__cause__, second.__cause__ = second, first
    assert described(first) == "LookupError: second"


def test_a_cause_that_quotes_a_secret_is_only_named() -> None:
    assert described(LookupError("asked for ?token=hunter2"), "token=hunter2", "") == "LookupError"
    assert described(LookupError("asked"), "token=hunter2", "") == "LookupError: asked"


def test_a_cause_is_cut_to_200_characters() -> None:
    assert len(described(LookupError("x" * 10_000))) == 200
    assert len(escaped("\x00" * 10_000)) == 200
