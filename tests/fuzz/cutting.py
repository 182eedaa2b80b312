"""Bytes and text in pieces whose places hang on the data alone, so that a finding comes again."""

from __future__ import annotations

import random
import zlib
from typing import TypeVar

_Data = TypeVar("_Data", bytes, str)


def cut(data: _Data) -> list[_Data]:
    """The data in pieces, some of them empty."""
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    chance = random.Random(zlib.crc32(raw))
    edges = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 12)))
    return [data[a:b] for a, b in zip([0, *edges], [*edges, len(data)], strict=True)]
