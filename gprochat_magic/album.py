"""The pictures that went along with the turns of this session.

A file keeps only how many there were, in the turns: pictures would make it large, and every
checkpoint of a growing reply slow.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from gprochat_magic.messages import ImagePart

MOST = 32_000_000
"""Characters of base64 that one conversation remembers; the oldest are forgotten first."""


def size(images: Sequence[ImagePart]) -> int:
    """How many characters of base64 pictures are together."""
    return sum(len(image["inline_data"]["data"]) for image in images)


class Album:
    """Pictures by the id of their turn."""

    def __init__(self) -> None:
        self._pages: OrderedDict[str, tuple[ImagePart, ...]] = OrderedDict()

    def keep(self, turn: str, images: tuple[ImagePart, ...]) -> None:
        """Remember what went along with a turn, if anything did."""
        if images:
            self._pages[turn] = images
        while len(self._pages) > 1 and sum(map(size, self._pages.values())) > MOST:
            self._pages.popitem(last=False)

    def of(self, turn: str) -> tuple[ImagePart, ...]:
        """What went along with a turn; none also where that is not known any more."""
        return self._pages.get(turn, ())

    def clear(self) -> None:
        """Forget them all."""
        self._pages.clear()
