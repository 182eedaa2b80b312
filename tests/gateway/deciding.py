"""What a guard decides, asked without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gprochat_magic.gateway.guard import Admitted


def now(decision: Coroutine[Any, Any, Admitted]) -> Admitted:
    """The result of a decision that waits for nothing."""
    try:
        decision.send(None)
    except StopIteration as done:
        result: Admitted = done.value
        return result
    raise AssertionError("the guard waited")
