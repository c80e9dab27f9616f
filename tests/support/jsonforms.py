"""JSON for tests of the codec: objects of any members, and nesting."""

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
OBJECT = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=5)


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    """An object of this depth: itself counts as one."""
    return b'{"a":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"
