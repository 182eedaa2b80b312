"""The turns of one chat: a tree with a current line, trimmed to the window that is sent."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from gprochat_magic.album import Album
from gprochat_magic.messages import Messages

State = Literal["pending", "complete", "unverified", "interrupted", "failed"]
"""How a send ended: end proven; end not proven; broken off with text; no text. `pending` runs."""

SENT: frozenset[State] = frozenset({"complete", "unverified", "interrupted"})
"""States of the turns that later prompts carry."""


@dataclass
class Turn:
    """A prompt and what came of it. `replaced` counts bytes of the reply that were not text.

    `sent` and `received` are the tokens that were reported for it; both 0 where none were.
    `pictures` is how many went along with the prompt.

    `cell` names the notebook cell that made it, if one did; `stale` says that a turn before it was
    replaced after this one was answered. `start` counts how often the conversation had been begun
    anew before a turn without a parent.
    """

    prompt: str
    parent: str | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    reply: str = ""
    state: State = "pending"
    model: str = ""
    backend: str = ""
    error: str = ""
    replaced: int = 0
    created: float = field(default_factory=time.time)
    elapsed: float = 0.0
    cell: str = ""
    stale: bool = False
    start: int = 0
    sent: int = 0
    received: int = 0
    pictures: int = 0

    @property
    def written(self) -> int:
        """The tokens of the reply: as reported, else estimated."""
        return self.received or estimate_tokens(self.reply)


@dataclass(frozen=True)
class Window:
    """The messages that a prompt is sent with, and how many earlier turns had to stay out.

    `kept` are the turns that go along, oldest first; their messages stand before the last one.
    """

    messages: Messages
    turns: int
    left_out: int
    kept: tuple[Turn, ...] = ()


Change = list[Turn]
"""The turns that an operation changed, which therefore are to be kept anew."""


class Conversation:
    """A tree of turns of which one line, from the root to `head`, is in view.

    `id` is what a store knows it by; `name` what people call it; `album` has the pictures.
    """

    def __init__(
        self, name: str, *, key: str = "", turns: Iterable[Turn] = (), head: str | None = None
    ) -> None:
        self.name = name
        self.id = key
        self.head = head
        self.album = Album()
        self._turns = {turn.id: turn for turn in turns}
        self._start = max((turn.start for turn in self._turns.values()), default=0)
        self._cells = {turn.cell for turn in self._turns.values()}
        # Of turns that will not change any more. Counting again for each prompt would make a long
        # conversation slow.
        self._counts: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def turns(self) -> list[Turn]:
        """Every turn of the tree, in the order they were made."""
        return list(self._turns.values())

    def line(self) -> list[Turn]:
        """The turns in view, oldest first."""
        return list(self._back_from(self.head))[::-1]

    @property
    def last(self) -> Turn | None:
        """The turn that ends the line in view; None where that is empty."""
        return self._turns[self.head] if self.head is not None else None

    def counts(self, turn_id: str | None) -> tuple[int, int]:
        """How many turns a line has that ends with this one, and how many later prompts carry."""
        counted, fresh, known = self._counts, [], (0, 0)
        for turn in self._back_from(turn_id):
            if turn.id in counted:
                known = counted[turn.id]
                break
            fresh.append(turn)
        number, carried = known
        settled = True
        for turn in reversed(fresh):
            number, carried = number + 1, carried + (turn.state in SENT)
            settled = settled and turn.state != "pending"
            if settled:
                counted[turn.id] = number, carried
        return number, carried

    def at(self, number: int) -> Turn | None:
        """The turn of that number in the line, from 1; None where there is none."""
        line = self.line()
        return line[number - 1] if 0 < number <= len(line) else None

    def alternatives(self, turn: Turn) -> list[Turn]:
        """The turns that were made in the same place, this one among them, oldest first."""
        place = turn.parent, turn.start
        return [each for each in self._turns.values() if (each.parent, each.start) == place]

    def append(self, turn: Turn) -> Change:
        """Put a turn behind the line in view."""
        return self.branch(turn, self.head)

    def branch(self, turn: Turn, parent: str | None) -> Change:
        """Put a turn behind any other, or at the start; it ends the line in view from now on."""
        turn.parent = parent
        turn.start = self._start if parent is None else 0
        self._add(turn)
        self.head = turn.id
        return [turn]

    def replace(self, old: Turn, turn: Turn) -> Change:
        """Put a turn in place of one in view; the later turns in view follow it, marked as stale.

        The old turn stays in the tree, as an alternative without later turns.
        """
        later = self._after(old)
        turn.parent, turn.start = old.parent, old.start
        self._add(turn)
        if later:
            # A new one: what another thread is counting now belongs to the line as it was.
            self._counts = {}
        if self.head == old.id:
            self.head = turn.id
        for each in later:
            each.stale = True
            if each.parent == old.id:
                each.parent = turn.id
        return [turn, *later]

    def _add(self, turn: Turn) -> None:
        self._turns[turn.id] = turn
        self._cells.add(turn.cell)
        # It may have been here before, in another place.
        self._counts.pop(turn.id, None)

    def show(self, turn: Turn) -> None:
        """Bring a turn into view, with the latest of what followed it."""
        latest = {each.parent: each for each in self._turns.values()}
        while turn.id in latest:
            turn = latest[turn.id]
        self.head = turn.id

    def back(self, count: int) -> int:
        """Take the last turns out of view; returns how many went. They stay in the tree."""
        gone = 0
        while gone < count and self.head is not None:
            self.head = self._turns[self.head].parent
            gone += 1
        return gone

    def clear(self) -> int:
        """Start an empty line; returns how many turns went out of view. They stay in the tree."""
        self._start += 1
        return self.back(len(self._turns))

    def made_by(self, cell: str) -> Turn | None:
        """The turn in view that a cell made, if any; the latest, should there be several."""
        if not cell or cell not in self._cells:
            return None
        return next((turn for turn in self._back_from(self.head) if turn.cell == cell), None)

    def copied(self, name: str) -> Conversation:
        """A conversation of its own with the line in view, under fresh ids."""
        turns: list[Turn] = []
        for turn in self.line():
            parent = turns[-1].id if turns else None
            turns.append(replace(turn, id=uuid.uuid4().hex, parent=parent, cell=""))
        copy = Conversation(name, turns=turns, head=turns[-1].id if turns else None)
        for old, turn in zip(self.line(), turns, strict=True):
            copy.album.keep(turn.id, self.album.of(old.id))
        return copy

    def renewed(self) -> Conversation:
        """The same tree under fresh ids. Raises `ValueError` where its links are broken."""
        ids = {old: uuid.uuid4().hex for old in self._turns}
        links: dict[str | None, str | None] = {None: None}
        links.update(ids)
        try:
            turns = [
                replace(turn, id=ids[turn.id], parent=links[turn.parent], cell="")
                for turn in self._turns.values()
            ]
            head = links[self.head]
        except KeyError:
            raise ValueError("a turn names another that is not there") from None
        renewed = Conversation(self.name, turns=turns, head=head)
        renewed._refuse_circles()
        return renewed

    def _refuse_circles(self) -> None:
        sound: set[str] = set()
        for turn in self._turns.values():
            path: set[str] = set()
            for each in self._back_from(turn.id):
                if each.id in sound:
                    break
                if each.id in path:
                    raise ValueError("the turns follow each other in a circle")
                path.add(each.id)
            sound |= path

    def window(
        self,
        prompt: str,
        *,
        after: str | Literal["head"] | None = "head",
        system: str = "",
        turns: int | None = None,
        token_budget: int,
    ) -> Window:
        """The prompt with as many turns before it as fit both limits, whole turns only.

        `after` is the id of the turn that it follows. Failed turns are left out and not counted.
        `turns=None` sets no limit on their number.
        """
        last = self.head if after == "head" else after
        room = token_budget - estimate_tokens(system) - estimate_tokens(prompt)
        kept: list[Turn] = []
        for turn in self._back_from(last):
            if turn.state not in SENT:
                continue
            room -= estimate_tokens(turn.prompt) + estimate_tokens(turn.reply)
            if room < 0 or len(kept) == turns:
                break
            kept.append(turn)
        messages: Messages = [{"role": "system", "content": system}] if system else []
        for turn in reversed(kept):
            messages.append({"role": "user", "content": turn.prompt})
            messages.append({"role": "assistant", "content": turn.reply})
        messages.append({"role": "user", "content": prompt})
        left_out = self.counts(last)[1] - len(kept)
        return Window(messages, len(kept), left_out, tuple(reversed(kept)))

    def _after(self, turn: Turn) -> list[Turn]:
        line = self.line()
        return line[line.index(turn) + 1 :] if turn in line else []

    def _back_from(self, turn_id: str | None) -> Iterator[Turn]:
        while turn_id is not None:
            turn = self._turns[turn_id]
            yield turn
            turn_id = turn.parent


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is: a quarter of its UTF-8 bytes, rounded up.

    The common rule of four English letters a token; bytes instead of letters let scripts that
    need more tokens, such as Cyrillic, count for more.
    """
    return -(-len(text.encode("utf-8", "replace")) // 4)
