"""How much is tried at random: all of it under nox and in CI, a fifth elsewhere."""

from hypothesis import settings


def tries(number: int) -> int:
    """As large a share of the number as hypothesis tries of its 100 examples."""
    return max(1, number * settings.default.max_examples // 100)
