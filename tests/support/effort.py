"""How much is tried: all of it under nox and in CI, a fifth of what is random elsewhere."""

import pytest
from hypothesis import settings

# For load that one task makes, question by question: the event loop changes nothing but the time.
ONE_BACKEND = pytest.mark.parametrize("anyio_backend", ["asyncio"])


def tries(number: int) -> int:
    """As large a share of the number as hypothesis tries of its 100 examples."""
    return max(1, number * settings.default.max_examples // 100)
