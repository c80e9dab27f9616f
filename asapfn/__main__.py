"""`python -m asapfn` is `asapfn`."""

import sys

from asapfn.cli import main

if __name__ == "__main__":
    sys.exit(main())
