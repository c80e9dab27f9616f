"""What was good and then damaged: it is read, or it is refused as documented, and nothing else.

Random bytes seldom get past the first look of a parser, and the tests of each module have those.
Here good inputs are damaged, and what is done with them is what `nox -s fuzz` does, for longer and
guided by coverage: the targets of `fuzz_targets.py`, which say what must hold. Hypothesis damages
keys within their DER, under armour that is sound, and requests piece by piece.

ASAPFN_EXAMPLES is the number of cases for each test, ASAPFN_SEED where they start from.
"""

import os
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

from tests.support.fuzz_seeds import PIECES, PRIVATE, PUBLIC, REFUSED, SEEDS, damaged, mutations
from tests.support.fuzz_targets import TARGETS, import_data_uri, import_pem, import_secret, one_form
from tests.support.keyforms import known_to_others

EXAMPLES = int(os.environ.get("ASAPFN_EXAMPLES", "200"))
SEED = int(os.environ.get("ASAPFN_SEED", "20250117"))

many = settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

OTHERS = known_to_others()


@pytest.mark.parametrize("name", TARGETS)
def test_a_seed_is_taken_unless_it_is_one_to_be_refused(name: str) -> None:
    assert all(TARGETS[name](data) for data in SEEDS[name])
    assert not any(TARGETS[name](data) for data in REFUSED.get(name, []))


@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_seed_is_taken_or_refused_as_documented(name: str) -> None:
    taken = []
    for data in mutations(name, 10 * EXAMPLES, SEED):
        try:
            taken.append(TARGETS[name](data))
        except Exception as error:
            error.add_note(f"{name} was given {data!r}")
            raise
    # Damage so slight that it lets nothing pass, or so great that all does, would test little.
    assert 0 < sum(taken) < len(taken) == 10 * EXAMPLES


# Keys

pieces = st.binary(max_size=3) | st.sampled_from(PIECES)
damage = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 4), pieces), max_size=3)
names = st.sampled_from(sorted(PRIVATE))


@seed(SEED)
@many
@given(names, st.booleans(), damage, st.sampled_from([b"", b"RSA ", b"EC ", b"ENCRYPTED "]))
def test_damaged_der_in_sound_armour_is_a_key_or_a_value_error(
    name: str, private: bool, changes: list[tuple[int, int, bytes]], kind: bytes
) -> None:
    label = kind + (b"PRIVATE KEY" if private else b"PUBLIC KEY")
    import_pem(label + b"\0" + damaged((PRIVATE if private else PUBLIC)[name], changes))


@seed(SEED)
@many
@given(
    names, damage, st.sampled_from([b"issuer/key", b"issuer%2Fkey", b"a+b", b"..", b"%", b"%FF"])
)
def test_damaged_der_in_a_data_uri_is_a_key_or_a_value_error(
    name: str, changes: list[tuple[int, int, bytes]], kid: bytes
) -> None:
    import_data_uri(kid + b"\0" + damaged(PRIVATE[name], changes))


@seed(SEED)
@many
@given(st.sampled_from(sorted(OTHERS)), damage)
def test_a_damaged_key_is_a_secret_as_it_is_or_a_value_error(
    form: str, changes: list[tuple[int, int, bytes]]
) -> None:
    secret = damaged(OTHERS[form], changes)
    # What anybody may know is none, and that it was a key can be seen until it is damaged.
    assert not (import_secret(secret) and secret == OTHERS[form])


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
    one_form(method, url, base_url, form)
