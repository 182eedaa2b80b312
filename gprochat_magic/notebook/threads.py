"""The subcommands about conversations, a row each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from gprochat_magic import listing
from gprochat_magic.conversation import Conversation, Turn
from gprochat_magic.notebook.grammar import NUMBERED, Row, Shape, flags_for
from gprochat_magic.notebook.prompt import Filled
from gprochat_magic.notebook.values import QUOTED, quoted, unquoted

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics


def _new(magics: GPROChatMagics, name: str) -> str:
    line = magics.conversations().new(unquoted(name))
    return f"{line.conversation.name}: a new conversation; prompts go there now."


def _use(magics: GPROChatMagics, argument: str) -> str:
    home = magics.conversations()
    typed = re.fullmatch(_PLACE, argument)
    assert typed is not None  # by this pattern the line was told from a prompt
    name, place = unquoted(typed["name"] or ""), typed["place"]
    if not name and not place:
        before = home.left_before()
        if before is None:
            raise UsageError("this notebook had no conversation before; %gprochat list shows all")
        name = before.name
    conversation = (home.use(name) if name else home.current).conversation
    if place:
        _show(conversation, place)
    count = len(conversation.line())
    return f"{name or conversation.name}: {count} turns in view; prompts go there now."


def _show(conversation: Conversation, place: str) -> None:
    """Bring an alternative into view, named as history names it: the turn, a dot, which of them."""
    number, _, which = place.partition(".")
    turn = conversation.at(int(number)) if number.isdecimal() else None
    others = conversation.alternatives(turn) if turn else []
    if not which.isdecimal() or not 0 < int(which) <= len(others):
        raise UsageError(
            f"there is no {place}; %gprochat history shows turns that have alternatives"
        )
    conversation.show(others[int(which) - 1])


def _list(magics: GPROChatMagics, argument: str) -> str:
    home = magics.conversations()
    return listing.conversations(home.summaries(), current=home.name_of(home.current))


def _rename(magics: GPROChatMagics, names: str) -> str:
    old, new = map(unquoted, re.findall(_NAME, names))
    magics.conversations().rename(old, new)
    return f"{old} is called {new} now."


def _delete(magics: GPROChatMagics, name: str) -> str:
    name = unquoted(name)
    return f"{name}: deleted, with {magics.conversations().delete(name)} turns."


def _fork(magics: GPROChatMagics, name: str) -> str:
    line = magics.conversations().fork(unquoted(name))
    return (
        f"{line.conversation.name}: a copy of {len(line.conversation)} turns; prompts go there now."
    )


def _history(magics: GPROChatMagics, argument: str) -> str:
    return listing.history(magics.chat().conversation, int(argument) if argument else None)


def _search(magics: GPROChatMagics, text: str) -> str:
    return listing.hits(magics.conversations().search(text), text)


def _export(magics: GPROChatMagics, argument: str) -> str:
    from gprochat_magic import transcript  # brings nbformat, which loading must not

    name = argument.removesuffix("--force").strip()
    path = Path(unquoted(name)).expanduser()
    return transcript.export(magics.chat().conversation, path, replace=name != argument)


def _import(magics: GPROChatMagics, name: str) -> str:
    from gprochat_magic import transcript

    path = Path(unquoted(name)).expanduser()
    home = magics.conversations()
    conversation = transcript.load(path, home.free_name(path.stem))
    home.adopt(conversation)
    name = conversation.name
    return f"{name}: {len(conversation)} turns read; %gprochat use {quoted(name)} goes there."


def _reset(magics: GPROChatMagics, argument: str) -> str:
    conversation = magics.chat().conversation
    count = conversation.clear()
    magics.keep_view()
    return f"{conversation.name}: {count} turns left behind; the next prompt starts anew."


def _undo(magics: GPROChatMagics, argument: str) -> str:
    conversation = magics.chat().conversation
    count = conversation.back(int(argument or 1))
    magics.keep_view()
    return f"{conversation.name}: {count} turns taken back, {len(conversation.line())} in view."


def _retry(magics: GPROChatMagics, argument: str) -> Any:
    options, number = flags_for("retry", argument, ("model",))
    turn = _turn(magics, number)
    return magics.asking.send(Filled(turn.prompt), options, again=turn)


def _edit(magics: GPROChatMagics, argument: str) -> str:
    conversation = magics.chat().conversation
    turn = _turn(magics, argument)
    number = conversation.line().index(turn) + 1
    conversation.back(len(conversation.line()) - number + 1)
    magics.keep_view()
    # --raw: what was put into the prompt then is in it already.
    magics.shell.set_next_input(f"%%gprochat --raw\n{turn.prompt}")
    return (
        f"The prompt of turn {number} is in the next cell. That turn and those after it are out of "
        "view; the old ones stay in the conversation."
    )


def _turn(magics: GPROChatMagics, number: str) -> Turn:
    conversation = magics.chat().conversation
    turn = conversation.at(int(number) if number else len(conversation.line()))
    if turn is None:
        raise UsageError(f"there is no turn {number}" if number else "there is no turn yet")
    return turn


_NAME = rf"(?:{QUOTED}|[^\s:]\S*)"
_PLACE = rf"(?P<name>{QUOTED}|[^\s:]\S*?)?(?::(?P<place>\d+\.\d+))?"
_FILE = rf"(?:{QUOTED}|\S+)"
ROWS: tuple[Row, ...] = (
    (Shape("new", "[NAME]", rf"({_NAME})?", "begin a conversation, and talk there"), _new),
    (
        Shape(
            "use",
            "[NAME][:TURN.N]",
            _PLACE,
            "talk in that conversation, or in this notebook's last one; :2.1 brings back the first "
            "alternative of turn 2",
            completes="conversation",
        ),
        _use,
    ),
    (Shape("list", "", "", "the conversations that are kept"), _list),
    (
        Shape(
            "rename",
            "OLD NEW",
            rf"{_NAME}\s+{_NAME}",
            "give a conversation another name",
            completes="conversation",
        ),
        _rename,
    ),
    (
        Shape("delete", "NAME", _NAME, "remove a conversation for good", completes="conversation"),
        _delete,
    ),
    (Shape("fork", "[NAME]", rf"({_NAME})?", "go on in a copy of what is in view"), _fork),
    (Shape("history", "[N]", r"\d*", "the turns in view, or the last N"), _history),
    (Shape("search", "TEXT", r".+", "find turns by their words, in every conversation"), _search),
    (
        Shape(
            "export",
            "FILE [--force]",
            rf"{_FILE}(\s+--force)?",
            "write the conversation as .md, .json or .ipynb",
        ),
        _export,
    ),
    (Shape("import", "FILE", _FILE, "read a conversation from such a file"), _import),
    (Shape("reset", "", "", "start anew; earlier turns stay in the conversation"), _reset),
    (Shape("undo", "[N]", r"\d*", "take back the last turn, or the last N"), _undo),
    (
        Shape(
            "retry",
            "[-m MODEL] [N]",
            NUMBERED,
            "ask the last prompt, or that of turn N, once more",
        ),
        _retry,
    ),
    (Shape("edit", "[N]", r"\d*", "put a prompt into the next cell, to ask it differently"), _edit),
)
