"""Which run of which process writes, and whether the run that began a turn is still alive."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

FAR_TURN_LASTS = 2 * 60 * 60.0
"""Seconds after which a turn begun on a machine that we cannot see into counts as abandoned."""


@dataclass(frozen=True)
class Run:
    """One life of one process. `kernel` stays the same over restarts, `id` does not."""

    id: str
    kernel: str
    host: str
    pid: int
    started: str


class Forkable(Protocol):
    """What must not be in the middle of a transaction when its process forks."""

    def hold(self) -> Callable[[], None]:
        """Wait for the end of a transaction and begin no other; returns what lets go."""

    def begin_again(self) -> None:
        """Forget the parent's thread, locks and queue, in the child."""


def watch_forks(me: Callable[[], Forkable | None]) -> None:
    """Let this process fork only between transactions: a child could roll back its parent's.

    What `me` leads to is asked for at each fork, so that a weak reference will do.
    """
    held: list[Callable[[], None]] = []

    def before() -> None:
        it = me()
        if it is not None:
            held.append(it.hold())

    def in_parent() -> None:
        while held:
            held.pop()()

    def in_child() -> None:
        in_parent()
        it = me()
        if it is not None:
            it.begin_again()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def this_run(*, run: str = "", kernel: str = "") -> Run:
    """The run of this process; `run` and `kernel` are the caller's names for it."""
    pid = os.getpid()
    return Run(run or uuid.uuid4().hex, kernel, _here(), pid, _started(pid))


def is_dead(run: Run | None, me: Run, *, begun: float) -> bool:
    """Whether nobody can still be writing a turn that `run` began at the time `begun`."""
    if run is None:
        return True
    if run.id == me.id:
        return False
    if run.host != me.host:
        return time.time() - begun > FAR_TURN_LASTS
    if run.kernel and run.kernel == me.kernel:
        # One kernel id has one process at a time, so an earlier run of ours has ended.
        return True
    return _started(run.pid) != run.started


def _here() -> str:
    """A name for the set of processes whose ids mean the same as ours."""
    try:
        # Two containers can share a home directory and a host name, never a process namespace.
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """When a process began, as text that no later process of the same number can have."""
    try:
        if sys.platform == "linux":
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            # The name in brackets may hold spaces, so the fields are counted after it.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if fields[0] in ("Z", "X") else f"{boot} {fields[19]}"
        import psutil  # optional here: only where there is no /proc

        return str(psutil.Process(pid).create_time())
    except Exception:  # noqa: BLE001  # psutil has errors of its own, and no answer is the answer
        return ""
