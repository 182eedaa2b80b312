"""Pictures (`-i`): a file or a variable of the user's as a part of a message.

The libraries that make pictures are not imported: a value of theirs is here only if they are.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.display import Image

from gprochat_magic.conversation import Conversation, Turn
from gprochat_magic.messages import ImagePart
from gprochat_magic.notebook.prompt import Filled, resolve

MOST = 2_500_000
"""Bytes that the pictures of one prompt have at most together; in base64 they are a third more, and
the body of a request holds 4 MiB."""

_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "jpeg"),
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
)


def again(conversation: Conversation, turn: Turn) -> tuple[ImagePart, ...]:
    """What went along with a turn. Raises `UsageError` where that is not known any more."""
    images = conversation.album.of(turn.id)
    if len(images) < turn.pictures:
        raise UsageError("the pictures of that prompt are not kept; run its cell again")
    return images


def added(filled: Filled, wanted: Iterable[str], namespace: Mapping[str, Any]) -> Filled:
    """The prompt with the pictures that `-i` names, and a line that says so behind it.

    Raises `UsageError`, naming it, for what is not there, no picture, or too large.
    """
    parts: list[ImagePart] = []
    told: list[str] = []
    room = MOST
    for name in dict.fromkeys(wanted):
        data = _data(name, namespace, room)
        room -= len(data)
        kind = _kind(name, data, room)
        encoded = base64.b64encode(data).decode()
        parts.append({"inline_data": {"mime_type": f"image/{kind}", "data": encoded}})
        told.append(f"{' '.join(Path(name).name.split())}, {kind}, {-(-len(data) // 1000):,} kB")
    if not parts:
        return filled
    return replace(
        filled,
        text=f"{filled.text}\n\n(Pictures: {'; '.join(told)})",
        used=[*filled.used, *told],
        images=tuple(parts),
    )


def _kind(name: str, data: bytes, room: int) -> str:
    kind = next((kind for pattern, kind in _MAGIC if pattern.match(data)), "")
    if not kind:
        raise UsageError(f"-i {name}: it is no png, jpeg, gif or webp picture; nothing was sent")
    if room < 0:
        raise UsageError(
            f"-i {name}: over {MOST / 1e6:.1f} MB of pictures do not fit; nothing was sent"
        )
    return kind


def _data(name: str, namespace: Mapping[str, Any], room: int) -> bytes:
    """The bytes of a picture: a variable's, or a file's; of one that is too large, too many."""
    try:
        value = resolve(name, namespace)
    except LookupError:
        return _of_file(name, room)
    if isinstance(value, os.PathLike):
        return _of_file(os.fsdecode(value), room)
    try:
        data = _of_value(value)
    except Exception as error:  # noqa: BLE001  # a drawing library may raise anything at all
        raise UsageError(
            f"-i {name}: drawing it raised {type(error).__name__}; nothing was sent"
        ) from None
    if data is None:
        kind = type(value).__name__
        raise UsageError(f"-i {name}: a {kind} is no picture; nothing was sent")
    return data


def _of_file(name: str, room: int) -> bytes:
    try:
        path = Path(name).expanduser()
        if not path.is_file():
            raise UsageError(f"-i {name}: no variable and no file is called that; nothing was sent")
        with path.open("rb") as file:
            return file.read(max(room, 16) + 1)
    except (OSError, ValueError, RuntimeError) as error:
        what = getattr(error, "strerror", None) or "no name of a file"
        raise UsageError(f"-i {name}: it cannot be read ({what}); nothing was sent") from None


def _of_value(value: Any) -> bytes | None:
    """What a value looks like as a picture; None where it has no such look."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Image):
        return value.data if isinstance(value.data, bytes) else None
    if callable(getattr(value, "savefig", None)):
        file = io.BytesIO()
        value.savefig(file, format="png", bbox_inches="tight")
        return file.getvalue()
    for method in ("_repr_png_", "_repr_jpeg_"):  # a PIL image has both
        data = getattr(value, method, lambda: None)()
        if isinstance(data, bytes):
            return data
    return None
