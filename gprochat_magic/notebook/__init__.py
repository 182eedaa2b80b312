"""All that knows IPython: loading adds the magics, unloading leaves the shell as it was."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from IPython.core.interactiveshell import InteractiveShell

from gprochat_magic import config
from gprochat_magic.notebook.magics import GPROChatMagics, make
from gprochat_magic.notebook.question import Question

_loaded: WeakKeyDictionary[InteractiveShell, GPROChatMagics] = WeakKeyDictionary()


def load(shell: InteractiveShell) -> None:
    """Add the magics, once, however often it is called. Raises `ConfigError` for a bad setting."""
    if shell in _loaded:
        return
    magics = _loaded[shell] = make(shell)
    shell.register_magics(magics)
    shell.input_transformer_manager.token_transformers.append(Question)
    shell.events.register("post_run_cell", magics.failures.note)
    shell.Completer.custom_matchers.append(magics.completion.match)
    config.put_in_force(magics)


def unload(shell: InteractiveShell) -> None:
    """Stop what streams and take everything back that `load` added."""
    magics = _loaded.pop(shell, None)
    if magics is None:
        return
    from gprochat_magic import conversations, engine  # bring SQLite and asyncio

    config.withdraw(magics)
    magics.jobs.stop()
    engine.shared().stop()
    conversations.close()
    shell.events.unregister("post_run_cell", magics.failures.note)
    shell.input_transformer_manager.token_transformers.remove(Question)
    shell.Completer.custom_matchers.remove(magics.completion.match)
    shell.configurables.remove(magics)  # type: ignore[arg-type]  # IPython's hint is too narrow
    manager = shell.magics_manager
    manager.registry.pop(type(magics).__name__, None)
    for kind in ("line", "cell"):
        manager.magics[kind].pop("gprochat", None)
