"""A message, and how several become the one prompt that is signed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from gprochat_magic.errors import BadRequestError


class TextPart(TypedDict):
    """A piece of text inside a message."""

    text: str


class InlineData(TypedDict):
    """Bytes inside a message: their media type, and themselves in base64."""

    mime_type: str
    data: str


class ImagePart(TypedDict):
    """A picture inside a message."""

    inline_data: InlineData


Part = TextPart | ImagePart


class Message(TypedDict):
    """One message: `role` is system, user or assistant; `content` its text, whole or in parts."""

    role: str
    content: str | Sequence[Part]


Messages = list[Message]

ROLES = frozenset({"system", "user", "assistant"})


def text_of(message: Message) -> str:
    """The text of a message, its parts joined; lone surrogates become U+FFFD. Pictures have none.

    Raises `BadRequestError` for a role or content that no message has.
    """
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise BadRequestError(f"a message cannot have the role {role!r}", hint=_ROLE_HINT)
    if isinstance(content, str):
        return well_formed(content)
    try:
        texts = [part["text"] for part in content or () if "inline_data" not in part]
        return well_formed("".join(texts))
    except (TypeError, KeyError):
        raise BadRequestError(
            "the content of a message is neither text nor parts of text"
        ) from None


def images_of(message: Message) -> list[ImagePart]:
    """The pictures in a message, in order."""
    parts: Sequence[Any] = () if isinstance(message["content"], str) else message["content"]
    return [part for part in parts if "inline_data" in part]


def format_prompt(messages: Sequence[Message]) -> str:
    """One message is its text unchanged; several become `Role: text` lines and `Assistant:`."""
    if not messages:
        raise BadRequestError("there is no message to send", hint="Give at least one message.")
    if len(messages) == 1:
        return text_of(messages[0])
    texts = [text_of(message) for message in messages]
    pairs = zip(messages, texts, strict=True)
    lines = [f"{message['role'].capitalize()}: {text}" for message, text in pairs]
    return "\n".join([*lines, "Assistant:"])


def well_formed(text: str) -> str:
    """The text with each lone surrogate replaced, so that it can be signed, sent and stored."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_ROLE_HINT = "Use system, user or assistant."
