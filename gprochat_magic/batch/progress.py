"""The progress bar: a widget in a notebook, a line of text elsewhere.

Only the thread that waits for the map draws it. At its end a widget becomes a line of text, since a
saved notebook keeps no widget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from gprochat_magic.batch.work import Counts
from gprochat_magic.config import Shower


class Progress:
    """A bar over rows: done, rows a second and time left by tqdm; failed and cached beside them."""

    def __init__(self, total: int, *, shown: bool, shower: Shower | None) -> None:
        self._bar: Any = None
        self._become: Callable[[str], object] | None = None
        if shown:
            self._bar, self._become = _bar(total, shower)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is None:
            return
        self._bar.close()
        if self._become is not None:
            self._become(str(self._bar))

    def show(self, counts: Counts) -> None:
        """Say how far it is."""
        if self._bar is None:
            return
        facts = {"failed": counts.failed, "cached": counts.cached}
        if counts.waiting >= 1:
            facts["waiting"] = f"{counts.waiting:.0f}s"  # type: ignore[assignment]  # shown only
        self._bar.set_postfix(facts, refresh=False)
        self._bar.update(counts.done - self._bar.n)

    def say(self, text: str) -> None:
        """Write a line beside the bar."""
        if self._bar is not None and text:
            self._bar.write(text)


def _bar(total: int, shower: Shower | None) -> tuple[Any, Callable[[str], object] | None]:
    from tqdm.auto import tqdm  # looks for a notebook as it is imported, so at first use

    # Its watching thread would stay for good, and we look often enough ourselves.
    quiet = type("Bar", (tqdm,), {"monitor_interval": 0})
    how = {"total": total, "unit": "row", "mininterval": 0.1, "dynamic_ncols": True}
    is_widget = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
    if shower is None or not is_widget:
        return quiet(**how), None
    bar = quiet(**how, display=False)
    return bar, shower(bar.container)
