"""Public keys out of X.509 certificates: those of OpenSSL's making, and what is none."""

import base64
import contextlib
import math
import pathlib
import time
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn.keys import (
    export_private_pem,
    export_public_pem,
    import_certificate,
    import_pem,
    import_published_pem,
)
from tests.support.hostile import integer, sequence, tlv
from tests.support.keyforms import DER, PEM, SPKI, certificate, native
from tests.support.keyring import key_for

FOLDER = pathlib.Path(__file__).parents[1] / "support" / "vectors" / "certificates"

# As `openssl x509 -noout -dates` shows them, and `date -u -d ... +%s` counts them.
DATES = {
    "rsa": (1577836800, 1609459200),
    "ec": (2214129600, 2840140800),
    "ed25519": (-315619200, 253402300799),
    "old": (1577836800, 2840140800),
}


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.pem").read_text()


def der_of(name: str) -> bytes:
    return base64.b64decode("".join(text_of(name).splitlines()[1:-1]))


def pem(der: bytes, label: str = "CERTIFICATE") -> str:
    return f"-----BEGIN {label}-----\n{base64.b64encode(der).decode()}\n-----END {label}-----\n"


@pytest.mark.parametrize("name", DATES)
def test_the_key_is_the_one_that_openssl_reads(name: str) -> None:
    expected = (FOLDER / f"{name}.pub").read_text()
    for text in (text_of(name), text_of(name).encode(), text_of(name).replace("\n", "\\n")):
        key = import_certificate(text, kid="any key", now=lambda: DATES[name][0])
        assert export_public_pem(key) == expected
        assert (key.kid, key.alg, key.is_private) == ("any key", None, False)


@pytest.mark.parametrize(("name", "dates"), DATES.items())
def test_a_certificate_is_valid_from_its_first_second_to_its_last(
    name: str, dates: tuple[int, int]
) -> None:
    """RFC 5280, section 4.1.2.5: inclusive at both ends."""
    first, last = dates
    for now in (first, (first + last) / 2, last):
        assert import_certificate(text_of(name), now=lambda now=now: now)
    for now in (first - 1, last + 1, -math.inf, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"the certificate is valid from .*Z to .*Z, and now"):
            import_certificate(text_of(name), now=lambda now=now: now)


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_795_363.75, "2026-11-27T16:02:43Z"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (1e12, "1000000000000"),
    ],
)
def test_the_time_now_is_in_the_form_of_the_dates(now: float, shown: str) -> None:
    with pytest.raises(ValueError, match=f"to 2021-01-01T00:00:00Z, and now is {shown}$"):
        import_certificate(text_of("rsa"), now=lambda: now)


def test_the_dates_are_compared_with_the_real_clock_unless_another_is_given() -> None:
    assert import_certificate(text_of("old"))
    with pytest.raises(ValueError, match="from 2020-01-01T00:00:00Z to 2021-01-01T00:00:00Z"):
        import_certificate(text_of("rsa"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("encipher", "keyUsage does not allow digital signatures"),
        ("weak", "less than 2048 bits"),
        ("p224", "named curve P-256, P-384 or P-521"),
    ],
)
def test_a_certificate_whose_key_verifies_no_signature_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_certificate(text_of(name))


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_a_certificate_of_pypis_cryptography_is_read(name: str) -> None:
    key = import_certificate(certificate(name, PEM), now=lambda: 1768000000)
    assert export_public_pem(key) == export_public_pem(key_for(name))


def test_other_functions_say_which_one_reads_a_certificate() -> None:
    with pytest.raises(ValueError, match="CERTIFICATE is not accepted: read it by import_certif"):
        import_pem(text_of("old"))
    with pytest.raises(ValueError, match="CERTIFICATE is not accepted: publish its public key"):
        import_published_pem(text_of("old"))
    for key in (export_public_pem(key_for("ES256")), export_private_pem(key_for("ES256"))):
        with pytest.raises(ValueError, match="KEY is not accepted: expected one CERTIFICATE"):
            import_certificate(key)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one certificate in PEM, found 0 whole of 0"),
        (text_of("old") * 2, "found 2 whole of 2; no chain is built"),
        (text_of("old")[:-30], "found 0 whole of 1"),
        (text_of("old") + "x" * 40_000, "at most 32768 bytes"),
        (pem(der_of("old") + b"\0"), "nothing behind it"),
        (pem(der_of("old")[:-1]), "cut off"),
        (pem(der_of("old"), "TRUSTED CERTIFICATE"), "TRUSTED CERTIFICATE is not accepted"),
        (pem(native("ES256").public.public_bytes(DER, SPKI)), "expected an X.509 certificate"),
        (pem(tlv(0x30, b"x" * 16_400)), "at most 16384 bytes; it has 16404"),
        (pem(b""), "nothing is left"),
        (text_of("old").replace("MII", "M-I"), "can be read"),
    ],
)
def test_what_is_not_exactly_one_certificate_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        import_certificate(text)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("value", [None, 1, ["x"]])
def test_a_certificate_is_text_or_bytes(value: Any) -> None:
    with pytest.raises(TypeError, match="str or bytes"):
        import_certificate(value)


def made(
    *,
    times: tuple[bytes, ...] = (
        tlv(0x17, b"200101000000Z"),
        tlv(0x18, b"20600101000000Z"),
    ),
    extensions: bytes = b"",
    version: bytes = tlv(0xA0, integer(2)),
    serial: bytes = integer(1),
    more: bytes = b"",
) -> str:
    """A certificate of parts, as nobody signs it."""
    spki = native("ES256").public.public_bytes(DER, SPKI)
    name, algorithm = sequence(), sequence(tlv(0x06, b"\x2a"))
    ending = tlv(0xA3, sequence(extensions)) if extensions else b""
    body = version + serial + algorithm + name + sequence(*times) + name + spki + more + ending
    return pem(sequence(sequence(body), algorithm, tlv(0x03, b"\0x")))


def usage(bits: bytes, critical: bytes = tlv(0x01, b"\xff")) -> bytes:
    return sequence(tlv(0x06, b"\x55\x1d\x0f"), critical, tlv(0x04, tlv(0x03, bits)))


def unknown(number: int) -> bytes:
    return sequence(tlv(0x06, bytes((0x2A, number))), tlv(0x04, b""))


def names(*alternative: bytes) -> bytes:
    return sequence(tlv(0x06, b"\x55\x1d\x11"), tlv(0x04, sequence(*alternative)))


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"version": b""},
        {"extensions": usage(b"\x07\x80")},
        {"extensions": usage(b"\x05\xa0", b"")},
        {"extensions": sequence(tlv(0x06, b"\x2a"), tlv(0x04, b""))},
        {"extensions": b"".join(map(unknown, range(32)))},
        {"more": tlv(0x81, b"\0") + tlv(0x82, b"\0")},
    ],
)
def test_a_certificate_made_of_parts_is_read(parts: dict[str, Any]) -> None:
    assert export_public_pem(import_certificate(made(**parts))) == export_public_pem(
        key_for("ES256")
    )


def test_a_certificate_of_as_many_bytes_as_are_accepted_is_read() -> None:
    def of(filling: int) -> str:
        return made(extensions=sequence(tlv(0x06, b"\x2a"), tlv(0x04, bytes(filling))))

    def size(text: str) -> int:
        return len(base64.b64decode(text.split("-----")[2]))

    most = 16_000 + 16_384 - size(of(16_000))
    assert size(of(most)) == 16_384
    assert import_certificate(of(most))
    with pytest.raises(ValueError, match="at most 16384 bytes; it has 16385"):
        import_certificate(of(most + 1))


@pytest.mark.parametrize(
    ("year", "first_second"),
    [(b"49", 2493072000), (b"50", -631152000), (b"51", -599616000)],
)
def test_two_digits_of_a_year_are_of_1950_to_2049(year: bytes, first_second: int) -> None:
    """RFC 5280, section 4.1.2.5.1; the seconds as `date -u -d 1950-01-01 +%s` counts them."""
    text = made(times=(tlv(0x17, year + b"0101000000Z"), tlv(0x18, b"20600101000000Z")))
    assert import_certificate(text, now=lambda: first_second)
    with pytest.raises(ValueError, match="the certificate is valid from"):
        import_certificate(text, now=lambda: first_second - 1)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="it sets the process's time zone")
@pytest.mark.parametrize("zone", ["XXX+9", "XXX-9"])
def test_the_dates_are_in_utc_wherever_the_process_runs(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = DATES["rsa"]
    with monkeypatch.context() as context:
        context.setenv("TZ", zone)
        time.tzset()
        try:
            assert import_certificate(text_of("rsa"), now=lambda: first)
            assert import_certificate(text_of("rsa"), now=lambda: last)
        finally:
            context.undo()
            time.tzset()


UTC, GENERAL = 0x17, 0x18
FAR = tlv(GENERAL, b"20600101000000Z")


@pytest.mark.parametrize(
    "parts",
    [
        *({"times": (tlv(tag, text), FAR)} for tag, text in (
            (UTC, b"2001010000Z"), (UTC, b"200101000000"), (UTC, b"200101000000+0000"),
            (UTC, b"20200101000000Z"), (GENERAL, b"200101000000Z"), (UTC, b"201301000000Z"),
            (UTC, b"200230000000Z"), (UTC, b"200101240000Z"), (GENERAL, b"20200101000000.5Z"),
            (UTC, b""), (UTC, b"20010100000\xb2Z"), (0x0C, b"200101000000Z"),
            (GENERAL, b"00000101000000Z"), (UTC, b" 00101000000Z"), (UTC, b"200101000000Z\n"),
        )),
        {"times": (FAR,)},
        {"times": (FAR, FAR, FAR)},
        {"version": tlv(0xA1, integer(2))},
        {"serial": b""},
        {"serial": tlv(0x04, b"\x01")},
        {"more": tlv(0x84, b"\0")},
        {"more": tlv(0x30, b"")},
        {"extensions": usage(b"\x07\x80") + usage(b"\x07\x80")},
        {"extensions": usage(b"\x07\x40")},
        {"extensions": usage(b"\x05\x20")},
        {"extensions": usage(b"\0")},
        {"extensions": usage(b"\x07\x80").replace(b"\x03\x02\x07\x80", b"\x03\x01\x07\x80")},
        {"extensions": usage(b"\x07\x80").replace(b"\x03\x02\x07\x80", b"\x04\x02\x07\x80")},
        {"extensions": usage(b"")},
        {"extensions": sequence(tlv(0x06, b"\x55\x1d\x0f"))},
        {"extensions": sequence(tlv(0x06, b"\x55\x1d\x0f"), tlv(0x04, b""))},
        {"extensions": tlv(0x04, b"")},
        {"extensions": sequence()},
    ],
)  # fmt: skip
def test_a_certificate_that_could_be_read_in_two_ways_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"certificate|DER|keyUsage"):
        import_certificate(made(**parts))


def country(name: bytes) -> bytes:
    """A directoryName (RFC 5280, section 4.2.1.6) of a country."""
    pair = sequence(tlv(0x06, b"\x55\x04\x06"), tlv(0x13, name))
    return tlv(0xA4, sequence(tlv(0x31, pair)))


def extension(name: bytes, value: bytes) -> bytes:
    return sequence(tlv(0x06, name), tlv(0x04, value))


TLS_FEATURE = b"\x2b\x06\x01\x05\x05\x07\x01\x18"
NOTICE = sequence(tlv(0x06, b"\x2b\x06\x01\x05\x05\x07\x02\x02"), sequence(tlv(0x1A, b"\xc3\xa9")))


@pytest.mark.parametrize(
    "odd",
    [
        extension(TLS_FEATURE, sequence(integer(7))),
        extension(TLS_FEATURE, sequence()),
        names(tlv(0xA3)),
        names(country(b"Germany")),
        extension(b"\x55\x1d\x20", sequence(sequence(tlv(0x06, b"\x2a\x03"), sequence(NOTICE)))),
        extension(b"\x55\x1d\x1e", sequence()),
    ],
    ids=["feature", "no feature", "X.400", "country", "notice", "constraints"],
)
def test_an_extension_that_nobody_asks_for_neither_raises_nor_warns(odd: bytes) -> None:
    """cryptography raises KeyError, TypeError and ValueError of these, and warns of two."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert import_certificate(made(extensions=odd + usage(b"\x07\x80")))
        with pytest.raises(ValueError, match="keyUsage does not allow digital signatures"):
            import_certificate(made(extensions=odd + usage(b"\x07\x40")))
    assert not caught


@pytest.mark.parametrize(
    "parts",
    [
        {"serial": integer(0)},
        {"serial": integer(-1)},
        {"extensions": unknown(1) * 2},
        {"version": tlv(0xA0, integer(1))},
    ],
)
def test_what_is_odd_beside_the_key_and_the_dates_does_not_matter(parts: dict[str, Any]) -> None:
    """Users SHOULD handle a serial number below 1 gracefully (RFC 5280, section 4.1.2.2)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert import_certificate(made(**parts))
    assert not caught


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"extensions": usage(b"\x07\x80") * 2}, "one keyUsage; it has more"),
        ({"times": (tlv(UTC, b"201301000000Z"), FAR)}, "times that exist: month must be in 1..12"),
        ({"more": tlv(0x84, b"\0")}, "the members of an X.509 certificate"),
    ],
)
def test_a_refusal_says_what_of_the_certificate_is_wrong(parts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"no certificate that can be read: .*{message}"):
        import_certificate(made(**parts))


@given(
    st.sampled_from(sorted(DATES)),
    st.integers(0, 400),
    st.integers(0, 255),
    st.integers(0, 3),
    st.binary(max_size=4),
)
def test_no_certificate_makes_the_import_raise_anything_but_value_error(
    name: str, at: int, octet: int, dropped: int, inserted: bytes
) -> None:
    der = der_of(name)
    at %= len(der)
    for damaged in (
        der[:at] + bytes((octet,)) + der[at + 1 :],
        der[:at] + inserted + der[at + dropped :],
        der[:at],
    ):
        with contextlib.suppress(ValueError):
            key = import_certificate(pem(damaged), now=lambda: DATES[name][0])
            assert not key.is_private
