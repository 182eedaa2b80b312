"""Who answers behind the gateway: what a backend is, and the table of those we have."""

from __future__ import annotations

import pkgutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError
from gprochat_magic.messages import Messages

_HERE = "gprochat_magic.gateway.backends"

TABLE: Mapping[str, str] = {
    "demo": f"{_HERE}.demo:Demo",
    "gemini": f"{_HERE}.gemini:by_name",
    "any-llm": f"{_HERE}.anyllm:by_name",
    **dict.fromkeys(
        ["openai", "ollama", "lmstudio", "llamacpp", "vllm"], f"{_HERE}.openai_compatible:by_name"
    ),
}
"""A backend's name and its factory, which is imported at first use."""


class Backend(Protocol):
    """Whoever turns messages into a reply."""

    name: str

    def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The reply to these messages, piece by piece; `options["model"]` may be empty.

        Where a backend knows, a `Speaker` before the first text tells which model answers, and a
        `Usage` what the reply cost. Closed early when the reader goes away. Raises `BackendError`
        for what the reader should be told; before the first text it becomes a status, after it the
        reply breaks off.
        """
        ...


class Speaker(str):
    """A piece without text that tells which `model` answers, in its server's own words."""

    __slots__ = ("model",)

    model: str

    def __new__(cls, model: str) -> Self:
        """The piece for the model of this name."""
        speaker = super().__new__(cls)
        speaker.model = model
        return speaker

    def __repr__(self) -> str:
        return f"Speaker({self.model!r})"


class Usage(str):
    """A piece without text that tells how many tokens were `sent` and `received`.

    Whoever only wants the text can treat it as every other piece.
    """

    __slots__ = ("received", "sent")

    sent: int
    received: int

    def __new__(cls, sent: int, received: int) -> Self:
        """The piece for these numbers of tokens."""
        usage = super().__new__(cls)
        usage.sent, usage.received = sent, received
        return usage

    def __repr__(self) -> str:
        return f"Usage(sent={self.sent}, received={self.received})"


def counted(sent: object, received: object) -> Usage | None:
    """What a server said it counted; None where that is no count, of 2**53 or more for one."""
    # A bool is an int to Python.
    if not all(type(count) is int and 0 <= count < 1 << 53 for count in (sent, received)):
        return None
    return Usage(sent, received)  # type: ignore[arg-type]  # as was asked above


class BackendError(Exception):
    """A backend cannot answer: a status, words for the reader, and seconds to wait, if known.

    `final` says that asking again cannot help, whatever the status.
    """

    def __init__(
        self,
        status: int,
        message: str,
        retry_after: float | None = None,
        *,
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after
        self.final = final


@dataclass(frozen=True)
class Name:
    """A backend's name: who provides it (a URL stays whole), and the model behind it, if any."""

    provider: str
    model: str = ""

    @property
    def keyholder(self) -> str:
        """Whose key it needs: behind any-llm each provider has its own."""
        inner = self.model.partition("/")[0]
        return f"{self.provider}/{inner}" if self.provider == "any-llm" else self.provider

    @property
    def is_address(self) -> bool:
        """Whether it is the address of a server."""
        return self.provider.startswith(("http://", "https://"))


def read_name(name: str) -> Name:
    """The parts of `demo`, `PROVIDER/MODEL`, or `URL#MODEL`; whether there is one is not asked."""
    mark = "#" if Name(name).is_address else "/"
    provider, _, model = name.partition(mark)
    return Name(provider, model)


def open_backend(name: str, *, key: Secret | None = None) -> Backend:
    """The backend of a name: `demo`, `PROVIDER/MODEL`, or the URL of a server, `#MODEL` behind it.

    `key` is one that was typed in; without it a backend looks for its own. Nothing is connected
    to. Raises `ConfigError` for a name that is none of these.
    """
    backend: Backend
    parts = read_name(name)
    provider, model = parts.provider, parts.model
    if parts.is_address:
        backend = pkgutil.resolve_name(f"{_HERE}.openai_compatible:by_url")(name, key=key)
        return backend
    if provider not in TABLE or (provider == "demo" and "/" in name):
        raise ConfigError(
            f"there is no backend {name!r}",
            hint=f"Backends: {', '.join(TABLE)}, each but demo with /MODEL, or a server's address, "
            "which begins with http:// or https://.",
        )
    factory = pkgutil.resolve_name(TABLE[provider])
    backend = factory() if provider == "demo" else factory(provider, model, key=key)
    return backend
