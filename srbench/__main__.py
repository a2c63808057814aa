"""`python -m srbench`, the same as `srbench`."""

from __future__ import annotations

import sys

from srbench.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
