"""Who answers behind the gateway: what a backend is, and the table of those we have."""

from __future__ import annotations

import pkgutil
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from gprochat_magic.errors import ConfigError
from gprochat_magic.messages import Messages

TABLE: Mapping[str, str] = {
    "demo": "gprochat_magic.gateway.backends.demo:Demo",
}
"""A backend's name and its factory, which is imported at first use."""


class Backend(Protocol):
    """Whoever turns messages into a reply."""

    name: str

    def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The reply to these messages, piece by piece; `options["model"]` may be empty.

        Closed early when the reader goes away. Raises `BackendError` for what the reader should be
        told; before the first piece it becomes a status, after it the reply breaks off.
        """
        ...


class BackendError(Exception):
    """A backend cannot answer: a status, words for the reader, and seconds to wait, if known."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


def open_backend(name: str) -> Backend:
    """The backend of this name. Raises `ConfigError` for a name that is not in the table."""
    if name not in TABLE:
        raise ConfigError(f"there is no backend {name!r}", hint=f"Backends: {', '.join(TABLE)}.")
    backend: Backend = pkgutil.resolve_name(TABLE[name])()
    return backend
