"""Who verifies and who signs, each set up once as its documentation has it for many tokens.

Everyone gets what it can prepare beforehand: keys parsed, options made, caches warm. Everyone
verifies the signature, the expiry and the audience, by its own means; `test_contenders` shows that
each refuses a token where one of them is wrong. asapfn does more, all that ASAP asks: required
claims, the time of issue, the longest life, the subject, whose key it is, and that issuer's right
to call. So does atlassian-jwt-auth, but for the last.
"""

import hmac
import itertools
import time
import uuid
import warnings
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

import jwt
from atlassian_jwt_auth import JWTAuthVerifier, create_signer
from atlassian_jwt_auth.key import BasePublicKeyRetriever
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import OctKey

import asapfn
from asapfn import asap
from asapfn._core.algorithms import ALGORITHMS, ASAP, default_algorithm
from asapfn.keys import export_private_pem, export_public_pem, generate, import_pem, import_secret
from asapfn.resolvers import keys_by_id
from asapfn.types import Document, Key, Token

# It says that it will become joserfc, whatever the filters.
with warnings.catch_warnings(record=True):
    from authlib.jose import JsonWebKey, JsonWebToken

ISSUER: Final = "some-service"
AUDIENCE: Final = "another-service"
MIRRORS: Final = "https://keys.example/ | https://mirror.example/"
# Ed25519 is EdDSA by another name.
NAMES: Final = tuple(name for name in ALGORITHMS if name != "Ed25519")

Verify = Callable[[str], Any]
"""From a token to its claims, or to what gives them when awaited; it raises if it refuses."""

_HASHES: Final = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


@cache
def private_key(algorithm: str) -> Key:
    """The key that signs by an algorithm; all of RSA's share one."""
    if algorithm.startswith("PS"):
        algorithm = f"RS{algorithm[2:]}"
    if algorithm.startswith("RS") and algorithm != "RS256":
        return private_key("RS256")
    made, kid = generate(algorithm), f"{ISSUER}/{algorithm}.pem"
    if isinstance(made, OctKey):
        return import_secret(made.raw_value, kid=kid)
    # As it comes out of a file: nothing in it says which algorithm it is for.
    return import_pem(export_private_pem(made), kid=kid)


@cache
def public_key(algorithm: str) -> Key:
    """The key that verifies, as a repository publishes it."""
    key = private_key(algorithm)
    return key if isinstance(key, OctKey) else import_pem(public_pem(algorithm), kid=key.kid)


@cache
def public_pem(algorithm: str) -> str:
    """The same as a repository has it."""
    return export_public_pem(private_key(algorithm))


def claims() -> dict[str, Any]:
    """What everyone signs: the claims of an ASAP token."""
    now = int(time.time())
    jti = str(uuid.uuid4())
    return {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 3600, "jti": jti}


def token(algorithm: str, **others: Any) -> str:
    """A token that everyone takes, unless `others` replaces a claim."""
    return asapfn.sign(claims() | others, private_key(algorithm), algorithm=algorithm)


@cache
def verifiers(algorithm: str) -> dict[str, Verify]:
    """Who verifies tokens of an algorithm.

    `asapfn` is the whole of ASAP, through the cache of a repository with a mirror, where ASAP has
    the algorithm, without the memory of tokens; `asapfn (seen before)` is the same with it;
    `asapfn (verify)` is that function alone, with the key in hand.
    """
    key = public_key(algorithm)
    raw: Any = key.raw_value
    in_hand = keys_by_id([key])

    async def verify(text: str) -> Any:
        verified = await asapfn.verify(
            text, in_hand, audience=AUDIENCE, algorithms=only, required=("exp",)
        )
        return verified.claims

    only = frozenset([algorithm])
    joserfc_claims = joserfc_jwt.JWTClaimsRegistry(
        aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}
    )

    def verify_with_joserfc(text: str) -> Any:
        decoded = joserfc_jwt.decode(text, key, algorithms=only)
        joserfc_claims.validate(decoded.claims)
        return decoded.claims

    authlib_jwt = JsonWebToken([algorithm])
    authlib_key = _authlib_key(key)
    authlib_claims = {"aud": {"essential": True, "value": AUDIENCE}, "exp": {"essential": True}}

    def verify_with_authlib(text: str) -> Any:
        decoded = authlib_jwt.decode(text, authlib_key, claims_options=authlib_claims)
        decoded.validate()
        return decoded

    each: dict[str, Verify] = {}
    if algorithm in ASAP:
        each["asapfn"] = composition(public_pem(algorithm), remember=0)
        each["asapfn (seen before)"] = composition(public_pem(algorithm))
    each["asapfn (verify)"] = verify
    each["joserfc"] = verify_with_joserfc
    each["PyJWT"] = lambda text: jwt.decode(text, raw, algorithms=[algorithm], audience=AUDIENCE)
    each["authlib"] = verify_with_authlib
    if algorithm in ASAP:
        theirs = JWTAuthVerifier(InHand(public_pem(algorithm)))
        each["atlassian-jwt-auth"] = lambda text: theirs.verify_jwt(text, AUDIENCE)
    return each


def composition(pem: str, remember: int = 1024) -> Callable[[str], Awaitable[Token]]:
    """All that ASAP asks of a token of an issuer that may call.

    Args:
        pem: The public key, which the repository has under every key id.
        remember: How many tokens are remembered.

    Returns:
        What verifies, the key coming from the cache of a repository with a mirror.
    """
    document = Document(200, "application/x-pem-file", pem.encode(), 3600.0)

    async def fetch(url: str, accept: str) -> Document:
        return document

    repository = asap.repository(MIRRORS, fetch)
    return asap.verifier(
        repository, AUDIENCE, issuers=[ISSUER, "a-third-service"], remember=remember
    )


def new_tokens(algorithm: str, count: int) -> Callable[[], Awaitable[Token]]:
    """The whole of ASAP with its memory, of tokens that it has never seen or has forgotten.

    Args:
        algorithm: The algorithm.
        count: How many there are in turn; of 1,024 the first is forgotten when it comes again.

    Returns:
        What verifies the next token.
    """
    verify = composition(public_pem(algorithm))
    each = itertools.cycle([token(algorithm) for _ in range(count)])
    return lambda: verify(next(each))


def bare_verifier(algorithm: str, text: str) -> Callable[[], object]:
    """The floor: the signature alone, in the form that cryptography takes it."""
    unverified = asapfn.peek(text)
    key: Any = public_key(algorithm).raw_value
    data, signature = unverified.signing_input, unverified.signature
    if isinstance(key, bytes):
        digest = f"sha{algorithm[2:]}"
        return lambda: hmac.compare_digest(hmac.digest(key, data, digest), signature)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return lambda: key.verify(signature, data)
    if isinstance(key, rsa.RSAPublicKey):
        pad, hashed = _padding(algorithm), _HASHES[algorithm[2:]]
        return lambda: key.verify(signature, data, pad, hashed)
    half = len(signature) // 2
    numbers = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
    der, over = encode_dss_signature(*numbers), ec.ECDSA(_HASHES[algorithm[2:]])
    return lambda: key.verify(der, data, over)


@cache
def signers(algorithm: str) -> dict[str, Callable[[], object]]:
    """Who signs an hour's token with claims of its own making, and an id that is unique.

    `asapfn` is ASAP's signer, where ASAP has the algorithm; `asapfn (sign)` that function alone.
    """
    key = private_key(algorithm)
    raw: Any = key.raw_value
    header = {"alg": algorithm, "kid": key.kid}
    with_kid, ready = {"kid": key.kid}, claims()
    only = frozenset([algorithm])
    authlib_jwt, authlib_key = JsonWebToken([algorithm]), _authlib_key(key)
    each: dict[str, Callable[[], object]] = {}
    if algorithm in ASAP:
        each["asapfn"] = reusing_signer(algorithm, 0.0)
    each["asapfn (sign)"] = lambda: asapfn.sign(claims(), key, algorithm=algorithm)
    each["asapfn (sign, claims ready)"] = lambda: asapfn.sign(ready, key, algorithm=algorithm)
    each["joserfc"] = lambda: joserfc_jwt.encode(header, claims(), key, algorithms=only)
    each["PyJWT"] = lambda: jwt.encode(claims(), raw, algorithm=algorithm, headers=with_kid)
    each["authlib"] = lambda: authlib_jwt.encode(header, claims(), authlib_key)
    if algorithm in ASAP:
        each["atlassian-jwt-auth"] = their_signer(algorithm, reuse=False)
    return each


def reusing_signer(algorithm: str, fraction: float = 0.95) -> Callable[[], str]:
    """ASAP's signer for one audience; a fraction of 0 signs anew each time."""
    key = private_key(algorithm)
    if key.alg is None and algorithm != default_algorithm(key):
        key = import_pem(export_private_pem(key), kid=key.kid, algorithm=algorithm)
    sign_for = asap.signer(ISSUER, key, lifetime=3600, reuse_fraction=fraction)
    return lambda: sign_for(AUDIENCE)


def their_signer(algorithm: str, *, reuse: bool = True) -> Callable[[], object]:
    """atlassian-jwt-auth's signer for one audience."""
    key = private_key(algorithm)
    theirs = create_signer(
        ISSUER, str(key.kid), export_private_pem(key), algorithm=algorithm, reuse_jwts=reuse
    )
    return lambda: theirs.generate_jwt(AUDIENCE)


def bare_signer(algorithm: str) -> Callable[[], object]:
    """The floor: the signature alone, of bytes that lie ready."""
    key: Any = private_key(algorithm).raw_value
    data = asapfn.peek(token(algorithm)).signing_input
    if isinstance(key, bytes):
        digest = f"sha{algorithm[2:]}"
        return lambda: hmac.digest(key, data, digest)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return lambda: key.sign(data)
    if isinstance(key, rsa.RSAPrivateKey):
        pad, hashed = _padding(algorithm), _HASHES[algorithm[2:]]
        return lambda: key.sign(data, pad, hashed)
    over = ec.ECDSA(_HASHES[algorithm[2:]])
    return lambda: key.sign(data, over)


class InHand(BasePublicKeyRetriever):
    """atlassian-jwt-auth's way to a key: ready, as text, which it parses once and remembers."""

    def __init__(self, pem: str) -> None:
        self._pem = pem

    def retrieve(self, key_identifier: Any, **kwargs: Any) -> str:
        return self._pem


def _padding(algorithm: str) -> padding.AsymmetricPadding:
    if algorithm.startswith("RS"):
        return padding.PKCS1v15()
    hashed = _HASHES[algorithm[2:]]
    return padding.PSS(padding.MGF1(hashed), hashed.digest_size)


def _authlib_key(key: Key) -> Any:
    if isinstance(key, OctKey):
        return JsonWebKey.import_key(key.raw_value, {"kty": "oct"})
    pem = export_private_pem(key) if key.is_private else export_public_pem(key)
    return JsonWebKey.import_key(pem)
