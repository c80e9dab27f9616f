"""JSON Web Keys, in: whatever the members, an import gives a key or a `ValueError`."""

import warnings
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from asapfn._core import compact
from asapfn._core.jwk import import_jwk
from tests.support.keyforms import KINDS, number, whole

MISUSED: list[Any] = [None, 1, 1.5, True, [], ["a"], {}, {"a": 1}, b"AQAB", object()]

MEMBERS = st.sampled_from(
    [
        "kty",
        "crv",
        "n",
        "e",
        "d",
        "p",
        "q",
        "qi",
        "oth",
        "x",
        "y",
        "k",
        "kid",
        "alg",
        "use",
        "key_ops",
    ]
)
VALUES = (
    st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "sig", "AQAB", "RS256"])
    | st.binary(max_size=70).map(lambda data: compact.encode_base64url(data).decode())
    | st.sampled_from([value for name in ("RS256", "ES512") for value in whole(name).values()])
    | st.text(max_size=8)
    | st.lists(st.text(max_size=4) | st.none(), max_size=3)
    | st.sampled_from(MISUSED)
)  # fmt: skip
BASES = st.sampled_from([{}, *(whole(name) for name in (*KINDS, "HS256"))])


@given(BASES, st.dictionaries(MEMBERS, VALUES, max_size=4), st.sets(MEMBERS, max_size=3))
@example(whole("ES256"), {"x": "\ud800"}, set())
@example(whole("ES256"), {"kid": "\ud800"}, set())
@example(whole("RS256"), {"e": number(2**2048 - 1)}, set())
@example(whole("RS256"), {"n": number(2**20_000 + 1)}, {"d", "p", "q", "dp", "dq", "qi"})
def test_no_members_make_the_import_raise_anything_but_value_error(
    base: dict[str, Any], changed: dict[str, Any], dropped: set[str]
) -> None:
    members = {n: v for n, v in (base | changed).items() if n not in dropped}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            key = import_jwk(members)
        except ValueError as error:
            for secret in ("d", "k", "p", "q"):
                value = members.get(secret)
                if isinstance(value, str) and len(value) > 12:
                    assert value not in f"{error!r} {error.__cause__!r}"
            return
        # What is taken serves: it is what it says, and signs if it is private.
        assert key.kid == members.get("kid")
        assert key.alg == members.get("alg")
        assert (key.key_type == "oct" or members.get("d") is not None) is key.is_private
