"""%gprochat and %%gprochat as the shell knows them, with the settings that %config shows.

All that loading has to have, and no more: what a prompt needs is imported with the first one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display
from traitlets import TraitError, observe, validate

from gprochat_magic.config import Settings, Shower, Waiter
from gprochat_magic.errors import ConfigError
from gprochat_magic.notebook import identity
from gprochat_magic.notebook.background import Jobs
from gprochat_magic.notebook.completion import Completion
from gprochat_magic.notebook.failures import Failures
from gprochat_magic.notebook.typed import Typed

if TYPE_CHECKING:
    from gprochat_magic.chat import Chat
    from gprochat_magic.conversations import Conversations
    from gprochat_magic.notebook.asking import Asking
    from gprochat_magic.reply import Reply


def _help() -> str:
    """The whole help, for `%%gprochat?`."""
    from gprochat_magic.notebook import commands, grammar  # many modules, which loading need not

    return f"Ask a language model.\n\n{grammar.overview(commands.SHAPES)}"


@magics_class
class GPROChatMagics(Settings, Magics):
    """Settings and magics in one, so that %config GPROChatMagics shows what is in force."""

    shell: InteractiveShell

    _ready = False

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell=shell)
        self.failures = Failures()
        self.replied: Reply | None = None
        self.jobs = Jobs()
        self.completion = Completion(self)
        self.kernel = identity.kernel_id(shell)
        self.notebook = identity.notebook_path(shell)
        self.typed = Typed(shell)
        self.models_seen: list[str] = []
        self.models_from = ""
        self._asking: Asking | None = None
        with contextlib.suppress(ConfigError):  # one that does not fit is told when it is used
            _ = self.wait  # the environment's choice is taken now: `_wait_works` judges later ones
        self._ready = True

    def waiter(self) -> Waiter | None:
        """How this thread waits for a reply where other work goes on meanwhile; None: it blocks."""
        return self.asking.waiting.waiter() if self.wait == "nested" else None

    def shower(self) -> Shower:
        """How a widget is shown that a text is to replace."""
        return replaceable

    @property
    def asking(self) -> Asking:
        """What the magics do, loaded at first use: it brings aiohttp and the renderer."""
        if self._asking is None:
            from gprochat_magic.notebook.asking import Asking

            self._asking = Asking(self)
        return self._asking

    @validate("wait")
    def _wait_works(self, proposal: Any) -> str:
        """Refuse what is typed and cannot work; a configured one is refused at the first reply."""
        chosen = str(proposal["value"])
        if self._ready and chosen == "nested":
            from gprochat_magic.notebook import waiting  # brings asyncio, which loading must not

            if reason := waiting.refusal():
                raise TraitError(f"wait=nested is refused: {reason}")
        return chosen

    @observe("secret_key", "proxy", "api_endpoint")
    def _notice_secrets(self, change: Any) -> None:
        if not self._ready:
            return
        if change["name"] == "secret_key":
            self.typed.secret(change["new"].reveal())
        else:
            self.typed.address(change["new"], change["name"])

    @no_var_expand
    @line_cell_magic
    def gprochat(self, line: str, cell: str | None = None) -> Any:
        """Ask a language model. The reply streams in below."""
        return self.asking.called(line, cell)

    # IPython asks for this before it looks at the docstring.
    gprochat.getdoc = _help  # type: ignore[union-attr]

    def conversations(self) -> Conversations:
        """The conversations that are open or kept."""
        from gprochat_magic import conversations  # brings SQLite, which loading must not

        return conversations.shared()

    def chat(self, name: str = "") -> Chat:
        """A conversation to talk in, by name, which must exist; without, the current one."""
        from gprochat_magic.chat import Chat  # brings aiohttp, which loading must not

        if name:
            self.conversations().open(name)
        return Chat(name)

    def keep_view(self) -> None:
        """Keep which turns are in view, after a subcommand changed it."""
        home = self.conversations()
        home.keep(home.current, [])


def replaceable(widget: Any) -> Callable[[str], object]:
    """Show a widget; what is given puts a text in its place, also in the saved notebook."""
    shown: Any = display(widget, display_id=True)  # type: ignore[no-untyped-call]
    return lambda text: shown.update({"text/plain": text}, raw=True)


def make(shell: InteractiveShell) -> GPROChatMagics:
    """The magics for a shell. Raises `ConfigError` for a configured setting that does not fit."""
    try:
        return GPROChatMagics(shell)
    except TraitError as error:
        raise ConfigError(f"a setting does not fit: {error}") from None
