"""Waiting that keeps the notebook's own asyncio tasks running: the setting `wait="nested"`.

A blocked cell turns the kernel's loop while its reply comes; the reply itself stays on the engine.
That takes nest-asyncio2, which patches asyncio for the whole process and cannot be taken back. So
it is imported only when somebody chose it, at the first reply after that, and only where it does
no harm: on some kernels a nested loop loses the next cell for ever.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import Coroutine
from importlib import metadata
from typing import Any

from gprochat_magic.config import Waiter

FLOOR = (1, 7, 3)
"""The first nest-asyncio2 that does not lose the next cell on ipykernel 7.1 and later."""


class Waiting:
    """How the cells of a kernel wait, once nested waiting was chosen."""

    def __init__(self) -> None:
        self._told = False

    def waiter(self) -> Waiter | None:
        """What turns this thread's loop; None where that would be unsafe, which is said once."""
        if threading.current_thread() is not threading.main_thread():
            return None  # a reply in the background, or a call in a thread of the user's
        if reason := refusal():
            if not self._told:
                self._told = True
                sys.stderr.write(f"wait=nested is not in force, replies block: {reason}.\n")
            return None
        loop = asyncio.get_running_loop()
        if not hasattr(loop, "_nest_patched"):
            _apply(loop)

        def turn(work: Coroutine[Any, Any, None]) -> None:
            loop.run_until_complete(work)

        return turn


def _apply(loop: asyncio.AbstractEventLoop) -> None:
    if patched() == "nest_asyncio":
        sys.modules["nest_asyncio"].apply(loop)
        return
    import nest_asyncio2  # patching is what was chosen, and importing it is part of that

    nest_asyncio2.apply(loop)


def refusal() -> str:
    """Why waiting in the running loop would be unsafe here and now; empty where it is safe."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return "no event loop runs in this thread, so there is none to keep going"
    if threading.current_thread() is not threading.main_thread():
        return "this is not the kernel's own thread"
    if not isinstance(loop, asyncio.BaseEventLoop):
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        return f"the kernel's loop is a {kind}, which cannot be nested"
    return _foreign() if patched() == "nest_asyncio" else _too_old()


def patched() -> str:
    """Who has replaced parts of asyncio in this process; empty if nobody."""
    if not hasattr(asyncio, "_nest_patched"):
        return ""
    return "nest_asyncio2" if hasattr(asyncio, "_nest_asyncio2") else "nest_asyncio"


def described(chosen: str) -> str:
    """The way of waiting in force, for people."""
    if chosen == "block":
        return "block"
    if reason := refusal():
        return f"block, although nested was chosen: {reason}"
    return f"nested, with {patched()}" if patched() else "nested, from the next reply on"


def _foreign() -> str:
    """What speaks against the older patch, which another module has applied."""
    harm = "nest_asyncio was applied before, and with it "
    if sys.version_info >= (3, 14):
        return harm + "later replies fail on Python 3.14"
    if version("ipykernel") >= (7, 1):
        return harm + "ipykernel 7.1 and later lose the next cell; restart without it"
    return ""


def _too_old() -> str:
    found = version("nest-asyncio2")
    if not found:
        return "nest-asyncio2 is not installed"
    if found < FLOOR:
        return (
            f"nest-asyncio2 {'.'.join(map(str, found))} loses the next cell; "
            f"{'.'.join(map(str, FLOOR))} does not"
        )
    return ""


@functools.cache
def version(package: str) -> tuple[int, ...]:
    """The release of an installed package as numbers; empty if it is not installed."""
    try:
        parts = metadata.version(package).split(".")
    except metadata.PackageNotFoundError:
        return ()
    numbers = ("".join(c for c in part if c.isdecimal()) for part in parts[:3])
    return tuple(int(number) for number in numbers if number)
