"""What is asked of a model, checked: options of the right kind, and messages as text and images.

A sender signs options and messages, but nobody says that they make sense.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gprochat_magic.gateway.backends import BackendError
from gprochat_magic.messages import ROLES, well_formed

_KIND = re.compile(r"[a-z]+/[a-z0-9.+-]+", re.ASCII)


@dataclass(frozen=True)
class Image:
    """Data inside a message: its media type, and the data in base64."""

    mime_type: str
    data: str


@dataclass(frozen=True)
class Turn:
    """One message: its role (system, user or assistant), and its text and images in order."""

    role: str
    parts: tuple[str | Image, ...]

    @property
    def text(self) -> str:
        """All of its text, joined."""
        return "".join(part for part in self.parts if isinstance(part, str))


def turns_of(messages: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The messages, checked. Raises `BackendError` for what is no message."""
    return [_turn(message) for message in messages]


def _turn(message: Mapping[str, Any]) -> Turn:
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise BackendError(400, "a message has a role that no model knows")
    if isinstance(content, str):
        return Turn(role, (well_formed(content),))
    if not isinstance(content, Sequence) or not content:
        raise BackendError(400, "a message has no content")
    return Turn(role, tuple(_part(part) for part in content))


def _part(part: object) -> str | Image:
    match part:
        case {"text": str(text)}:
            return well_formed(text)
        case {"inline_data": {"mime_type": str(kind), "data": str(data)}}:
            if _KIND.fullmatch(kind) and data.isascii():
                return Image(kind, data)
    raise BackendError(400, "a part of a message is neither text nor data with its media type")


OPTIONS: Mapping[str, tuple[type, ...]] = {
    "temperature": (int, float),
    "max_tokens": (int,),
    "top_p": (int, float),
    "seed": (int,),
    "stop": (str, list),
}
"""The options that every backend knows, beside `model`, and the types of their values."""
_OURS = frozenset({"messages", "stream", "stream_options", "n", "candidateCount"})
"""What decides how a reply comes: one that came otherwise could not be read."""


def options_for(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The options that are set, under the names that a provider gives them.

    One that not every backend knows goes to the provider as it is. Raises `BackendError` for what
    looks like a slip, and for a value of the wrong type: what is left out without a word would be
    looked for in the reply.
    """
    chosen = {}
    for name, value in options.items():
        if name == "model" or value is None:
            continue
        if name in OPTIONS:
            value = _fitting(name, value)
        elif name in _OURS:
            raise BackendError(400, f"the option {name!r} is not for a prompt to choose")
        elif near := difflib.get_close_matches(name, OPTIONS, 1, cutoff=0.85):
            raise BackendError(400, f"there is no option {name!r}; did you mean {near[0]}?")
        chosen[names.get(name, name)] = value
    return chosen


def _fitting(name: str, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, OPTIONS[name]):
        raise BackendError(400, f"the option {name!r} cannot be {value!r}")
    return _list_of_texts(value) if name == "stop" else value


def _list_of_texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [text for text in values if isinstance(text, str)]
    if len(texts) != len(values):
        raise BackendError(400, "the option 'stop' is a text or a list of texts")
    return texts


def model_of(options: Mapping[str, Any], default: str) -> str:
    """The model that is asked for, else the backend's own; empty where there is neither."""
    model = options.get("model") or default
    if not isinstance(model, str):
        raise BackendError(400, "the option 'model' must be text")
    return model
