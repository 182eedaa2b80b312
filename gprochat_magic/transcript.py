"""A conversation as a file and back: Markdown, JSON as chat completions have it, or a notebook.

JSON carries the whole tree and comes back exactly; Markdown and notebooks carry the line in view.
"""

from __future__ import annotations

import json
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import nbformat

from gprochat_magic.conversation import Conversation, Turn
from gprochat_magic.errors import ConfigError
from gprochat_magic.messages import well_formed

_nbformat: Any = nbformat  # only partly typed

LARGEST = 64 * 1024 * 1024
"""Characters of a file that is still read."""


def write(conversation: Conversation, suffix: str) -> str:
    """The conversation as the text of a file. Raises `ConfigError` for a suffix we do not write."""
    return _form(suffix)[0](conversation)


def export(conversation: Conversation, path: Path, *, replace: bool) -> str:
    """Write a file in the form that its suffix names; says what was written.

    Raises `ConfigError` for a file that is there already, unless it may be replaced, for one that
    cannot be written, and for a suffix we do not write.
    """
    text = write(conversation, path.suffix)
    if path.exists() and not replace:
        raise ConfigError(
            f"{path} is there already", hint="With --force behind it, it is replaced."
        )
    _put(path, text)
    return f"{path}: {len(conversation.line())} turns written."


def _put(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises `ConfigError` where it cannot be written."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="", dir=path.parent, delete=False
        ) as file:
            file.write(text)
        Path(file.name).replace(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", hint="Choose another place."
        ) from None


def load(path: Path, name: str) -> Conversation:
    """A conversation from a file, under a name and with fresh ids.

    Raises `ConfigError` for a file that cannot be read, and for what `read` refuses.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path} is larger than {LARGEST >> 20} MiB", hint="Split it.")
        # As bytes: reading it as text would change the line ends inside of turns.
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise ConfigError(f"{path} cannot be read: {what}", hint="Check the name.") from None
    return read(text, path.suffix, name)


def read(text: str, suffix: str, name: str) -> Conversation:
    """A conversation from the text of a file, under a name and with fresh ids.

    Raises `ConfigError` for text that is none of ours, too long, or of an unknown suffix.
    """
    reader = _form(suffix)[1]
    if len(text) > LARGEST:
        raise ConfigError(f"the file is larger than {LARGEST >> 20} MiB", hint="Split it.")
    try:
        conversation = reader(well_formed(text), name).renewed()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError("the file holds no conversation", hint=_FORMS_HINT) from None
    if not conversation.turns():
        raise ConfigError("the file holds no turns", hint=_FORMS_HINT)
    return conversation


def _to_json(conversation: Conversation) -> str:
    messages = [
        {"role": role, "content": text}
        for turn in conversation.line()
        for role, text in (("user", turn.prompt), ("assistant", turn.reply))
        if text or role == "user"
    ]
    tree = {"head": conversation.head, "turns": [asdict(turn) for turn in conversation.turns()]}
    whole = {"name": conversation.name, "messages": messages, "gprochat": tree}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _from_json(text: str, name: str) -> Conversation:
    content = _json(text)
    tree = content.get("gprochat") if isinstance(content, dict) else None
    if tree is not None:
        return Conversation(name, turns=map(_turn, tree["turns"]), head=tree["head"])
    messages = content["messages"] if isinstance(content, dict) else content
    return _in_line(name, _paired((each["role"], _text(each["content"])) for each in messages))


def _json(text: str) -> Any:
    """What JSON says, without the lone surrogates that its escapes can spell."""
    content = json.loads(text)
    return json.loads(well_formed(json.dumps(content, ensure_ascii=False)))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or () if "text" in part)


def _turn(values: dict[str, Any]) -> Turn:
    known = {each.name: values[each.name] for each in fields(Turn) if each.name in values}
    for each in fields(Turn):
        if each.name in known and not _fits(each.type, known[each.name]):
            raise ValueError(each.name)
    return Turn(**known)


def _fits(kind: Any, value: Any) -> bool:
    wanted: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "str | None": (str, type(None)),
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
        "State": (str,),
    }
    return isinstance(value, wanted[str(kind)])


def _paired(messages: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Prompts with their replies. Instructions (`system`) become part of the prompt after them."""
    pairs: list[tuple[str, str]] = []
    before = ""
    for role, text in messages:
        if role == "system":
            before += text + "\n\n"
        elif role == "user":
            pairs.append((before + text, ""))
            before = ""
        elif role == "assistant":
            prompt = pairs.pop()[0] if pairs and not pairs[-1][1] else ""
            pairs.append((prompt, text))
        else:
            raise ValueError(role)
    return pairs


def _in_line(name: str, pairs: Iterable[tuple[str, str]]) -> Conversation:
    conversation = Conversation(name)
    for prompt, reply in pairs:
        turn = Turn(prompt, reply=reply, state="complete" if reply else "failed")
        conversation.append(turn)
    return conversation


def _to_markdown(conversation: Conversation) -> str:
    # The mark tells our own lines from lines of a reply that look like them.
    mark = secrets.token_hex(4)
    parts = [f"# {conversation.name}\n"]
    for number, turn in enumerate(conversation.line(), 1):
        parts.append(f"<!-- gprochat {mark} user -->\n**{number}. You**\n\n{turn.prompt}\n")
        if turn.reply:
            who = " ".join(turn.model.split()) or "Reply"  # one line: text begins behind it
            parts.append(f"<!-- gprochat {mark} assistant -->\n**{who}**\n\n{turn.reply}\n")
    return "\n".join(parts) + f"\n<!-- gprochat {mark} end -->\n"


def _from_markdown(text: str, name: str) -> Conversation:
    found = re.search(r"^<!-- gprochat ([0-9a-f]{8}) user -->(\r?)$", text, re.MULTILINE)
    if found is None:
        raise ValueError("no marks")
    if found[2]:
        text = text.replace("\r\n", "\n")  # an editor has changed every line end, also ours
    mark = re.compile(rf"^<!-- gprochat {found[1]} (user|assistant|end) -->\n", re.MULTILINE)
    _, *pieces = mark.split(text)
    messages = [
        (role, body.partition("\n\n")[2].removesuffix("\n\n"))
        for role, body in zip(pieces[::2], pieces[1::2], strict=True)
        if role != "end"
    ]
    return _in_line(name, _paired(messages))


def _to_notebook(conversation: Conversation) -> str:
    make: Any = _nbformat.v4
    cells = []
    for turn in conversation.line():
        # --raw: what was put into the prompt then is in it, and must not be looked up again.
        about = {"gprochat": {"role": "user", "text": turn.prompt}}
        cells.append(make.new_code_cell(f"%%gprochat --raw\n{turn.prompt}", metadata=about))
        if turn.reply:
            about = {"gprochat": {"role": "assistant", "text": turn.reply}}
            cells.append(make.new_markdown_cell(_defused(turn.reply), metadata=about))
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = make.new_notebook(cells=[_load_cell(make), *cells], metadata=about)
    return str(_nbformat.writes(notebook)) + "\n"


def _defused(text: str) -> str:
    """Markdown that fetches nothing: a Markdown cell would load pictures, and HTML beside them."""
    lines, fence = [], ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence:
            line = _CODE_OR_LIVE.sub(lambda found: found["code"] or _DEAD[found[0]], line)
        lines.append(line)
    return "\n".join(lines)


_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_CODE_OR_LIVE = re.compile(r"(?P<code>(`+)(?!`).+?(?<!`)\2(?!`))|<|!\[")
_DEAD = {"<": "&lt;", "![": "!\\["}


def _load_cell(make: Any) -> Any:
    return make.new_code_cell("%load_ext gprochat_magic")


def _from_notebook(text: str, name: str) -> Conversation:
    try:
        notebook: Any = _nbformat.reads(json.dumps(_json(text)), as_version=4)
    except nbformat.ValidationError as error:
        raise ValueError("not a notebook") from error
    return _in_line(name, _paired(filter(None, map(_message, notebook.cells))))


def _message(cell: Any) -> tuple[str, str] | None:
    """What a cell says: as it was exported, or a prompt someone wrote, or the Markdown between."""
    about = cell.metadata.get("gprochat", {})
    if about.get("role") in ("user", "assistant") and isinstance(about.get("text"), str):
        return about["role"], about["text"]
    if cell.cell_type == "code" and cell.source.startswith("%%gprochat"):
        return "user", cell.source.partition("\n")[2]
    return None


Form = tuple[Callable[[Conversation], str], Callable[[str, str], Conversation]]
_FORMS: dict[str, Form] = {
    ".md": (_to_markdown, _from_markdown),
    ".json": (_to_json, _from_json),
    ".ipynb": (_to_notebook, _from_notebook),
}
_FORMS_HINT = "Files end in .md, .json or .ipynb, as `export` writes them."


def _form(suffix: str) -> Form:
    form = _FORMS.get(suffix.lower())
    if form is None:
        raise ConfigError(
            f"files that end in {suffix or 'nothing'} are not known", hint=_FORMS_HINT
        )
    return form
