"""A service that `request` asks, and the flags of its token, as for `tests/cli`."""

from tests.cli.conftest import asapfn, bare_environment
from tests.cli.test_request import origin, running, service, signed

__all__ = ["asapfn", "bare_environment", "origin", "running", "service", "signed"]
