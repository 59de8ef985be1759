"""`python -m procession`: see `procession._cli.run`."""

import sys

from procession._cli.run import main

if __name__ == "__main__":
    sys.exit(main())
