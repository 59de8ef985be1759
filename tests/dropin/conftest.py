"""What needs packages runs in an environment of its own: `make dropin`."""

import os

collect_ignore = [] if os.environ.get("PROCESSION_DROPIN") else ["packages"]
