"""Which user of this machine is at the other end of a loopback connection."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Any


def is_foreign(peer: Any, own: Any) -> bool:
    """Whether another user has connected; False where that cannot be told.

    `peer` and `own` are the addresses of both ends, as sockets name them. Linux alone tells.
    """
    if not sys.platform.startswith("linux") or not isinstance(peer, tuple):
        return False
    uid = _uid_of(_coded(peer), _coded(own), "tcp6" if ":" in peer[0] else "tcp")
    return uid is not None and uid != os.getuid()


def _uid_of(peer: str, own: str, table: str) -> int | None:
    """The user who owns the socket whose end is `peer` and whose other end is `own`."""
    try:
        lines = Path("/proc/net", table).read_text().splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if fields[1] == peer and fields[2] == own:
            return int(fields[7])
    return None


def _coded(address: Any) -> str:
    """An address as the kernel lists it: words in the machine's order, and the port."""
    packed = ipaddress.ip_address(address[0]).packed
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    numbers = [int.from_bytes(word, sys.byteorder) for word in words]
    return "".join(f"{number:08X}" for number in numbers) + f":{address[1]:04X}"
