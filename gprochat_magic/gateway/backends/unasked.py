"""A backend for clients that name the protocol's default model where their user has chosen none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from gprochat_magic.config import DEFAULT_MODEL
from gprochat_magic.gateway.backends import Backend, Name, read_name
from gprochat_magic.messages import Messages


class Unasked:
    """The same backend, to which the default model is none: its own stands in, or its server's."""

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self._backend = backend

    def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The reply of that backend; see `Backend.reply`."""
        if options.get("model") == DEFAULT_MODEL:
            options = {**options, "model": ""}
        return self._backend.reply(messages, options)


def as_set_up(backend: Backend, name: str) -> Backend:
    """The backend of this name as its operator means it: what is set up goes before the default."""
    # The demo has no models, and tells what it was asked for.
    return backend if read_name(name) == Name("demo") else Unasked(backend)
