"""What is known of one request when it is over: for the log and the figures, without its words."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

Ending = Literal["complete", "refused", "failed", "left"]
"""The reply was given whole; the request was refused; the reply broke off; the reader left."""


@dataclass
class Record:
    """One request. `status` is 0 until an answer begins, `size` counts its bytes."""

    request_id: str
    method: str
    path: str
    client: str = ""
    status: int = 0
    size: int = 0
    ending: Ending = "left"
    began: float = field(default_factory=time.monotonic)
    first: float = 0.0
    """Seconds until the first text; 0 where none came."""
    seconds: float = 0.0

    def begin(self, status: int) -> None:
        """The answer begins, now."""
        self.status = status
        self.first = time.monotonic() - self.began

    def end(self) -> None:
        """It is over, now."""
        self.seconds = time.monotonic() - self.began
