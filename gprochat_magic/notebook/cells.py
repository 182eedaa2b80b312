"""Cells that were run in this session: their text as typed, and what is known of their output."""

from __future__ import annotations

import re
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from gprochat_magic.masking import masked_head, masked_tail
from gprochat_magic.notebook.failures import Failures
from gprochat_magic.notebook.summaries import LIMIT, Summary, summarized

_SLICE = re.compile(r"In\[(?:(?P<one>\d+)|(?P<start>\d*):(?P<stop>\d*))\]")
_PART = LIMIT // 4
"""Characters that a cell, what it printed, its value and its error may have each."""


def run_before(shell: InteractiveShell, failures: Failures) -> dict[int, str]:
    """The text of each cell run before the present one, by number, oldest first."""
    # IPython 8 counts a cell when it ends, 9 when it begins; what has finished is the same in both.
    history: Any = shell.history_manager
    typed = history.input_hist_raw if history else []
    return {
        number: text.rstrip("\n")
        for number, text in enumerate(typed)
        if 0 < number <= failures.finished and text.strip()
    }


def inputs(shell: InteractiveShell, failures: Failures, item: str) -> Summary:
    """`In[3]` or `In[3:5]`, which ends before 5. Raises `UsageError` for any other, or no cell."""
    place = _SLICE.fullmatch(item)
    if place is None:
        raise UsageError(f"-x {item}: In[3] is a cell, In[3:5] the cells 3 and 4; nothing was sent")
    ran = run_before(shell, failures)
    if place["one"]:
        wanted = {number: text for number, text in ran.items() if number == int(place["one"])}
    else:
        start, stop = int(place["start"] or 0), int(place["stop"] or failures.finished + 1)
        wanted = {number: text for number, text in ran.items() if start <= number < stop}
    if not wanted:
        raise UsageError(f"-x {item}: no such cell was run in this session; nothing was sent")
    if place["one"]:
        return Summary("cell", wanted[int(place["one"])])
    return Summary("cells", "\n\n".join(_numbered(number, wanted[number]) for number in wanted))


def last(shell: InteractiveShell, failures: Failures) -> Summary:
    """The cell run before the present one, with its output. Raises `UsageError` if none was."""
    ran = run_before(shell, failures)
    if not ran:
        raise UsageError("-x last: no cell was run before this one; nothing was sent")
    number = max(ran)
    parts = [masked_head(_numbered(number, ran[number]), _PART)]
    if printed := _printed(shell, number):
        parts.append(masked_head(f"It printed:\n{printed}", _PART))
    values = shell.user_ns.get("Out", {})
    if number in values:
        value = summarized(values[number], f"Out[{number}]")
        text, hidden = masked_head(f"Out[{number}]:\n{value.text}", _PART)
        parts.append((text, hidden + value.hidden))
    if number in failures:
        text, hidden = masked_tail(failures[number], _PART)
        parts.append((f"It failed:\n{text}", hidden))
    return Summary(
        "cell", "\n\n".join(text for text, _ in parts), hidden=sum(hidden for _, hidden in parts)
    )


def _printed(shell: InteractiveShell, number: int) -> str:
    """What a cell printed, where this IPython keeps that."""
    kept = getattr(shell.history_manager, "outputs", {}).get(number, ())
    return "".join(
        "".join(output.bundle.get("stream", ()))
        for output in kept
        if output.output_type in ("out_stream", "err_stream")
    ).strip()


def notebook(shell: InteractiveShell, failures: Failures) -> Summary:
    """The cells run so far; where they are too many, the newest. Raises `UsageError` for none."""
    ran = run_before(shell, failures)
    if not ran:
        raise UsageError("-x notebook: no cell was run before this one; nothing was sent")
    told: list[str] = []
    room = LIMIT - 100  # for the line that says how many are missing
    for number in reversed(ran):
        text = _numbered(number, ran[number])
        room -= len(text) + 2
        if told and room < 0:
            break
        told.append(text)
    missing = len(ran) - len(told)
    older = [f"({missing:,} older cells are left out)"] if missing else []
    return Summary("cells run so far", "\n\n".join([*older, *reversed(told)]))


def _numbered(number: int, text: str) -> str:
    return f"In[{number}]:\n{text}"
