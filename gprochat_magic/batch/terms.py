"""How a map is run: what may be said beside the template and the data, checked before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from gprochat_magic.errors import ConfigError

Into = Literal["text", "json"]
_HINT = "Nothing was sent."


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a map is run.

    `concurrency` is how many requests run at a time, at most, and `per_minute` how many begin in a
    minute. `into="json"` reads each reply as JSON; `column` gives a frame back with the answers in
    a column of that name. `limit` takes only so many rows, as a trial. `cache=False` asks anew what
    was answered before. `client` is a `dask.distributed.Client` whose workers are to ask.
    `raise_on_error` ends the run at the first row that fails. `progress` shows a bar.
    """

    concurrency: int = 8
    per_minute: float | None = None
    into: Into = "text"
    column: str = ""
    limit: int | None = None
    cache: bool = True
    client: Any = None
    raise_on_error: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        _whole("concurrency", self.concurrency)
        if self.limit is not None:
            _whole("limit", self.limit)
        if self.per_minute is not None and not _positive(self.per_minute):
            raise ConfigError(
                f"per_minute must be a number above 0, not {self.per_minute!r}", hint=_HINT
            )
        if self.into not in get_args(Into):
            raise ConfigError(f"into must be text or json, not {self.into!r}", hint=_HINT)
        if self.column and self.into == "json":
            raise ConfigError("JSON has columns of its own, so that none can be named", hint=_HINT)


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ConfigError(f"{name} must be a whole number, 1 or more, not {value!r}", hint=_HINT)


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0
