"""`Err[N]`: the traceback of cell N, remembered as it fails; its display is not touched."""

from __future__ import annotations

import traceback
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gprochat_magic.notebook.evidence import Evidence

KEPT = 100
"""How many tracebacks are remembered; the oldest go first."""


class Failures(OrderedDict[int, str]):
    """Tracebacks of cells by execution number. `Err[N]` raises KeyError for a cell that worked.

    `finished` is the number of the last cell that ran to its end, well or not. `evidence` has what
    else is known of the failures, the latest last. No exception object is held, since it would hold
    the user's data with it.
    """

    finished = 0

    def __init__(self) -> None:
        super().__init__()
        self.evidence: OrderedDict[int, Evidence] = OrderedDict()

    def note(self, result: Any) -> None:
        """Called after each cell with IPython's result object."""
        if result.info.store_history and result.execution_count is not None:
            self.finished = result.execution_count
        error = result.error_before_exec or result.error_in_exec
        count = result.execution_count
        if error is None or count is None:
            return
        from gprochat_magic.notebook.evidence import gathered  # not needed until a cell fails

        trace = error.__traceback__
        # The first frames are IPython's own: they say nothing of the cell.
        while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(
            "IPython."
        ):
            trace = trace.tb_next
        self[count] = "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")
        self.evidence.pop(count, None)
        self.evidence[count] = gathered(error, number=count, cell=result.info.raw_cell or "")
        while len(self) > KEPT:
            self.evidence.pop(self.popitem(last=False)[0], None)

    def last(self) -> Evidence | None:
        """The latest failure that was the user's own: not one of ours, and not their Stop."""
        return next((each for each in reversed(self.evidence.values()) if each.is_users), None)
