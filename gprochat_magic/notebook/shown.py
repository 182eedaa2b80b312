"""A conversation as a panel shows it, and as it stays in a saved notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Any

from gprochat_magic import markdown
from gprochat_magic.conversation import Conversation, Turn, estimate_tokens

Shown = dict[str, Any]

MOST_KEPT = 200
"""Turns that a saved notebook holds; export writes all."""
_RENDERED = 2_000
"""Rendered replies that are remembered."""
_HEADING = re.compile(r'<h[1-6] dir="auto">(.*?)</h[1-6]>', re.DOTALL)


class Rendering:
    """Renders replies once: most of a conversation stays as it was from one turn to the next."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, bool], str] = {}

    def reply(self, turn: Turn, *, still: bool = False) -> str:
        """The reply as safe HTML; `still` without colours, headings and work for MathJax."""
        # The text of a turn only grows until it is settled.
        key = turn.id, len(turn.reply), still
        if key not in self._known:
            if len(self._known) >= _RENDERED:
                self._known.pop(next(iter(self._known)))
            text = turn.reply
            self._known[key] = _still(text) if still else markdown.render(text)
        return self._known[key]


def _still(text: str) -> str:
    # A front end's table of contents lists the headings of outputs, and is drawn anew with each.
    return _HEADING.sub(r'<p dir="auto"><strong>\1</strong></p>', markdown.Growing().update(text))


def prompt_html(text: str) -> str:
    """A prompt as it was typed."""
    lines = escape(markdown.plain(text), quote=False).split("\n")
    return f'<p dir="auto">{"<br>".join(lines)}</p>'


def user_message(turn: Turn, *, number: int = 0) -> Shown:
    """The message for a turn's prompt."""
    return {
        "id": f"{turn.id}.u",
        "role": "user",
        "html": prompt_html(turn.prompt),
        "text": turn.prompt,
        "status": "complete",
        "error": "",
        "meta": {},
        "number": number,
        "alternative": [1, 1],
        "stale": False,
    }


def reply_message(
    turn: Turn,
    rendering: Rendering,
    *,
    number: int = 0,
    alternative: tuple[int, int] = (1, 1),
    first: float | None = None,
) -> Shown:
    """The message for what came of a turn; while it is pending, without its text."""
    pending = turn.state == "pending"
    return {
        "id": f"{turn.id}.a",
        "role": "assistant",
        "html": "" if pending else rendering.reply(turn),
        "text": "" if pending else turn.reply,
        "status": turn.state,
        "error": turn.error,
        "meta": {
            "model": turn.model,
            "backend": turn.backend,
            "elapsed": round(turn.elapsed, 3),
            "first": None if first is None else round(first, 3),
            "tokens": estimate_tokens(turn.reply),
        },
        "number": number,
        "alternative": list(alternative),
        "stale": turn.stale,
    }


def messages(
    conversation: Conversation, rendering: Rendering, firsts: dict[str, float]
) -> list[Shown]:
    """Both messages of each turn in view."""
    places: dict[tuple[str | None, int], list[str]] = {}
    for turn in conversation.turns():
        places.setdefault((turn.parent, turn.start), []).append(turn.id)
    shown = []
    for number, turn in enumerate(conversation.line(), 1):
        others = places[turn.parent, turn.start]
        place = others.index(turn.id) + 1, len(others)
        shown.append(user_message(turn, number=number))
        shown.append(
            reply_message(
                turn, rendering, number=number, alternative=place, first=firsts.get(turn.id)
            )
        )
    return shown


def of_turn(mid: str) -> str:
    """The id of the turn that a message's id belongs to."""
    return mid.partition(".")[0]


def transcript(
    conversation: Conversation, rendering: Rendering, *, hint: str = ""
) -> dict[str, str]:
    """The conversation for a reader without a kernel: HTML that needs no style, and plain text."""
    turns = conversation.line()
    kept = turns[-MOST_KEPT:]
    left_out = len(turns) - len(kept)
    heading = f"{conversation.name}: {len(turns)} turn{'' if len(turns) == 1 else 's'}"
    notes = [hint] if hint else []
    if left_out:
        notes.append(f"{left_out} earlier turns are left out; %gprochat export FILE writes all.")
    noted = "".join(f"<p>{escape(note, quote=False)}</p>" for note in notes)
    body = "".join(_turn_html(turn, rendering) for turn in kept)
    summary = f"<summary>{escape(heading, quote=False)}</summary>"
    html = markdown.document("", body=f"{noted}<details>{summary}{body}</details>")
    return {"text/html": html, "text/plain": "\n\n".join([heading, *notes, *map(_plain, kept)])}


def _turn_html(turn: Turn, rendering: Rendering) -> str:
    said = rendering.reply(turn, still=True)
    notes = "".join(f"<p><small>{escape(note, quote=False)}</small></p>" for note in _remarks(turn))
    who = escape(turn.model or "Reply", quote=False)
    prompt = prompt_html(turn.prompt)
    return f"<p><strong>You</strong></p>{prompt}<p><strong>{who}</strong></p>{said}{notes}"


def _remarks(turn: Turn) -> Iterable[str]:
    if turn.state != "complete":
        yield f"{turn.state}: {turn.error}" if turn.error else turn.state


def _plain(turn: Turn) -> str:
    said = [f"You: {markdown.plain(turn.prompt)}"]
    if turn.reply:
        said.append(f"{turn.model or 'Reply'}: {markdown.plain(turn.reply)}")
    return "\n\n".join([*said, *(f"[{remark}]" for remark in _remarks(turn))])
