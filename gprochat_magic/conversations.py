"""The conversations that are open in this process, and the store that keeps them.

Invariants: two surfaces that ask for one name get one conversation; what a turn becomes is handed
to the store at once and never waited for on an event loop.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
import time
from pathlib import Path

import platformdirs

from gprochat_magic import config
from gprochat_magic.conversation import Change, Conversation
from gprochat_magic.errors import ConfigError, GPROChatError
from gprochat_magic.line import Line, tell
from gprochat_magic.store import Hit, Outcome, Store, Summary

MEMORY = ":memory:"
"""The setting of `store` under which nothing is written."""
UNNAMED = "chat"
"""What a conversation is called that belongs to no notebook and was given no name."""

Kept = concurrent.futures.Future[Outcome]
"""Resolves when a change is in the file, or is known to stay in memory for now."""


class Conversations:
    """All of them: the open ones, the current one, and those in the file.

    `kernel` and `notebook` say whose they are; a notebook's path is only a label.
    """

    def __init__(self, path: str, *, kernel: str = "", notebook: str = "") -> None:
        self.path = path
        self.kernel = kernel
        self.notebook = notebook
        # Opening reads the file and may take a while; the engine, which only keeps, must not wait
        # for it. So there are two locks, and nothing is read under the first.
        self._lock = threading.RLock()
        self._opening = threading.RLock()
        self._lines: list[Line] = []
        self._current: Line | None = None
        self._store: Store | None = None
        self._told = 0

    @property
    def store(self) -> Store:
        """The store, opened at first use and again after `close`."""
        with self._lock:
            if self._store is None:
                self._store = Store(self.path, run=_RUN, kernel=self.kernel)
                self._told = 0
            return self._store

    @property
    def current(self) -> Line:
        """The conversation that prompts go to which name no other; a fresh one at the start."""
        with self._lock:
            if self._current is None:
                self._current = Line(Conversation(self._usual))
            return self._current

    def open(self, name: str, *, make: bool = False) -> Line:
        """The conversation of that name, from the file if it is not open yet.

        Raises `ConfigError` (kind `unknown_conversation`) with the nearest name if there is none,
        unless `make` says to begin one.
        """
        with self._opening:
            for line in self._opened():
                if self.name_of(line) == name:
                    return line
            if make and self.store.find(name) is None:
                return self._add(Line(Conversation(self._sound(name))))
            loaded = self.store.load(name)
            about = loaded.summary
            conversation = Conversation(
                about.name, key=about.id, turns=loaded.turns, head=loaded.head
            )
            line = Line(conversation)
            line.kept_in = self._place
            return self._add(line)

    def use(self, name: str) -> Line:
        """Open a conversation and make it the current one."""
        with self._opening:
            self._current = self.open(name)
            tell(self._current)
            return self._current

    def new(self, name: str = "") -> Line:
        """Begin a conversation and use it. Raises `ConfigError` if the name is taken."""
        with self._opening:
            self._current = self.begin(name)
            tell(self._current)
            return self._current

    def begin(self, name: str = "") -> Line:
        """Begin a conversation, and keep it. Raises `ConfigError` if the name is taken."""
        with self._opening:
            if name:
                self._refuse_taken(name)
            else:
                name = self._usual
                with contextlib.suppress(GPROChatError):  # the store gives it a number later
                    name = self.free_name(name)
            line = self._add(Line(Conversation(self._sound(name))))
            self.keep(line, [])
            return line

    def adopt(self, conversation: Conversation) -> Line:
        """Open and keep a conversation made elsewhere. Raises `ConfigError` for a taken name."""
        with self._opening:
            self._refuse_taken(conversation.name)
            line = self._add(Line(conversation))
            self.keep(line, conversation.turns())
            return line

    def rename(self, old: str, name: str) -> None:
        """Give a conversation another name. Raises `ConfigError` for an unknown or a taken one."""
        with self._opening:
            line = self.open(old)
            self._refuse_taken(self._sound(name))
            if line.kept_in is not None:
                self.store.rename(line.conversation.id, name)
            line.conversation.name = name

    def delete(self, name: str) -> int:
        """Remove a conversation and its turns for good; returns how many turns went.

        Raises `ConfigError` for the current one, and for one that there is not.
        """
        with self._opening:
            line = self.open(name)
            if line is self.current:
                raise ConfigError(
                    f"{name} is the conversation in use",
                    hint="Use another one first, then delete it.",
                )
            if line.kept_in is not None:
                self.store.delete(line.conversation.id)
            self._lines = [each for each in self._lines if each is not line]
            return len(line.conversation)

    def fork(self, name: str = "") -> Line:
        """Copy the line in view into a conversation of its own, and make that the current one."""
        with self._opening:
            source = self.current.conversation
            line = self.adopt(source.copied(self._sound(name or self.free_name(source.name))))
            self._current = line
            tell(line)
            return line

    def summaries(self) -> list[Summary]:
        """Every conversation in the file, the last used first."""
        return self.store.conversations()

    def names(self) -> list[str]:
        """The names that can be used, the last used first."""
        opened = [self.name_of(line) for line in self._opened()]
        return list(dict.fromkeys([*(each.name for each in self.summaries()), *opened]))

    def search(self, text: str, limit: int = 20) -> list[Hit]:
        """The newest turns with every word of the text."""
        return self.store.search(text, limit)

    def left_before(self) -> Summary | None:
        """The conversation that this notebook, else this kernel, had before it was started anew."""
        for each in self.summaries():
            mine = self._current is not None and each.id == self._current.conversation.id
            same = each.notebook == self.notebook if self.notebook else each.kernel == self.kernel
            if (
                same
                and (self.notebook or self.kernel)
                and each.run != _RUN
                and each.turns
                and not mine
            ):
                return each
        return None

    def keep(self, line: Line, change: Change) -> Kept | None:
        """Hand changed turns, and which of them ends the line, to the store. Returns at once.

        The future is that of the last turn; None where no turn changed.
        """
        with self._lock:
            conversation = line.conversation
            if line.kept_in != self._place:
                # The store gives a number to a name that is taken; `name_of` learns of it.
                conversation.id = self.store.create(conversation.name, notebook=self.notebook)
                line.kept_in = self._place
                change = conversation.turns()
            kept = [self.store.save(conversation.id, turn) for turn in change]
            self.store.set_head(conversation.id, conversation.head)
        tell(line)
        return kept[-1] if kept else None

    def notices(self) -> list[str]:
        """What the store has to say that was not told before."""
        with self._lock:
            if self._store is None:
                return []
            fresh = self._store.notices[self._told :]
            self._told += len(fresh)
            return fresh

    def close(self) -> None:
        """Write the rest and end the store's thread; the open conversations stay open."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def name_of(self, line: Line) -> str:
        """What a conversation is called, as the file has it."""
        with contextlib.suppress(GPROChatError):  # a file that cannot be read now knows no better
            found = self.store.find(line.conversation.id) if line.conversation.id else None
            line.conversation.name = found.name if found else line.conversation.name
        return line.conversation.name

    @property
    def _usual(self) -> str:
        return Path(self.notebook).stem or UNNAMED

    @property
    def _place(self) -> object:
        """What a conversation was kept in: the file, or this very store where there is none."""
        return self.store if self.path == MEMORY else self.path

    def _opened(self) -> list[Line]:
        # A fresh current conversation has no name of its own until something is kept in it.
        current = self._current
        if current is None or current.kept_in is None or current in self._lines:
            return self._lines
        return [*self._lines, current]

    def _add(self, line: Line) -> Line:
        self._lines.append(line)
        return line

    def _refuse_taken(self, name: str) -> None:
        if name in self.names():
            raise ConfigError(
                f"a conversation is called {name} already",
                hint=f'%gprochat use "{name}" continues it.',
                kind="name_taken",
            )

    def free_name(self, name: str) -> str:
        """A name that is not taken: this one, or with a number behind it."""
        taken = set(self.names())
        numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
        return next(each for each in (name, *numbered) if each not in taken)

    @staticmethod
    def _sound(name: str) -> str:
        if not name.strip() or not name.isprintable() or len(name) > 200 or name != name.strip():
            raise ConfigError(
                "a conversation's name is one line of at most 200 characters",
                hint="Choose another name.",
            )
        return name


def _run_id() -> str:
    return f"{os.getpid()}-{time.time_ns():x}"


_RUN = _run_id()
"""This process, for the store: a notebook's earlier conversations are those of another run."""

_shared: Conversations | None = None


def shared() -> Conversations:
    """The conversations of this process, in the store that is configured now."""
    global _shared
    settings = config.current()
    path = settings.store or str(platformdirs.user_data_path("gprochat-magic") / "history.sqlite")
    if _shared is None or _shared.path != path:
        if _shared is not None:
            _shared.close()
        _shared = Conversations(path, kernel=settings.kernel, notebook=settings.notebook)
    return _shared


def close() -> None:
    """Write the rest to the file, if any conversation was used."""
    if _shared is not None:
        _shared.close()
