"""Subcommands typed into a panel, as `/history 3`: run there, shown there, kept nowhere."""

from __future__ import annotations

import secrets
from html import escape

from IPython.core.error import UsageError

from gprochat_magic import config, markdown
from gprochat_magic.conversation import Turn
from gprochat_magic.errors import GPROChatError
from gprochat_magic.notebook import commands, grammar, shown
from gprochat_magic.notebook.magics import GPROChatMagics
from gprochat_magic.notebook.protocol import Message


def offered() -> list[list[str]]:
    """Names and help of what can be typed; nothing while the extension is not loaded."""
    if not isinstance(config.current(), GPROChatMagics):
        return []
    return [[shape.name, shape.help] for shape in commands.SAYING]


def command_in(text: str) -> tuple[str, str] | None:
    """The subcommand that a text is, with its argument; None for a prompt.

    Raises `GPROChatError` for one word that is nearly a subcommand, as the magic does.
    """
    line = text.strip()
    if not line.startswith("/") or "\n" in line or not offered():
        return None
    try:
        typed = grammar.parse(line[1:], None, commands.SHAPES)
    except UsageError as error:
        if line[1:].isalpha():
            raise GPROChatError(str(error), hint="Nothing was sent.") from None
        return None
    return (typed.command, typed.text) if typed.command else None


def said(text: str, command: tuple[str, str]) -> Message:
    """Run it: the two messages to show. Takes as long as it takes."""
    magics = config.current()
    assert isinstance(magics, GPROChatMagics)
    turn = Turn(text, state="complete")
    try:
        if command[0] not in {shape.name for shape in commands.SAYING}:
            raise UsageError(f"{command[0]} needs a cell: %gprochat {text.strip()[1:]}")
        outcome = commands.told(magics, *command)
    except UsageError as error:
        outcome = str(error)
    except GPROChatError as error:
        outcome = f"{error.message}\n{error.hint}"
    message = shown.reply_message(turn, shown.Rendering())
    plain = markdown.plain(outcome)
    html = f'<pre dir="auto"><code>{escape(plain, quote=False)}</code></pre>'
    return {
        "user": shown.user_message(turn),
        "message": {**message, "html": html, "text": plain, "meta": {}},
    }


def messages(aside: Message) -> list[Message]:
    """What a page is told of it: a run that is over at once."""
    rid = secrets.token_hex(8)
    opened = {"t": "open", "rid": rid, "mid": aside["message"]["id"], "user": aside["user"]}
    return [opened, {"t": "done", "rid": rid, "seq": 0, "message": aside["message"], "notes": []}]
