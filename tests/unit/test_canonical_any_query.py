"""The canonical query, whatever the query or its parameters: the rule again, and what must hold."""

import random
from collections import defaultdict
from urllib.parse import parse_qsl, quote, quote_plus

from hypothesis import example, given
from hypothesis import strategies as st

from asapfn._core.canonical import canonical_query, qsh

texts = st.text(st.characters(exclude_categories=["Cs"]))
pairs = st.lists(st.tuples(st.one_of(st.sampled_from(["a", "b", "jwt"]), texts), texts))
raw = "abAB01-._~=&+;?#/'[]{} \u00e9\u5bae\ue000\U0001f389\u00a0"
queries = st.lists(
    st.one_of(
        st.sampled_from(raw),
        st.sampled_from(["jwt", "a=", "&a"]),
        st.sampled_from(raw).map(lambda text: quote(text, safe="")),
        st.sampled_from(raw).map(lambda text: quote(text, safe="").lower()),
        st.integers(0, 127).map(lambda byte: f"%{byte:02X}"),
    )
).map("".join)


def by_the_book(query: str) -> str:
    """The third rule again, from parts of the standard library, with no regard to speed."""
    parameters = defaultdict(list)
    for name, value in parse_qsl(query, keep_blank_values=True, errors="strict"):
        if name != "jwt":
            parameters[quote(name, safe="")].append(value)
    lines = []
    for name, values in sorted(parameters.items()):
        values.sort(key=lambda value: value.encode("utf-16-be"))
        lines.append(name + "=" + ",".join(quote(value, safe="") for value in values))
    return "&".join(lines)


@given(queries)
@example("a=%C3%A9&a=z")
def test_a_query_has_the_canonical_form_that_the_rule_says(query: str) -> None:
    assert canonical_query(query) == by_the_book(query)


@given(pairs)
def test_every_pair_ends_up_in_the_canonical_query_and_nothing_else(
    pairs: list[tuple[str, str]],
) -> None:
    query = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    canonical = canonical_query(query)
    apart = [
        (name, value)
        for line in canonical.split("&")
        for name, _, values in [line.partition("=")]
        for value in values.split(",")
        if canonical
    ]
    kept = [(quote(n, safe=""), quote(v, safe="")) for n, v in pairs if n != "jwt"]
    assert sorted(apart) == sorted(kept)


@given(pairs, st.randoms(use_true_random=False))
def test_neither_order_nor_encoding_changes_the_hash(
    pairs: list[tuple[str, str]], chance: random.Random
) -> None:
    def encode(text: str) -> str:
        in_full = "".join(f"%{byte:02x}" for byte in text.encode())
        return chance.choice([quote(text, safe="/:,"), quote_plus(text), in_full])

    plain = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    shuffled = chance.sample(pairs, len(pairs))
    other = "&".join(f"{encode(name)}={encode(value)}" for name, value in shuffled)
    assert qsh("GET", f"/a?{plain}") == qsh("GET", f"https://h/a/?{other}&jwt={chance.random()}")


@given(st.dictionaries(texts, texts))
def test_a_canonical_query_without_repeats_is_its_own_canonical_form(
    parameters: dict[str, str],
) -> None:
    once = canonical_query("&".join(f"{quote(k)}={quote(v)}" for k, v in parameters.items()))
    assert canonical_query(once) == once
