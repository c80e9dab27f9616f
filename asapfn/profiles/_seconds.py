"""Bounds on the seconds that callers give: what is not a number would make a check hold always."""

import math


def require_leeway(leeway: float) -> None:
    """Refuse a leeway that is negative, infinite or no number.

    Args:
        leeway: Seconds by which clocks may differ.

    Raises:
        ValueError: If it is one.
    """
    if not 0 <= leeway < math.inf:
        raise ValueError("leeway is a finite number of seconds, from 0")


def require_lifetime(lifetime: float) -> None:
    """Refuse a lifetime that is not positive, infinite or no number.

    Args:
        lifetime: Seconds until a token expires.

    Raises:
        ValueError: If it is one.
    """
    if not 0 < lifetime < math.inf:
        raise ValueError("lifetime is a finite number of seconds that is more than 0")
