"""Issuers, their keys, and tokens good and bad, made without asapfn."""

import base64
import os
import random
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "soaked"
HOT = [f"hot-{number}" for number in range(8)]
COLD = [f"cold-{number}" for number in range(40)]
FLOOD = [f"flood-{number}" for number in range(40)]
UNKNOWN = [f"unknown-{number}" for number in range(8)]
PROBE, CROWD = "probe", "crowd"
ISSUERS = [*HOT, *COLD, *FLOOD, *UNKNOWN, PROBE, CROWD]
LIFETIME = 300.0


@dataclass(eq=False)
class Key:
    """A signing key.

    Attributes:
        issuer: Whose it is.
        kid: Its key id.
        private: The key.
        algorithm: RS256 or ES256.
        known: Whether the service has accepted a token of it, so that it need not be fetched.
        removed: When the repository stopped publishing it.
    """

    issuer: str
    kid: str
    private: Any
    algorithm: str
    known: bool = False
    removed: float | None = None


@dataclass
class Keys:
    """The keys there are, and the folder that the repository publishes."""

    folder: Path
    chance: random.Random
    hot: dict[str, Key] = field(default_factory=dict)
    retired: list[Key] = field(default_factory=list)


def new_key(issuer: str, *, rsa_too: bool = False, chance: random.Random | None = None) -> Key:
    kid = f"{issuer}/{secrets.token_hex(8)}.pem"
    if rsa_too and chance is not None and chance.random() < 0.5:
        return Key(issuer, kid, rsa.generate_private_key(65537, 2048), "RS256")
    return Key(issuer, kid, ec.generate_private_key(ec.SECP256R1()), "ES256")


def publish(keys: Keys, key: Key) -> Key:
    """Put a key into the repository, whole or not at all."""
    path = keys.folder / key.kid
    path.parent.mkdir(exist_ok=True)
    pem = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    aside = path.with_suffix(".new")
    aside.write_bytes(pem)
    os.replace(aside, path)
    return key


def retire(keys: Keys, key: Key) -> None:
    (keys.folder / key.kid).unlink()
    key.removed = time.monotonic()
    keys.retired = [*keys.retired[-8:], key]


def cold(keys: Keys, issuer: str) -> Key:
    """Make a key that is published, and was never asked for."""
    return publish(keys, new_key(issuer))


def rotate(keys: Keys) -> list[Key]:
    """Publish a new key for each hot issuer, and sign with it; gives the old ones."""
    old = list(keys.hot.values())
    for issuer in HOT:
        keys.hot[issuer] = publish(keys, new_key(issuer, rsa_too=True, chance=keys.chance))
    return old


def token(key: Key, *, headers: dict[str, Any] | None = None, **changed: Any) -> str:
    """Sign a token for the service; what is changed to None is left out."""
    now = time.time()
    claims = {
        "iss": key.issuer,
        "aud": AUDIENCE,
        "iat": now - 1,
        "exp": now + LIFETIME,
        "jti": secrets.token_hex(12),
    } | changed
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(
        claims, key.private, key.algorithm, headers={"kid": key.kid} | (headers or {})
    )


def expired(key: Key) -> str:
    now = time.time()
    return token(key, iat=now - 120, exp=now - 60)


def early(key: Key) -> str:
    now = time.time()
    return token(key, iat=now + 60, exp=now + 120)


def long_lived(key: Key) -> str:
    now = time.time()
    return token(key, iat=now - 1, exp=now + 7200)


def forged(key: Key) -> str:
    """Sign with a key of nobody's in the name of one that is published."""
    if key.algorithm == "ES256":
        other: Any = ec.generate_private_key(ec.SECP256R1())
        return token(Key(key.issuer, key.kid, other, "ES256"))
    good = token(key)
    head, _, signature = good.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[secrets.randbelow(len(raw) - 1) + 1] ^= 1 << secrets.randbelow(8)
    return f"{head}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def unsigned(key: Key) -> str:
    claims = jwt.decode(token(key), options={"verify_signature": False})
    return jwt.encode(claims, None, "none", headers={"kid": key.kid})


def malformed(key: Key) -> str:
    good = token(key)
    return secrets.choice([good[:-3] + "!!!", good.replace(".", "", 1), good + ".x", "nonsense"])


def misplaced(key: Key) -> str:
    """Name a key of one issuer's in a token of another's."""
    return token(key, iss=COLD[0])


def outsider() -> str:
    return token(new_key("outsider"))
