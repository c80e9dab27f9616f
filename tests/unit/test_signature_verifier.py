"""Whether a key fits is asked once, remembered within bounds, and asked anew for what is new."""

import gc
import weakref

import pytest
from joserfc.jwk import OctKey

from asapfn._core import algorithms
from asapfn._core.algorithms import make_signature, signature_verifier
from asapfn.errors import TokenRejected
from asapfn.keys import import_secret
from asapfn.types import Key
from tests.support.keyring import key_for

MESSAGE = b"head.body"


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


def test_a_key_that_fits_is_asked_once(questions: list[tuple[str, Key]]) -> None:
    holds, key = signature_verifier(), key_for("ES256")
    signature = make_signature("ES256", key, MESSAGE)
    questions.clear()
    for _ in range(3):
        assert holds("ES256", key, MESSAGE, signature) is True
        assert holds("ES256", key, b"another", signature) is False
    assert questions == [("ES256", key)]


def test_for_another_algorithm_it_is_asked_again(questions: list[tuple[str, Key]]) -> None:
    holds, key = signature_verifier(), secret()
    signatures = {name: make_signature(name, key, MESSAGE) for name in ("HS256", "HS512")}
    questions.clear()
    for name in ("HS256", "HS512", "HS512", "HS256"):
        assert holds(name, key, MESSAGE, signatures[name]) is True
    assert [name for name, _ in questions] == ["HS256", "HS512", "HS256"]


def test_a_key_that_does_not_fit_is_refused_each_time_and_spoils_nothing() -> None:
    holds, key = signature_verifier(), secret()
    signature = make_signature("HS256", key, MESSAGE)
    for _ in range(3):
        assert holds("HS256", key, MESSAGE, signature) is True
        for _ in range(2):
            with pytest.raises(TokenRejected) as refused:
                holds("RS256", key, MESSAGE, signature)
            assert refused.value.reason == "unsuitable_key"
            assert str(refused.value) == "unsuitable_key: RS256 needs a key of type RSA, not oct"


def test_keys_are_told_apart_though_they_are_equal_or_take_each_others_place() -> None:
    holds = signature_verifier()
    for number in range(1000):
        key = secret(number)
        other = make_signature("HS256", secret(number + 1), MESSAGE)
        assert holds("HS256", key, MESSAGE, make_signature("HS256", key, MESSAGE)) is True
        assert holds("HS256", key, MESSAGE, other) is False
        short = OctKey(bytes(31), bytes(31))
        with pytest.raises(TokenRejected, match="unsuitable_key"):
            holds("HS256", short, MESSAGE, other)


def test_the_257th_key_makes_all_forgotten(questions: list[tuple[str, Key]]) -> None:
    holds = signature_verifier()
    keys = [secret(number) for number in range(257)]
    for key in [*keys[:256], *keys[:256], keys[256], keys[256], keys[0]]:
        holds("HS256", key, MESSAGE, b"")
    assert [key for _, key in questions] == [*keys, keys[0]]
    held = [weakref.ref(key) for key in keys]
    del keys, key
    questions.clear()
    gc.collect()
    assert sum(each() is not None for each in held) == 2
