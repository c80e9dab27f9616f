"""Keys: bytes to keys, keys to bytes.

A key is one of joserfc's, so that its own tools work on it; it carries its `kid` and `alg`. What
comes in is checked for what it claims to be and for its strength, and what goes out is an
allow-list of members: joserfc does neither in all of its versions. Input that is refused is never
quoted.
"""

import base64
import binascii
import datetime
import re
import secrets
import time
import urllib.parse
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives import serialization
from joserfc.jwk import OctKey

from asapfn._core.algorithms import ALGORITHMS, asymmetric, require_known
from asapfn._core.certificate import read_certificate
from asapfn._core.jwk import export_jwks, export_public_jwk, import_jwk
from asapfn._core.key_material import (
    explained,
    loaded,
    read_private_key,
    read_public_key,
    wrap_native,
    wrap_secret,
)
from asapfn.errors import escaped
from asapfn.types import Clock, Key

__all__ = [
    "Key",
    "export_data_uri",
    "export_jwks",
    "export_private_pem",
    "export_public_jwk",
    "export_public_pem",
    "generate",
    "import_certificate",
    "import_data_uri",
    "import_jwk",
    "import_pem",
    "import_secret",
    "is_key_id",
]

# Without backtracking, since this form is the fastest and it is matched often.
_PART: Final = r"(?!\.\.?(?:/|\Z))[A-Za-z0-9_.\-+]++"
_KEY_ID: Final = re.compile(rf"{_PART}(?:/{_PART})*+")
LONGEST_KEY_ID: Final = 1024
_PEM: Final = re.compile(r"(?s)-----BEGIN ([A-Z0-9 ]+)-----((?:(?!-----).)*)-----END \1-----")
# RFC 1421, section 4.6.1.1, as the older formats of private keys have it.
_ENCRYPTED: Final = re.compile(r"\s*Proc-Type:\s*4,\s*ENCRYPTED")
_PUBLIC_LABELS: Final = frozenset(("PUBLIC KEY", "RSA PUBLIC KEY"))
_PRIVATE_LABELS: Final = frozenset(
    ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
)
# RFC 7468, section 5.1, has the first, and asks parsers to know the others.
_CERTIFICATE_LABELS: Final = frozenset(("CERTIFICATE", "X509 CERTIFICATE", "X.509 CERTIFICATE"))
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MOST_CERTIFICATE_PEM: Final = 32 * 1024
# Peers do not look at the media type; these are what a key is called.
_DATA_URI: Final = re.compile(
    r"data:(?:application/(?:pkcs8|x-pem-file|octet-stream)|text/plain)?"
    r"((?:;(?:kid|charset)=[^;,]+)*)(?:;base64)?,([^,]*)",
    re.DOTALL,
)
_ENCODED_SCHEME: Final = re.compile(r"data%3A", re.IGNORECASE)
_PARAMETER: Final = re.compile(r";(kid|charset)=([^;,]+)")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
# A line end as shells, JSON and YAML escape it, several times over. Each run of backslashes is
# looked at from its begin alone, or many of them would take time by the square of their number.
_ESCAPED_LINE_END: Final = re.compile(r"(?<!\\)\\++(r|n|\r?\n)")
_WITHOUT_SPACE: Final = str.maketrans("", "", " \t\r\n")
# Each run of white space is looked at from its begin alone, as above.
_FOLD: Final = re.compile(r"(?<![ \t])[ \t]*+(?:\r?\n[ \t]*+)++")
# What is around a text that was copied or quoted, with the backslashes of quotes in quotes.
_AROUND: Final = " \t\r\n\"'\\\ufeff"


def is_key_id(kid: str) -> bool:
    """Whether a key id is well formed by ASAP's grammar.

    Args:
        kid: The key id.

    Returns:
        True for parts of ASCII letters, digits and `_.-+` that are joined by `/`, where no part is
        empty, `.` or `..` (ASAP specification, "Key identifier"), of at most 1,024 characters.
    """
    return len(kid) <= LONGEST_KEY_ID and _KEY_ID.fullmatch(kid) is not None


def describe_key_id(kid: str) -> str:
    """What is expected of a key id and what was seen, for the detail of a refusal."""
    if len(kid) > LONGEST_KEY_ID:
        return f"expected at most {LONGEST_KEY_ID} characters; it has {len(kid)}"
    return f"expected parts of A-Z a-z 0-9 _ . - + between /; it is '{escaped(kid)}'"


def import_pem(
    data: str | bytes,
    *,
    kid: str | None = None,
    algorithm: str | None = None,
    password: str | bytes | None = None,
) -> Key:
    r"""Read one public or private key from PEM (RFC 7468).

    Args:
        data: PKCS#8, PKCS#1 or SEC1 for a private key, SubjectPublicKeyInfo or PKCS#1 for a public
            one. What environment variables and CI secrets do to it is undone: a literal `\n`,
            however often it was escaped, quotes around it, blank lines, percent-encoding, and
            base64 of all of it.
        kid: The key id the key is to carry.
        algorithm: The one algorithm the key is for.
        password: The password of an encrypted private key; None or empty where there is none.

    Returns:
        The key. To read a public key takes almost no time. The numbers of a private key are
        checked, which takes 0.3 s for RSA with 4,096 bits and 4 s with 8,192; how long a password
        is hashed was chosen when the key was encrypted. Read private keys from their owner alone.

    Raises:
        ValueError: If there is not exactly one key, the password is wrong, missing or not needed,
            the key is weak, too large or of another algorithm, or it does not fit `algorithm`.
        TypeError: If the data or the password is neither str nor bytes.
    """
    pem = _out_of_encodings(_as_text(data))
    if "-----BEGIN " not in pem:
        if is_data_uri(pem):
            raise ValueError("this is a data URI: read it by import_data_uri")
        raise ValueError("no PEM key found (is this a path instead of the file's contents?)")
    label, body = _one_block(pem)
    secret = _as_bytes(password, "password") if password else None
    if label in _CERTIFICATE_LABELS:
        raise ValueError(f"{label} is not accepted: read it by import_certificate")
    _require_label(label, _PUBLIC_LABELS | _PRIVATE_LABELS, "PKCS#8 or SubjectPublicKeyInfo")
    if label == "ENCRYPTED PRIVATE KEY" or _ENCRYPTED.match(body):
        if secret is None:
            raise ValueError("the key needs a password")
        wrong = "the PEM holds no key that can be read with this password"
        return wrap_native(loaded(wrong, _decrypted, label, body, secret), kid, algorithm)
    if secret is not None:
        raise ValueError("the key is not encrypted: give no password")
    return wrap_native(_from_pem(label, body), kid, algorithm)


def import_published_pem(data: str | bytes, *, kid: str | None = None) -> Key:
    """Read one public key from PEM that somebody else wrote: `import_pem`, but of public keys.

    Args:
        data: SubjectPublicKeyInfo or PKCS#1. A private key is not looked at.
        kid: The key id the key is to carry.

    Returns:
        The key.

    Raises:
        ValueError: If there is not exactly one key, it is private, weak, too large, or none that
            an algorithm here accepts.
        TypeError: If the data is neither str nor bytes.
    """
    label, body = _one_block(_as_text(data))
    if "PRIVATE" in label:
        raise ValueError("a private key is published: replace it at once")
    if label in _CERTIFICATE_LABELS:
        raise ValueError(f"{label} is not accepted: publish its public key")
    _require_label(label, _PUBLIC_LABELS, "SubjectPublicKeyInfo")
    return wrap_native(_from_pem(label, body), kid, None)


class DatedKey(NamedTuple):
    """A public key, and the first and last second since the epoch in which it may be used."""

    key: Key
    not_before: float
    not_after: float


def import_certificate(data: str | bytes, *, kid: str | None = None, now: Clock = time.time) -> Key:
    """Read the public key of one X.509 certificate in PEM (RFC 7468, section 5).

    The certificate is a form in which a public key is published, no more: no chain is built, nor is
    its signature verified, its name compared or its revocation looked up. Trust it as you would
    trust a bare key: because of the place where you found it.

    Args:
        data: PEM of one certificate, of at most 32,768 bytes; no chain.
        kid: The key id the key is to carry.
        now: The clock, seconds since the epoch.

    Returns:
        The key.

    Raises:
        ValueError: If there is not exactly one certificate, it is not in DER as RFC 5280 has it, it
            is not valid now, its keyUsage does not allow signatures, or its key is weak, too large,
            or none that an algorithm here accepts.
        TypeError: If the data is neither str nor bytes.
    """
    dated = import_dated_key(data, kid=kid)
    if wrong := not_valid(dated, now()):
        raise ValueError(wrong)
    return dated.key


def import_dated_key(data: str | bytes, *, kid: str | None = None) -> DatedKey:
    """`import_certificate`, but it leaves it to the caller to compare the dates."""
    if len(_as_bytes(data, "certificate")) > _MOST_CERTIFICATE_PEM:
        raise ValueError(f"expected a certificate in PEM of at most {_MOST_CERTIFICATE_PEM} bytes")
    pem, advice = _as_text(data), "; no chain is built: give the first alone"
    label, body = _one_block(pem, "certificate", advice)
    _require_label(label, _CERTIFICATE_LABELS, "one CERTIFICATE")
    wrong = "the PEM holds no certificate that can be read"
    native, *dates = explained(wrong, _in_der, read_certificate, body)
    return DatedKey(wrap_native(native, kid, None), *dates)


def not_valid(dated: DatedKey, now: float) -> str:
    """Why a certificate is not valid at a time, or the empty string (RFC 5280, 4.1.2.5)."""
    if dated.not_before <= now <= dated.not_after:
        return ""
    first, last = _written(dated.not_before), _written(dated.not_after)
    return f"the certificate is valid from {first} to {last}, and now is {_written(now)}"


def _written(seconds: float) -> str:
    # Not by `fromtimestamp`, which some systems limit.
    try:
        time_of = _EPOCH + datetime.timedelta(seconds=seconds)
    except (OverflowError, ValueError):  # a clock that is out of the calendar, or no number
        return f"{seconds:.0f}"
    return time_of.strftime("%Y-%m-%dT%H:%M:%SZ")


def import_data_uri(uri: str, *, kid: str | None = None) -> Key:
    """Read a private key from ASAP's data URI.

    Args:
        uri: `data:application/pkcs8;kid=<percent-encoded key id>;base64,<PKCS#8 DER>`. As its other
            implementations write it, it may have line breaks in it, be percent-encoded in part or
            as a whole, have a `charset`, no `kid` or no `;base64`, and hold one PEM in place of
            the DER.
        kid: The key id the key is to carry, where the URI has none.

    Returns:
        The private key, carrying its key id.

    Raises:
        ValueError: If the URI is not of that form, its key id is missing, not well formed or not
            `kid`, or its key cannot be read or is weak.
    """
    text = uri.strip(_AROUND)
    match = _as_data_uri(text) or _as_data_uri(urllib.parse.unquote(text))
    parameters = [] if match is None else _PARAMETER.findall(match[1])
    named = dict(parameters)
    if match is None or len(named) != len(parameters):
        raise ValueError("expected data:application/pkcs8;kid=...;base64,...")
    # Plain percent-decoding: a `+` is a legal character of a key id, not a space.
    own = urllib.parse.unquote(named["kid"]) if "kid" in named else kid
    if own is None:
        raise ValueError("the data URI has no key id: give it by kid, --kid or ASAP_KEY_ID")
    if not is_key_id(own):
        # Not quoted: were the parts of the URI mixed up, it would be the key.
        raise ValueError(
            "the data URI's key id is not well formed: expected parts of A-Z a-z 0-9 _ . - +"
            f" between /, of at most {LONGEST_KEY_ID} characters in all; it has {len(own)}"
        )
    if kid not in (None, own):
        raise ValueError("the key id of kid, --kid or ASAP_KEY_ID differs from the data URI's")
    native = explained("the data URI holds no PKCS#8 key that can be read", _from_data, match[2])
    return wrap_native(native, own, None)


def is_data_uri(text: str) -> bool:
    """Whether a text is meant as a data URI, which may be percent-encoded as a whole."""
    text = text.strip(_AROUND)
    return text.startswith("data:") or _ENCODED_SCHEME.match(text) is not None


def _as_data_uri(text: str) -> re.Match[str] | None:
    # No character of a URI is white space: what breaks its lines is no part of it.
    return _DATA_URI.fullmatch(_FOLD.sub("", _unescaped(text)))


def _from_data(text: str) -> Any:
    """The key in the data of a data URI: of DER, or of a PEM in its place."""
    text = _out_of_encodings(text)
    if not text.startswith("-----BEGIN "):
        return read_private_key(_from_base64(text.translate(_WITHOUT_SPACE)))
    label, body = _one_block(text)
    _require_label(label, _PRIVATE_LABELS, "a private key")
    return read_private_key(_der(body))


def _from_base64(text: str) -> bytes:
    if not _BASE64.fullmatch(text):
        raise ValueError("it is not in base64")
    padding = "" if "=" in text else "=" * (-len(text) % 4)
    return binascii.a2b_base64(text + padding, strict_mode=True)


def import_secret(secret: str | bytes, *, kid: str | None = None) -> OctKey:
    """Import a shared secret for HMAC.

    Args:
        secret: The secret, as its bytes or as text whose UTF-8 is meant; at least 32 bytes
            (RFC 7518, section 3.2).
        kid: The key id the key is to carry.

    Returns:
        The key.

    Raises:
        ValueError: If the secret is too short for any algorithm, or is a key or certificate in
            PEM, DER, SSH or JWK form, also where that is encoded in base64, hexadecimal digits,
            percent-encoding or UTF-16: a public key that serves as secret lets anybody sign. The
            bare numbers of a key look like random bytes and are not recognized.
        TypeError: If it is neither str nor bytes.
    """
    return wrap_secret(_as_bytes(secret, "secret"), kid, None)


def generate(algorithm: str, *, kid: str | None = None) -> Key:
    """Make a new key for an algorithm.

    Args:
        algorithm: Its name. RSA keys get 2048 bits, secrets the size of the hash.
        kid: The key id the key is to carry.

    Returns:
        The private key, or the secret; it carries the algorithm.

    Raises:
        ValueError: If the algorithm is not known.
    """
    require_known(algorithm)
    key_type, curve, least, _, _ = ALGORITHMS[algorithm]
    if key_type is OctKey:
        return wrap_secret(secrets.token_bytes(least), kid, algorithm)
    kind: Any = key_type
    return wrap_native(kind.generate_key(curve or least).raw_value, kid, algorithm)


def export_public_pem(key: Key) -> str:
    """The public key as PEM SubjectPublicKeyInfo (RFC 7468, section 13).

    Args:
        key: A public or private key.

    Returns:
        PEM text of the public part.

    Raises:
        ValueError: If the key is a shared secret.
    """
    return asymmetric(key).as_pem(private=False).decode("ascii")


def export_private_pem(key: Key, password: str | bytes | None = None) -> str:
    """The private key as PEM PKCS#8 (RFC 7468, sections 10 and 11).

    Args:
        key: A private key.
        password: What to encrypt it with; None leaves it in the clear.

    Returns:
        PEM text. Keep it secret.

    Raises:
        ValueError: If the key is public or a shared secret, or the password is empty.
    """
    secret = None if password is None else _as_bytes(password, "password")
    pem: bytes = _private(key).as_pem(private=True, password=secret)
    return pem.decode("ascii")


def export_data_uri(key: Key) -> str:
    """The private key as ASAP's data URI, for an environment variable.

    Args:
        key: A private key that carries a well-formed key id.

    Returns:
        `data:application/pkcs8;kid=...;base64,...`. Keep it secret.

    Raises:
        ValueError: If the key is public or a shared secret, or has no well-formed key id.
    """
    if key.kid is None or not is_key_id(key.kid):
        raise ValueError("the key has no well-formed key id: give it one when importing it")
    pkcs8 = base64.b64encode(_private(key).as_der(private=True)).decode("ascii")
    return f"data:application/pkcs8;kid={urllib.parse.quote(key.kid, safe='')};base64,{pkcs8}"


def _one_block(pem: str, what: str = "key", advice: str = "") -> tuple[str, str]:
    """The label of the one key, or the one certificate, in PEM, and what is within it."""
    text = _unescaped(pem)
    blocks = [m for m in _PEM.finditer(text) if m[1] != "EC PARAMETERS"]
    begun = text.count("-----BEGIN ") - text.count("-----BEGIN EC PARAMETERS-----")
    if len(blocks) != 1 or begun != 1:
        found = f"found {len(blocks)} whole of {begun}"
        raise ValueError(f"expected one {what} in PEM, {found}{advice if begun > 1 else ''}")
    return blocks[0][1], blocks[0][2]


def _require_label(label: str, accepted: frozenset[str], expected: str) -> None:
    if label not in accepted:
        raise ValueError(f"{label[:40]} is not accepted: expected {expected}")


def _unescaped(text: str) -> str:
    return _ESCAPED_LINE_END.sub(lambda escape: "" if escape[1] == "r" else "\n", text)


def _out_of_encodings(text: str) -> str:
    """The PEM that the text is base64 of, once; or the text. Percent-encoding of both is undone."""
    if "%" in text:  # which is in no PEM
        text = urllib.parse.unquote(text)
    body = _unescaped(text).translate(_WITHOUT_SPACE).strip("\"'\\").rstrip("=")
    try:
        pem = _as_text(_from_base64(body))
    except ValueError:
        return text
    return pem if "-----BEGIN " in pem else text


def _from_pem(label: str, body: str) -> Any:
    """The key of cryptography from a block that is not encrypted."""
    read = read_public_key if label in _PUBLIC_LABELS else read_private_key
    return explained("the PEM holds no key that can be read", _in_der, read, body)


def _in_der(read: Callable[[bytes], Any], body: str) -> Any:
    return read(_der(body))


def _der(body: str) -> bytes:
    """What is in a block, of base64 in its one spelling."""
    return binascii.a2b_base64("".join(body.split()), strict_mode=True)


def _decrypted(label: str, body: str, password: bytes) -> Any:
    """The key of cryptography from a block that is encrypted."""
    if label == "ENCRYPTED PRIVATE KEY":
        return serialization.load_der_private_key(_der(body), password)
    # Its header is lines, which may be indented, and ends with a blank one.
    lines = "\n".join(line.strip() for line in body.splitlines())
    pem = f"-----BEGIN {label}-----{lines}\n-----END {label}-----"
    return serialization.load_pem_private_key(pem.encode(), password)


def _as_bytes(value: str | bytes, what: str) -> bytes:
    given: object = value
    if not isinstance(given, (str, bytes)):
        advice = ": read the file, as by read_bytes()" if isinstance(given, PurePath) else ""
        raise TypeError(f"the {what} is a str or bytes, not {type(given).__name__}{advice}")
    if isinstance(value, bytes):
        return value
    encoded = value.encode(errors="replace")
    if encoded.decode() != value:  # a UnicodeEncodeError would carry all of the text
        raise ValueError(f"the {what} holds a lone surrogate")
    return encoded


def _as_text(pem: str | bytes) -> str:
    return _as_bytes(pem, "PEM").decode("utf-8", "replace")


def _private(key: Key) -> Any:
    if asymmetric(key).private_key is None:
        raise ValueError("the key is public: only a private key can be exported so")
    return key
