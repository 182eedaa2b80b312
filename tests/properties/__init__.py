"""What holds for any input at all: quick here, and at length in `test_at_length.py`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

VARIABLE = "GPROCHAT_TEST_EXAMPLES"
"""How many examples each property is tried with; read when the tests are imported."""
_EXAMPLES = int(os.environ.get(VARIABLE, "25"))


def tried(share: float = 1.0) -> settings:
    """The settings of a property; `share` is below 1 for one whose examples are slow."""
    return settings(
        max_examples=max(5, int(_EXAMPLES * share)),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
