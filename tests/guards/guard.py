"""One guard: where it stands, what the code looks like without it, and who has to notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Guard:
    """A guard of the package.

    `module` is a path below `gprochat_magic`; there `old`, which must stand in it exactly once,
    becomes `new`. `tests` are ids of pytest, without parameters, of which one has to fail then.
    """

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]

    def removed_from(self, source: str) -> str:
        """The source of the module without the guard.

        Raises `LookupError` where the row no longer tells what the module holds.
        """
        found = source.count(self.old)
        if found != 1:
            raise LookupError(f"{self.module} holds the text of {self.name!r} {found} times, not 1")
        return source.replace(self.old, self.new)

    def path(self, root: Path) -> Path:
        """The module in the copy at `root`."""
        return root / "gprochat_magic" / self.module
