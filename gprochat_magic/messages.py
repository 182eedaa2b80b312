"""A message, and how several become the one prompt that is signed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from gprochat_magic.errors import BadRequestError


class TextPart(TypedDict):
    """A piece of text inside a message."""

    text: str


class Message(TypedDict):
    """One message: `role` is system, user or assistant; `content` its text, whole or in parts."""

    role: str
    content: str | Sequence[TextPart]


Messages = list[Message]

ROLES = frozenset({"system", "user", "assistant"})


def text_of(message: Message) -> str:
    """The text of a message, its parts joined; lone surrogates become U+FFFD.

    Raises `BadRequestError` for a role or content that no message has.
    """
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise BadRequestError(f"a message cannot have the role {role!r}", hint=_ROLE_HINT)
    if isinstance(content, str):
        return well_formed(content)
    try:
        return well_formed("".join(part["text"] for part in content or ()))
    except (TypeError, KeyError):
        raise BadRequestError(
            "the content of a message is neither text nor parts of text"
        ) from None


def format_prompt(messages: Sequence[Message]) -> str:
    """One message is its text unchanged; several become `Role: text` lines and `Assistant:`."""
    if not messages:
        raise BadRequestError("there is no message to send", hint="Give at least one message.")
    if len(messages) == 1:
        return text_of(messages[0])
    lines = [f"{message['role'].capitalize()}: {text_of(message)}" for message in messages]
    return "\n".join([*lines, "Assistant:"])


def well_formed(text: str) -> str:
    """The text with each lone surrogate replaced, so that it can be signed, sent and stored."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_ROLE_HINT = "Use system, user or assistant."
