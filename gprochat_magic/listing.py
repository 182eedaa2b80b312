"""Conversations, their turns and what a search has found, as text that is safe to print."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from gprochat_magic import markdown
from gprochat_magic.conversation import Conversation, Turn
from gprochat_magic.store import Hit, Summary


def conversations(summaries: Sequence[Summary], *, current: str = "") -> str:
    """A line for each conversation; a star marks the current one."""
    rows = [
        f"{'*' if each.name == current else ' '} {each.name:<24} {each.turns:>5} turns  "
        f"{_when(each.updated)}  {Path(each.notebook).name}".rstrip()
        for each in summaries
    ]
    return "\n".join(rows) or "No conversations are kept yet."


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def history(conversation: Conversation, last: int | None = None) -> str:
    """The turns in view, or the last so many of them."""
    turns = conversation.line()
    if not turns:
        return "No turns yet."
    first = 0 if last is None else max(0, len(turns) - last)
    return "\n".join(
        _told(number, turn, conversation) for number, turn in enumerate(turns, 1) if number > first
    )


def _told(number: int, turn: Turn, conversation: Conversation) -> str:
    others = conversation.alternatives(turn)
    remarks = [
        f"{others.index(turn) + 1} of {len(others)}" if len(others) > 1 else "",
        "" if turn.state == "complete" else turn.state,
        "an earlier turn has changed since" if turn.stale else "",
    ]
    said = ", ".join(filter(None, remarks))
    reply = markdown.plain(turn.reply) if turn.reply else f"({turn.error or 'no reply'})"
    asked = "\n".join(f"  > {line}" for line in markdown.plain(turn.prompt).splitlines())
    answered = "\n".join(f"    {line}" for line in reply.splitlines())
    return f"{number}{f'  [{said}]' if said else ''}\n{asked}\n{answered}"


def hits(found: Sequence[Hit], text: str) -> str:
    """A line for each turn that a search for the text has found."""
    width = max((len(hit.name) for hit in found), default=0) + 2
    rows = [f"{hit.name:<{width}}{' '.join(markdown.plain(hit.snippet).split())}" for hit in found]
    return "\n".join(rows) or f"Nothing is found with {text!r}."
