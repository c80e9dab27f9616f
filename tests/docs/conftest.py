"""The command line of the tests' own process, as for `tests/cli`."""

from tests.cli.conftest import asapfn, bare_environment

__all__ = ["asapfn", "bare_environment"]
