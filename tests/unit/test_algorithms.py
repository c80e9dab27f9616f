"""Each algorithm takes the keys that fit it, and every other is refused before joserfc sees it."""

import functools
import itertools
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from asapfn._core.algorithms import (
    ALGORITHMS,
    ASAP,
    ASYMMETRIC,
    SYMMETRIC,
    curve_of,
    default_algorithm,
    make_signature,
    mismatch,
    verify_signature,
)
from asapfn.errors import TokenRejected
from asapfn.keys import (
    export_public_jwk,
    export_public_pem,
    import_jwk,
    import_pem,
    import_secret,
)
from asapfn.types import Key
from tests.support.keyring import key_for

MESSAGE = b"head.body"
NAMES = sorted(ALGORITHMS)
RSA_NAMES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ANY_HMAC = b"0" * 64


def public(key: Key) -> Key:
    """The public part, or the secret itself."""
    return key if isinstance(key, OctKey) else import_jwk(export_public_jwk(key))


@functools.cache
def nameless(name: str) -> Key:
    """The algorithm's key without an algorithm of its own."""
    key = key_for(name)
    if isinstance(key, OctKey):
        return import_secret(key.raw_value)
    return import_jwk({n: v for n, v in key.as_dict(private=True).items() if n != "alg"})


def strange() -> dict[str, Key]:
    """Keys of joserfc's that no algorithm takes, and that nothing here would import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small, x, ed = rsa.generate_private_key(65537, 1024), x25519, ed448
        return {
            "RSA of 1024 bits": RSAKey(small, small),
            "secp256k1": ECKey.generate_key("secp256k1"),
            "brainpool": (lambda k: ECKey(k, k))(ec.generate_private_key(ec.BrainpoolP256R1())),
            "X25519": (lambda k: OKPKey(k, k))(x.X25519PrivateKey.generate()),
            "Ed448": (lambda k: OKPKey(k, k))(ed.Ed448PrivateKey.generate()),
            "short secret": OctKey(b"short", b"short"),
        }


STRANGE = strange()


def test_the_algorithms_are_these_and_none_is_not_among_them() -> None:
    assert frozenset(RSA_NAMES) | {"ES256", "ES384", "ES512"} == ASAP
    assert ASAP | {"EdDSA", "Ed25519"} == ASYMMETRIC
    assert {"HS256", "HS384", "HS512"} == SYMMETRIC
    assert set(ALGORITHMS) == ASYMMETRIC | SYMMETRIC


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_holds_for_its_key_and_for_the_public_part(name: str) -> None:
    key = key_for(name)
    signature = make_signature(name, key, MESSAGE)
    assert verify_signature(name, key, MESSAGE, signature) is True
    assert verify_signature(name, public(key), MESSAGE, signature) is True


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_does_not_hold_for_anything_else(name: str) -> None:
    key, other = key_for(name), key_for(name, "other")
    signature = make_signature(name, key, MESSAGE)
    assert verify_signature(name, key, MESSAGE + b".", signature) is False
    assert verify_signature(name, other, MESSAGE, signature) is False
    assert verify_signature(name, key, b"", signature) is False


@pytest.mark.parametrize("name", NAMES)
def test_a_mangled_signature_is_false_and_raises_nothing(name: str) -> None:
    key = public(key_for(name))
    good = make_signature(name, key_for(name), MESSAGE)
    size = len(good)
    flipped = [good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in (0, size // 2, size - 1)]
    for bad in (
        b"",
        b"\0",
        b"\0" * size,
        b"\xff" * size,
        good[:-1],
        good[1:],
        good + b"\0",
        b"\0" + good,
        good * 2,
        b"\0" * 9000,
        *flipped,
    ):
        assert verify_signature(name, key, MESSAGE, bad) is False


@pytest.mark.parametrize(
    ("name", "curve"),
    [("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1())],
)
def test_signatures_of_zero_or_of_the_order_do_not_hold(name: str, curve: ec.EllipticCurve) -> None:
    """CVE-2022-21449: r and s are to be checked against zero and the curve's order."""
    order, size = curve.group_order, (curve.key_size + 7) // 8
    for r, s in itertools.product((0, 1, order - 1, order, order + 1), repeat=2):
        signature = r.to_bytes(size) + s.to_bytes(size)
        assert verify_signature(name, key_for(name), MESSAGE, signature) is False


@pytest.mark.parametrize("name", NAMES)
def test_a_key_serves_its_own_algorithm_and_no_other(name: str) -> None:
    assert [other for other in NAMES if mismatch(name, key_for(other)) == ""] == [name]
    for other in set(NAMES) - {name}:
        with pytest.raises(TokenRejected) as caught:
            verify_signature(name, public(key_for(other)), MESSAGE, b"\0" * 64)
        assert caught.value.reason == "unsuitable_key", other
        with pytest.raises(ValueError, match=r"needs|another algorithm"):
            make_signature(name, key_for(other), MESSAGE)


@pytest.mark.parametrize("other", ["RS256", "ES256", "ES384", "ES512", "EdDSA", "HS512"])
def test_a_key_without_an_algorithm_serves_all_that_fit(other: str) -> None:
    key = nameless(other)
    families = (
        set(RSA_NAMES),
        {"EdDSA", "Ed25519"},
        set(SYMMETRIC),
        {"ES256"},
        {"ES384"},
        {"ES512"},
    )
    (mine,) = [family for family in families if other in family]
    assert {name for name in NAMES if mismatch(name, key) == ""} == mine


@pytest.mark.parametrize(("name", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_at_least_as_long_as_the_hash(name: str, least: int) -> None:
    assert mismatch(name, OctKey(bytes(least), bytes(least))) == ""
    assert (
        mismatch(name, OctKey(bytes(least - 1), b""))
        == f"{name} needs a secret of at least {least} bytes"
    )


@pytest.mark.parametrize("kind", STRANGE)
def test_a_key_that_nobody_takes_is_unsuitable_and_raises_nothing_else(kind: str) -> None:
    for name in NAMES:
        with pytest.raises(TokenRejected) as caught:
            verify_signature(name, STRANGE[kind], MESSAGE, b"\0" * 64)
        assert caught.value.reason == "unsuitable_key", name
        with pytest.raises(ValueError, match="needs"):
            make_signature(name, STRANGE[kind], MESSAGE)


def test_a_mismatch_is_put_in_words() -> None:
    words = {
        ("RS256", "ES256"): "RS256 needs a key of type RSA, not EC",
        ("HS256", "RS256"): "HS256 needs a key of type oct, not RSA",
        ("ES256", "ES384"): "ES256 needs a key of the curve P-256",
        ("RS256", "RS384"): "the key is for another algorithm than RS256",
    }
    for (name, other), text in words.items():
        assert mismatch(name, key_for(other)) == text
    assert mismatch("PS256", STRANGE["RSA of 1024 bits"]) == (
        "PS256 needs an RSA key of at least 2048 bits"
    )


def test_the_curve_of_a_key_is_named_or_empty() -> None:
    assert [curve_of(k) for k in STRANGE.values() if isinstance(k, (ECKey, OKPKey))] == [
        "secp256k1",
        "",
        "X25519",
        "Ed448",
    ]


@pytest.mark.parametrize(
    ("other", "usual"),
    [
        ("PS384", "RS256"),
        ("ES256", "ES256"),
        ("ES384", "ES384"),
        ("ES512", "ES512"),
        ("Ed25519", "EdDSA"),
        ("HS512", "HS256"),
    ],
)
def test_a_key_signs_with_its_own_algorithm_else_with_its_types_usual_one(
    other: str, usual: str
) -> None:
    assert default_algorithm(key_for(other)) == other
    assert default_algorithm(nameless(other)) == usual


@pytest.mark.parametrize("kind", ["secp256k1", "brainpool", "X25519", "Ed448"])
def test_a_curve_without_an_algorithm_has_no_default(kind: str) -> None:
    with pytest.raises(ValueError, match="no algorithm here has a key of this curve"):
        default_algorithm(STRANGE[kind])


@pytest.mark.parametrize("name", ["none", "HS1", "", "rs256"])
def test_an_unknown_algorithm_signs_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="unknown algorithm: use one of RS256, "):
        make_signature(name, key_for("RS256"), MESSAGE)


@pytest.mark.parametrize("name", ["RS256", "PS512", "ES256", "EdDSA"])
def test_a_public_key_signs_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="a public key cannot sign"):
        make_signature(name, public(key_for(name)), MESSAGE)


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA", "HS256"])
@pytest.mark.parametrize("limit", [{"key_ops": ["encrypt"]}, {"key_ops": []}])
def test_what_a_key_of_joserfcs_own_making_forbids_stays_forbidden(
    name: str, limit: dict[str, Any]
) -> None:
    members: Any = key_for(name).as_dict(private=True) | limit
    limited: Key = type(key_for(name)).import_key(members)
    with pytest.raises(ValueError, match="forbids signing"):
        make_signature(name, limited, MESSAGE)
    with pytest.raises(TokenRejected) as caught:
        verify_signature(name, limited, MESSAGE, make_signature(name, key_for(name), MESSAGE))
    assert caught.value.reason == "unsuitable_key"
    assert caught.value.detail == "its `key_ops` forbids verifying"


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519", "HS256", "RS256"])
def test_nothing_warns(name: str) -> None:
    """joserfc warns of EdDSA as it looks it up, and of short keys as it takes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signature = make_signature(name, key_for(name), MESSAGE)
        assert verify_signature(name, key_for(name), MESSAGE, signature)
        for key in STRANGE.values():
            assert mismatch(name, key)


def test_a_pem_is_no_secret_to_an_algorithm() -> None:
    """CVE-2022-29217: HS256 with the public key that is meant for RS256."""
    key = import_pem(export_public_pem(key_for("RS256")))
    with pytest.raises(TokenRejected) as caught:
        verify_signature("HS256", key, MESSAGE, ANY_HMAC)
    assert caught.value.reason == "unsuitable_key"
