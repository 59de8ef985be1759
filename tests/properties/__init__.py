"""Hypothesis: long random uses beside plain models, and random bytes for whatever reads bytes.

`examples(n)` are the settings of a property that tries n examples in `make test`, $PROCESSION_STORM times as many in longer runs.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

__all__ = ["examples"]


def examples(number: int, steps: int = 40) -> settings:
    """`number` examples, of `steps` steps each if it is a state machine; no two runs try the same."""
    factor = int(os.environ.get("PROCESSION_STORM", "1"))
    return settings(
        max_examples=number * factor,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
