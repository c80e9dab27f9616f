"""What fuzzing calls: a function for each thing that reads what anybody may send.

A target takes any bytes and says whether they were taken. What it raises is a bug: an exception
that is not documented, or an AssertionError where what was taken breaks a promise. A NUL in its
input parts what is put together first, so that damage gets past the signature and the armour;
each target says how.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import OctKey

from asapfn import keys
from asapfn._core import canonical, verification
from asapfn._core.algorithms import (
    ALGORITHMS,
    default_algorithm,
    make_signature,
    mismatch,
    verify_signature,
)
from asapfn.adapters import _fetch_response
from asapfn.errors import TokenRejected
from asapfn.types import Key, Token, Unverified
from tests.support.forging import forge_bytes
from tests.support.fuzz_seeds import KEYS, LEEWAY, LONGEST, NOW, SECRET, SEEDS

_PAIR: Final = r"[A-Za-z0-9._~%-]*=[A-Za-z0-9._~%,-]*"
FORM: Final = re.compile(rf"[A-Z-]+&/[!-%'-~]*&(?:{_PAIR}(?:&{_PAIR})*)?")


# Tokens


def peek(data: bytes) -> bool:
    """A token; or a header and claims, parted by a NUL, that are made into one."""
    token = _token(data)
    outcome = _peeked(token)
    assert outcome == _peeked(token.decode("latin-1"))
    if isinstance(outcome, str):
        return False
    header, claims, signature = segments = token.split(b".")
    assert [_encoded(_decoded(segment)) for segment in segments] == segments
    assert outcome.header["alg"] in ALGORITHMS
    assert (outcome.header, outcome.claims) == (_json(header), _json(claims))
    assert outcome.signing_input == header + b"." + claims
    assert outcome.signature == _decoded(signature)
    return True


def verify(data: bytes) -> bool:
    """As `peek`; the token made of header and claims is truly signed, by HS256."""
    token = _token(data)
    outcome = _verified(token)
    assert outcome == _verified(token.decode("latin-1"))
    if isinstance(outcome, str):
        return False
    # Of those who may choose the bytes none can sign.
    assert token != data or token in SEEDS["verify"]
    claims = outcome.claims
    assert verification.peek(token)[:2] == outcome[:2]
    assert outcome.verified_at == NOW < outcome.usable_until == claims["exp"] + LEEWAY
    assert 0 < claims["exp"] - claims["iat"] <= LONGEST
    assert all(claims[name] <= NOW + LEEWAY for name in ("iat", "nbf") if name in claims)
    assert "service" in ([claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"])
    return True


def _token(data: bytes) -> bytes:
    header, parted, claims = data.partition(b"\0")
    if not parted:
        return data
    return forge_bytes(header, claims, SECRET, signed_as="HS256").encode()


def _peeked(token: str | bytes) -> Unverified | str:
    try:
        return verification.peek(token)
    except TokenRejected as error:
        return error.reason


def _verified(token: str | bytes) -> Token | str:
    verifying = verification.verify(
        token,
        _key_by_id,
        audience="service",
        algorithms=ALGORITHMS,
        leeway=LEEWAY,
        max_lifetime=LONGEST,
        now=lambda: NOW,
    )
    try:
        # Nothing here waits: no event loop is needed.
        verifying.send(None)
    except StopIteration as done:
        taken: Token = done.value
        return taken
    except TokenRejected as error:
        return error.reason
    raise AssertionError("it waits for something")


async def _key_by_id(unverified: Unverified) -> Key | None:
    return KEYS.get(unverified.header.get("kid", "HS256"))


def _json(segment: bytes) -> Any:
    return json.loads(_decoded(segment), object_pairs_hook=_members)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def _decoded(segment: bytes) -> bytes:
    return base64.urlsafe_b64decode(segment + b"==")


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


# Requests


def canonical_request(data: bytes) -> bool:
    """Method, URL, base URL and form, parted by NULs, as many of them as there are."""
    parts = data.split(b"\0", 3)
    texts = [part.decode("utf-8", "surrogateescape") for part in (*parts, b"", b"")]
    form = parts[3] if len(parts) == 4 else None
    method, url, base_url = texts[:3]
    request = one_form(method, url, base_url, form)
    assert form is None or request == one_form(method, url, base_url, texts[3])
    return request is not None


def one_form(method: str, url: str, base_url: str, form: str | bytes | None) -> str | None:
    """A request's canonical form, where it has one."""
    try:
        request = canonical.canonical_request(method, url, base_url=base_url, form=form)
    except ValueError:
        return None
    # Three parts, of which only the last may hold a `&`; what a line or a log can carry.
    assert FORM.fullmatch(request)
    digest = canonical.qsh(method, url, base_url=base_url, form=form)
    assert digest == hashlib.sha256(request.encode()).hexdigest()
    # It stands for itself, once a slash at the end and repeated parameters are as they are sent.
    method, uri, query = request.split("&", 2)
    pairs = [pair.partition("=") for pair in query.split("&")]
    sent = "&".join(f"{name}{be}{one}" for name, be, values in pairs for one in values.split(","))
    assert canonical.canonical_request(method, f"{uri}/?{sent}") == request
    if method in ("POST", "PUT"):
        assert canonical.canonical_request(method, f"{uri}/", form=sent) == request
    return request


def freshness(data: bytes) -> bool:
    """A Cache-Control header, and an Age behind a NUL."""
    header, _, age = data.decode("latin-1").partition("\0")
    fresh, aged = _fetch_response.freshness(header), _fetch_response.freshness(header, age)
    assert all(seconds is None or 0 <= seconds <= 2**31 for seconds in (*fresh, *aged))
    assert fresh[1:] == aged[1:]
    assert (fresh.max_age is None) == (aged.max_age is None)
    assert (aged.max_age or 0) <= (fresh.max_age or 0)
    return any(seconds is not None for seconds in aged[:3])


# Keys


def import_pem(data: bytes) -> bool:
    """PEM; or a label and the DER that is put in its armour, parted by a NUL."""
    label, parted, der = data.partition(b"\0")
    if parted:
        lines = base64.encodebytes(der)
        data = b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, lines, label)
    taken = _key_or_value_error(keys.import_pem, data)
    # An encrypted key is decrypted in as many rounds as it says, which may take for ever.
    if b"ENCRYPTED" not in data:
        assert not _key_or_value_error(lambda pem: keys.import_pem(pem, password="password"), data)
    return taken is not None


def import_data_uri(data: bytes) -> bool:
    """A data URI; or a key id and DER, parted by a NUL, that are put into one."""
    kid, parted, der = data.partition(b"\0")
    if parted:
        data = b"data:application/pkcs8;kid=%b;base64,%b" % (kid, base64.b64encode(der))
    key = _key_or_value_error(keys.import_data_uri, data.decode("utf-8", "surrogateescape"))
    if key is None:
        return False
    assert keys.is_key_id(key.kid or "")
    uri = keys.export_data_uri(key)
    assert keys.export_data_uri(keys.import_data_uri(uri)) == uri
    return True


def import_jwk(data: bytes) -> bool:
    """JSON, of which what is an object is a JWK."""
    try:
        mapping = json.loads(data)
    except (ValueError, RecursionError):
        return False
    key = _key_or_value_error(keys.import_jwk, mapping) if isinstance(mapping, dict) else None
    if key is None:
        return False
    assert (key.kid, key.alg) == (mapping.get("kid"), mapping.get("alg"))
    if not isinstance(key, OctKey):
        public = keys.export_public_jwk(key)
        assert all(_number(public[n]) == _number(mapping[n]) for n in "nexy" if n in public)
    return True


def _number(member: str) -> int:
    return int.from_bytes(_decoded(member.encode()))


def import_secret(data: bytes) -> bool:
    """A shared secret."""
    secret = _key_or_value_error(keys.import_secret, data)
    text = data.decode("utf-8", "surrogateescape")
    from_text = _key_or_value_error(keys.import_secret, text)
    assert from_text is None or (secret is not None and from_text.raw_value == data)
    if secret is None:
        return False
    assert secret.raw_value == data
    assert not any(_reads(load, data) for load in KEYS_OF_OTHERS)
    return True


KEYS_OF_OTHERS: Final[tuple[Callable[[bytes], object], ...]] = (
    serialization.load_der_public_key,
    serialization.load_pem_public_key,
    serialization.load_ssh_public_key,
    x509.load_der_x509_certificate,
    x509.load_pem_x509_certificate,
    lambda data: serialization.load_der_private_key(data, None),
    lambda data: serialization.load_pem_private_key(data, None),
    lambda data: serialization.load_ssh_private_key(data, None),
)


def _reads(load: Callable[[bytes], object], data: bytes) -> bool:
    try:
        load(data)
    except Exception:
        return False
    return True


def _key_or_value_error(read: Callable[[Any], Key], data: Any) -> Key | None:
    try:
        key = read(data)
    except ValueError:
        return None
    _assert_serves(key)
    if not isinstance(key, OctKey):
        _assert_comes_back(key)
    return key


def _assert_serves(key: Key) -> None:
    """Whatever is taken for a key can be used as one: it answers, and raises nothing odd."""
    algorithm = default_algorithm(key)
    assert mismatch(algorithm, key) == ""
    assert verify_signature(algorithm, key, b"signed", b"x" * 64) is False
    if key.is_private:
        signature = make_signature(algorithm, key, b"signed")
        assert verify_signature(algorithm, key, b"signed", signature)


def _assert_comes_back(key: Key) -> None:
    """What is exported is imported as the same key."""
    public, jwk = keys.export_public_pem(key), keys.export_public_jwk(key)
    assert keys.export_public_pem(keys.import_pem(public)) == public
    assert keys.export_public_jwk(keys.import_jwk(jwk)) == jwk
    assert keys.export_public_pem(keys.import_jwk(jwk)) == public
    if key.is_private:
        private = keys.export_private_pem(key)
        assert keys.export_private_pem(keys.import_pem(private)) == private


_OF_TOKENS_AND_REQUESTS: Final = (peek, verify, canonical_request, freshness)
_OF_KEYS: Final = (import_pem, import_data_uri, import_jwk, import_secret)
TARGETS: Final[Mapping[str, Callable[[bytes], bool]]] = {
    target.__name__: target for target in (*_OF_TOKENS_AND_REQUESTS, *_OF_KEYS)
}
