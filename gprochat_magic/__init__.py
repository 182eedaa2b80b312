"""Talk to a language model from a notebook: `%load_ext gprochat_magic`, then `%%gprochat`.

The door. Public names load at first use, so that importing the package stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gprochat_magic.version import __version__ as __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from gprochat_magic.chat import Chat as Chat
    from gprochat_magic.chat import ask as ask
    from gprochat_magic.describers import register_context as register_context
    from gprochat_magic.errors import GPROChatError as GPROChatError
    from gprochat_magic.messages import Message as Message
    from gprochat_magic.messages import Messages as Messages
    from gprochat_magic.notebook.panel import ChatPanel as ChatPanel
    from gprochat_magic.provider import GPROChat as GPROChat
    from gprochat_magic.reply import Reply as Reply

_HOMES = {
    "Chat": "chat",
    "ChatPanel": "notebook.panel",
    "GPROChat": "provider",
    "GPROChatError": "errors",
    "Message": "messages",
    "Messages": "messages",
    "Reply": "reply",
    "ask": "chat",
    "register_context": "describers",
}

__all__ = [*_HOMES, "load_ipython_extension", "unload_ipython_extension"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext gprochat_magic`: adds `%gprochat` and `%%gprochat`."""
    from gprochat_magic import notebook  # the shell's part is of no use outside a shell

    notebook.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%unload_ext gprochat_magic`: leaves the shell as it was."""
    from gprochat_magic import notebook

    notebook.unload(shell)
