"""`python -m procession`: see `procession._cli.run`."""

import sys

from procession._cli.run import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
