"""What would be sent, shown and not sent: `--dry-run` and the subcommand `context`."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gprochat_magic import config, markdown
from gprochat_magic.conversation import Turn, estimate_tokens
from gprochat_magic.messages import Message, images_of, text_of
from gprochat_magic.notebook.grammar import Row, Shape, flags_of
from gprochat_magic.notebook.prompt import Filled

if TYPE_CHECKING:
    from gprochat_magic.draft import Draft
    from gprochat_magic.notebook.magics import GPROChatMagics

_SHOWN = 60
"""Characters of a turn, or of a picture's base64, that are shown."""


def request(magics: GPROChatMagics, prompt: Filled, options: argparse.Namespace) -> str:
    """The request for a prompt, as text for people. Nothing is sent or kept.

    Raises whatever sending it would raise before anything leaves.
    """
    body = _draft(magics, prompt, options).request
    where = config.host_of(magics.api_endpoint) or "the embedded gateway"
    return (
        f"To {where}, if it were sent (time and signature are made then):\n"
        f"{json.dumps(_without_pictures(body), ensure_ascii=False, indent=2)}\n"
    )


def _without_pictures(body: Any) -> Any:
    """The same with the base64 of pictures cut: nobody reads it, and a cell cannot hold it."""
    if isinstance(body, list):
        return [_without_pictures(each) for each in body]
    if not isinstance(body, dict):
        return body
    if "mime_type" in body and len(data := str(body.get("data", ""))) > _SHOWN:
        return {**body, "data": f"{data[:_SHOWN]}… ({len(data):,} characters of base64)"}
    return {name: _without_pictures(value) for name, value in body.items()}


def _draft(magics: GPROChatMagics, prompt: Filled, options: argparse.Namespace) -> Draft:
    begins = options.new
    if begins:
        options = argparse.Namespace(**{**vars(options), "conversation": None})
    chat, how = magics.asking.plan(prompt, options)
    if begins:
        # The conversation is not begun, but what it would send is what a first turn sends.
        how = replace(how, again=Turn("", parent=None))
    return chat.preview(prompt.text, how)


def _context(magics: GPROChatMagics, argument: str) -> str:
    options, text = flags_of(argument)
    prompt = magics.asking.prepared(text, options)
    draft = _draft(magics, prompt, options)
    *earlier, last = draft.ask.messages
    system = [message for message in earlier if message["role"] == "system"]
    turns = [message for message in earlier if message["role"] != "system"]
    lines = [f"model: {draft.ask.model}; wire: {draft.ask.wire}"]
    lines += [f"system: {_told(message)}" for message in system] or ["system: none"]
    window = draft.window
    out = f"; {window.left_out} left out" if window.left_out else ""
    lines.append(f"earlier turns: {window.turns}{out}")
    lines += [f"  {message['role']}: {_told(message)}" for message in turns]
    if text_of(last):
        lines.append(f"prompt with its context: {_size(text_of(last))}")
        lines += [f"  | {line}" for line in markdown.plain(text_of(last)).splitlines()]
    pictures = sum(len(each["inline_data"]["data"]) for each in images_of(last))
    if pictures:
        lines.append(f"pictures: {len(images_of(last))}, {pictures:,} characters of base64")
    tokens = sum(estimate_tokens(text_of(message)) for message in draft.ask.messages)
    return "\n".join([*lines, f"together: ~{tokens:,} tokens of {magics.token_budget:,}"])


def _told(message: Message) -> str:
    text = " ".join(markdown.plain(text_of(message)).split())
    return f"{_size(text_of(message))}: {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}"


def _size(text: str) -> str:
    return f"{len(text):,} characters, ~{estimate_tokens(text):,} tokens"


ROWS: tuple[Row, ...] = (
    (
        Shape(
            "context",
            "[FLAGS] [TEXT]",
            r"(-.*)?",
            "what would be sent next: system, turns with their sizes, what is left out; with -x "
            "and other flags, what they would add",
        ),
        _context,
    ),
)
