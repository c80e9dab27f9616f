"""What a key needs to sign and verify is found once, kept on the key, and is what joserfc does."""

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import OctKey

from asapfn._core import algorithms
from asapfn._core.algorithms import ALGORITHMS, make_signature, verify_signature
from asapfn.errors import TokenRejected
from asapfn.keys import export_public_jwk, import_jwk, import_secret
from asapfn.types import Key
from tests.support.keyring import key_for

MESSAGE = b"head.body"
MODELS: dict[str, Any] = {model.name: model for model in JWS_ALGORITHMS}


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Key]]:
    """What was asked of keys, in order."""
    asked: list[tuple[str, Key]] = []
    really = algorithms.mismatch

    def mismatch(algorithm: str, key: Key) -> str:
        asked.append((algorithm, key))
        return really(algorithm, key)

    monkeypatch.setattr(algorithms, "mismatch", mismatch)
    return asked


def secret(number: int = 0) -> OctKey:
    return import_secret(f"{number:064}")


def public(key: Key) -> Key:
    return key if isinstance(key, OctKey) else import_jwk(export_public_jwk(key))


def test_whether_a_key_fits_is_asked_once_to_verify_and_once_to_sign(
    questions: list[tuple[str, Key]],
) -> None:
    key = secret()
    for _ in range(3):
        signature = make_signature("HS256", key, MESSAGE)
        assert verify_signature("HS256", key, MESSAGE, signature) is True
        assert verify_signature("HS256", key, b"another", signature) is False
    assert questions == [("HS256", key)] * 2


def test_for_another_algorithm_it_is_asked_again(questions: list[tuple[str, Key]]) -> None:
    key = secret()
    signatures = {name: make_signature(name, key, MESSAGE) for name in ("HS256", "HS512")}
    questions.clear()
    for name in ("HS256", "HS512", "HS512", "HS256"):
        assert verify_signature(name, key, MESSAGE, signatures[name]) is True
    assert [name for name, _ in questions] == ["HS256", "HS512", "HS256"]


def test_a_key_that_does_not_fit_is_refused_each_time_and_spoils_nothing() -> None:
    key = secret()
    signature = make_signature("HS256", key, MESSAGE)
    for _ in range(3):
        assert verify_signature("HS256", key, MESSAGE, signature) is True
        for _ in range(2):
            with pytest.raises(TokenRejected) as refused:
                verify_signature("RS256", key, MESSAGE, signature)
            assert str(refused.value) == "unsuitable_key: RS256 needs a key of type RSA, not oct"
            with pytest.raises(ValueError, match="RS256 needs a key of type RSA, not oct"):
                make_signature("RS256", key, MESSAGE)


def test_each_key_is_its_own_though_it_takes_the_place_of_one_that_is_gone() -> None:
    for number in range(300):
        key = secret(number)
        other = make_signature("HS256", secret(number + 1), MESSAGE)
        own = make_signature("HS256", key, MESSAGE)
        assert verify_signature("HS256", key, MESSAGE, own) is True
        assert verify_signature("HS256", key, MESSAGE, other) is False
        short = OctKey(bytes(31), bytes(31))
        with pytest.raises(TokenRejected, match="unsuitable_key"):
            verify_signature("HS256", short, MESSAGE, other)


@pytest.mark.parametrize("name", ["HS256", "RS256", "ES256", "EdDSA"])
def test_a_key_that_has_signed_and_verified_is_not_held(name: str) -> None:
    key = import_jwk(dict(key_for(name).as_dict(private=True))) if name != "HS256" else secret()
    assert verify_signature(name, key, MESSAGE, make_signature(name, key, MESSAGE))
    held = weakref.ref(key)
    del key
    gc.collect()
    assert held() is None


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_joserfc_takes_our_signatures_and_we_take_joserfcs(name: str) -> None:
    key = key_for(name)
    for number in range(4 if name.startswith(("RS", "PS")) else 40):
        message = MESSAGE + bytes([number])
        ours, theirs = make_signature(name, key, message), MODELS[name].sign(message, key)
        assert len(ours) == len(theirs)
        assert MODELS[name].verify(message, ours, public(key))
        assert verify_signature(name, public(key), message, theirs)
        for wrong in (ours[:-1], ours + b"\0", bytes(len(ours)), theirs[::-1], b""):
            assert not verify_signature(name, public(key), message, wrong)


@pytest.mark.parametrize("name", ["PS256", "RS256"])
def test_a_signature_by_rsa_has_one_length(name: str) -> None:
    """RFC 8017, section 8.1.2, step 1: as long as the modulus, with the zeros it begins with."""
    key = key_for(name)
    for number in range(5000):
        message = b"%d" % number
        signature = make_signature(name, key, message)
        if signature[0] == 0:
            break
    assert signature[0] == 0
    assert verify_signature(name, public(key), message, signature) is True
    for other in (signature[1:], b"\0" + signature, signature.lstrip(b"\0")):
        assert verify_signature(name, public(key), message, other) is False


def test_a_secret_that_has_signed_and_verified_can_be_copied_and_pickled() -> None:
    key = secret()
    signature = make_signature("HS256", key, MESSAGE)
    assert verify_signature("HS256", key, MESSAGE, signature)
    for twin in (copy.copy(key), copy.deepcopy(key), pickle.loads(pickle.dumps(key))):
        assert verify_signature("HS256", twin, MESSAGE, signature)
        assert make_signature("HS256", twin, MESSAGE) == signature


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_that_has_verified_can_be_copied(name: str) -> None:
    signature, key = make_signature(name, key_for(name), MESSAGE), public(key_for(name))
    assert verify_signature(name, key, MESSAGE, signature)
    for twin in (copy.copy(key), copy.deepcopy(key)):
        assert verify_signature(name, twin, MESSAGE, signature)
        assert not verify_signature(name, twin, b"another", signature)
