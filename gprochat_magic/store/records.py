"""What the store hands out, and how a turn becomes a row and is known to be unharmed.

Every row carries a SHA-256 over its conversation and all its fields: SQLite's own checks do not
see a changed letter. Fields that `Turn` gains later travel in the `extra` column and need no
migration.
"""

from __future__ import annotations

import copy
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import Any, NamedTuple

from gprochat_magic.conversation import State, Turn
from gprochat_magic.messages import well_formed

COLUMNS = (
    *("id", "parent", "state", "model", "backend", "error", "replaced", "created", "elapsed"),
    *("run", "extra", "prompt", "reply"),
)
"""The columns of a turn that its checksum covers, in the order in which it does."""

_OWN_COLUMN = frozenset(COLUMNS) - {"run", "extra"}
_LATE = frozenset(each.name for each in fields(Turn)) - _OWN_COLUMN


@dataclass(frozen=True)
class Summary:
    """A conversation as a list shows it. `notebook` is only a label."""

    id: str
    name: str
    kernel: str
    run: str
    notebook: str
    created: float
    updated: float
    turns: int


@dataclass(frozen=True)
class Loaded:
    """A conversation with the turns of its whole tree in the order they were made.

    `damaged` names the turns whose stored bytes are no longer what was written. `extra` has, by
    turn, what was stored beside the fields of `Turn`.
    """

    summary: Summary
    head: str | None
    turns: list[Turn]
    damaged: frozenset[str]
    extra: dict[str, dict[str, Any]]


class Hit(NamedTuple):
    """A turn that a search found, with the piece of its text around the words."""

    conversation: str
    name: str
    turn: str
    snippet: str


@dataclass(frozen=True)
class Record:
    """A turn as it was at one moment, and the run that wrote it."""

    turn: Turn
    run: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    damaged: bool = False


@dataclass
class Entry:
    """A conversation in memory: what the file has, or what it is still to get."""

    id: str
    name: str = ""
    kernel: str = ""
    run: str = ""
    notebook: str = ""
    created: float = 0.0
    updated: float = 0.0
    head: str | None = None
    turns: dict[str, Record] = field(default_factory=dict)
    older: int = 0
    """Turns of the file that were not asked for."""

    def summary(self) -> Summary:
        """The same, without the turns."""
        about = (self.id, self.name, self.kernel, self.run, self.notebook)
        return Summary(*about, self.created, self.updated, self.older + len(self.turns))

    def loaded(self) -> Loaded:
        """The same, with turns that the caller may change."""
        records = list(self.turns.values())
        turns = [_copied(record.turn) for record in records]
        for turn in turns:
            if turn.parent not in self.turns:
                # Lost with a damaged file: the line then begins here.
                turn.parent = None
        last = turns[-1].id if turns and self.head is not None else None
        return Loaded(
            self.summary(),
            self.head if self.head in self.turns else last,
            turns,
            frozenset(record.turn.id for record in records if record.damaged),
            {record.turn.id: dict(record.extra) for record in records if record.extra},
        )


def snapshot(turn: Turn, run: str, extra: Mapping[str, Any] | None = None) -> Record:
    """A turn as it is now. Raises `TypeError` for an extra value that JSON cannot hold."""
    json.dumps(dict(extra or {}))
    return Record(_copied(turn), run, dict(extra or {}))


def values_of(record: Record) -> list[Any]:
    """What goes into `COLUMNS`. Lone surrogates become U+FFFD; nothing else changes."""
    turn = record.turn
    known = {name: getattr(turn, name) for name in _OWN_COLUMN}
    late = {name: getattr(turn, name) for name in _LATE}
    known["run"] = record.run
    known["extra"] = json.dumps({**record.extra, **late}, ensure_ascii=False, sort_keys=True)
    known["created"], known["elapsed"] = float(turn.created), float(turn.elapsed)
    return [_storable(known[name]) for name in COLUMNS]


def checksum(conversation: str, values: Iterable[Any]) -> bytes:
    """The SHA-256 of a turn in its conversation, over values in the order of `COLUMNS`."""
    sums = sha256()
    for value in (conversation, *values):
        data = b"" if value is None else str(value).encode()
        # The length keeps two fields from trading text unnoticed.
        sums.update(b"none" if value is None else b"%d:" % len(data))
        sums.update(data)
    return sums.digest()


def record_from(row: sqlite3.Row, conversation: str) -> Record:
    """The turn of a row that has `COLUMNS` and `checksum`; damage is marked, not raised."""
    values = [row[name] for name in COLUMNS]
    damaged = row["checksum"] != checksum(conversation, values)
    mapped = {name: row[name] for name in COLUMNS if name in _OWN_COLUMN}
    try:
        extra = dict(json.loads(row["extra"])) if row["extra"] != "{}" else {}
    except (ValueError, TypeError):
        extra, damaged = {}, True
    late = {name: extra.pop(name) for name in _LATE & extra.keys()}
    turn = Turn(**mapped, **late)
    return Record(turn, row["run"], extra, damaged)


def ended(record: Record) -> Record:
    """A turn whose process died while it ran, as it is kept: interrupted, or failed without
    text.
    """
    state: State = "interrupted" if record.turn.reply else "failed"
    return replace(record, turn=replace(record.turn, state=state))


def _copied(turn: Turn) -> Turn:
    # Text and numbers cannot change under us; only later fields may hold what can.
    result = copy.copy(turn)
    for name in _LATE:
        setattr(result, name, copy.deepcopy(getattr(turn, name)))
    return result


def _storable(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return well_formed(value)
    return value
