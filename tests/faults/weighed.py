"""One send in a process of its own, which prints how it ended and what it cost, as JSON.

Run as `python -m tests.faults.weighed URL`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

from gprochat_magic.clock import Clock
from gprochat_magic.config import Secret
from gprochat_magic.errors import GPROChatError
from gprochat_magic.target import Pool, Target
from gprochat_magic.transport import Ask, Exchange

STATUS = Path("/proc/self/status")


def peak(*, anew: bool = False) -> int:
    """The most memory that this process has held, in bytes; `anew` forgets what went before."""
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # Where it can be had, the kernel's own figure: the other counts the parent's memory as ours.
    if anew:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024


async def weigh(url: str) -> dict[str, Any]:
    """Send one prompt."""
    memory, began, error = peak(anew=True), time.process_time(), ""
    async with contextlib.aclosing(Pool()) as pool:
        target, ask = Target(url, Secret("made up")), Ask([{"role": "user", "content": "hello"}])
        exchange = Exchange(target, ask, session=pool.session, clock=Clock())
        try:
            async with contextlib.aclosing(exchange.stream()) as pieces:
                async for _ in pieces:
                    pass
        except GPROChatError as raised:
            error = type(raised).__name__
    seconds = time.process_time() - began
    return {
        "error": error,
        "state": exchange.state,
        "grown": peak() - memory,
        "seconds": seconds,
        "size": len(exchange.text.encode()),
        "digest": hashlib.sha256(exchange.text.encode()).hexdigest(),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(weigh(sys.argv[1]))))  # noqa: T201  # this is its answer
