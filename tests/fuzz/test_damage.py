"""What was good and then damaged: it is read, or it is a `ValueError`, and nothing else.

Random bytes seldom get past the first look of a parser, and the tests of each module have those, as
they have damaged tokens (`tests/test_verification.py`), JWKs (`tests/test_jwk.py`) and
`Cache-Control` headers (`tests/adapters/test_cache_control.py`). Here real keys are damaged
within their DER, under armour that is sound, and real requests piece by piece.

ASAPFN_EXAMPLES is the number of cases for each test, ASAPFN_SEED where they start from.
"""

import base64
import contextlib
import os
import re
from urllib.parse import quote

from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st
from keyforms import CLEAR, DER, KINDS, PKCS8, SPKI, known_to_others, native

from asapfn.algorithms import default_algorithm, make_signature, misfit, verify_signature
from asapfn.canonical import canonical_request, qsh
from asapfn.keys import import_data_uri, import_pem, import_secret
from asapfn.types import Key

EXAMPLES = int(os.environ.get("ASAPFN_EXAMPLES", "200"))
SEED = int(os.environ.get("ASAPFN_SEED", "20250117"))

many = settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

PRIVATE = {name: native(name).private.private_bytes(DER, PKCS8, CLEAR) for name in KINDS}
PUBLIC = {name: native(name).public.public_bytes(DER, SPKI) for name in KINDS}
OTHERS = known_to_others()

# Lengths, tags and numbers of DER that lead somewhere else, and what a text may gain or lose.
pieces = st.binary(max_size=3) | st.sampled_from(
    [
        b"\x30\x80",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x02\x01\0",
        b"\x02\x01\xff",
        b"\x05\0",
        b"\n",
        b"=",
    ]
)
damage = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 4), pieces), max_size=3)
names = st.sampled_from(KINDS)


def damaged(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, cut, put in changes:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + cut :]
    return data


def serves(key: Key) -> bool:
    """Whatever is taken for a key can be used as one: it answers, and raises nothing odd."""
    algorithm = default_algorithm(key)
    assert misfit(algorithm, key) == ""
    if key.is_private:
        with contextlib.suppress(ValueError):
            make_signature(algorithm, key, b"signed")
    return verify_signature(algorithm, key, b"signed", b"x" * 64) is False


@seed(SEED)
@many
@given(names, st.booleans(), damage, st.sampled_from(["", "RSA ", "EC ", "ENCRYPTED "]))
def test_damaged_der_in_sound_armour_is_a_key_or_a_value_error(
    name: str, private: bool, changes: list[tuple[int, int, bytes]], kind: str
) -> None:
    der = damaged((PRIVATE if private else PUBLIC)[name], changes)
    label = f"{kind}{'PRIVATE' if private else 'PUBLIC'} KEY"
    lines = base64.encodebytes(der).decode()
    with contextlib.suppress(ValueError):
        assert serves(import_pem(f"-----BEGIN {label}-----\n{lines}-----END {label}-----\n"))


@seed(SEED)
@many
@given(names, damage, st.sampled_from(["issuer/key", "issuer%2Fkey", "a+b", "..", "%", "%FF"]))
def test_damaged_der_in_a_data_uri_is_a_key_or_a_value_error(
    name: str, changes: list[tuple[int, int, bytes]], kid: str
) -> None:
    der = base64.b64encode(damaged(PRIVATE[name], changes)).decode()
    with contextlib.suppress(ValueError):
        assert serves(import_data_uri(f"data:application/pkcs8;kid={kid};base64,{der}"))


@seed(SEED)
@many
@given(st.sampled_from(sorted(OTHERS)), damage)
def test_a_damaged_key_is_a_secret_as_it_is_or_a_value_error(
    form: str, changes: list[tuple[int, int, bytes]]
) -> None:
    secret = damaged(OTHERS[form], changes)
    with contextlib.suppress(ValueError):
        assert import_secret(secret).raw_value == secret
        # What anybody may know is none, and that it was a key can be seen until it is damaged.
        assert secret != OTHERS[form]


# Requests

anything = st.characters(max_codepoint=0x10FFFF)
parts = st.lists(
    st.one_of(
        st.sampled_from(
            ["/", "//", "?", "#", "&", "=", "+", ";", "%", "@", ":", "\\", "[::1]", "jwt="]
        ),
        st.sampled_from(["a", "B", "%41", "%2f", "%C3%A9", "%ff", "%ED%A0%80", "%zz", "\ud800"]),
        st.sampled_from(["https://", "h.example", ":8080", "/jira", "..", "\0", "\r\n", "\t"]),
        anything,
        anything.filter(lambda character: not "\ud800" <= character <= "\udfff").map(quote),
    ),
    max_size=20,
).map("".join)
urls = parts | st.builds("/{}?{}".format, parts, parts) | st.builds("https://h{}".format, parts)
methods = st.sampled_from(["GET", "post", "Put", "M-SEARCH", "", "GET ", "\u017fET", "G\nT"])


@seed(SEED)
@many
@given(methods, urls, st.just("") | st.just("/jira") | urls, st.none() | parts | st.binary())
@example("POST", "/?", "", "a=1")
def test_a_damaged_request_has_one_canonical_form_or_is_a_value_error(
    method: str, url: str, base_url: str, form: str | bytes | None
) -> None:
    with contextlib.suppress(ValueError):
        canonical = canonical_request(method, url, base_url=base_url, form=form)
        # Three parts, of which only the last may hold a `&`; what a line or a log can carry.
        assert re.fullmatch(r"[A-Z-]+&/[!-%'-~]*&[A-Za-z0-9._~%&=,-]*", canonical)
        assert len(qsh(method, url, base_url=base_url, form=form)) == 64
