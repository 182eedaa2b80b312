"""The targets: what each does with bytes, and the seeds that it starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fuzz import decoding, dialects, rendering, requests


@dataclass(frozen=True)
class Target:
    """A function of bytes that raises where an invariant fails, and bytes to begin with."""

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[str]
    """What is put in whole, since no chance would spell it."""
    longest: int
    """Bytes; more makes runs slow without reaching more."""


TARGETS = {
    "gateway": Target(requests.run, requests.SEEDS, requests.WORDS, 2_048),
    "renderer": Target(rendering.run, rendering.SEEDS, rendering.WORDS, 600),
    "decoder": Target(decoding.run, decoding.SEEDS, decoding.WORDS, 400),
    "sse": Target(dialects.run, dialects.SEEDS, dialects.WORDS, 2_048),
}
