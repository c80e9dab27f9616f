"""What to do about a refusal: a word of advice for each reason, and a closer look where it pays.

The closer looks find the usual suspects: a token that was copied with its quotes, an audience with
a slash too many, a signature in another encoding, a secret that was read with its line feed.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, OctKey

from asapfn.algorithms import verify_signature
from asapfn.cli.steps import readable_header
from asapfn.cli.text import shown
from asapfn.errors import Reason, TokenRejected, Unavailable
from asapfn.keys import import_secret
from asapfn.types import Key, Unverified

_ADVICE: Final[Mapping[Reason, str]] = {
    "malformed": "look at what was sent: is it a token, whole and unquoted?",
    "unsupported_algorithm": "sign by an algorithm that is taken here",
    "missing_claim": "let the signer set {claim}",
    "invalid_claim": "let the signer mend {claim}",
    "expired": "sign anew for each request; if it was fresh, compare the two machines' clocks",
    "not_yet_valid": "compare the clocks of the two machines",
    "lifetime_too_long": "sign for a shorter time: a minute is usual",
    "wrong_audience": "sign for this service's name, letter for letter",
    "unknown_key": "publish the public key under this kid, or correct the kid",
    "key_not_owned": "name the key after its issuer, iss/..., and publish it under that name",
    "unsuitable_key": "sign by the algorithm that the published key is for",
    "bad_signature": "is another key published under this kid than signed, or was the token"
    " changed on its way?",
    "subject_mismatch": "leave sub out; or, if it may speak for others, allow that (--any-subject)",
    "replayed": "sign anew for each request: this service takes a token once",
    "request_mismatch": "sign for this very request: compare the canonical requests",
    "missing_token": "send one token, in the Authorization header, by the scheme that is expected",
    "ambiguous_token": "send one token, in one place",
    "issuer_not_allowed": "add the issuer to those that are allowed, if it should be",
}

_LOOKS: Final = (
    (r"[\"'].*|.*[\"']", "it is in quotes: take them off"),
    (r"\S*\s[\s\S]*", "there is white space in it: it was broken into lines, or more was copied"),
    (r".*%[0-9A-Fa-f]{2}.*", "it is percent-encoded: decode it first"),
    (r".*=.*", "it has base64's padding (=): JWS has none (RFC 7515, section 2)"),
    (r".*[+/].*", "it is in base64: JWS takes base64url, - for + and _ for / (RFC 7515)"),
    (r"[^.]*(?:\.[^.]*){4}", "five segments: it is encrypted (JWE), not signed (JWS)"),
    (r"[^.]*(?:\.[^.]*)?", "it has fewer than three segments: it was cut, or is something else"),
    (r"[^.]*\.[^.]*\.", "its signature is empty"),
    (r"[^.]*(?:\.[^.]*){3,}", "it has more than three segments"),
)


def mend(
    error: TokenRejected | Unavailable,
    text: str = "",
    unverified: Unverified | None = None,
    key: Key | None = None,
    wanted: Iterable[str] = (),
    closer: str = "",
) -> str:
    """What to do about a refusal.

    Args:
        error: The refusal, or the outage.
        text: The token's text.
        unverified: The token, if it could be read.
        key: The key, if one was found.
        wanted: Names that would have been accepted.
        closer: The true cause, where it is known already.

    Returns:
        A line or two of advice.
    """
    if isinstance(error, Unavailable):
        return "ask again; if it stays so, see that the source of keys answers from here"
    if error.claim == "icLabel":
        return "none: where the keys of Isolated Cloud are is not documented"
    closer = closer or _closer(error, text, unverified, key, wanted)
    advice = _ADVICE[error.reason].format(claim=error.claim)
    return f"{closer}; {advice}" if closer else advice


def _closer(
    error: TokenRejected,
    text: str,
    unverified: Unverified | None,
    key: Key | None,
    wanted: Iterable[str],
) -> str:
    if error.reason == "malformed":
        looks = (say for look, say in _LOOKS if re.fullmatch(look, text))
        return next(looks, "") if error.claim is None else ""
    if error.reason == "unsupported_algorithm":
        header = readable_header(text)
        unsigned = header is not None and header["alg"].lower() == "none"
        return "it is unsigned, and nothing unsigned is ever taken" if unsigned else ""
    if unverified is None:
        return ""
    if error.reason == "wrong_audience":
        return _near(unverified.claims["aud"], wanted)
    if error.reason == "issuer_not_allowed":
        return _near(unverified.claims["iss"], wanted)
    if error.reason == "bad_signature" and key is not None:
        return _other_signature(unverified, key)
    return ""


def _near(given: Any, wanted: Iterable[str]) -> str:
    names = [given] if isinstance(given, str) else given
    for name in names:
        for other in wanted:
            for what, bring in (
                ("white space", str.strip),
                ("upper and lower case", str.casefold),
                ("a slash at the end", lambda text: text.rstrip("/")),
                ("the scheme before it", lambda text: text.rpartition("://")[2].rstrip("/")),
            ):
                if bring(name) == bring(other):
                    return f"{shown(name)} and {shown(other)} differ in {what} alone"
    return ""


def _other_signature(unverified: Unverified, key: Key) -> str:
    def holds(other: Key, signature: bytes) -> bool:
        return verify_signature(
            unverified.header["alg"], other, unverified.signing_input, signature
        )

    if isinstance(key, ECKey) and holds(key, _from_der(unverified.signature, key)):
        return "the signature is in DER: JWS has r and s side by side (RFC 7518, section 3.4)"
    if isinstance(key, OctKey):
        for what, other in _other_secrets(key.raw_value):
            if holds(other, unverified.signature):
                return f"the signature is by the secret {what}"
    return ""


def _from_der(signature: bytes, key: ECKey) -> bytes:
    """An ECDSA signature as JWS has it, of one in DER; empty for anything else."""
    size = (key.raw_value.curve.key_size + 7) // 8
    try:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(size) + s.to_bytes(size)
    except (ValueError, OverflowError):
        return b""


def _other_secrets(secret: bytes) -> Iterator[tuple[str, Key]]:
    others = {
        "with a line feed at its end": secret + b"\n",
        "without the white space around it": secret.strip(),
    }
    with suppress(binascii.Error):
        standard = secret.translate(bytes.maketrans(b"-_", b"+/"))
        others["decoded from base64"] = base64.b64decode(standard + b"==")
    for what, other in others.items():
        with suppress(ValueError):
            yield what, import_secret(other)
