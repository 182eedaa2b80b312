"""What a front end sees of a cell: when its first text came, how many messages, how many bytes."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.model import MARK, Model
from tests.kernels import Kernel, Ran

OUTPUTS = (
    *("display_data", "update_display_data", "execute_result", "stream", "clear_output"),
    *("comm_open", "comm_msg"),  # of widgets
)


@dataclass(frozen=True)
class Seen:
    """One cell with a reply. Times in seconds, `first` from when the model made its first piece.

    `most` is the most output messages that came within any second; `cpu` is what the kernel's
    process spent.
    """

    first: float
    messages: int
    size: int
    most: int
    cpu: float
    ran: Ran


def watched(kernel: Kernel, model: Model, cell: str) -> Seen:
    """Run a cell that asks the model, and look at what comes. Raises where the cell fails."""
    first: list[float] = []
    times: list[float] = []

    def watch(message: dict[str, Any]) -> None:
        kind = message["msg_type"]
        if kind not in OUTPUTS:
            return
        times.append(time.monotonic())
        if not first and MARK in json.dumps(message["content"], default=str):
            first.append(times[-1])

    model.began = 0.0
    before = _cpu(kernel)
    ran = kernel.run(cell, watch)
    cpu = _cpu(kernel) - before
    if ran.status != "ok":
        raise RuntimeError(f"{ran.error['ename']}: {ran.error['evalue'][:200]}")
    if not first:
        raise RuntimeError("no text of the reply was shown")
    messages = ran.of(*OUTPUTS)
    return Seen(
        first[0] - model.began, len(messages), sum(map(_size, messages)), _most(times), cpu, ran
    )


def _cpu(kernel: Kernel) -> float:
    return float(kernel.value("__import__('time').process_time()"))


def _size(message: dict[str, Any]) -> int:
    """The bytes of a message on the kernel's socket: its four parts, without the signature."""
    parts = (message[part] for part in ("header", "parent_header", "metadata", "content"))
    return sum(len(json.dumps(part, default=str, ensure_ascii=False).encode()) for part in parts)


def _most(times: list[float]) -> int:
    """The most that came within any second."""
    return max(sum(at <= other < at + 1 for other in times) for at in times)
